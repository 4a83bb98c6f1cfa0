"""The one form in which arrays are handed to kernels; checks of what they hold are not here."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_only"]

T = TypeVar("T", bound=np.generic)


def read_only(array: NDArray[T]) -> NDArray[T]:
    """Return a contiguous read-only view of an array, or of a copy where it is not contiguous.

    Numba compiles a kernel once for each kind of array: writable, read-only, strided or
    memory-mapped. A kernel that gets its inputs in this form only is compiled once.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
