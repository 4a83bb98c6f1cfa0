"""K1 of the Keras table: as published, trained by Keras, by the replica, and by MatrixFactorization.

AUC-A on MovieLens-100K, split ``ua``: all items are ranked, training positives count as negatives.
All but the published numbers are trained in this very run. The replica is the same model as the
one in Keras; MatrixFactorization is this package's own way to the same end, with as many factors
and another model (bpr, item biases, known positives never drawn). Seconds are of the training
alone; the first epoch of each may have compiled.
"""

import os
import statistics
from importlib.util import find_spec

import pytest

import tripletrec as tr

SYSTEM = "K1"
N_EPOCHS = tr.reference.SYSTEMS[SYSTEM].n_epochs
NO_KERAS = "Keras needs the keras extra: pip install '.[keras]'"
COLUMNS = ("Keras", "replica", "MatrixFactorization")


@pytest.fixture(scope="session", autouse=True)
def results(show):
    """{column: (AUC by epoch, seconds by epoch)}, printed when all is done."""
    trained = {}
    yield trained
    for line in table(trained):
        show(line)


def table(trained):
    """Yield the lines of one table; what was not trained is left out of it."""
    published = tr.reference.SYSTEMS[SYSTEM].published
    yield ""
    yield f"{SYSTEM}, MovieLens-100K: full AUC (AUC-A) after each epoch, and seconds so far"
    yield "epoch  published" + "".join(f"{name:>23}" for name in COLUMNS)
    for epoch in range(1, N_EPOCHS + 1):
        cells = [f"{epoch:5}", f"{published.get(epoch, '-'):>11}"]
        for name in COLUMNS:
            auc, seconds = trained.get(name, ((), ()))
            known = len(auc) >= epoch
            text = f"{auc[epoch - 1]:.4f} {sum(seconds[:epoch]):10.2f} s" if known else "-"
            cells.append(f"{text:>23}")
        yield "".join(cells)
    if published and min(published) > 1:
        yield f"Published numbers begin at our epoch {min(published)}: see tripletrec.reference."
    later = {name: statistics.median(seconds[1:]) for name, (_, seconds) in trained.items()}
    for name, seconds in later.items():
        times = (
            f", {later['Keras'] / seconds:.1f} times as fast as Keras" if "Keras" in later else ""
        )
        yield f"An epoch after the first, {name}: {seconds:.3f} s{times}"
    if find_spec("keras") is None:
        yield NO_KERAS


def train(benchmark, results, name, function, *arguments):
    benchmark.group = f"{SYSTEM}, {N_EPOCHS} epochs on MovieLens-100K"
    auc, seconds = benchmark.pedantic(function, arguments, rounds=1)
    results[name] = auc, seconds
    benchmark.extra_info.update(auc=auc, seconds=seconds)


def test_keras(benchmark, results, movielens):
    if find_spec("keras") is None:
        pytest.skip(NO_KERAS)
    if find_spec("jax") is not None:  # what the extra installs; Keras looks for TensorFlow
        os.environ.setdefault("KERAS_BACKEND", "jax")
    from keras_models import train_keras

    def keras():
        run = train_keras(SYSTEM, movielens, N_EPOCHS)
        return run["auc"], run["seconds"]

    train(benchmark, results, "Keras", keras)


def test_replica(benchmark, results, movielens):
    def replica():
        run = tr.reference.train_replica(SYSTEM, movielens, N_EPOCHS)
        return run.auc, run.seconds

    train(benchmark, results, "replica", replica)


def test_matrix_factorization(benchmark, results, movielens):
    def factorization():
        auc = []
        model = tr.MatrixFactorization(n_factors=100, loss="bpr", n_epochs=N_EPOCHS, n_jobs=1)
        model.fit(
            movielens.train,
            callbacks=lambda fitted, record: auc.append(
                tr.full_auc(fitted, movielens.test, exclude=None)
            ),
        )
        return auc, [record["seconds"] for record in model.history_]

    train(benchmark, results, "MatrixFactorization", factorization)
