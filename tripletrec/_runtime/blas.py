"""BLAS on one thread while many small products are made; the threads of a fit are in `threads`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["limit_newly_loaded", "one_blas_thread"]


class _Limit:
    """The number of BLAS threads is one setting for the whole process.

    So the first block that needs one thread sets it, and the last one to end restores it: two fits at the
    same time must not leave each other's setting behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: set[object] = set()
        self._found: tuple[int, list[Any]] = (0, [])
        self._former: list[tuple[Any, int]] = []

    def enter(self, user: object) -> None:
        with self._lock:
            self._users.add(user)  # first, so that `leave` restores what an interruption leaves
            if len(self._users) == 1:
                self._set()

    def leave(self, user: object) -> None:
        """Restore the former numbers if this was the last; may be called again, also without `enter`."""
        with self._lock:
            self._users.discard(user)
            if not self._users and self._former:
                _take_control()
                while self._former:
                    library, n_threads = self._former[-1]  # the one that was set last comes first
                    library.set_num_threads(n_threads)
                    self._former.pop()
                _take_control()  # and leave it to whoever comes next

    def renew(self) -> None:
        with self._lock:
            if self._users:
                self._set()

    def _set(self) -> None:
        _take_control()
        for library in self._libraries():
            n_threads = library.get_num_threads()
            if n_threads is not None and n_threads != 1:
                self._former.append((library, n_threads))
                library.set_num_threads(1)

    def _libraries(self) -> list[Any]:
        # To look for libraries takes a millisecond, and only a module that is imported brings a new one.
        n_modules = len(sys.modules)
        if self._found[0] != n_modules:
            import threadpoolctl

            found = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
            self._found = len(sys.modules), found
        return self._found[1]


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
    user = object()
    try:
        _limit.enter(user)
        yield
    finally:
        try:
            _limit.leave(user)
        except BaseException:  # Ctrl-C comes at any time, and the rest has to be restored
            _limit.leave(user)
            raise


def limit_newly_loaded() -> None:
    """Limit BLAS libraries that were loaded during a block of `one_blas_thread` too, if there is one."""
    _limit.renew()
