"""The loop over epochs: progress, callbacks, early stopping, Ctrl-C, what it leaves and where it begins."""

import contextlib
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import assert_same, interactions, learnt, run_python
from tiers import quick
from tripletrec._runtime.threads import UninterruptedThread
from tripletrec.training import loop
from tripletrec.training.listwise import ListwiseTraining
from tripletrec.training.loop import Outcome, train
from tripletrec.training.triplet import TripletTraining

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, "n_negatives": 4, **overrides})


def begin(model, data):
    """Return the training that `fit` would run."""
    plan = model._plan_for(model._plan(), data, None)
    return model._begin(plan, data, None, None).training


class EachEpoch:
    """Has a function look at the factors after each epoch."""

    def __init__(self, look):
        self._look = look

    def __call__(self, record, factors):
        return self._look(record, factors)

    def looks_at(self, epoch):
        return True


def run_epochs(training, n_epochs, *, watch=None, **options):
    return train(
        training,
        n_epochs,
        **{
            "watch": watch and EachEpoch(watch),
            "metric": None,
            "patience": None,
            "verbose": 0,
            **options,
        },
    )


def after(n_epochs, data, *, of=3, validation=None, **params):
    """Return a model that was told to stop after `n_epochs` of a training of more."""
    stop = {"callbacks": lambda model, record: record["epoch"] == n_epochs}
    return make(n_epochs=of, **params).fit(data, validation=validation, **stop)


@pytest.fixture(scope="module")
def blocks():
    """Enough interactions for several blocks of users and of items."""
    return interactions(40, 300, 2500)


@pytest.fixture(scope="module")
def split():
    """TripletTraining data that two threads share, and validation data."""
    data = tr.datasets.make_interactions(200, 250, 22_000, random_state=4)
    train, test = tr.splits.train_test_split(data, 0.2, random_state=0)
    training = begin(make(n_jobs=2), train)
    assert training.executor.n_jobs == 2
    return train, test


# -------------------------------------------------------------------- records, progress, callbacks


@pytest.mark.parametrize(
    ("watched", "seconds", "n_turns"), [(True, 60.0, 5), (False, 60.0, 1), (False, 0.0, 5)]
)
def test_epochs_that_nobody_watches_run_several_in_a_turn(
    watched, seconds, n_turns, blocks, monkeypatch
):
    turns, run = [], UninterruptedThread.run
    monkeypatch.setattr(
        UninterruptedThread, "run", lambda self, call: turns.append(call) or run(self, call)
    )
    watch = (lambda record, factors: False) if watched else None
    outcome = run_epochs(begin(make(n_epochs=5), blocks), 5, watch=watch, turn_seconds=seconds)
    assert len(turns) == n_turns
    assert [record["epoch"] for record in outcome.history] == [1, 2, 3, 4, 5]
    expected = make(n_epochs=5).fit(blocks)
    np.testing.assert_array_equal(outcome.factors.user_factors, expected.user_factors_)
    np.testing.assert_array_equal(outcome.factors.item_factors, expected.item_factors_)


@pytest.mark.parametrize("validated", [False, True])
def test_progress_goes_to_standard_error(validated, split, capfd):
    train, test = split
    make(verbose=0).fit(train, validation=test if validated else None)
    assert capfd.readouterr() == ("", "")
    make(verbose=1).fit(train, validation=test if validated else None)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err and "loss" in err
    assert ("validation_auc" in err) == validated


def test_callbacks_see_a_usable_model_after_every_epoch(split):
    train, test = split
    seen = []

    def look(model, record):
        assert model.recommend(0, k=3, exclude=train)[0].shape == (3,)
        assert model.n_features_in_ == train.n_items
        seen.append((record["epoch"], model.score(test), model.user_factors_.copy()))

    model = make(n_epochs=3)
    assert model.fit(train, callbacks=look) is model
    assert [epoch for epoch, *_ in seen] == [1, 2, 3]
    for n_epochs, score, factors in seen:
        expected = after(n_epochs, train)
        assert score == expected.score(test)
        np.testing.assert_array_equal(factors, expected.user_factors_)
    assert_same(model, make(n_epochs=3).fit(train))


