"""K5 and two towers: an epoch here and in Keras 3, in turn; scores of all items at once and pair by pair.

Both train the same model on the same triplets of MovieLens-100K, in batches of 64. Epochs alternate, so that
a busy machine slows both alike; the first of each, which compiles, is left out. Nothing is asserted
about time: read the ratio that is printed.

    KERAS_BACKEND=jax python -m pytest --benchmark benchmarks/bench_neural.py
"""

import os
import statistics
import time
from importlib.util import find_spec

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.reference import SYSTEMS, draw_negatives, training_task
from tripletrec.reference.towers import feature_frames

N_EPOCHS = 5
BATCH = 64
NO_KERAS = "Keras needs the keras extra: pip install '.[keras]'"


@pytest.fixture(scope="module")
def keras_models():
    if find_spec("keras") is None:
        pytest.skip(NO_KERAS)
    if find_spec("jax") is not None:  # what the extra installs; Keras looks for TensorFlow
        os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras_models

    return keras_models


def alternate(show, benchmark, name, ours, keras):
    """Run epochs of both in turn and show the medians."""
    benchmark.group = f"{name}: an epoch of 49,906 triplets, {BATCH} to a batch"
    seconds = {ours: [], keras: []}

    def turns():
        for _ in range(1 + N_EPOCHS):
            for run in (ours, keras):
                start = time.perf_counter()
                run()
                seconds[run].append(time.perf_counter() - start)

    benchmark.pedantic(turns, rounds=1)
    medians = [statistics.median(each[1:]) for each in seconds.values()]
    ratios = [b / a for a, b in zip(*(each[1:] for each in seconds.values()), strict=True)]
    show(
        f"{name}: {medians[0]:.3f} s per epoch here, {medians[1]:.3f} s in Keras; Keras takes "
        f"{statistics.median(ratios):.1f} times as long ({min(ratios):.1f}-{max(ratios):.1f})"
    )
    benchmark.extra_info.update(ours=seconds[ours], keras=seconds[keras])


def test_k5(benchmark, show, movielens, keras_models):
    from tripletrec._runtime.blas import one_blas_thread
    from tripletrec.reference.keras import train_epoch
    from tripletrec.reference.replica import build_model

    rng, recipe = np.random.default_rng(0), SYSTEMS["K5"].recipe
    task = training_task(recipe, "AUC-B", movielens, rng)
    triplets = (task.users, task.positives, draw_negatives(recipe, task, rng))
    model, optimizer = build_model(recipe, task.shape, rng)
    theirs = keras_models.build_model(recipe, *task.shape)
    columns = [column.reshape(-1, 1) for column in triplets]
    target = np.zeros((len(task.users), 1), np.float32)

    def ours():
        with one_blas_thread():
            train_epoch(model, optimizer, triplets, BATCH, rng)

    def keras():
        theirs.fit(columns, target, batch_size=BATCH, epochs=1, verbose=0)

    alternate(show, benchmark, "K5", ours, keras)


def test_two_towers(benchmark, show, movielens, keras_models):
    """Features and own factors, 64 factors, towers of 64 and 32. Keras gets dense rows."""
    users, items = feature_frames(movielens)
    data, widths = movielens.train, (64, 32)
    layers = {"user_layers": widths, "item_layers": widths}
    model = tr.TwoTower(64, loss="bpr", n_epochs=1, batch_size=BATCH, **layers)
    from tripletrec.data.features import align, encode, learn_encoding

    dense = []
    for frame, rows, n in ((users, data.rows, data.n_users), (items, data.indices, data.n_items)):
        used = np.bincount(rows, minlength=n) > 0
        aligned = align(frame, None, used, "features")
        encoding = learn_encoding(aligned, np.flatnonzero(used), "features")
        matrix = encode(encoding, aligned, "features").toarray()
        dense.append(np.concatenate([matrix, np.ones((n, 1)), np.eye(n)], axis=1, dtype=np.float32))
    n_columns = (dense[0].shape[1], dense[1].shape[1])
    theirs = keras_models.build_towers(widths, n_columns, 64)
    import keras

    class Batches(keras.utils.PyDataset):
        """Rows of features of the triplets, gathered batch by batch: all at once take gigabytes."""

        def __init__(self):
            super().__init__()
            rng = np.random.default_rng(0)
            order = rng.permutation(data.nnz)
            negatives = rng.integers(1, data.n_items, data.nnz)
            self.columns = (data.rows[order], data.indices[order], negatives)

        def __len__(self):
            return -(-data.nnz // BATCH)

        def __getitem__(self, n):
            part = slice(n * BATCH, (n + 1) * BATCH)
            user, positive, negative = (column[part] for column in self.columns)
            rows = (dense[0][user], dense[1][positive], dense[1][negative])
            return rows, np.zeros((len(user), 1), np.float32)

    batches = Batches()
    alternate(
        show,
        benchmark,
        "TwoTower",
        lambda: model.fit(data, user_features=users, item_features=items),
        lambda: theirs.fit(batches, epochs=1, verbose=0, shuffle=False),
    )


def test_scores_of_all_items(benchmark, show, movielens):
    """Scores of all users with all items: split first layer, and pair by pair in large batches."""
    benchmark.group = "MLPMatcher: scores of 944 users x 1,683 items"
    model = tr.MLPMatcher(32, 64, (128,), n_epochs=1, sampler="unseen").fit(movielens.train)
    rows, items = np.arange(model.n_users_), np.arange(model.n_items_)
    score = model._score_function()

    def all_items():
        for first in range(0, len(rows), 128):
            score(rows[first : first + 128])

    def pairs():
        for user in rows:
            model.predict(user, items)

    def single():
        for item in items[:300]:
            model.predict(7, item)

    all_items()
    seconds = {all_items: [], pairs: [], single: []}
    for _ in range(3):
        for run in (all_items, pairs, single):
            start = time.perf_counter()
            run()
            seconds[run].append(time.perf_counter() - start)
    whole, batched, alone = (statistics.median(each) for each in seconds.values())
    alone *= len(rows) * len(items) / 300
    show(
        f"MLPMatcher, all users x all items: {whole * 1e3:.0f} ms; by pairs, a user at a time "
        f"{batched / whole:.0f} times as long; one predict per pair {alone / whole:.0f} times"
    )
    benchmark(all_items)
