"""Executors: every task once and one round after the other, errors, threads that end, Ctrl-C."""

import contextvars
import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import run_python
from tripletrec._runtime.threads import (
    Executor,
    SerialExecutor,
    ThreadExecutor,
    ThreadPool,
    UninterruptedThread,
    executor_for,
)
from tripletrec.ranking.scores import run_batches
from tripletrec.training.triplet import TripletTraining

EXECUTORS = [SerialExecutor(), SerialExecutor(reversed), *map(ThreadExecutor, (1, 2, 5))]


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 40])
@pytest.mark.parametrize("inside", [True, False])
def test_runs_every_task_once_and_one_round_after_the_other(executor, n_tasks, inside):
    counts, behind = np.zeros((3, n_tasks), int), []

    def task(round_, number):
        behind.append((counts[:round_] == 0).sum())
        time.sleep(0.0005 * (number % 3))
        counts[round_, number] += 1

    rounds = [[(round_, number) for number in range(n_tasks)] for round_ in range(3)]
    if inside:
        with executor.threads():
            executor.run_rounds(task, rounds)
    else:
        executor.run_rounds(task, rounds)
    assert (counts == 1).all()
    assert not any(behind)


def test_serial_executor_keeps_the_order_or_takes_the_one_it_is_given():
    for order, expected in [(None, [1, 2, 3]), (reversed, [3, 2, 1])]:
        seen = []
        SerialExecutor(order).run(seen.append, [(1,), (2,), (3,)])
        assert seen == expected


def test_tasks_of_a_round_run_at_the_same_time():
    meeting = threading.Barrier(3, timeout=60)  # passed only by three at once
    executor = ThreadExecutor(3)
    with executor.threads():
        executor.run(meeting.wait, [()] * 3)


def test_one_job_needs_no_threads():
    assert isinstance(executor_for(1), SerialExecutor)
    assert executor_for(1).n_jobs == 1
    assert isinstance(executor_for(4), ThreadExecutor)
    assert executor_for(4).n_jobs == 4


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("guilty", [0, 3, 7])
def test_an_exception_is_raised_when_no_task_runs_any_more(executor, guilty):
    running = []

    def task(number):
        running.append(number)
        time.sleep(0.001)
        running.remove(number)
        if number == guilty:
            raise RuntimeError("guilty")

    with executor.threads():
        with pytest.raises(RuntimeError, match="guilty"):
            executor.run(task, [(number,) for number in range(8)])
        assert running == []
        executor.run(running.append, [(1,)])  # still usable
    assert running == [1]


def in_executor(task):
    executor = ThreadExecutor(2)
    with executor.threads():
        executor.run(task, [(number,) for number in range(4)])


@pytest.mark.parametrize("run", [in_executor, lambda task: run_batches(task, range(4), 2)])
@pytest.mark.parametrize("guilty", ["tripletrec_0", "anybody"])
def test_what_a_failed_call_saw_is_let_go_at_once(run, guilty):
    """Such as the arrays of someone who tries again with less after a MemoryError."""
    both = threading.Barrier(2, timeout=60)
    large = np.zeros(3)
    kept = weakref.ref(large)

    def task(number, large=large):
        if number < 2:
            both.wait()
        if guilty in (threading.current_thread().name, "anybody"):
            raise MemoryError

    del large
    gc.disable()
    try:
        with pytest.raises(MemoryError) as caught:
            run(task)
        del task, caught
        assert kept() is None
    finally:
        gc.enable()


def test_a_pool_makes_calls_in_threads_and_in_order():
    made = []
    with ThreadPool(1, "pool") as pool:
        calls = [pool.submit(made.append, number) for number in range(20)]
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 7, 0).result()
        name = pool.submit(threading.current_thread).result().name
    assert name == "pool_0"
    assert made == list(range(20))
    assert [each.result() for each in calls] == [None] * 20


def test_calls_that_are_dropped_are_not_made():
    begun, go_on, made = threading.Event(), threading.Event(), []
    with ThreadPool(1, "pool") as pool:
        pool.submit(lambda: begun.set() or go_on.wait(60.0) or made.append("late"))
        begun.wait(60.0)
        pool.submit(made.append, "dropped")
        pool.drop()
        go_on.set()
        pool.submit(made.append, "last").result()
    assert made == ["last"]


def test_a_pool_that_nobody_enters_ends_with_its_last_reference():
    pool = ThreadPool(2, "forgotten")
    threads = [each for each in threading.enumerate() if each.name.startswith("forgotten")]
    assert len(threads) == 2
    del pool
    for each in threads:
        each.join(60.0)
        assert not each.is_alive()


KEPT = """
from tripletrec._runtime.threads import ThreadPool

kept = ThreadPool(2, "kept")
print(kept.submit(sum, [1, 2]).result())
"""


def test_python_ends_beside_a_pool_that_a_traceback_keeps():
    assert run_python(KEPT, timeout=60) == "3\n"


def test_a_pool_without_threads_makes_calls_where_they_are_submitted(no_threads):
    with no_threads(), ThreadPool(3, "pool") as pool:
        assert pool.submit(threading.current_thread).result() is threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 7, 0)
        pool.drop()


def test_a_fit_without_threads_has_the_same_bits(no_threads):
    data = tr.datasets.make_interactions(300, 200, 6_000, random_state=0)

    def learnt():
        return tr.MatrixFactorization(n_factors=4, n_epochs=2, n_jobs=2, random_state=0).fit(data)

    with no_threads():
        found = learnt()
    np.testing.assert_array_equal(found.user_factors_, learnt().user_factors_)