def test_a_callback_that_answers_true_stops(split):
    calls = []
    stopped = after(2, split[0], of=9)
    assert len(stopped.history_) == stopped.best_epoch_ == 2
    for callbacks in (
        lambda model, record: record["epoch"] == 2,
        [lambda model, record: calls.append(record["epoch"]), lambda model, r: r["epoch"] == 2],
        (lambda model, record: record["epoch"] == 2, lambda model, r: calls.append(r["epoch"])),
    ):
        stopped = make(n_epochs=9).fit(split[0], callbacks=callbacks)
        assert_same(stopped, after(2, split[0], of=9))
    assert calls == [1, 2, 1, 2]
    validated = after(2, split[0], of=9, validation=split[1], early_stopping=9)
    assert len(validated.history_) == 2
    for answer in (None, False, "yes", 1):
        model = make().fit(split[0], callbacks=lambda model, record, answer=answer: answer)
        assert len(model.history_) == 3


def test_what_a_callback_notes_is_kept(split):
    def note(model, record):
        record["note"] = record["epoch"] ** 2

    model = make().fit(split[0], callbacks=note)
    assert [record["note"] for record in model.history_] == [1, 4, 9]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("fitted", [False, True])
def test_an_error_in_a_callback_leaves_the_model_as_it_was(fitted, n_jobs, split):
    class MyError(Exception):
        pass

    def fail(model, record):
        if record["epoch"] == 2:
            raise MyError("of my own")

    model = make(n_jobs=n_jobs, random_state=3)
    if fitted:
        model.fit(split[1])
    before = learnt(model)
    with pytest.raises(MyError, match="of my own"):
        model.fit(split[0], callbacks=fail)
    assert learnt(model) == before
    assert hasattr(model, "n_users_") == fitted


# -------------------------------------------------------------------- validation, early stopping


@pytest.mark.parametrize("metric", quick(["auc", "mrr", "ndcg@5", "hit_rate@20"], "auc", "ndcg@5"))
def test_validation_metric_is_that_of_evaluate(metric, split):
    train, test = split
    model = make(validation_metric=metric).fit(train, validation=test)
    for record in model.history_:
        expected = after(record["epoch"], train)
        k = int(metric.partition("@")[2] or 1)
        value = tr.evaluate(expected, test, train, k=k).mean[metric]
        assert record[f"validation_{metric}"] == value
    assert model.best_epoch_ == 3


def test_validation_changes_nothing_learnt(split):
    train, test = split
    model, plain = make().fit(train, validation=test), make().fit(train)
    np.testing.assert_array_equal(model.user_factors_, plain.user_factors_)
    for given in (test.tocsr(), sp.csc_array(test.tocsr()), test.tocsr().toarray()):
        assert_same(make().fit(train, validation=given), model)


@pytest.mark.parametrize("n_jobs", quick([1, 2], 2))
def test_early_stopping_keeps_the_best_epoch(n_jobs, split):
    train, test = split
    # Steps this large overfit soon: the best epoch comes early.
    params = {"learning_rate": 0.5, "user_l2": 0.0, "item_l2": 0.0, "n_jobs": n_jobs}
    for patience in (1, 3):
        model = make(n_epochs=60, early_stopping=patience, **params).fit(train, validation=test)
        values = [record["validation_auc"] for record in model.history_]
        best = model.best_epoch_
        assert values[best - 1] == max(values)
        assert values.index(max(values)) == best - 1
        assert len(values) == min(60, best + patience)
        expected = after(best, train, of=60, **params)
        np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)
        np.testing.assert_array_equal(model.item_factors_, expected.item_factors_)
        np.testing.assert_array_equal(model.item_biases_, expected.item_biases_)
        assert model.score(test, exclude=train) == pytest.approx(max(values))


