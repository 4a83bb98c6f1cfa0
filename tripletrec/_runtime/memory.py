"""How much memory a process may still take, as far as the system says it."""

from __future__ import annotations

import os
from pathlib import Path

from tripletrec._runtime.control_groups import folders, own_groups

__all__ = ["NotEnoughMemoryError", "available_memory", "check_memory", "left_in_groups"]

_UNITS = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
_NO_LIMIT = 2**62  # version 1 of control groups has so large a number in place of none


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
            f"{what} needs {_said(n_bytes)} of memory, and {_said(there)} are available: {advice}"
        )


def _said(n_bytes: int) -> str:
    """Return a number of bytes in the largest unit of which it is one or more."""
    for unit, size in _UNITS.items():
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes} bytes"


def available_memory() -> int | None:
    """Return how many bytes may still be taken; None where the system does not say it.

    On Linux what is free or can be freed, and no more than the control groups of the process allow, those
    above included; files that the system keeps in memory count as free, as it gives them up. Elsewhere all
    memory of the machine, where that is known. Never more than the environment variable
    ``TRIPLETREC_MEMORY``, a number of bytes such as ``2e9``, for who shares a machine.

    Raises
    ------
    ValueError
        If the variable is set to something else.
    """
    found = [each for each in (_of_linux(), _of_groups()) if each is not None]
    there = min(found) if found else _of_machine()
    most = _of_user()
    return there if most is None else most if there is None else min(there, most)


def _of_user() -> int | None:
    text = os.environ.get("TRIPLETREC_MEMORY", "").strip()
    if not text:
        return None
    try:
        n_bytes = float(text)
    except ValueError:
        n_bytes = 0.0
    if not 1.0 <= n_bytes < 2.0**63:
        raise ValueError(
            f"TRIPLETREC_MEMORY must be a number of bytes >= 1, such as 2e9, got {text!r}"
        )
    return int(n_bytes)


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


def _of_groups() -> int | None:
    """Return what the control groups of Linux, of either version, leave to this process."""
    names = {1: _VERSION_1, 2: _VERSION_2}
    groups = own_groups("memory")
    left = [left_in_groups(root, path, names[version]) for version, root, path in groups]
    return min((each for each in left if each is not None), default=None)


_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"
_VERSION_2 = "memory.max", "memory.current", ""


def left_in_groups(root: Path, path: str, names: tuple[str, str, str] = _VERSION_2) -> int | None:
    """Return how many bytes a control group may still take, and all those above it.

    Parameters
    ----------
    root : Path
        Where the tree of groups is mounted.
    path : str
        The group, from the root on. What of it is not to be seen, as in a container, is passed over.
    names : (str, str, str)
        The files of the limit and of the use, and what names in ``memory.stat`` begin with.

    Returns
    -------
    int or None
        None: there is no limit.
    """
    left = [_left_in(each, *names) for each in folders(root, path)]
    return min((each for each in left if each is not None), default=None)


def _left_in(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    try:
        most = (folder / limit).read_text("ascii").strip()
        used = (folder / usage).read_text("ascii").strip()
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if not (most.isdigit() and used.isdigit()) or int(most) >= _NO_LIMIT:
        return None
    pairs = dict(line.split()[:2] for line in lines if len(line.split()) == 2)
    kept = (pairs.get(f"{prefix}{name}", "0") for name in ("active_file", "inactive_file"))
    return max(0, int(most) - int(used) + sum(int(each) for each in kept if each.isdigit()))


def _of_machine() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # there is none on Windows
        return None
