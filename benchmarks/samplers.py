"""What each way of drawing negatives is worth: the samplers of a factor model, and batches for two towers.

    python benchmarks/samplers.py                       # both tables: some two minutes of one core
    python benchmarks/samplers.py --table samplers --cuts 10
    python benchmarks/samplers.py --quick               # one cut, two epochs: to see that it runs

Everything is learnt from and measured on cuts of the training part of MovieLens-100K; the test set is never
read. These are the figures in the notes of `tripletrec.sampling` and of `TwoTower`:

samplers
    `MatrixFactorization` with bpr, L2 of .03 (users) and .01 (items), 30 epochs, a random tenth of the
    positives held out. The table has the better of the learning rates .05 and .1, by the mean NDCG@10 on
    the same cuts that it is measured on: compare rows, and take no value by itself.
towers
    `TwoTower` on features and own factors, "bpr" for 10 epochs, ten ratings of each user held out as by
    `tune_movielens.py`, the empty item 0 left out.

NDCG@10 and full AUC (known positives left out) are means over the cuts (least to most). So is "more": by how
much a row exceeds "unseen" or "bpr, its defaults" on the same cut. Time is that of the fastest epoch of a fit
by the model's own clock, with one thread: the median over all fits of a row (least-most).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import markdown, save, spread
from tripletrec.reference.towers import feature_frames
from tripletrec.sampling import UNIFORM, UNSEEN, Sampler, dynamic, popularity, semi_hard
from tune_movielens import validation_cut, without_padding

RATES = (0.05, 0.1)
SAMPLERS: dict[str, Sampler] = {
    "uniform": UNIFORM,
    "unseen": UNSEEN,
    "popularity(0.5)": popularity(0.5),
    **{f"dynamic({n})": dynamic(n) for n in (2, 4, 8)},
    **{f"semi_hard({n})": semi_hard(n) for n in (2, 4, 8)},
}
TOWERS: dict[str, dict[str, Any]] = {
    "softmax, the items of the batch": {},
    "softmax, without history": {"history": 0.0, "n_epochs": 10},
    "softmax, and 512 more": {"n_negatives": 512},
    "bpr, its defaults": {"loss": "bpr", "n_epochs": 10},
    "bpr, 4 negatives": {"loss": "bpr", "n_epochs": 10, "n_negatives": 4},
}
FIGURES = ("NDCG@10", "more", "AUC", "more", "ms per epoch")
Result = dict[str, float]


def mean_ndcg(runs: list[Result]) -> float:
    """Return what the learning rate is chosen by."""
    return statistics.fmean(run["ndcg"] for run in runs)


def over_cuts(values: list[float]) -> str:
    """Return "mean (least to most)"."""
    return f"{statistics.fmean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def cells(runs: list[Result], baseline: list[Result]) -> list[str]:
    """Return NDCG, AUC, and what they are more than those of the baseline, cut by cut."""
    found = []
    for name in ("ndcg", "auc"):
        found.append(over_cuts([run[name] for run in runs]))
        pairs = zip(runs, baseline, strict=True)
        found.append("" if runs is baseline else over_cuts([a[name] - b[name] for a, b in pairs]))
    return found


def measure(
    model: Any, train: Any, held_out: Any, hidden: Any, label: str, **features: Any
) -> Result:
    """Fit a model; return its figures."""
    model.fit(train, **features)
    found = tr.evaluate(model, held_out, hidden, k=10, n_jobs=1).mean
    ms = 1e3 * min(record["seconds"] for record in model.history_)
    print(f"  {label}: {found['ndcg@10']:.4f} {found['auc']:.4f} {ms:.1f} ms", flush=True)
    return {"ndcg": float(found["ndcg@10"]), "auc": float(found["auc"]), "ms": ms}


def samplers(n_cuts: int, quick: bool) -> list[str]:
    """Return the table of samplers; their fits take turns."""
    data = tr.datasets.fetch_movielens_100k().train
    rates, n_epochs = (RATES[1:], 2) if quick else (RATES, 30)
    found: dict[str, dict[float, list[Result]]] = {
        name: {rate: [] for rate in rates} for name in SAMPLERS
    }
    for seed in range(n_cuts):
        train, held_out = tr.splits.train_test_split(data, 0.1, random_state=seed)
        for rate in rates:
            for name, sampler in SAMPLERS.items():
                model = tr.MatrixFactorization(
                    sampler=sampler, learning_rate=rate, n_epochs=n_epochs, n_jobs=1,
                    random_state=seed, user_l2=0.03, item_l2=0.01,
                )  # fmt: skip
                label = f"cut {seed}, {name}, rate {rate}"
                found[name][rate].append(measure(model, train, held_out, train, label))
    best = {
        name: max(rates, key=lambda rate: mean_ndcg(runs[rate])) for name, runs in found.items()
    }
    rows = []
    for name, runs in found.items():
        fastest = spread((run["ms"] for rate in rates for run in runs[rate]), 1)
        baseline = found["unseen"][best["unseen"]]
        rows.append([name, best[name], *cells(runs[best[name]], baseline), fastest])
    header = ["sampler", "learning rate", *FIGURES]
    title = f"## Samplers: factor model, bpr, {n_epochs} epochs, cuts: {n_cuts}"
    return [title, "", *markdown(header, rows), ""]


def towers(n_cuts: int, quick: bool) -> list[str]:
    """Return the table of towers."""
    users, items = feature_frames(tr.datasets.fetch_movielens_100k())
    found: dict[str, list[Result]] = {name: [] for name in TOWERS}
    for seed in range(n_cuts):
        train, held_out = validation_cut(seed)
        hidden = without_padding(train)
        for name, parameters in TOWERS.items():
            given = {**parameters, "n_epochs": 2} if quick else parameters
            model = tr.TwoTower(n_jobs=1, random_state=seed, **given)
            found[name].append(
                measure(
                    model, train, held_out, hidden, f"cut {seed}, {name}", user_features=users,
                    item_features=items,
                )
            )  # fmt: skip
    rows = [
        [name, *cells(runs, found["bpr, its defaults"]), spread((run["ms"] for run in runs), 0)]
        for name, runs in found.items()
    ]
    title = f"## Towers: features and own factors, cuts: {n_cuts}"
    return [title, "", *markdown(["loss", *FIGURES], rows), ""]


TABLES: dict[str, Callable[[int, bool], list[str]]] = {"samplers": samplers, "towers": towers}
CUTS = {"samplers": 5, "towers": 3}  # as the notes have it


def main() -> None:
    """Print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", choices=TABLES, nargs="+", default=list(TABLES))
    parser.add_argument("--cuts", type=int, help=f"default: {CUTS}")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    by_kernels()
    before, started, lines = load(), time.perf_counter(), []
    for name in options.table:
        lines += TABLES[name](options.cuts or (1 if options.quick else CUTS[name]), options.quick)
    seconds = time.perf_counter() - started
    lines += [*describe(), f"Load average before the first run: {before}; {seconds:.0f} s in all."]
    print("", *lines, f"\nresults: {save('samplers', lines)}", sep="\n")


if __name__ == "__main__":
    main()
