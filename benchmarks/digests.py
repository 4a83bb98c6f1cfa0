"""Digests of what every kind of fit learns, ranks and measures: equal where two versions agree bit by bit.

Run it before a change and after it, on one machine, and compare the lines::

    python benchmarks/digests.py > before.txt
    python benchmarks/digests.py > after.txt && diff before.txt after.txt

It uses public names only, so that it runs on either side of a change of layout. All digests of fits are of
two threads where the data are large enough to be shared; ``--n-jobs 1`` must print the same lines.
Other processors may round differently: digests of two machines need not be equal.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

import tripletrec as tr

Case = tuple[str, Callable[[], Any]]

LOSSES = ("bpr", "sigmoid", "hinge")
SCORERS = ("dot", "cosine")
OPTIMIZERS = ("sgd", "adagrad", "adam")
SAMPLERS = ("unseen", "uniform", "popularity", "dynamic", "semi_hard")
LIST_LOSSES = ("softmax", "bsl", "ccl")
# What list-wise losses would choose for towers, where nothing is given.
SPELLED = {
    "learning_rate": 0.02, "batch_size": 64, "user_l2": 0.02, "item_l2": 0.01, "init_scale": 0.05,
    "optimizer": "adagrad", "schedule": "constant", "history": 0.0,
}  # fmt: skip
TIMES = ("seconds",)  # in records: never the same twice
# What a triplet fit was told by default before each loss brought its own companions.
PLAIN = {
    "scorer": "dot", "optimizer": "adagrad", "sampler": "unseen", "learning_rate": 0.1, "n_epochs": 30,
    "user_l2": 0.03, "item_l2": 0.01, "negative_l2": 0.01, "bias_l2": 0.0, "init_scale": 0.02,
    "schedule": "constant", "history": 0.0,
}  # fmt: skip
PRESET = {
    "loss": "softmax", "scorer": "cosine", "optimizer": tr.optimizers.adam(beta1=0.5, beta2=0.99),
    "sampler": "unseen", "learning_rate": 0.01, "user_l2": 0.2, "item_l2": 0.2, "negative_l2": 0.0,
    "bias_l2": 0.0, "init_scale": 0.01, "schedule": "cosine", "history": 0.0,
}  # fmt: skip
MEASURED = ("auc_before", "auc", "loss", "test_loss")  # of a replica


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits of arrays, tables and plain data, dtypes and shapes included."""
    state = hashlib.sha256()
    _feed(state, value)
    return state.hexdigest()[:16]


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        state.update(f"{value.dtype.str}{value.shape}".encode())
        state.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (pd.Series, pd.DataFrame)):
        _feed(state, [np.asarray(value), list(map(str, getattr(value, "columns", value.index)))])
    elif isinstance(value, dict):
        kept = {name: each for name, each in value.items() if name not in TIMES}
        _feed(state, [each for pair in kept.items() for each in pair])
    elif isinstance(value, (list, tuple, np.ndarray)):
        state.update(f"[{len(value)}".encode())
        for each in value:
            _feed(state, each)
    else:
        state.update(f"{type(value).__name__}:{value!r};".encode())


def learnt(model: Any) -> dict[str, Any]:
    """Return all fitted attributes of a model, in the order of their names.

    Without what was given to it, and without the metrics of its history, which are answers.
    """
    names = {name for name in vars(model) if name.endswith("_") and name[0] != "_"}
    names -= {"item_counts_", "temperature_"}  # of the data, not learnt
    found = {name: getattr(model, name) for name in sorted(names - {"seen_"})}
    found["history_"] = [
        {name: each for name, each in record.items() if not name.startswith("validation_")}
        for record in model.history_
    ]
    return found


def small() -> tr.Interactions:
    """Data of a few blocks."""
    return tr.datasets.make_interactions(300, 200, 6000, random_state=1)


def large() -> tr.Interactions:
    """Data that several threads share."""
    return tr.datasets.make_interactions(4000, 3000, 120_000, random_state=2)


def parts() -> tuple[tr.Interactions, tr.Interactions]:
    """Training and validation."""
    return tr.splits.train_test_split(small(), 0.2, random_state=3)


def dislikes(data: tr.Interactions) -> Any:
    """Return random pairs that are not positives, as a matrix."""
    rng = np.random.default_rng(4)
    absent = data.tocsr().toarray() == 0
    return (absent & (rng.random(absent.shape) < 0.05)).astype(np.float32)


