"""Decides whether small work is done by NumPy, which is sooner than to compile or load a kernel."""

from __future__ import annotations

__all__ = ["FirstWork"]


class FirstWork:
    """What is left of the work of one kind that a process does by NumPy, to the same bits.

    Fits of small data then compile, and load, fewer kernels.

    Parameters
    ----------
    most : int
        How much there is of it, in any unit. NumPy should take less time for all of it than the compiler for
        the kernel.

    Examples
    --------
    >>> first = FirstWork(100)
    >>> first.covers(60), first.covers(60), first.covers(30)
    (True, False, False)
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def covers(self, amount: int) -> bool:
        """Take an amount of what is left; tell whether it was there. Once it was not, nothing is left."""
        left = self._left - amount  # threads that ask at once may both be the last
        self._left = max(left, -1)
        return left >= 0
