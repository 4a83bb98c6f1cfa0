"""BLAS on one thread while many small products are made."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["limit_newly_loaded", "one_blas_thread"]

# The number of BLAS threads belongs to the process, so who comes first and who leaves last does as
# well: two fits at the same time must not leave each other's setting behind.
_LOCK = threading.Lock()
_USERS: list[None] = []
_LIMITS: list[Any] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread inside the block, and restore the former number after it.

    A product of two matrices of a few hundred rows takes 50 µs; sharing it out between two threads
    that other processes want too may take 3 ms. With one thread the result does not depend on the
    machine's number of cores either.
    """
    with _LOCK:
        if not _USERS:
            _LIMITS.append(_limit())
        _USERS.append(None)
    try:
        yield
    finally:
        with _LOCK:
            _USERS.pop()
            while _LIMITS and not _USERS:
                _LIMITS.pop().restore_original_limits()  # the last one first


def limit_newly_loaded() -> None:
    """Limit libraries that were loaded since, if anyone is inside `one_blas_thread` now."""
    with _LOCK:
        if _USERS:
            _LIMITS.append(_limit())


def _limit() -> Any:
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
