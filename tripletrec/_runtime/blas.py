"""BLAS on one thread while many small products are made; the threads of a fit are in `threads`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["limit_newly_loaded", "one_blas_thread"]


class _Limit:
    """The number of BLAS threads is one setting for the whole process.

    So the first fit that needs one thread sets it, and the last one to end restores it: two fits at the same
    time must not leave each other's setting behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_users = 0
        self._limits: list[Any] = []

    def enter(self) -> None:
        with self._lock:
            if self._n_users == 0:
                self._set()
            self._n_users += 1

    def leave(self) -> None:
        with self._lock:
            self._n_users -= 1
            while self._limits and self._n_users == 0:
                limit = self._limits.pop()  # the one that was set last comes first
                _take_control()
                limit.restore_original_limits()
                _take_control()  # and leave it to whoever comes next

    def renew(self) -> None:
        with self._lock:
            if self._n_users:
                self._set()

    def _set(self) -> None:
        import threadpoolctl

        _take_control()
        self._limits.append(threadpoolctl.threadpool_limits(1, user_api="blas"))


def _take_control() -> None:
    """Let the next thread that sets a number of threads be heard.

    From version 3.7 on, threadpoolctl listens only to the first thread that ever set one, and ignores the
    others silently. That may be the main thread, while epochs run in another.
    """
    import threadpoolctl

    controller: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(controller, "clear_controlling_thread"):
        controller.clear_controlling_thread(force=True)


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, and restore the former number after it.

    A product of two matrices of a few hundred rows takes 50 µs; sharing it out between two threads that
    other processes want too may take 3 ms. With one thread the result does not depend on the machine's
    number of cores either.
    """
    _limit.enter()
    try:
        yield
    finally:
        _limit.leave()


def limit_newly_loaded() -> None:
    """Limit BLAS libraries that were loaded during a block of `one_blas_thread` too, if there is one."""
    _limit.renew()
