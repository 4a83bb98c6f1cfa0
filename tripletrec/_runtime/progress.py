"""One progress bar on standard error for whatever takes long; what that is is not known here."""

from __future__ import annotations

import sys
import threading
from typing import Any, Self

__all__ = ["Progress"]


class Progress:
    """A progress bar, or nothing; to be used as a context, so that it is closed after an error, too.

    In a notebook it is one of the notebook's. Where standard error is a file it is written rarely.

    Parameters
    ----------
    total : int
        What there is to do.
    what : str
        What stands before the bar, such as "training".
    unit : str
        What is counted, such as "epoch".
    shown : bool
        False: nothing is written, and nothing imported.
    done : int, default 0
        What has been done before.
    delay : float, default 0.0
        Seconds after which it is shown first, if there is still something to do.

    Examples
    --------
    >>> with Progress(2, "training", "epoch", shown=False) as progress:
    ...     progress.advance(loss=0.5)
    ...     progress.advance(loss=0.4)
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str,
        *,
        shown: bool,
        done: int = 0,
        delay: float = 0.0,
    ) -> None:
        self._bar: Any = None
        self._lock = threading.Lock()
        if shown and sys.stderr is not None:
            from tqdm.auto import tqdm

            seconds = 0.1 if sys.stderr.isatty() else (delay or 10.0)
            self._bar = tqdm(
                total=total, initial=done, desc=what, unit=unit, file=sys.stderr,
                mininterval=seconds, dynamic_ncols=True, delay=delay,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int = 1, /, **numbers: Any) -> None:
        """Show that `n` more are done, and numbers or words beside the bar; threads may share it."""
        if self._bar is None:
            return
        with self._lock:
            if numbers:
                self._bar.set_postfix(
                    {name: _short(each) for name, each in numbers.items()}, refresh=False
                )
            self._bar.update(n)


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
