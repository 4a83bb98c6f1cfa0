"""Interrupted fits of each model; the contract is in `contracts.checkpoint`."""

import sys

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from contracts.checkpoint import CheckpointContract, CutError, cut_at
from contracts.support import assert_same, interactions, run_python
from tripletrec import losses

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

CHANGES = {"optimizer": "adam", "schedule": "cosine", "n_negatives": 2}


class TestFactorization(CheckpointContract):
    variants = (
        {},
        CHANGES,
        {"sampler": "explicit", "optimizer": "adam"},
        {"sampler": "dynamic"},
        {"loss": "softmax", "optimizer": "adam", "dropout": 0.2},
        {"loss": "ccl", "n_negatives": 20, "scorer": "cosine"},
        {"loss": "softmax", "optimizer": "adam", "dropout": 0.2, "history": 0.6},
    )

    def make(self, **overrides):
        return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 5, **overrides})


class TestTwoTower(CheckpointContract):
    variants = (
        {},
        {**CHANGES, "user_layers": (5, 4), "item_layers": (4,), "dropout": 0.2},
        {"sampler": "semi_hard", "item_layers": (6,), "normalize": True, "n_factors": 6},
        {"loss": "softmax", "optimizer": "adam"},
    )

    def make(self, **overrides):
        return tr.TwoTower(**{"n_factors": 6, "n_epochs": 5, **overrides})


@pytest.mark.thorough
class TestMLPMatcher(CheckpointContract):
    variants = ({}, {**CHANGES, "hidden": (8, 4), "dropout": 0.3}, {"sampler": "semi_hard"})

    def make(self, **overrides):
        return tr.MLPMatcher(**{"n_user_factors": 4, "hidden": (8,), "n_epochs": 5, **overrides})


def test_features_belong_to_a_fit(tmp_path):
    data, path = interactions(40, 60, 600), tmp_path / "fit.checkpoint"
    items = pd.DataFrame({"kind": ["a", "b", "c"] * 20, "price": np.arange(60.0)})
    model = tr.TwoTower(n_factors=6, n_epochs=5)
    expected = tr.TwoTower(n_factors=6, n_epochs=5).fit(data, item_features=items)
    with pytest.raises(CutError):
        model.fit(data, item_features=items, callbacks=cut_at(3), checkpoint=path)
    for other in (
        items.assign(price=items["price"][::-1].to_numpy()),
        items.assign(kind="a"),
        None,
    ):
        with pytest.raises(
            ValueError, match="of another fit: the argument item_features differs; delete"
        ):
            model.fit(data, item_features=other, checkpoint=path)
    assert_same(model.fit(data, item_features=items, checkpoint=path), expected)


def test_values_belong_to_a_fit_whose_sampler_goes_by_them(pairs, tmp_path):
    path, make = tmp_path / "fit.checkpoint", TestFactorization().make
    matrix = pairs.tocsr()
    grades, others = (matrix.multiply(np.arange(40) % n + 1).tocsr() for n in (3, 4))
    for sampler, refused in (("unseen", False), ("graded", True)):
        expected = make(sampler=sampler).fit(grades)
        with pytest.raises(CutError):
            make(sampler=sampler).fit(grades, callbacks=cut_at(3), checkpoint=path)
        if refused:
            with pytest.raises(
                ValueError, match="of another fit: the argument values of X differs"
            ):
                make(sampler=sampler).fit(others, checkpoint=path)
        else:
            assert_same(make(sampler=sampler).fit(others, checkpoint=path), expected)


@pytest.mark.thorough
def test_the_code_of_a_part_belongs_to_a_fit(pairs, tmp_path):
    path = tmp_path / "fit.checkpoint"

    def loss_of(slope):
        @tr.part
        def value(x, parameters):
            return -x

        return losses.Loss("mine", value, slope)

    @tr.part
    def one(x, parameters):
        return -1.0

    @tr.part
    def two(x, parameters):
        return -2.0

    make = TestFactorization().make
    with pytest.raises(CutError):
        make(loss=loss_of(one)).fit(pairs, callbacks=cut_at(3), checkpoint=path)
    with pytest.raises(ValueError, match="the code of the loss has changed"):
        make(loss=loss_of(two)).fit(pairs, checkpoint=path)
    expected = make(loss=loss_of(one)).fit(pairs)
    assert_same(make(loss=loss_of(one)).fit(pairs, checkpoint=path), expected)


KILLED = """
import json, os, pathlib, signal, sys, threading, time
import numpy as np
import tripletrec as tr
from contracts import support

folder, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
path, log, answer = (folder / name for name in ("checkpoint", "log", "answer"))
random = np.random.default_rng(seed)
data = support.interactions(60, 250, 6000)
held_out = support.negatives_of(data)
replace = os.replace


def kill(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def note(model, record):
    with open(log, "a") as file:
        file.write(f"{record['epoch']}\\n")
    time.sleep(0.005)


def fit(model, options, checkpoint, when, moment):
    if when == "writing":
        written = iter(range(100))
        os.replace = lambda *each: kill() if next(written) == moment else replace(*each)
    if when == "any":
        threading.Timer(moment, kill).start()
    model.fit(data, checkpoint=checkpoint, callbacks=note, **options)
    answer.write_text(support.digest(model))


def in_a_child(*arguments):
    '''Fit in a process of its own; return how it ended, and the epochs that it has seen the end of.'''
    log.write_text("")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        try:
            fit(*arguments)
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WIFSIGNALED(status), [int(each) for each in log.read_text().split()]


stopping = {"early_stopping": 4, "validation_metric": "ndcg@5", "learning_rate": 0.5}
for kind, params, options in (
    (tr.MatrixFactorization, {"n_jobs": 1}, {}),
    (tr.MatrixFactorization, {"n_jobs": 2, "n_negatives": 4}, {}),
    (tr.MatrixFactorization, {"n_jobs": 2, "n_negatives": 4, **stopping}, {"validation": held_out}),
    (tr.TwoTower, {"optimizer": "adam", "item_layers": (5,), "n_factors": 5, "dropout": 0.1}, {}),
):
    model = kind(**{"n_factors": 6, "n_epochs": 30, **params})
    # Here, so that no child has to load anything; by one thread, for threads do not come along.
    kind(**{**model.get_params(), "n_epochs": 2, "n_jobs": 1}).fit(data, **options)
    started = time.perf_counter()
    killed, seen = in_a_child(model, options, None, "never", 0)
    seconds, expected = time.perf_counter() - started, answer.read_text()
    assert not killed and seen == list(range(1, len(seen) + 1))
    n_killed, last = 0, 0
    while n_killed < 10:
        if n_killed % 2:
            moment = "writing", int(random.integers(3))
        else:
            moment = "any", random.uniform(0.0, 0.4) * seconds
        killed, seen = in_a_child(model, options, path, *moment)
        if not killed:  # it was faster, and ended
            assert answer.read_text() == expected and not path.exists()
            last, n_killed = 0, n_killed + 1
            continue
        n_killed += 1
        if seen:
            assert seen[0] in (last, last + 1), (seen, last)  # one epoch at most is lost
            last = seen[-1]
    killed, seen = in_a_child(model, options, path, "never", 0)
    assert not killed and seen[0] in (last, last + 1)
    assert answer.read_text() == expected
    assert sorted(each.name for each in folder.iterdir()) == ["answer", "log"]
    print("same")
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="forks and kills processes")
def test_killed_at_any_moment(tmp_path, rng):
    """Ten times on the way, between epochs, within them and while a checkpoint is written."""
    assert run_python(KILLED, tmp_path, rng.integers(2**31)).split() == ["same"] * 4
