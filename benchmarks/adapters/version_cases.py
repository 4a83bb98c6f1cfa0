"""What `benchmarks/two_versions.py` times of one version of tripletrec; only names that both versions have.

A case is a function of the options that returns what to time, by what is printed. What that returns is
ignored, unless it is `Seconds`: of the wall clock, without what was done around the part to be timed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

THREADS = (1, 2)


class Seconds(float):
    """What a part of a run took, by a clock of its own."""


to_time: dict[str, Callable[[], Any]] = {}  # of this process, whose one case is prepared once


def start() -> str:
    """Import the library; return the folder it came from."""
    global tr
    import tripletrec as tr
    from tripletrec import MatrixFactorization, full_auc  # noqa: F401  # what a user needs to fit

    return str(Path(tr.__file__).resolve().parents[1])


def prepare(case: str, warm_up: bool = True, **options: Any) -> dict[str, Any]:
    """Make the data of a case, and run all that is timed once, so that it is compiled."""
    if warm_up:
        sys.path.append(str(Path(__file__).parents[1]))
        from machine import by_kernels

        by_kernels()
    to_time.update(CASES[case](**options))
    for run in to_time.values() if warm_up else ():
        run()
    return {"names": list(to_time)}


def measure(name: str) -> dict[str, Any]:
    """Run and time what is printed under a name; where that says "1 thread", BLAS has no other either."""
    with threadpool_limits(1) if name.endswith(threads(1)) else nullcontext():
        started, worked = time.perf_counter(), time.process_time()
        answer = to_time[name]()
        seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return {"seconds": answer if isinstance(answer, Seconds) else seconds, "cpu": cpu}


def processor_time() -> dict[str, Any]:
    """Return the seconds that this process has spent on cores since it was started."""
    return {"seconds": time.process_time()}


def fits(title: str, data: Any, **settings: Any) -> dict[str, Callable[[], Any]]:
    """Return fits of the factor model, by one thread and by two."""

    def fit(n_jobs: int) -> Callable[[], Any]:
        return lambda: tr.MatrixFactorization(**settings, n_jobs=n_jobs).fit(data)

    return {f"{title}, {threads(n)}": fit(n) for n in THREADS}


def threads(n: int) -> str:
    """Return "1 thread" or "2 threads"."""
    return f"{n} thread{'s' * (n > 1)}"


# Versions have other defaults: what is compared is spelled out.
PLAIN = {
    "scorer": "dot", "optimizer": "adagrad", "sampler": "unseen", "learning_rate": 0.1, "user_l2": 0.03,
    "item_l2": 0.01, "init_scale": 0.02, "schedule": "constant",
}  # fmt: skip


def ml100k(quick: bool, **options: Any) -> dict[str, Callable[[], Any]]:
    """Plain fits of MovieLens-100K."""
    train = tr.datasets.fetch_movielens_100k().train
    n_epochs = 2 if quick else 30
    title = f"fit, MovieLens-100K, Adagrad, {n_epochs} epochs"
    return fits(title, train, **PLAIN, n_epochs=n_epochs)


def synthetic12m(quick: bool, folder: str, **options: Any) -> dict[str, Callable[[], Any]]:
    """Fits of 12 million positives, which whichever version comes first makes for both."""
    file, share = Path(folder) / "synthetic.npz", 1000 if quick else 1
    if not file.exists():
        sizes = (300_000 // share, 500_000 // share, 12_000_000 // share)
        made = tr.datasets.make_interactions(*sizes, random_state=0).tocsr()
        sp.save_npz(file, made, compressed=False)
    data = tr.Interactions(sp.load_npz(file))
    sgd = PLAIN | {"optimizer": "sgd", "learning_rate": 0.05, "user_l2": 0.01, "item_l2": 0.01}
    title = f"fit, {data.nnz:,} positives"
    return fits(f"{title}, SGD, 3 epochs", data, n_epochs=3, **sgd) | fits(
        f"{title}, Adagrad, 2 epochs", data, n_epochs=2, **PLAIN
    )


def softmax(quick: bool, gowalla: str, **options: Any) -> dict[str, Callable[[], Any]]:
    """Fits of Gowalla by the preset."""
    data, n_epochs = tr.Interactions(sp.load_npz(Path(gowalla) / "train.npz")), 1 if quick else 2
    preset = {
        "loss": "softmax", "scorer": "cosine", "optimizer": tr.optimizers.adam(beta1=0.5, beta2=0.99),
        "sampler": "unseen", "learning_rate": 0.01, "user_l2": 0.2, "item_l2": 0.2, "negative_l2": 0.0,
        "init_scale": 0.01, "schedule": "cosine",
    }  # fmt: skip
    return fits(f"fit, Gowalla, softmax, {n_epochs} epochs", data, n_epochs=n_epochs, **preset)


def k5(quick: bool, **options: Any) -> dict[str, Callable[[], Any]]:
    """The perceptron of K5: replica, whose processor time includes that of its AUC, and `MLPMatcher`."""
    data = tr.datasets.fetch_movielens_100k()
    train = data.train
    if quick:
        train = tr.splits.train_test_split(train, 0.99, random_state=0)[0]

    def replica() -> Seconds:
        return Seconds(sum(tr.reference.train_replica("K5", data, n_epochs=1).seconds))

    def own() -> None:
        tr.MLPMatcher(32, 64, (128,), n_epochs=1, batch_size=64, sampler="unseen").fit(train)

    found = {"K5, MLPMatcher, batches of 64, 1 epoch": own}
    of_replica = {"K5, replica, 1 epoch": replica, "K5, replica, 1 epoch, 1 thread": replica}
    return found if quick else of_replica | found


def evaluate(quick: bool, **options: Any) -> dict[str, Callable[[], Any]]:
    """Exact evaluation of given factors."""
    (U, V), test, exclude = _factors_and_pairs(quick)
    size = f"{len(U):,} x {len(V):,}"
    return {
        f"{name}, {size}, {threads(n)}": run
        for n in THREADS
        for name, run in {
            "evaluate": lambda n=n: tr.evaluate((U, V), test, exclude, k=(10, 20), n_jobs=n),
            "full_auc": lambda n=n: tr.full_auc((U, V), test, exclude, n_jobs=n),
        }.items()
    }


def recommend(quick: bool, **options: Any) -> dict[str, Callable[[], Any]]:
    """Best lists of a fitted model: of all users at once, and user by user."""
    _, _, seen = _factors_and_pairs(quick)
    model = tr.MatrixFactorization(n_epochs=1).fit(seen)
    users, n_single = np.arange(seen.n_users), 5 if quick else 200

    def one_by_one() -> None:
        for user in users[:n_single]:
            model.recommend(user, k=10, exclude=seen)

    return {
        f"recommend, {len(users):,} users at once": lambda: model.recommend(
            users, 10, exclude=seen
        ),
        f"recommend, {n_single} users one by one": one_by_one,
    }


def _factors_and_pairs(quick: bool) -> tuple[Any, Any, Any]:
    """Return random factors, 5 test positives for each user and 50 pairs to leave out."""
    n_users, n_items = (500, 200) if quick else (5_000, 20_000)
    rng = np.random.default_rng(0)
    factors = tuple(rng.standard_normal((n, 64), np.float32) for n in (n_users, n_items))

    def pairs(n: int) -> Any:
        rows = np.repeat(np.arange(n_users), n)
        at = rows, rng.integers(n_items, size=len(rows))
        return tr.Interactions(sp.csr_matrix((np.ones(len(rows)), at), (n_users, n_items)))

    return factors, pairs(5), pairs(50)


def first_fit(quick: bool, **options: Any) -> dict[str, Callable[[], Any]]:
    """One plain fit of data of the size of MovieLens-100K; timed at its first call."""
    data = tr.datasets.make_interactions(943, 1682, 5_000 if quick else 50_000, random_state=0)
    model = tr.MatrixFactorization(n_epochs=1 if quick else 10, **PLAIN)
    return {"fit": lambda: model.fit(data)}


CASES: dict[str, Callable[..., dict[str, Callable[[], Any]]]] = {
    "ml100k": ml100k,
    "synthetic12m": synthetic12m,
    "softmax": softmax,
    "k5": k5,
    "evaluate": evaluate,
    "recommend": recommend,
    "first": first_fit,
    "later": first_fit,
}