def test_early_stopping_that_does_not_stop(split):
    train, test = split
    model = make(n_epochs=4, early_stopping=100).fit(train, validation=test)
    values = [record["validation_auc"] for record in model.history_]
    assert len(values) == 4
    assert model.best_epoch_ == 1 + int(np.argmax(values))


# -------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("n_jobs", quick([1, 2], 2))
@pytest.mark.parametrize("epoch", [2, 5])
def test_ctrl_c_leaves_the_last_whole_epoch(epoch, n_jobs, split):
    def press(model, record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    model = make(n_epochs=50, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0], callbacks=press)
    assert len(model.history_) in (epoch - 1, epoch)
    assert model.best_epoch_ == len(model.history_)
    assert_same(model, after(len(model.history_), split[0], of=50))


@pytest.mark.parametrize("fitted", [False, True])
def test_ctrl_c_before_the_end_of_the_first_epoch(fitted, split, monkeypatch):
    """What a second Ctrl-C does: the running epoch is cancelled."""
    model = make()
    if fitted:
        model.fit(split[1])
    before = learnt(model)

    def press(self, number):
        self.cancelled = True
        return run_epoch(self, number)

    run_epoch = TripletTraining.run_epoch
    monkeypatch.setattr(TripletTraining, "run_epoch", press)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert learnt(model) == before


@pytest.mark.parametrize("n_epochs", [3, 9])
def test_factors_that_are_not_finite_are_never_handed_over(n_epochs, split, monkeypatch):
    """At the end and after Ctrl-C: the loss of an epoch does not tell what its last steps did."""

    numbers = []

    def spoil(number):
        numbers.append(number)
        record = run_epoch(number)
        if number == 3:
            training.tables.items[0, 0, 0] = np.inf
        return record

    def press(self, call):
        run(self, call)
        if numbers[-1] == 3:
            raise KeyboardInterrupt

    training = begin(make(n_epochs=n_epochs), split[0])
    run_epoch, run = training.run_epoch, UninterruptedThread.run
    training.run_epoch = spoil
    monkeypatch.setattr(UninterruptedThread, "run", press)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 3"):
        run_epochs(training, n_epochs, turn_seconds=0.0)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("n_jobs", quick([1, 2], 2))
@pytest.mark.parametrize("validated", [False, True])
def test_ctrl_c_within_an_epoch(validated, n_jobs, split, monkeypatch):
    """The epoch is finished, though not validated, and is the last one."""
    (train, test), run_epoch, stopped = split, TripletTraining.run_epoch, threading.Event()

    def press(self, number):
        if number == 3:
            while not stopped.wait(0.5):  # Python misses one that comes just before it waits
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return run_epoch(self, number)

    class Thread(UninterruptedThread):
        def __init__(self, stop, cancel):
            super().__init__(lambda: (stop(), stopped.set()), cancel)

    monkeypatch.setattr(TripletTraining, "run_epoch", press)
    monkeypatch.setattr(loop, "UninterruptedThread", Thread)
    model = make(n_epochs=9, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, validation=test if validated else None)
    monkeypatch.undo()
    expected = after(3, train, of=9)
    np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)
    np.testing.assert_array_equal(model.item_factors_, expected.item_factors_)
    np.testing.assert_array_equal(model.item_biases_, expected.item_biases_)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3]
    if validated:
        values = [record["validation_auc"] for record in model.history_]
        assert np.isnan(values).tolist() == [False, False, True]


def test_ctrl_c_when_the_factors_are_handed_over(split, monkeypatch):
    def press(self):
        monkeypatch.undo()
        self._stored = None  # as far as it came
        self.tables.user_step_counts = self.tables.user_step_counts[:0]
        raise KeyboardInterrupt

    monkeypatch.setattr(TripletTraining, "release", press)
    model = make(n_epochs=4)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert_same(model, after(4, split[0], of=4))


