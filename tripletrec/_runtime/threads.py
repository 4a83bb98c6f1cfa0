"""Executors that run the tasks of one fit, and a thread that Ctrl-C cannot reach.

A fit hands its work to an `Executor` as rounds of tasks. The tasks of one round touch different rows, so they
may run in any order or at the same time, and every executor leaves the same bits.
"""

from __future__ import annotations

import contextvars
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

__all__ = [
    "Call",
    "Executor",
    "SerialExecutor",
    "ThreadExecutor",
    "ThreadPool",
    "UninterruptedThread",
    "executor_for",
]

T = TypeVar("T")

Arguments = Sequence[tuple[Any, ...]]
"""The positional arguments of each task of a round."""


class Executor(ABC):
    """What runs the tasks of a fit. A subclass defines `run`, and `threads` if it keeps anything alive."""

    n_jobs: int = 1
    """How many tasks may run at the same time."""

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Keep threads (or what takes their place) alive inside the block, as for a run of epochs."""
        yield

    @abstractmethod
    def run(self, task: Callable[..., None], arguments: Arguments) -> None:
        """Run ``task(*each)`` for each of the arguments, in any order or at the same time.

        Returns when all have ended. If a task raises, so does this, once no task is running any more; which
        of the other tasks have run is then not defined.

        Parameters
        ----------
        task : callable
            Returns nothing: it writes to arrays.
        arguments : sequence of tuple
            One tuple of positional arguments per call.
        """

    def run_rounds(self, task: Callable[..., None], rounds: Iterable[Arguments]) -> None:
        """Run a plan of rounds: `run` for each, the next one after the former has ended.

        Parameters
        ----------
        task : callable
        rounds : iterable of sequence of tuple
            The arguments of the calls of each round.
        """
        for arguments in rounds:
            self.run(task, arguments)


class SerialExecutor(Executor):
    """Runs one task after the other in the calling thread.

    Parameters
    ----------
    order : callable, optional
        Takes the arguments of a round and returns them in the order in which to run them. Default: as they
        are. Tests permute them to see that the order within a round does not matter.
    """

    def __init__(
        self, order: Callable[[Arguments], Iterable[tuple[Any, ...]]] | None = None
    ) -> None:
        self._order = order

    def run(self, task: Callable[..., None], arguments: Arguments) -> None:
        """Run ``task(*each)`` for each of the arguments; see `Executor.run`."""
        for each in arguments if self._order is None else self._order(arguments):
            task(*each)


class ThreadExecutor(Executor):
    """Runs the tasks of a round in several threads; each takes the next task as soon as it is free.

    Outside of `threads` there is only the calling thread, which then runs all of them.

    Parameters
    ----------
    n_jobs : int
        Threads, >= 1. The calling thread is one of them.
    """

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self._pool: ThreadPool | None = None

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Keep the threads alive inside the block."""
        if self.n_jobs == 1:
            yield
            return
        with ThreadPool(self.n_jobs - 1, "tripletrec") as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def run(self, task: Callable[..., None], arguments: Arguments) -> None:
        """Run ``task(*each)`` for each of the arguments; see `Executor.run`."""
        if self._pool is None or len(arguments) == 1:
            for each in arguments:
                task(*each)
            return
        rest, lock = iter(arguments), threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    each = next(rest, None)
                if each is None:
                    return
                task(*each)

        calls: list[Call[None]] = []
        try:
            for _ in range(min(self.n_jobs, len(arguments)) - 1):
                calls.append(self._pool.submit(work))
            work()
            for _ in map(Call.result, calls):
                pass
        finally:
            while calls:  # after Ctrl-C too: no thread may go on writing to the caller's arrays
                calls.pop().wait()


def executor_for(n_jobs: int) -> Executor:
    """Return an executor for so many threads: a `SerialExecutor` for one, else a `ThreadExecutor`."""
    return SerialExecutor() if n_jobs == 1 else ThreadExecutor(n_jobs)


