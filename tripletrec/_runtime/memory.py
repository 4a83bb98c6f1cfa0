"""How much memory a process may still take, as far as the system says it; nothing is allocated here."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["NotEnoughMemoryError", "available_memory", "check_memory"]

_GB = 1e9


class NotEnoughMemoryError(MemoryError, ValueError):
    """What is asked for does not fit into memory; a `ValueError`, too, as of any argument."""


def check_memory(n_bytes: int, what: str, advice: str) -> None:
    """Raise, before anything is allocated, if something takes more memory than there is.

    Parameters
    ----------
    n_bytes : int
    what : str
        What needs it: the subject of the sentence.
    advice : str
        What to do, for the end of the sentence.

    Raises
    ------
    NotEnoughMemoryError
    """
    there = available_memory()
    if there is not None and n_bytes > there:
        raise NotEnoughMemoryError(
            f"{what} needs {n_bytes / _GB:,.1f} GB of memory, and {there / _GB:,.1f} GB are available: "
            f"{advice}"
        )


def available_memory() -> int | None:
    """Return how many bytes may still be taken; None where the system does not say it.

    On Linux what is free or can be freed, and no more than a container may take. Elsewhere all memory of the
    machine, where that is known.
    """
    found = [each for each in (_of_linux(), _of_container()) if each is not None]
    return min(found) if found else _of_machine()


def _of_linux() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _of_container() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        most = (folder / "memory.max").read_text("ascii").strip()
        used = (folder / "memory.current").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return max(0, int(most) - int(used)) if most.isdigit() and used.isdigit() else None


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # there is none on Windows
        return None
