"""tripletrec: bpr, sgd, item biases, known positives excluded."""

import sys
import time
from pathlib import Path


def start():
    global tr
    import tripletrec as tr
    from tripletrec import MatrixFactorization, full_auc  # noqa: F401  # what a user needs to fit

    return f"tripletrec {tr.__version__}"


def by_kernels():
    """Let kernels do from now on what NumPy does of a process's first fits."""
    sys.path.append(str(Path(__file__).parents[1]))
    import machine

    machine.by_kernels()
    return {}


def convert(matrix):
    return matrix


def fit(data, n_factors, n_epochs, n_threads):
    tr.MatrixFactorization(
        n_factors=n_factors, loss="bpr", optimizer="sgd", sampler="unseen", learning_rate=0.05,
        user_l2=0.01, item_l2=0.01, n_epochs=n_epochs, n_jobs=n_threads, random_state=0,
    ).fit(data)  # fmt: skip


def full_auc(U, V, train, test, n_threads):
    return lambda: tr.full_auc((U, V), test, n_jobs=n_threads)


def reach(target, seed):
    """Look at the AUC after each epoch; then time a whole fit of as many epochs."""
    by_kernels()
    movielens = tr.datasets.fetch_movielens_100k()
    settings = dict(tr.reference.NATIVE["K1"].parameters, random_state=seed)
    auc = []

    def watch(fitted, record):
        auc.append(tr.full_auc(fitted, movielens.test, exclude=None))
        return auc[-1] >= target

    tr.MatrixFactorization(**settings, n_epochs=50).fit(movielens.train, callbacks=watch)
    model = tr.MatrixFactorization(**settings, n_epochs=len(auc))
    started = time.perf_counter()
    model.fit(movielens.train)
    seconds = time.perf_counter() - started
    value = tr.full_auc(model, movielens.test, exclude=None)
    return {"seconds": seconds, "epochs": len(auc), "value": value, "reached": value >= target}


def hybrid(folder, settings, n_epochs, n_threads):
    """Time epochs of two towers of features and own factors, beyond the first."""
    from scipy.sparse import load_npz

    by_kernels()
    names = ("positives", "users", "items")
    positives, users, items = (load_npz(f"{folder}/{name}.npz") for name in names)
    clock, times = time.process_time if n_threads == 1 else time.perf_counter, []
    model = tr.TwoTower(64, n_epochs=1 + n_epochs, n_jobs=n_threads, **settings)
    model.fit(
        positives, user_features=users, item_features=items,
        callbacks=lambda *_: times.append(clock()),
    )  # fmt: skip
    return {"seconds": (times[-1] - times[0]) / n_epochs}
