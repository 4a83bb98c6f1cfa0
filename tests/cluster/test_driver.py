"""Epochs on workers that live in this process: the bits of `fit`, whoever is lost and when."""

import itertools
import os

import numpy as np
import pytest

import tripletrec as tr
import tripletrec.cluster.store
from cluster.fits import (
    CASES,
    DATA,
    assert_same,
    fit_locally,
    fit_serially,
    interrupt_in_second_epoch,
    model_of,
)
from cluster.here import Here
from contracts.support import interactions
from tiers import quick, quick_rows
from tripletrec.cluster.driver import _placed
from tripletrec.cluster.engine import SerialEngine
from tripletrec.cluster.events import EventsSource
from tripletrec.cluster.fitting import fit_with
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sources import InteractionsSource


@pytest.fixture(scope="module")
def plain():
    """A fit that many are compared with."""
    return model_of(n_epochs=5, optimizer="adam").fit(DATA)


@pytest.mark.parametrize(
    "case", quick(CASES, "bpr, adagrad, given", "dynamic, adagrad, weights, given", "graded, adam")
)
def test_workers_learn_the_bits_of_a_fit(case, tmp_path):
    params, given = CASES[case]
    expected = fit_locally(model_of(**params), **given)
    found, _ = fit_serially(model_of(**params), tmp_path / "fit", **given)
    assert_same(found, expected)
    assert os.listdir(tmp_path / "fit") == []
    more = tr.Interactions.from_arrays([1, 2], [3, 4], shape=DATA.space.shape)
    for each in (found, expected):
        each.partial_fit(more)
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("n_workers", "n_threads"), quick_rows([(1, 1), (1, 2), (3, 1), (5, 3)], (1, 1), (5, 3))
)
def test_number_of_workers_and_threads_changes_nothing(n_workers, n_threads, plain, tmp_path):
    model = model_of(n_epochs=5, optimizer="adam")
    fit_serially(model, tmp_path, n_workers=n_workers, n_threads=n_threads)
    assert_same(model, plain)


class Losing:
    """Loses a worker before some of the tasks, but not the last one."""

    def __init__(self, numbers):
        self.numbers, self.count, self.lost = set(numbers), itertools.count(), []

    def __call__(self, engine, worker, function, arguments):
        if next(self.count) in self.numbers and len(engine.workers()) > 1:
            engine.lose(worker)
            self.lost.append((worker, function.__name__))


@pytest.mark.parametrize("every", quick([1, 3], 3))
def test_lost_workers_change_nothing(every, plain, tmp_path, rng):
    counting = Losing([])
    model = model_of(n_epochs=5, optimizer="adam")
    fit_serially(model, tmp_path, n_workers=4, before=counting, every=every)
    n_tasks = next(counting.count)
    for _ in range(2):
        losing = Losing(rng.choice(n_tasks, 3, replace=False).tolist())
        fit_serially(model, tmp_path, n_workers=4, before=losing, every=every)
        assert losing.lost
        assert_same(model, plain)


@pytest.mark.parametrize(("every", "kept"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (7, [5])])
def test_epochs_are_kept_as_often_as_asked_for(every, kept, tmp_path, commits):
    fit_serially(model_of(n_epochs=5, optimizer="adam"), tmp_path, every=every)
    assert commits == kept


def test_at_most_the_epoch_under_way_is_lost(plain, tmp_path):
    begun = []

    def before(engine, worker, function, arguments):
        if function.__name__ == "begin_part":
            begun.append(arguments[-1])
        if function.__name__ == "learn_tile" and arguments[1][0] == 4 and len(engine.workers()) > 1:
            engine.lose(worker)

    model = model_of(n_epochs=5, optimizer="adam")
    fit_serially(model, tmp_path, before=before)
    assert [each for each, _ in itertools.groupby(begun)] == [1, 2, 3, 4, 5]
    assert begun.count(4) == 2 * begun.count(3)
    assert_same(model, plain)


def test_workers_that_are_lost_again_and_again(tmp_path):
    def before(engine, worker, function, arguments):
        if function.__name__ == "learn_tile" and arguments[1][0] == 2:
            engine.lose(worker)
            engine.add(f"{worker}'")

    model = model_of()
    with pytest.raises(RuntimeError, match="epoch 2 was begun 6 times, .*worker .* is lost"):
        fit_serially(model, tmp_path, before=before)
    assert not hasattr(model, "history_")
    assert os.listdir(tmp_path / "epochs") == ["00001"]
    assert_same(fit_serially(model, tmp_path)[0], model_of().fit(DATA))


@pytest.mark.parametrize("every", quick([1, 2], 2))
def test_an_interrupted_fit_goes_on(every, plain, tmp_path, rng):
    stop_at = int(rng.integers(10, 150))
    count = itertools.count()

    def before(engine, worker, function, arguments):
        if next(count) == stop_at:
            raise KeyboardInterrupt

    model = model_of(n_epochs=5, optimizer="adam")
    with pytest.raises(KeyboardInterrupt):
        fit_serially(model, tmp_path, before=before, every=every)
    assert not hasattr(model, "history_")
    kept = tr.cluster.store.last_epoch(Folder(tmp_path)).history
    fit_serially(model, tmp_path, n_workers=3, every=every)
    assert model.history_[: len(kept)] == kept
    assert_same(model, plain)


