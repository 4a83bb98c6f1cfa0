"""A fit of memory-mapped interactions from the disk learns the bits of the one in memory."""

import os
import re
import weakref

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import interactions
from tiers import quick
from training.fits import SHARED, negatives_of, plan_of, run, start, weights_of
from tripletrec import losses, sampling
from tripletrec.training.disk_layout import DiskLayout, FitSize
from tripletrec.training.from_disk import DiskTripletTraining, start_mapped
from tripletrec.training.triplet import TripletTraining

# Each option with some layout, optimizer and number of threads; the kernels are those of test_user_parts.
CASES = {
    "one part": ({}, "sgd", DiskLayout(1, 1), 1),
    "two parts": ({}, "adam", DiskLayout(2, 1), 2),
    "four parts": ({}, "adagrad", DiskLayout(4, 3), 2),
    "four parts, all rows in memory": ({}, "adam", DiskLayout(4, 4), 1),
    "popularity": ({"sampler": "popularity"}, "sgd", DiskLayout(4, 2), 1),
    "uniform": ({"sampler": "uniform", "n_negatives": 2}, "adagrad", DiskLayout(2, 2), 2),
    "dynamic": (
        {"sampler": sampling.dynamic(3), "n_negatives": 2},
        "adagrad",
        DiskLayout(4, 2),
        2,
    ),
    "dynamic, given": (
        {"sampler": sampling.dynamic(3), "given": negatives_of, "weights": weights_of},
        *("adagrad", DiskLayout(4, 2), 2),
    ),
    "weights": ({"weights": weights_of}, "adagrad", DiskLayout(4, 2), 1),
    "k-os warp": (
        {"loss": losses.k_os_warp(2, 3, 0.5, 4), "weights": weights_of},
        *("adagrad", DiskLayout(2, 1), 2),
    ),
    "graded": ({"sampler": sampling.graded(0.5)}, "adagrad", DiskLayout(2, 2), 2),
    "given": ({"given": negatives_of, "n_negatives": 2}, "adam", DiskLayout(2, 1), 1),
    "given, weights": (
        {"given": negatives_of, "weights": weights_of},
        *("sgd", DiskLayout(2, 1), 2),
    ),
}


@pytest.fixture(scope="module")
def data():
    """Half of all pairs, so that verified draws are refused, and some users' rest is listed."""
    return interactions(40, 300, 6000)


@pytest.fixture(scope="module")
def mapped(data, tmp_path_factory):
    return data.to_memory_map(tmp_path_factory.mktemp("disk") / "data")


def from_disk(data, layout, *, weights=None, given=None, n_jobs=1, limits=SHARED, **params):
    return DiskTripletTraining(
        plan_of(given, **params), data, weights, given, n_jobs, layout=layout, limits=limits
    )


def options_of(case, data):
    params, optimizer, layout, n_jobs = CASES[case]
    made = {k: v(data) if k in ("weights", "given") else v for k, v in params.items()}
    return {**made, "optimizer": optimizer}, layout, n_jobs


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, each in expected.items():
        np.testing.assert_array_equal(found[name], each, err_msg=name)


SOME = (
    "one part",
    "four parts",
    "popularity",
    "dynamic, given",
    "k-os warp",
    "graded",
    "given, weights",
)


