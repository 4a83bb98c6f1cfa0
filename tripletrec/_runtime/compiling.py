"""Tells a progress bar that machine code is being made, which takes seconds in which nothing moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["listening", "tell_compiling"]

_listeners: list[Callable[[], None]] = []


@contextmanager
def listening(told: Callable[[], None]) -> Iterator[None]:
    """Have a function called, in whatever thread, whenever a kernel is about to be compiled."""
    _listeners.append(told)
    try:
        yield
    finally:
        _listeners.remove(told)


def tell_compiling() -> None:
    """Tell all who listen that a kernel is about to be compiled, as its machine code is not on disk."""
    for told in tuple(_listeners):
        told()
