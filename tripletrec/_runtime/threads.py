"""Threads for one fit: those that share its work, and the one that Ctrl-C cannot reach."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Self

__all__ = ["Aside", "Team"]


class Team:
    """So many threads, which share a range of tasks.

    Parameters
    ----------
    n_jobs : int
        Threads, >= 1, the one that calls among them.
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
        with ThreadPoolExecutor(self.n_jobs - 1, thread_name_prefix="tripletrec") as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    def share(self, task: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
        """Run ``task(*each)`` for each of the arguments; whoever is free takes the next one."""
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

        futures = [self._pool.submit(work) for _ in range(min(self.n_jobs, len(arguments)) - 1)]
        try:
            work()
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
    cancel : callable
        Called if KeyboardInterrupt comes in that wait too: makes the call under way end anywhere.
    """

    def __init__(self, stop: Callable[[], None], cancel: Callable[[], None]) -> None:
        self._stop, self._cancel = stop, cancel
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
            self._cancel()
            last.result()
            raise
        finally:
            self._pool.shutdown()


def _nothing() -> None:
    pass