AFTER_THE_END = """
import threading
import tripletrec as tr

data = tr.datasets.make_interactions(300, 200, 6_000, random_state=0)

def work():
    threading.main_thread().join()
    model = tr.MatrixFactorization(n_factors=4, n_epochs=2, n_jobs=2, random_state=0).fit(data)
    print(model.recommend(k=3)[0].shape)

threading.Thread(target=work).start()
"""


@pytest.mark.thorough
def test_a_thread_fits_after_the_main_thread_has_ended():
    assert run_python(AFTER_THE_END) == "(300, 3)\n"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_threads_end_with_the_block(executor):
    with executor.threads():
        executor.run(time.sleep, [(0.001,)] * 4)
    assert not [each for each in threading.enumerate() if each.name.startswith("tripletrec")]


class Shuffled(Executor):
    """A replacement as anybody may write one: each round in an order of its own."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.n_rounds = 0

    def run(self, task, arguments):
        for number in self.random.permutation(len(arguments)):
            task(*arguments[number])

    def run_rounds(self, task, rounds):
        for arguments in rounds:
            self.n_rounds += 1
            self.run(task, arguments)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_executor_of_a_fit_can_be_replaced(seed, monkeypatch):
    data = tr.datasets.make_interactions(300, 200, 6_000, random_state=seed)

    def learnt(executor=None):
        model = tr.MatrixFactorization(n_factors=4, n_epochs=2, n_jobs=2, random_state=seed)
        with monkeypatch.context() as patch:
            if executor is not None:
                make = TripletTraining.__init__

                def replace(self, *args, **kwargs):
                    make(self, *args, **kwargs)
                    self.executor = executor

                patch.setattr(TripletTraining, "__init__", replace)
            model.fit(data)
        return model.user_factors_, model.item_factors_, model.item_biases_

    shuffled = Shuffled(seed)
    for found, expected in zip(learnt(shuffled), learnt(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert shuffled.n_rounds >= 2


def test_uninterrupted_thread_runs_calls_elsewhere_but_in_the_callers_context():
    variable, seen = contextvars.ContextVar("variable", default=0), []
    variable.set(3)
    with UninterruptedThread(_never, _never) as thread:
        thread.run(lambda: seen.append((threading.current_thread(), variable.get())))
    assert seen[0][0] is not threading.current_thread()
    assert seen[0][1] == 3
    assert not seen[0][0].is_alive()


def test_uninterrupted_thread_raises_what_the_call_raises_and_says_stop():
    said = []
    with (
        pytest.raises(ZeroDivisionError),
        UninterruptedThread(lambda: said.append("stop"), _never) as thread,
    ):
        thread.run(lambda: 1 // 0)
    assert said == ["stop"]


def _never():
    raise RuntimeError("called without need")


CTRL_C = """
import signal, sys, threading, time
from tripletrec._runtime.threads import UninterruptedThread

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
n_signals = int(sys.argv[1])
asked, steps = [], []
heard = {"stop": threading.Event(), "cancel": threading.Event()}

def hear(word):
    asked.append(word)
    heard[word].set()

def press():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

def call():
    for wanted in ("stop", "cancel")[:n_signals]:
        time.sleep(0.2)  # the main thread waits again
        while not heard[wanted].is_set():  # Python misses one that comes just before it waits
            press()
            heard[wanted].wait(1.0)
    steps.append("end")

try:
    with UninterruptedThread(lambda: hear("stop"), lambda: hear("cancel")) as thread:
        thread.run(call)
except KeyboardInterrupt:
    steps.append("interrupted")
print(*steps, *asked)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
@pytest.mark.parametrize(("n_signals", "asked"), [(1, "stop"), (2, "stop cancel")])
def test_ctrl_c_waits_for_the_end_of_the_call(n_signals, asked):
    command = [sys.executable, "-c", CTRL_C, str(n_signals)]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert result.stdout.strip() == f"end interrupted {asked}", result.stderr


AT_ANY_TIME = """
import faulthandler, random, signal, time
from tripletrec._runtime.threads import ThreadExecutor, ThreadPool, UninterruptedThread

def short(number=0):
    time.sleep(1e-4)

def in_executor():
    executor = ThreadExecutor(4)
    with executor.threads():
        for _ in range(4):
            executor.run(short, [(number,) for number in range(8)])

def in_pool():
    with ThreadPool(3, "pool") as pool:
        for each in [pool.submit(short, number) for number in range(12)]:
            each.result()

def uninterrupted():
    with UninterruptedThread(lambda: None, lambda: None) as thread:
        for _ in range(8):
            thread.run(short)

def interrupted(run):
    try:
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 3e-3))
        run()
        time.sleep(5e-3)
    except (KeyboardInterrupt, RuntimeError):  # which Python makes of it while a thread starts
        pass

rng = random.Random(0)
signal.signal(signal.SIGALRM, signal.default_int_handler)
faulthandler.dump_traceback_later(60.0, exit=True)
for number in range(1500):
    interrupted((in_executor, in_pool, uninterrupted)[number % 3])
print("end")
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="sets a timer of POSIX")
def test_nobody_waits_for_ever_whenever_ctrl_c_comes():
    assert run_python(AT_ANY_TIME) == "end\n"