def features(n: int, seed: int) -> pd.DataFrame:
    """Return columns of every kind that models with features know."""
    rng = np.random.default_rng(seed)
    words = np.array(["red", "green", "blue", "grey"])
    lists = [list(rng.choice(words, rng.integers(1, 3), replace=False)) for _ in range(n)]
    return pd.DataFrame(
        {
            "colour": rng.choice(words, n),
            "several": lists,
            "flag": rng.random(n) < 0.5,
            "number": rng.normal(size=n).round(3),
        }
    )


def factor_cases(n_jobs: int) -> Iterator[Case]:
    """Every loss x scorer x optimizer x sampler, then every option of `fit`."""

    def fit(data: Any = small, n_epochs: int = 2, **options: Any) -> Callable[[], Any]:
        names = ("validation", "callbacks", "sample_weight", "negatives")

        def run() -> Any:
            train = data()
            given = {
                name: options[name](train) if callable(options[name]) else options[name]
                for name in names
                if name in options
            }
            settings = {name: each for name, each in options.items() if name not in names}
            settings = PLAIN | {"n_factors": 12, "n_jobs": n_jobs, "n_epochs": n_epochs} | settings
            return learnt(tr.MatrixFactorization(**settings).fit(train, **given))

        return run

    for loss, scorer, optimizer, sampler in itertools.product(
        LOSSES, SCORERS, OPTIMIZERS, SAMPLERS
    ):
        choice = dict(loss=loss, scorer=scorer, optimizer=optimizer, sampler=sampler)
        yield " ".join(choice.values()), fit(**choice)
    for optimizer in OPTIMIZERS:
        yield f"negatives given, {optimizer}", fit(negatives=dislikes, optimizer=optimizer)
    yield "negatives given, three each", fit(negatives=dislikes, n_negatives=3, sampler="uniform")
    yield (
        "negatives given, popularity, a share of .9",
        fit(negatives=dislikes, sampler=tr.sampling.explicit(0.9), scorer="cosine", loss="hinge"),
    )

    def weights(data: tr.Interactions) -> Any:
        return np.random.default_rng(5).integers(0, 4, len(data)).astype(np.float32)

    yield "weights", fit(sample_weight=weights)
    yield "weights, values", fit(sample_weight="values", loss="hinge")
    yield "weights and negatives given", fit(sample_weight=weights, negatives=dislikes)
    yield "three negatives", fit(n_negatives=3, optimizer="adam")
    yield "three hard negatives", fit(n_negatives=3, sampler=tr.sampling.dynamic(5))
    yield (
        "two hard negatives, some given",
        fit(n_negatives=2, sampler=tr.sampling.dynamic(3, 0.3), negatives=dislikes),
    )
    yield "softmax, negatives given", fit(loss="softmax", negatives=dislikes)
    yield "no item bias, 64 factors", fit(item_bias=False, n_factors=64)
    yield "100 factors, linear rate", fit(n_factors=100, schedule="linear", n_epochs=3)
    yield "warm-up", fit(schedule=tr.rates.cosine(warmup=0.3), n_epochs=4)
    for optimizer, sampler in itertools.product(OPTIMIZERS, ("unseen", "popularity", "dynamic")):
        name = f"large, {optimizer}, {sampler}, 32 factors"
        yield name, fit(large, 3, optimizer=optimizer, sampler=sampler, n_factors=32)
    yield (
        "large, cosine, hinge, 64 factors",
        fit(large, 3, scorer="cosine", loss="hinge", n_factors=64),
    )

    for loss, scorer, optimizer in itertools.product(LIST_LOSSES, SCORERS, OPTIMIZERS):
        for n_negatives in ("all", 50):
            choice = dict(loss=loss, scorer=scorer, optimizer=optimizer)
            name = f"{' '.join(choice.values())}, candidates {n_negatives}"
            yield name, fit(n_negatives=n_negatives, **choice)
    for sampler in ("uniform", "popularity"):
        yield f"softmax, {sampler}", fit(loss="softmax", n_negatives=40, sampler=sampler)
    yield (
        "softmax, weights, dropout",
        fit(loss="softmax", sample_weight=weights, dropout=0.2, scorer="cosine", batch_size=17),
    )

    def preset() -> Any:
        model = tr.MatrixFactorization(n_epochs=2, n_jobs=n_jobs, **PRESET)
        return learnt(model.fit(large()))

    yield "large, preset softmax", preset

    def stopping(loss: str, metric: str) -> Callable[[], Any]:
        def run() -> Any:
            train, valid = parts()
            stops = {"n_epochs": 25, "early_stopping": 2, "validation_metric": metric}
            model = tr.MatrixFactorization(16, loss=loss, n_jobs=n_jobs, **{**PLAIN, **stops})
            return learnt(model.fit(train, validation=valid))

        return run

    yield "early stopping, bpr", stopping("bpr", "auc")
    yield "early stopping, softmax", stopping("softmax", "ndcg@10")