class Call(Generic[T]):
    """A call that a `ThreadPool` makes.

    A ``Future`` would do, were it not for Ctrl-C: in an unlucky moment of ``Future.result`` it leaves a lock
    behind for which the thread then waits for ever. The lock here is only let go by the thread.
    """

    _error: BaseException | None = None

    def __init__(self, call: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._call, self._arguments = call, arguments
        self._made = threading.Lock()
        self._made.acquire()

    @classmethod
    def made(cls, call: Callable[..., T], arguments: tuple[Any, ...]) -> Call[T]:
        """Return a call that this thread makes, at once; what it raises, such as Ctrl-C, is raised here."""
        made = cls(call, arguments)
        made.make()
        made.result()
        return made

    def make(self) -> None:
        """Make the call, once; what it raises is raised by `result`."""
        made = self._made
        try:
            self._result = self._call(*self._arguments)
        except BaseException as error:
            self._error = error
        del self._call, self._arguments
        del self  # the error knows this frame: else it and all that it saw would keep each other
        made.release()

    def wait(self) -> None:
        """Wait until the call has been made."""
        with self._made:
            pass

    def result(self) -> T:
        """Wait, and return or raise what the call has returned or raised."""
        self.wait()
        try:
            if self._error is not None:
                raise self._error
            return self._result
        finally:
            del self  # as in `make`


class ThreadPool:
    """Threads that make calls; it is to be used as a context, which ends when all calls have been made.

    Unlike that of ``concurrent.futures`` it works on in a thread that goes on when the main thread has ended.

    Parameters
    ----------
    n_threads : int
        >= 1. There are fewer where the system gives no more; where it gives none, calls are made by whoever
        submits them.
    name : str
        Of the threads.
    """

    def __init__(self, n_threads: int, name: str) -> None:
        self._calls: SimpleQueue[Call[Any] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._n_threads = n_threads
        # Should Ctrl-C come before the context or in its end, the threads end with the object; and where a
        # traceback keeps that, Python does not wait for them at its end.
        self._end = weakref.finalize(self, _say_end, self._calls, n_threads)
        for number in range(n_threads):
            thread = threading.Thread(
                target=_work, args=(self._calls,), name=f"{name}_{number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                break
            self._threads.append(thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for all calls, and for the ends of the threads."""
        # For all: after Ctrl-C in its start, of which Python may make a RuntimeError, one may run unknown.
        _say_end(self._calls, self._n_threads)
        for thread in self._threads:
            thread.join()
        self._end.detach()

    def submit(self, call: Callable[..., T], *arguments: Any) -> Call[T]:
        """Have a call made after those submitted before; without threads it is made now, and may raise."""
        if not self._threads:
            return Call.made(call, arguments)
        submitted = Call(call, arguments)
        self._calls.put(submitted)
        return submitted

    def drop(self) -> None:
        """Leave out the calls that no thread has begun; nobody may wait for them."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait()


def _say_end(calls: SimpleQueue[Call[Any] | None], n_threads: int) -> None:
    for _ in range(n_threads):
        calls.put(None)


def _work(calls: SimpleQueue[Call[Any] | None]) -> None:
    while (submitted := calls.get()) is not None:
        submitted.make()
        del submitted  # before the next one is waited for


class UninterruptedThread:
    """A thread for calls that Ctrl-C must not cut in two.

    Python raises KeyboardInterrupt in the main thread only. That thread may therefore be interrupted while
    it waits for a call in this one, but the call itself is not: leaving the context waits for its end. Where
    the system gives no thread, calls run in the calling one.

    Parameters
    ----------
    stop : callable
        Called when the context is left by an exception, before the wait: asks the running call to end at the
        next good place.
    cancel : callable
        Called if KeyboardInterrupt comes during that wait as well: asks the running call to end at once.

    Examples
    --------
    >>> done = []
    >>> with UninterruptedThread(stop=lambda: None, cancel=lambda: None) as thread:
    ...     thread.run(lambda: done.append("a whole epoch"))
    >>> done
    ['a whole epoch']
    """

    def __init__(self, stop: Callable[[], None], cancel: Callable[[], None]) -> None:
        self._stop, self._cancel = stop, cancel

    def __enter__(self) -> Self:
        self._pool = ThreadPool(1, "tripletrec-uninterrupted")
        return self

    def run(self, call: Callable[[], None]) -> None:
        """Run ``call()`` in the thread and wait for its end; what it raises is raised here."""
        # In a copy of the caller's context, in which NumPy keeps what to do about overflow.
        self._pool.submit(contextvars.copy_context().run, call).result()

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is not None:
                self._stop()
            self._wait()
        except KeyboardInterrupt:
            self._cancel()
            self._wait()
            raise
        finally:
            self._pool.close()

    def _wait(self) -> None:
        # Calls run one after the other: when this empty one has run, so have those before it. Joining the
        # thread instead would not do: in some versions of Python a join must not be interrupted.
        self._pool.submit(_nothing).result()


def _nothing() -> None:
    pass