def interrupted(release, at):
    """Tell whether a method has as many lines to run as `at`; Ctrl-C comes before that one."""
    left = at

    def line(frame, event, argument):
        nonlocal left
        left -= event == "line"
        if left == 0:
            raise KeyboardInterrupt
        return line

    former = sys.gettrace()
    sys.settrace(lambda frame, *_: line if frame.f_code is release.__func__.__code__ else None)
    try:
        release()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(former)
    return False


@pytest.mark.parametrize(
    "params", [{}, {"loss": "softmax", "history": 0.5}], ids=["bpr", "softmax"]
)
def test_ctrl_c_anywhere_in_a_release(params, blocks):
    model, at = make(**params), 1
    expected = begin(model, blocks).factors
    while interrupted((training := begin(model, blocks)).release, at):
        for ours, theirs in zip(training.release(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        at += 1
    assert at > 3


def test_ctrl_c_with_early_stopping_keeps_the_best_epoch(split):
    train, test = split
    params = {"learning_rate": 0.5, "user_l2": 0.0, "item_l2": 0.0}

    def press(model, record):
        if record["epoch"] == 8:
            raise KeyboardInterrupt

    model = make(n_epochs=20, early_stopping=20, **params)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, validation=test, callbacks=press)
    values = [record["validation_auc"] for record in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(values))
    expected = after(model.best_epoch_, train, of=20, **params)
    np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
def test_real_signals():
    """Ctrl-C at any moment of a training with many epochs, alone and with threads."""
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training.triplet import TripletTraining

data = support.interactions(400, 300, 70_000)  # so many that two threads share them
run_epoch = TripletTraining.run_epoch
for n_jobs, delay, watched in ((1, 0.05, 0), (2, 0.05, 1), (2, 0.0713, 0), (1, 0.0317, 1)):
    started = threading.Event()

    def run(self, number):
        started.set()
        return run_epoch(self, number)

    def send():
        started.wait()
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    model = tr.MatrixFactorization(n_factors=6, n_epochs=10**6, n_jobs=n_jobs)
    TripletTraining.run_epoch = run
    try:
        model.fit(data, callbacks=(lambda model, record: None) if watched else None)
    except KeyboardInterrupt:
        n_epochs = len(model.history_)
        again = tr.MatrixFactorization(n_factors=6, n_epochs=10**6)
        again.fit(data, callbacks=lambda model, record: record["epoch"] == n_epochs)
        print("same" if support.digest(model) == support.digest(again) else "different")
    assert not [each for each in threading.enumerate() if each.name.startswith("tripletrec")]
"""
    lines = run_python(code).split("\n")
    assert [line.split()[0] for line in lines if line] == ["same"] * 4


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="sends signals of POSIX")
def test_a_second_signal_gives_the_epoch_up():
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training.triplet import TripletTraining

data = support.interactions(400, 300, 70_000)  # so many that two threads share them
model = tr.MatrixFactorization(n_factors=6, n_epochs=10**6, n_jobs=2).fit(data, callbacks=lambda *_: True)
before = support.digest(model)
run_epoch = TripletTraining.run_epoch

def slow(self, number):
    while not self.cancelled:  # an epoch that is not ready when the signals come
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return run_epoch(self, number)

TripletTraining.run_epoch = slow
try:
    model.fit(data)
except KeyboardInterrupt:
    print(support.digest(model) == before)
for each in threading.enumerate():
    if each.name.startswith("tripletrec"):
        each.join(60)  # a third signal may have cut short the wait for it
        print(each.is_alive())
"""
    lines = run_python(code).split()
    assert lines[0] == "True" and "True" not in lines[1:]


# -------------------------------------------------------------------- beginning later than with epoch 1


class Counting:
    """A training without arithmetic: the quality of its epochs is given, its factors are their number."""

    def __init__(self, qualities=(), loss=0.5):
        self.plan = make()._plan()
        self.qualities, self.loss = qualities, loss
        self.cancelled, self.numbers = False, []

    @property
    def factors(self):
        return (np.array(self.numbers[-1:], float),)

    def threads(self):
        return contextlib.nullcontext()

    def run_epoch(self, number):
        self.numbers.append(number)
        return {"epoch": number, "loss": self.loss}

    def state(self):
        return {"numbers": np.array(self.numbers)}

    def release(self):
        return self.factors

    def watch(self, record, factors):
        record["quality"] = self.qualities[record["epoch"] - 1]
        return False

    def run(self, n_epochs, **options):
        return run_epochs(
            self, n_epochs, **{"watch": self.watch, "metric": "quality", "patience": 2, **options}
        )


def test_the_first_epoch_may_be_a_later_one():
    training = Counting()
    outcome = run_epochs(training, 7, first_epoch=4)
    assert training.numbers == [4, 5, 6, 7] and outcome.kept_epoch == 7
    assert [record["epoch"] for record in outcome.history] == [4, 5, 6, 7]
    earlier = run_epochs(Counting(), 3)
    outcome = run_epochs(Counting(), 7, first_epoch=4, earlier=earlier)
    assert [record["epoch"] for record in outcome.history] == [1, 2, 3, 4, 5, 6, 7]
    assert [record["epoch"] for record in earlier.history] == [1, 2, 3]
    assert outcome.kept_epoch == 7 and outcome.factors[0] == [7.0]


@pytest.mark.parametrize("cut", range(1, 6))
@pytest.mark.parametrize(
    ("qualities", "best"),
    [((1, 5, 2, 3, 4, 4), 2), ((1, 2, 5, 4, 6, 4, 3), 5), ((9, 8, 7), 1), ((1, 2, 3, 4, 5, 6, 7), 7)],
    ids=str,
)  # fmt: skip
def test_early_stopping_goes_on_where_it_was(qualities, best, cut):
    """Two runs, one after the other, keep and stop as one run does."""
    at_once = Counting(qualities).run(len(qualities))
    assert at_once.kept_epoch == best and at_once.factors[0] == [best]
    first = Counting(qualities).run(min(cut, len(at_once.history)))
    if len(first.history) == len(at_once.history):
        assert first.history == at_once.history
        return
    second = Counting(qualities).run(
        len(qualities), first_epoch=len(first.history) + 1, earlier=first
    )
    assert second == at_once


def test_without_the_earlier_outcome_the_best_epoch_is_a_later_one():
    outcome = Counting((9, 8, 1, 3, 2, 2, 2)).run(7, first_epoch=3)
    assert outcome.kept_epoch == 4 and len(outcome.history) == 4


def test_earlier_epochs_without_the_metric_are_not_the_best():
    earlier = Outcome((np.array([2.0]),), [{"epoch": n, "loss": 0.5} for n in (1, 2)], 2)
    outcome = Counting((0, 0, 1, 3, 2, 2)).run(6, first_epoch=3, earlier=earlier)
    assert outcome.kept_epoch == 4 and outcome.factors[0] == [4.0]


def test_ctrl_c_before_the_end_of_a_later_first_epoch():
    class Pressed(Counting):
        def run_epoch(self, number):
            raise KeyboardInterrupt

    earlier = Counting((2, 1)).run(2)
    outcome = Pressed().run(5, first_epoch=3, earlier=earlier)
    assert isinstance(outcome.interrupt, KeyboardInterrupt)
    assert outcome._replace(interrupt=None) == earlier
    with pytest.raises(KeyboardInterrupt):  # of these factors there is no copy
        run_epochs(Pressed(), 5, first_epoch=3, earlier=earlier)


def test_a_plateau_is_measured_from_the_very_first_epoch():
    earlier = Outcome((), [{"epoch": n, "loss": loss} for n, loss in ((1, 0.9), (2, 0.5))], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_epochs(Counting(), 4, first_epoch=3, earlier=earlier)
    with pytest.warns(UserWarning, match="has not moved"):
        run_epochs(Counting(), 4, first_epoch=3)


def test_wrong_epochs():
    for first_epoch, n_epochs, allowed in ((1, 0, 1), (4, 3, 4), (0, -1, 1)):
        message = f"n_epochs must be at least {allowed}, got {n_epochs}"
        with pytest.raises(ValueError, match=message):
            run_epochs(Counting(), n_epochs, first_epoch=first_epoch)
    earlier = run_epochs(Counting(), 3)
    for first_epoch in (1, 3, 5):
        with pytest.raises(ValueError, match=f"earlier must end with epoch {first_epoch - 1}"):
            run_epochs(Counting(), 9, first_epoch=first_epoch, earlier=earlier)


def test_progress_begins_where_training_does(capfd):
    run_epochs(Counting(), 5, first_epoch=4, verbose=1)
    assert "5/5" in capfd.readouterr().err


@pytest.mark.parametrize("loss", ["softmax", "ccl"])
def test_two_runs_are_one(loss, split):
    """Epochs 4 and 5 of a list-wise training that takes over the state that epoch 3 left."""
    model = make(n_epochs=5, loss=loss, schedule="linear", n_negatives=50, dropout=0.1)
    plan, (data, _) = model._plan(), split

    def start():
        return ListwiseTraining(plan, data, None, 50, 16, 0.1, 1)

    at_once = run_epochs(start(), 5)
    begun = start()
    earlier = [begun.run_epoch(number) for number in (1, 2, 3)]
    continued = start()
    continued.restore(begun.state())
    outcome = run_epochs(continued, 5, first_epoch=4, earlier=Outcome(begun.factors, earlier, 3))
    for ours, theirs in zip(outcome.factors, at_once.factors, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = [[record["loss"] for record in each.history] for each in (outcome, at_once)]
    assert losses[0] == losses[1]


# -------------------------------------------------------------------- checkpoints


class Kept:
    """Keeps the outcomes that it is given."""

    def __init__(self, seconds=0.0):
        self.seconds, self.outcomes = seconds, []

    def write(self, outcome):
        self.outcomes.append(outcome._replace(history=outcome.history[:]))


def test_a_checkpoint_after_each_epoch_but_the_last():
    kept = Kept()
    run_epochs(Counting(), 4, checkpoint=kept)
    assert [len(each.history) for each in kept.outcomes] == [1, 2, 3]
    assert all(each.factors is None for each in kept.outcomes)
    kept = Kept(seconds=1e6)
    run_epochs(Counting(), 4, checkpoint=kept)
    assert not kept.outcomes
    kept = Kept()
    Counting((5, 3, 4, 4)).run(4, checkpoint=kept)
    assert [(each.kept_epoch, each.factors[0]) for each in kept.outcomes] == [
        (1, [1.0]),
        (1, [1.0]),
    ]


def test_ctrl_c_leaves_a_checkpoint_of_the_last_epoch():
    """Unless it has not been looked at: then that of the one before stays."""

    class Thread(UninterruptedThread):
        def run(self, call):  # as if the main thread were interrupted while it waits
            super().run(call)
            if training.numbers[-1] == 3:
                raise KeyboardInterrupt

    for watch, n_kept in ((None, 3), (lambda record, factors: False, 2)):
        training, kept = Counting(), Kept(0.0 if watch else 1e6)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "UninterruptedThread", Thread)
            outcome = run_epochs(training, 9, watch=watch, checkpoint=kept, turn_seconds=0.0)
        assert isinstance(outcome.interrupt, KeyboardInterrupt)
        assert len(outcome.history) == 3 and len(kept.outcomes[-1].history) == n_kept


def test_epochs_that_are_not_validated_are_passed_over():
    class Rarely(Counting):
        def watch(self, record, factors):
            return record["epoch"] % 2 == 0 and super().watch(record, factors)

    outcome = Rarely((9, 3, 9, 2, 9, 1, 9, 8)).run(8)
    assert outcome.kept_epoch == 2 and len(outcome.history) == 4