def neural_cases(n_jobs: int) -> Iterator[Case]:
    """Perceptrons and towers, with and without features, hard negatives and list-wise losses."""

    def fit(kind: Any, **options: Any) -> Callable[[], Any]:
        names = ("user_features", "item_features", "negatives", "sample_weight", "validation")

        def run() -> Any:
            train, valid = parts()
            made = {
                "user_features": lambda: features(train.n_users, 6),
                "item_features": lambda: features(train.n_items, 7),
                "negatives": lambda: dislikes(train),
                "sample_weight": lambda: np.random.default_rng(8).random(len(train)),
                "validation": lambda: valid,
            }
            given = {name: made[name]() for name in names if options.get(name)}
            settings = {name: each for name, each in options.items() if name not in names}
            settings = {"n_epochs": 2, "n_jobs": n_jobs} | settings
            model = kind(**settings).fit(train, **given)
            return [learnt(model), model.predict(range(30), range(30))]

        return run

    for loss, optimizer in itertools.product(LOSSES, OPTIMIZERS):
        yield f"mlp {loss} {optimizer}", fit(tr.MLPMatcher, loss=loss, optimizer=optimizer)
    for sampler in ("uniform", "popularity", "dynamic", "semi_hard"):
        yield f"mlp {sampler}", fit(tr.MLPMatcher, sampler=sampler, n_negatives=2)
    yield (
        "mlp, no dropout, two layers",
        fit(tr.MLPMatcher, dropout=0.0, hidden=(24, 12), user_l2=0.0, item_l2=0.0, loss="hinge"),
    )
    yield "mlp, final ReLU", fit(tr.MLPMatcher, final_relu=True, hidden=())
    yield "mlp, negatives and weights", fit(tr.MLPMatcher, negatives=True, sample_weight=True)
    yield (
        "mlp, early stopping",
        fit(tr.MLPMatcher, validation=True, early_stopping=2, n_epochs=8, schedule="linear"),
    )
    both = {"user_features": True, "item_features": True}
    for loss, options in itertools.product(
        (*LOSSES, *LIST_LOSSES), ({}, both, {**both, "own_factors": False})
    ):
        words = [
            loss,
            *(["features"] if options else []),
            *(["alone"] * ("own_factors" in options)),
        ]
        slow = {**SPELLED, "normalize": True} if loss in LIST_LOSSES else {}
        yield f"towers {' '.join(words)}", fit(tr.TwoTower, loss=loss, **slow, **options)
    for optimizer in OPTIMIZERS:
        yield (
            f"towers {optimizer}",
            fit(tr.TwoTower, loss="bpr", optimizer=optimizer, learning_rate=0.02, **both),
        )
    for sampler in ("popularity", "dynamic", "semi_hard", "nearest"):
        yield f"towers {sampler}", fit(tr.TwoTower, loss="bpr", sampler=sampler, **both)
    yield (
        "towers nearest, negatives",
        fit(tr.TwoTower, loss="bpr", sampler="nearest", negatives=True, **both),
    )
    yield (
        "towers softmax, negatives",
        fit(tr.TwoTower, loss="softmax", **SPELLED, normalize=True, negatives=True),
    )
    yield "towers, layers", fit(
        tr.TwoTower, loss="bpr", user_layers=(32, 16), item_layers=(16,), dropout=0.2,
        normalize=True, l2=0.01, combine="concatenation", **both,
    )  # fmt: skip
    yield "towers softmax, layers, drawn, weights", fit(
        tr.TwoTower, loss="softmax", user_layers=(16,), item_layers=(16,), n_negatives=30,
        **{**SPELLED, "batch_size": 256}, normalize=True, sample_weight=True,
        activation="linear", **both,
    )  # fmt: skip
    yield "towers softmax, popularity, early stopping", fit(
        tr.TwoTower, loss="softmax", sampler="popularity", n_negatives=30, validation=True,
        early_stopping=1, n_epochs=6, **SPELLED, normalize=True,
    )  # fmt: skip


