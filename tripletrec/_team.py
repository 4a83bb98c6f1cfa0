"""Threads for one fit: those that share its work, and the one that Ctrl-C cannot reach."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Aside", "Team"]


class Team:
    """So many threads, which share a range of tasks.

    Parameters
    ----------
    n_jobs : int
        Threads, >= 1; with 1 the tasks run where they are called.
    """

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self._pool: ThreadPoolExecutor | None = None

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Keep the threads alive for a run of epochs."""
        if self.n_jobs == 1:
            yield
            return
        with ThreadPoolExecutor(self.n_jobs, thread_name_prefix="tripletrec") as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def share(self, task: Callable[[int], None], n_tasks: int) -> None:
        """Run ``task(0)`` ... ``task(n_tasks - 1)``; whoever is free takes the next one."""
        if self._pool is None or n_tasks == 1:
            for number in range(n_tasks):
                task(number)
            return
        rest, lock = iter(range(n_tasks)), threading.Lock()

        def work() -> None:
            while True:
                with lock:
                    number = next(rest, None)
                if number is None:
                    return
                task(number)

        self._finish([self._pool.submit(work) for _ in range(min(self.n_jobs, n_tasks))])

    def spread(
        self, task: Callable[[int, int], None], first: int, last: int, loads: NDArray[Any]
    ) -> None:
        """Run ``task(a, b)`` on runs of first ... last - 1 of about equal load, all threads at once."""
        if self._pool is None or last - first == 1:
            task(first, last)
            return
        shares = np.arange(1, self.n_jobs) / self.n_jobs
        running = np.cumsum(loads, dtype=np.float64)
        cuts = first + np.searchsorted(running, shares * running[-1] + 0.5 * loads.mean())
        edges = [first, *np.clip(cuts, first, last).tolist(), last]
        runs = zip(edges, edges[1:], strict=False)
        self._finish([self._pool.submit(task, a, b) for a, b in runs if a < b])

    @staticmethod
    def _finish(futures: list[Future[None]]) -> None:
        try:
            for future in futures:
                future.result()
        finally:
            wait(futures)  # after Ctrl-C too: no thread may write behind our back


class Aside:
    """A thread for calls that are to be whole or not at all.

    Python raises KeyboardInterrupt in the main thread alone. So who waits for such a call may be
    interrupted, but the call is not: leaving the context waits for its end.

    Parameters
    ----------
    stop : callable
        Called before that wait after any exception: makes the call under way end where it may.
    give_up : callable
        Called if KeyboardInterrupt comes in that wait too: makes the call under way end anywhere.
    """

    def __init__(self, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        self._stop, self._give_up = stop, give_up
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="tripletrec-aside")

    def __enter__(self) -> Self:
        # A pool that is interrupted while it starts a thread loses sight of it: start it idle.
        self._pool.submit(_nothing).result()
        return self

    def run(self, call: Callable[[], None]) -> None:
        """Run ``call()`` over there, and wait for it."""
        # The caller's context: NumPy keeps in it what to do about overflow.
        self._pool.submit(contextvars.copy_context().run, call).result()

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self._stop()
        # Calls run in turn: when one that does nothing has run, the others have as well. Joining the
        # thread would not do: it is not safe to interrupt in all versions of Python.
        last = self._pool.submit(_nothing)
        try:
            last.result()
        except KeyboardInterrupt:
            self._give_up()
            last.result()
            raise
        finally:
            self._pool.shutdown()


def _nothing() -> None:
    pass
