"""Settings of a model compared in pairs, on several validation cuts of training data only.

Each cut leaves out a fifth of the data (of a FOLDER, its validation part) and starts from another seed. All
settings are fitted on the same cuts; the table gives means, and the mean change against the first settings
with its standard error.

    python benchmarks/compare_settings.py --data movielens shop:500,500,8000 --cuts 8 "dropout=0.1" ""
    python benchmarks/compare_settings.py "loss='bpr'" "loss='bpr', schedule='cosine'"
    python benchmarks/compare_settings.py --data FOLDER --cuts 2 "" "n_factors=128, dropout=0.1"
    python benchmarks/compare_settings.py "loss='bpr', sampler=dynamic(16)" "" --data tags:Packages.xz
    python benchmarks/compare_settings.py --model TwoTower "loss='bpr'" "" "loss='bpr', sampler=dynamic(4)"
    python benchmarks/compare_settings.py --data movielens --known 5 "loss='bpr', user_l2=0.05" "loss='bpr'"

The loss of `MatrixFactorization` is "softmax" where none is given. Data are named as for
`benchmarks/history.py`.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tripletrec as tr
from history import data_name, read

MODELS = ("MatrixFactorization", "TwoTower", "MLPMatcher", "EASE", "Popularity")
METRICS = ("ndcg@10", "recall@20", "ndcg@20")
PARTS = {
    each.__name__: each
    for each in (
        tr.sampling.dynamic,
        tr.sampling.popularity,
        tr.losses.softmax,
        tr.losses.hinge,
        tr.losses.bsl,
        tr.losses.ccl,
    )
}


def settings(text: str) -> dict[str, Any]:
    """Return the arguments of a text such as ``"n_factors=128, dropout=0.1"``."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        assert isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args
        return {str(each.arg): _value(each.value) for each in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise argparse.ArgumentTypeError(
            f"must be arguments such as dropout=0.1, got {text!r}"
        ) from None


def _value(node: ast.expr) -> Any:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    assert isinstance(node.func, ast.Name) and node.func.id in PARTS and not node.keywords
    return PARTS[node.func.id](*map(ast.literal_eval, node.args))


def thinned(train: tr.Interactions, known: int, seed: int) -> tr.Interactions:
    """Return at most so many positives of each user, drawn at random."""
    order = np.lexsort((np.random.default_rng(seed).random(train.nnz), train.rows))
    places = order[
        np.arange(train.nnz) - np.repeat(train.indptr[:-1], np.diff(train.indptr)) < known
    ]
    return tr.Interactions.from_arrays(
        train.rows[places], train.indices[places], shape=(train.n_users, train.n_items)
    )


def measured(
    kind: type[Any],
    parameters: dict[str, Any],
    cuts: list[tuple[tr.Interactions, tr.Interactions]],
    n_jobs: int | None,
) -> NDArray[np.float64]:
    """Return the metrics of each cut, of shape (n_cuts, n_metrics)."""
    found = []
    for seed, (train, valid) in enumerate(cuts):
        chosen = {"random_state": seed, "n_jobs": n_jobs, **parameters}
        if kind is tr.MatrixFactorization:
            chosen = {"loss": "softmax", **chosen}
        elif kind in (tr.EASE, tr.Popularity):
            chosen = parameters
        model = kind(**chosen).fit(train)
        mean = tr.evaluate(model, valid, train, k=(10, 20)).mean
        found.append([float(mean[metric]) for metric in METRICS])
    return np.array(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each settings on each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("settings", nargs="+", type=settings, help='such as "dropout=0.1"')
    parser.add_argument("--model", choices=MODELS, default="MatrixFactorization")
    parser.add_argument("--data", nargs="+", type=data_name, default=["movielens"])
    parser.add_argument("--cuts", type=int, default=4)
    parser.add_argument("--users", type=int, help="of a folder, a sample")
    parser.add_argument("--known", type=int, help="positives of each user in training, at most")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args(arguments)
    for name in options.data:
        cuts = [read(name, options.users, seed) for seed in range(options.cuts)]
        if options.known is not None:
            cuts = [
                (thinned(train, options.known, seed), valid)
                for seed, (train, valid) in enumerate(cuts)
            ]
        print(f"{name}: {options.cuts} cuts; {', '.join(METRICS)}; change in percent")
        kind = getattr(tr, options.model)
        first = measured(kind, options.settings[0], cuts, options.n_jobs)
        for n, parameters in enumerate(options.settings):
            found = measured(kind, parameters, cuts, options.n_jobs) if n else first
            change = 100.0 * (found / first - 1.0)
            error = change.std(axis=0) / np.sqrt(max(1, len(cuts) - 1))
            both = zip(change.mean(axis=0), error, strict=True)
            changes = ", ".join(f"{mean:+.1f} ± {each:.1f}" for mean, each in both)
            means = " ".join(f"{x:.4f}" for x in found.mean(axis=0))
            shown = ", ".join(f"{key}={value}" for key, value in parameters.items())
            print(f"  {means}   {changes}   {shown or 'as it is'}", flush=True)


if __name__ == "__main__":
    main()