def answer_cases(n_jobs: int) -> Iterator[Case]:
    """What fitted models and foreign factors answer."""
    data = large()
    train, test = tr.splits.train_test_split(data, 0.2, random_state=9)
    settings = PLAIN | {"n_factors": 24, "n_epochs": 2, "n_jobs": n_jobs}
    model = tr.MatrixFactorization(**settings).fit(train)
    cosine = tr.MatrixFactorization(**settings | {"scorer": "cosine"}).fit(train)
    mlp = tr.MLPMatcher(8, 8, (16,), n_epochs=1, n_jobs=n_jobs).fit(train)
    users = np.random.default_rng(10).permutation(data.n_users)[:1500]
    layers = {"user_layers": (8,), "item_layers": (8,)}
    towers = tr.TwoTower(8, loss="bpr", n_epochs=1, n_jobs=n_jobs, **layers)
    models = {"dot": model, "cosine": cosine, "mlp": mlp, "towers": towers.fit(train)}
    for name, each in models.items():
        yield f"recommend, {name}", lambda each=each: each.recommend(users, 10, exclude=train)
        yield (
            f"evaluate, {name}",
            lambda each=each: (
                tr.evaluate(each, test, exclude=train, k=(5, 20), n_jobs=n_jobs).per_user
            ),
        )
        yield f"similar items, {name}", lambda each=each: each.similar_items(range(200), 7)
        yield f"similar users, {name}", lambda each=each: each.similar_users(range(200), 7)
        yield f"predict, {name}", lambda each=each: each.predict(users, users % data.n_items)
    yield (
        "recommend among candidates",
        lambda: model.recommend(users, 10, exclude=None, candidates=range(0, 3000, 7)),
    )
    factors = model.user_factors_.astype(np.float64), model.item_factors_.astype(np.float64)
    yield "full AUC of float64 factors", lambda: tr.full_auc(factors, test, n_jobs=n_jobs)
    counts = np.bincount(train.indices, minlength=train.n_items)
    yield (
        "evaluate, a function with ties",
        lambda: (
            tr.evaluate(
                lambda rows: np.tile(counts.astype(np.float32), (len(rows), 1)), test, train
            ).per_user
        ),
    )


def reference_cases(n_jobs: int) -> Iterator[Case]:
    """The replicas of the published systems, on a small set of the same form."""
    rng = np.random.default_rng(11)
    records = []
    for user in range(1, 61):
        for place, item in enumerate(rng.permutation(np.arange(1, 51))[:25]):
            rating = rng.integers(4, 6) if user % 2 == item % 2 else rng.integers(1, 4)
            records.append((user, item, rating, place, "test" if place < 5 else "train"))
    ratings = pd.DataFrame(records, columns=["user", "item", "rating", "timestamp", "split"])

    def positives(split: str) -> tr.Interactions:
        part = ratings[(ratings["split"] == split) & (ratings["rating"] >= 4)]
        return tr.Interactions.from_arrays(part["user"], part["item"], shape=(61, 51))

    nothing = pd.DataFrame()
    data = tr.datasets.MovieLens(positives("train"), positives("test"), ratings, nothing, nothing)

    def train(system: str) -> Any:
        result = tr.reference.reproduce(data, 1, systems=[system], n_jobs=n_jobs)
        return [result["systems"][system].get(name) for name in MEASURED]

    for system in tr.reference.SYSTEMS:
        yield f"replica {system}", lambda system=system: train(system)


GROUPS = {
    "factors": factor_cases,
    "neural": neural_cases,
    "answers": answer_cases,
    "reference": reference_cases,
}


def main() -> None:
    """Print one line for each case: its digest and its name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of losses that stand still: two epochs prove nothing
    for group in options.groups:
        for name, run in GROUPS[group](options.n_jobs):
            print(f"{digest(run())}  {group}: {name}", flush=True)
    print(f"{' '.join(options.groups)}: done", file=sys.stderr)


if __name__ == "__main__":
    main()