def test_a_resumed_fit_takes_the_seed_of_the_checkpoint(tmp_path):
    model = model_of(random_state=np.random.RandomState(3))
    with pytest.raises(KeyboardInterrupt):
        fit_serially(model, tmp_path, before=interrupt_in_second_epoch)
    fit_serially(model, tmp_path)
    assert_same(model, model_of(random_state=np.random.RandomState(3)).fit(DATA))


def test_divergence_is_told_and_nothing_is_left(tmp_path):
    model = model_of(learning_rate=1e30)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 1"):
        fit_serially(model, tmp_path)
    assert os.listdir(tmp_path) == [] and not hasattr(model, "history_")


def test_only_what_is_learnt_of_items_travels(tmp_path):
    """As many bytes for twice the interactions, and for twice the users."""
    carried = []
    for n_users, share in ((40, 1.0), (40, 0.5), (80, 0.5)):
        data = tr.datasets.make_interactions(n_users, 300, 6000, random_state=0)[
            : int(share * 6000)
        ]
        model, engine = model_of(n_epochs=4, sampler="unseen"), SerialEngine(2)
        source = InteractionsSource(data)
        fit_with(engine, model, model._plan(), source, Folder(tmp_path))
        carried.append(engine.carried)
    assert carried[0].keys() == carried[1].keys()
    for name in carried[0]:
        assert carried[1][name] == pytest.approx(carried[0][name], rel=0.02), name
        assert carried[2][name] == pytest.approx(carried[0][name], rel=0.02), name
    # Rows with the state of Adagrad, biases, and which rows these are.
    n_bytes = 300 * 4 * (2 * 16 + 2 + 1)
    assert carried[0]["learn_tile"] < 4 * 4 * 1.5 * n_bytes


@pytest.mark.thorough
def test_a_fit_goes_on_with_the_same_events_only(tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    one, other = (interactions(40, 300, 2000, seed).to_frame() for seed in (0, 1))

    def fit(frame, before=None, n=2):
        source = dask_frames.from_pandas(frame, npartitions=n)
        source = EventsSource(source, {"user": "user", "item": "item"}, Here())
        model, engine = model_of(sampler="unseen"), SerialEngine(2, 1, before)
        return fit_with(engine, model, model._plan(), source, Folder(tmp_path))

    with pytest.raises(KeyboardInterrupt):
        fit(one, interrupt_in_second_epoch)
    with pytest.raises(ValueError, match="is of another fit: the argument source differs"):
        fit(other)
    found = fit(one, n=3)
    assert_same(found, model_of(sampler="unseen").fit(tr.Interactions.from_frame(one)))


@pytest.mark.thorough
def test_factors_that_stay_in_the_folder_are_read_where_all_are_needed(tmp_path):
    params = CASES["bpr, sgd"][0]
    expected = fit_locally(model_of(**params))
    found, _ = fit_serially(model_of(**params), tmp_path / "fit", collect=False)
    for mine, theirs in zip(
        found.similar_users(3, k=5), expected.similar_users(3, k=5), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    sentence = (
        r"user_factors_ must be an array, got ShardedFactors\(.*: read it into memory first, "
        r"model\.user_factors_ = np\.asarray\(model\.user_factors_\)$"
    )
    with pytest.raises(TypeError, match=f"^{sentence}"):
        found.partial_fit(DATA)
    with pytest.raises(ValueError, match=sentence):
        found.save(tmp_path / "model")
    found.user_factors_ = np.asarray(found.user_factors_)
    found.save(tmp_path / "model")
    np.testing.assert_array_equal(tr.load(tmp_path / "model").user_factors_, expected.user_factors_)


@pytest.mark.thorough
def test_events_that_stay_in_the_folder_are_not_known_as_seen(tmp_path):
    dask_frames = pytest.importorskip("dask.dataframe", reason="it is Dask's")
    frame = dask_frames.from_pandas(interactions(40, 300, 2000).to_frame(), npartitions=1)
    source = EventsSource(frame, {"user": "user", "item": "item"}, Here())
    model = model_of(sampler="unseen", n_epochs=1)
    folder = Folder(tmp_path)
    fit_with(SerialEngine(1, 1), model, model._plan(), source, folder, collect=False)
    assert model.seen_ is None
    why = "or it was fitted on a cluster with collect=False"
    with pytest.warns(UserWarning, match=f"{why}, so that nothing is left out: .* pass exclude"):
        model.recommend([1, 2], k=3)
    with pytest.raises(ValueError, match=why):
        model.is_cold()
    with pytest.raises(ValueError, match=why):
        model.explain(1, 2)


def test_companions_are_those_of_a_fit(tmp_path):
    users = np.repeat(np.arange(400), 5)
    data = tr.Interactions.from_arrays(users, 5 * (users % 40) + np.tile(np.arange(5), 400))
    model, engine = model_of(n_epochs=1), SerialEngine(2)
    fit_with(engine, model, model._plan(), InteractionsSource(data), Folder(tmp_path))
    expected = model_of(n_epochs=1).fit(data)
    assert model.companions_["sampler"].name == "dynamic"
    assert_same(model, expected)


def test_which_worker_has_which_part():
    assert _placed(6, {"b": 2, "a": 1}, {}) == dict(enumerate("aabbbb"))
    before = dict(enumerate("caabba"))
    assert _placed(6, {"a": 1, "b": 1, "c": 1}, before) == before
    after = _placed(6, {"c": 1, "b": 3}, before)
    assert after == dict(enumerate("cbbbbc")), "the fewest for their threads"
    assert _placed(6, {"c": 2, "b": 2}, before) == dict(enumerate("ccbbbc"))
    assert list(after) == list(range(6))
