"""Threads for one fit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Team"]


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