@pytest.mark.parametrize("case", quick(CASES, *SOME))
def test_the_bits_are_those_of_the_fit_in_memory(case, data, mapped):
    options, layout, n_jobs = options_of(case, data)
    memory = start(data, **options)
    disk = from_disk(mapped, layout, n_jobs=n_jobs, **options)
    assert_same(disk.state(), memory.state())
    for epochs in ([1], [2, 3]):
        assert run(disk, epochs) == run(memory, epochs)
        assert_same(disk.state(), memory.state())
        for ours, theirs in zip(disk.factors, memory.factors, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    largest = max(float(np.abs(each).max()) for each in memory.factors)
    assert max(float(np.abs(each).max()) for each in disk.factor_pieces()) == largest
    assert_same(disk.row_state(), memory.row_state())
    ours, theirs = disk.release(), memory.release()
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert_same(disk.row_state(), memory.row_state())
    assert all(map(np.array_equal, disk.release(), ours))  # as after Ctrl-C


def test_the_bits_are_the_same_where_there_are_no_threads(data, mapped, no_threads):
    options, layout, n_jobs = options_of("four parts", data)
    disk = from_disk(mapped, layout, n_jobs=n_jobs, **options)
    with no_threads():
        records = run(disk, [1, 2])
    memory = start(data, **options)
    assert records == run(memory, [1, 2])
    assert_same(disk.state(), memory.state())


def test_strata_that_are_too_long_for_a_filter_look_their_pairs_up(data, mapped):
    limits = SHARED._replace(filter_words=64)
    memory, disk = (
        start(data, limits=limits),
        from_disk(mapped, DiskLayout(2, 1), limits=limits),
    )
    assert run(disk) == run(memory)
    assert_same(disk.state(), memory.state())


@pytest.mark.parametrize("layout", [DiskLayout(4, 2), DiskLayout(4, 4)])
def test_a_state_is_gone_on_from(layout, data, mapped):
    whole = start(data, optimizer="adam")
    run(whole, [1, 2])
    state = {name: each.copy() for name, each in whole.state().items()}
    run(whole, [3, 4])
    disk = from_disk(mapped, layout, optimizer="adam")
    with pytest.raises(ValueError, match="'users' must be float32 of shape"):
        disk.restore({**state, "users": state["users"][1:]})
    disk.restore(state)
    run(disk, [3, 4])
    assert_same(disk.state(), whole.state())


@pytest.mark.parametrize("n_users", [30, 40])
def test_what_was_learnt_before_is_taken_up(n_users, data, mapped):
    before = start(data[: data.indptr[n_users]], optimizer="adam")
    run(before, [1])
    learnt, row_state = before.factors, before.row_state()
    learnt = learnt._replace(user_factors=learnt.user_factors[:n_users])
    row_state["step_counts.0"] = row_state["step_counts.0"][:n_users]
    for state in (None, row_state):
        memory, disk = (
            start(data, optimizer="adam"),
            from_disk(mapped, DiskLayout(4, 2), optimizer="adam"),
        )
        for each in (memory, disk):
            each.take_up(learnt, state)
        assert_same(disk.state(), memory.state())
    with pytest.raises(ValueError, match="first rows"):
        disk.take_up(learnt._replace(user_factors=np.zeros((41, 6), np.float32)), None)


def test_a_cancelled_epoch_ends(mapped):
    disk = from_disk(mapped, DiskLayout(4, 2), n_jobs=2)
    disk.cancelled = True
    with pytest.raises(KeyboardInterrupt):
        run(disk, [1])


def test_a_failed_run_gives_its_files_up(mapped):
    disk = from_disk(mapped, DiskLayout(4, 2))
    files = [weakref.ref(each) for each in disk._files[:3]]
    with pytest.raises(RuntimeError), disk.threads():
        disk.run_epoch(1)
        raise RuntimeError
    assert [each() for each in files] == [None, None, None]
    with pytest.raises(RuntimeError, match="^the training has ended: its files are gone"):
        disk.run_epoch(2)


@pytest.mark.skipif(os.name == "nt", reason="a file in use has a name there")
def test_scratch_lies_beside_the_data_without_a_name(data, tmp_path):
    mapped = data.to_memory_map(tmp_path / "data")
    before = sorted(os.listdir(mapped.memory_map))
    disk = from_disk(mapped, DiskLayout(4, 2))
    run(disk, [1])
    assert sorted(os.listdir(mapped.memory_map)) == before
    device = os.stat(mapped.memory_map).st_dev
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return
    links = [os.path.join(folder, each) for each in os.listdir(folder)]
    ours = [each for each in links if str(tmp_path) in os.path.realpath(each)]
    assert len(ours) >= 3
    assert all(os.stat(each).st_dev == device for each in ours)


@pytest.fixture
def little_memory(mapped, monkeypatch):
    """So little that a fit of the data goes through the disk."""
    _bound_memory(mapped, monkeypatch, weighted=False)


def _bound_memory(mapped, monkeypatch, *, weighted):
    size = FitSize.of(plan_of(), mapped, None, weighted=weighted, n_jobs=1)
    wanted = str(size.memory(DiskLayout(4, 2)) / 0.88 + 1)
    monkeypatch.setenv("TRIPLETREC_MEMORY", wanted)


def test_the_fit_is_in_memory_where_that_is_enough(mapped, little_memory, monkeypatch):
    assert isinstance(start_mapped(plan_of(), mapped, None, None, 1), DiskTripletTraining)
    monkeypatch.delenv("TRIPLETREC_MEMORY")
    assert isinstance(start_mapped(plan_of(), mapped, None, None, 1), TripletTraining)


def fitted(data, **arguments):
    params = {"n_factors": 6, "n_epochs": 4, "random_state": 3, "validation_metric": "ndcg@5"}
    stopping = {"early_stopping": 2} if "validation" in arguments else {}
    return tr.MatrixFactorization(**params, **stopping).fit(data, **arguments)


def assert_same_models(one, other):
    for name in ("user_factors_", "item_factors_", "item_biases_", "item_counts_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    ours, theirs = ([{**each, "seconds": 0} for each in model.history_] for model in (one, other))
    assert ours == theirs
    assert one.best_epoch_ == other.best_epoch_


def test_a_model_is_that_of_the_fit_in_memory(data, mapped, monkeypatch, tmp_path):
    _bound_memory(mapped, monkeypatch, weighted=True)
    held_out, seen = negatives_of(data, 0.01), []
    arguments = {"validation": held_out, "sample_weight": "values"}
    disk = fitted(
        mapped, **arguments,
        callbacks=lambda model, record: seen.append(model.user_factors_.copy()),
    )  # fmt: skip
    monkeypatch.delenv("TRIPLETREC_MEMORY")
    memory = fitted(data, **arguments)
    assert_same_models(disk, memory)
    np.testing.assert_array_equal(seen[memory.best_epoch_ - 1], memory.user_factors_)
    for ours, theirs in zip(disk.recommend([0, 5], 7), memory.recommend([0, 5], 7), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    disk.save(tmp_path / "model")
    assert_same_models(tr.load(tmp_path / "model"), memory)
    for model in (disk, memory):
        model.partial_fit(data)
    assert_same_models(disk, memory)


@pytest.mark.parametrize("validation", [False, True], ids=["last epoch", "best epoch"])
def test_an_interrupted_fit_goes_on(validation, data, mapped, little_memory, tmp_path, monkeypatch):
    arguments = {"validation": negatives_of(data, 0.01)} if validation else {}
    path = tmp_path / "checkpoint"

    def stop(model, record):
        if record["epoch"] == 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fitted(mapped, **arguments, checkpoint=path, callbacks=stop)
    assert path.exists()
    disk = fitted(mapped, **arguments, checkpoint=path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.delenv("TRIPLETREC_MEMORY")
    assert_same_models(disk, fitted(data, **arguments))


def test_too_little_disk_is_refused_before_anything_is_written(mapped, little_memory, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("", (), {"free": 1000}))
    message = r"a fit from memory-mapped interactions needs [\d,]+ bytes of disk .* 1,000 are free"
    with pytest.raises(ValueError, match=message):
        fitted(mapped)


def test_too_little_memory_is_refused(mapped, monkeypatch):
    monkeypatch.setenv("TRIPLETREC_MEMORY", "1000")
    with pytest.raises(ValueError, match=re.escape("a fit of 40 users and 300 items, ")):
        fitted(mapped)


def test_a_diverged_fit_gives_its_files_up(mapped, little_memory):
    model = tr.MatrixFactorization(6, n_epochs=2, learning_rate=1e30, optimizer="sgd")
    with pytest.raises(FloatingPointError, match="diverged in epoch 1"):
        model.fit(mapped)
