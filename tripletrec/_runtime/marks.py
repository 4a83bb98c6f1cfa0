"""The mark of a part, and parts that wait for the compiler: what `jit` and `compiler` share without Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["PART_MARK", "CompilationError", "waiting"]

PART_MARK = "_tripletrec_part"
"""Attribute of a function that is a part; it travels with functions that are pickled by value."""

waiting: list[Callable[..., Any]] = []
"""Parts that were marked before the compiler was loaded, which makes them known to Numba."""


class CompilationError(TypeError):
    """A kernel, or a part that it reaches, cannot be compiled; its cause is what Numba said."""
