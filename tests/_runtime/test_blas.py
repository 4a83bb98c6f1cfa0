"""BLAS has one thread within a block, and its former number afterwards, whatever happens."""

import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

import tripletrec as tr
from tripletrec._runtime.blas import limit_newly_loaded, one_blas_thread


def numbers_of_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    """As on a machine of two cores, if BLAS is compiled for threads at all."""
    with threadpool_limits(2, user_api="blas"):
        if numbers_of_threads() != {2}:
            pytest.skip("BLAS has no threads here")
        yield


def test_one_thread_inside_and_the_former_number_after():
    with one_blas_thread():
        assert numbers_of_threads() == {1}
        with one_blas_thread():
            assert numbers_of_threads() == {1}
        assert numbers_of_threads() == {1}
    assert numbers_of_threads() == {2}


def test_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 // 0  # noqa: B018
    assert numbers_of_threads() == {2}


def test_a_library_that_does_not_tell_its_number_is_left_alone(monkeypatch):
    (library, *_) = ThreadpoolController().select(user_api="blas").lib_controllers

    def never(self, number):
        raise AssertionError

    monkeypatch.setattr(type(library), "get_num_threads", lambda self: None)
    monkeypatch.setattr(type(library), "set_num_threads", never)
    with one_blas_thread():
        pass


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_restored_after_ctrl_c_while_it_is_set_or_restored(when, n_threads, monkeypatch):
    (library, *_) = ThreadpoolController().select(user_api="blas").lib_controllers
    set_number, calls = type(library).set_num_threads, []

    def interrupted(self, number):
        interrupts = number == n_threads and not calls
        if interrupts:
            calls.append(number)
        if not (interrupts and when == "before"):
            set_number(self, number)
        if interrupts:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(library), "set_num_threads", interrupted)
        with pytest.raises(KeyboardInterrupt), one_blas_thread():
            pass
    assert calls == [n_threads] and numbers_of_threads() == {2}
    with one_blas_thread():
        assert numbers_of_threads() == {1}
    assert numbers_of_threads() == {2}


def test_blocks_that_overlap_in_two_threads():
    """The first to enter leaves first; the setting stays for the other."""
    entered, left = threading.Event(), threading.Event()

    def other():
        with one_blas_thread():
            entered.set()
            left.wait(60)

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        assert entered.wait(60)
    assert numbers_of_threads() == {1}
    left.set()
    thread.join()
    assert numbers_of_threads() == {2}


def test_another_thread_is_heard_after_this_one():
    """As when the main thread evaluates a model and then fits one, whose epochs run in a thread."""
    seen = []

    def fit():
        with one_blas_thread():
            seen.append(numbers_of_threads())

    with one_blas_thread():
        pass
    with threadpool_limits(2, user_api="blas"):
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
    assert seen == [{1}]
    assert numbers_of_threads() == {2}


def test_limits_what_is_loaded_inside_a_block_only():
    limit_newly_loaded()
    assert numbers_of_threads() == {2}
    with one_blas_thread():
        limits = threadpool_limits(2, user_api="blas")  # as a library that has just been loaded
        limit_newly_loaded()
        assert numbers_of_threads() == {1}
        limits.restore_original_limits()
    assert numbers_of_threads() == {2}


@pytest.mark.parametrize(
    "model",
    [
        tr.MatrixFactorization(4, loss="softmax", n_epochs=2),
        tr.MLPMatcher(4, 4, (4,), n_epochs=2),
        tr.TwoTower(4, n_epochs=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_restored_after_a_fit_and_after_one_that_fails(model):
    def fails(view, record):
        raise ZeroDivisionError

    data = tr.Interactions(np.eye(9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so little is not learnt
        model.fit(data)
    assert numbers_of_threads() == {2}
    with pytest.raises(ZeroDivisionError):
        model.fit(data, callbacks=fails)
    assert numbers_of_threads() == {2}


def test_restored_after_a_fit_without_epochs():
    tr.EASE().fit(np.eye(9))
    assert numbers_of_threads() == {2}


def test_importing_it_does_not_load_threadpoolctl():
    code = "import sys, tripletrec._runtime.blas; print('threadpoolctl' in sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert result.stdout.strip() == "False"
