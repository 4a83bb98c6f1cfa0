"""The progress bar on standard error of fits and of everything else that takes long."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, suppress
from typing import Any, Self

from tripletrec._runtime.compiling import listening

__all__ = ["Forgiving", "Progress"]


class Progress:
    """A progress bar, or nothing; to be used as a context, so that it is closed after an error, too.

    In a notebook it is one of the notebook's and moves as in a terminal. Where standard error is a file it
    is written rarely; where it takes no more, as a full disk or a pipe that nobody reads, the work goes on.
    While code is compiled, as in a first fit ever, "(compiling)" stands beside `what`: it is not stuck.

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
        self._what, self._delay, self._is_compiling = what, delay, False
        self._lock, self._context = threading.Lock(), ExitStack()
        if shown and sys.stderr is not None:
            from tqdm.auto import tqdm

            file = Forgiving(sys.stderr)
            seconds = 0.1 if file.isatty() or _is_of_notebook(sys.stderr) else (delay or 10.0)
            self._bar = tqdm(
                total=total, initial=done, desc=what, unit=unit, file=file,
                mininterval=seconds, dynamic_ncols=True, delay=delay,
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self._bar is not None and not self._delay:  # else nothing is to be written yet
            self._context.enter_context(listening(self._compiling))
        return self

    def __exit__(self, *error: object) -> None:
        self._context.close()
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
            if self._is_compiling:
                self._is_compiling = False
                self._bar.set_description(self._what, refresh=False)
            self._bar.update(n)

    def _compiling(self) -> None:
        with self._lock:
            if not self._is_compiling:
                self._is_compiling = True
                self._bar.set_description(f"{self._what} (compiling)")


class Forgiving:
    """A file that may fail: what is shown of the work is worth less than the work.

    Between it and the work is tqdm, which would keep a lock of its own after an error.

    Examples
    --------
    >>> import io
    >>> closed = io.StringIO()
    >>> closed.close()
    >>> print("lost", file=Forgiving(closed))
    """

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a text, or not."""
        with suppress(OSError, ValueError):  # ValueError: it is closed
            self._file.write(text)

    def flush(self) -> None:
        """Hand on what was written, or not."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        with suppress(OSError, ValueError):
            return bool(self._file.isatty())
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _is_of_notebook(file: Any) -> bool:
    """Tell whether what is written is shown in a notebook, though its streams say they are no terminals."""
    return type(file).__module__.partition(".")[0] == "ipykernel"


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
