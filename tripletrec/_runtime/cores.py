"""How many cores a process may use, as far as the system says it."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from tripletrec._runtime.control_groups import folders, own_groups

__all__ = ["available_cores", "cores_of_groups"]


def available_cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    Those that it may run on and, on Linux, no more than its control groups give it time for: a container
    with a limit of two cores (``docker run --cpus 2``) sees all of its machine's, but more than two threads
    would be stopped again and again. The limit is read once in a process.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return min(n_cores, _limit() or n_cores)


@cache  # to read it takes as long as a list for a user
def _limit() -> int | None:
    limits = [cores_of_groups(root, path, version) for version, root, path in own_groups("cpu")]
    return min((each for each in limits if each is not None), default=None)


def cores_of_groups(root: Path, path: str, version: int = 2) -> int | None:
    """Return how many cores a control group may keep busy, rounded up, as those above it allow.

    Parameters
    ----------
    root : Path
        Where the tree of groups is mounted.
    path : str
        The group, from the root on.
    version : int, default 2
        Of control groups: 1 or 2.

    Returns
    -------
    int or None
        None: there is no limit.
    """
    limits = [_cores_of(each, version) for each in folders(root, path)]
    return min((each for each in limits if each is not None), default=None)


def _cores_of(folder: Path, version: int) -> int | None:
    names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    try:
        numbers = " ".join((folder / each).read_text("ascii") for each in names).split()
    except (OSError, UnicodeDecodeError):
        return None
    if len(numbers) != 2 or not all(each.isdigit() for each in numbers):  # "max", -1: no limit
        return None
    quota, period = map(int, numbers)
    return max(1, math.ceil(quota / period)) if period else None
