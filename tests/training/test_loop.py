"""The loop over epochs: progress, callbacks, early stopping, Ctrl-C, and what is left when it is stopped."""

import signal
import sys
import threading

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import assert_same, interactions, learnt, run_python
from tripletrec._runtime.threads import UninterruptedThread
from tripletrec.training import loop as epochs
from tripletrec.training.triplet import Training

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, "n_negatives": 4, **overrides})


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
    """Training data that two threads share, and validation data."""
    data = tr.datasets.make_interactions(200, 250, 22_000, random_state=4)
    train, test = tr.splits.train_test_split(data, 0.2, random_state=0)
    model = make(n_jobs=2)
    training = model._begin(model._plan(), train, None, None).training
    assert training.executor.n_jobs == 2
    return train, test


# -------------------------------------------------------------------- records, progress, callbacks


def test_epochs_that_nobody_watches_run_some_at_a_time(blocks, monkeypatch):
    calls, run = [], epochs._Course.run
    monkeypatch.setattr(epochs._Course, "run", lambda self, n: calls.append(n) or run(self, n))
    expected = make(n_epochs=5).fit(blocks, callbacks=lambda model, record: None)
    assert calls == [1, 2, 3, 4, 5]
    calls.clear()
    monkeypatch.setattr(epochs, "_MOMENT", 60.0)
    assert_same(make(n_epochs=5).fit(blocks), expected)
    assert calls == [5]
    monkeypatch.setattr(epochs, "_MOMENT", 0.0)
    assert_same(make(n_epochs=5).fit(blocks), expected)
    assert calls == [5] * 6


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


@pytest.mark.parametrize("metric", ["auc", "mrr", "ndcg@5", "hit_rate@20"])
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


@pytest.mark.parametrize("n_jobs", [1, 2])
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


@pytest.mark.parametrize("n_jobs", [1, 2])
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
    """What a second Ctrl-C does: the epoch under way is given up."""
    model = make()
    if fitted:
        model.fit(split[1])
    before = learnt(model)

    def press(self, number):
        self.cancelled = True
        return run_epoch(self, number)

    run_epoch = Training.run_epoch
    monkeypatch.setattr(Training, "run_epoch", press)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert learnt(model) == before


@pytest.mark.parametrize("n_epochs", [3, 9])
def test_factors_that_are_not_finite_are_never_handed_over(n_epochs, split, monkeypatch):
    """At the end and after Ctrl-C: the loss of an epoch does not tell what its last steps did."""

    def spoil(self, number):
        record = run_epoch(self, number)
        if number == 3:
            self.tables.items[0, 0, 0] = np.inf
        return record

    def press(self, call):
        run(self, call)
        if call.func.__self__.n_begun == 3:
            raise KeyboardInterrupt

    run_epoch, run = Training.run_epoch, UninterruptedThread.run
    monkeypatch.setattr(Training, "run_epoch", spoil)
    monkeypatch.setattr(UninterruptedThread, "run", press)
    monkeypatch.setattr(epochs, "_MOMENT", 0.0)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 3"):
        make(n_epochs=n_epochs).fit(split[0])


@pytest.fixture
def heeds_ctrl_c():
    """As in a shell: what a script starts in the background ignores Ctrl-C."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("validated", [False, True])
def test_ctrl_c_within_an_epoch(validated, n_jobs, split, monkeypatch):
    """The epoch is finished, though not validated, and is the last one."""
    (train, test), run_epoch, stopped = split, Training.run_epoch, threading.Event()

    def press(self, number):
        if number == 3:
            while not stopped.wait(0.5):  # Python misses one that comes just before it waits
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return run_epoch(self, number)

    def stop(self, stop=epochs._Course.stop):
        stop(self)
        stopped.set()

    monkeypatch.setattr(Training, "run_epoch", press)
    monkeypatch.setattr(epochs._Course, "stop", stop)
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
        del self._stored  # as far as it came
        self.tables.user_step_counts = self.tables.user_step_counts[:0]
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "release", press)
    model = make(n_epochs=4)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert_same(model, after(4, split[0], of=4))


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


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
def test_real_signals():
    """Ctrl-C at any moment of a training with many epochs, alone and with threads."""
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training.triplet import Training

data = support.interactions(400, 300, 70_000)  # so many that two threads share them
run_epoch = Training.run_epoch
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
    Training.run_epoch = run
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


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals of POSIX")
def test_a_second_signal_gives_the_epoch_up():
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training.triplet import Training

data = support.interactions(400, 300, 70_000)  # so many that two threads share them
model = tr.MatrixFactorization(n_factors=6, n_epochs=10**6, n_jobs=2).fit(data, callbacks=lambda *_: True)
before = support.digest(model)
run_epoch = Training.run_epoch

def slow(self, number):
    while not self.cancelled:  # an epoch that is not ready when the signals come
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return run_epoch(self, number)

Training.run_epoch = slow
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
