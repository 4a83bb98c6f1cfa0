"""The control groups of Linux that a process is in; what they leave to it is in `memory` and `cores`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["folders", "own_groups"]

_MOUNTED = Path("/sys/fs/cgroup")


def own_groups(controller: str) -> Iterator[tuple[int, Path, str]]:
    """Yield the groups of this process that may bound something.

    Parameters
    ----------
    controller : str
        What bounds it, such as "memory".

    Yields
    ------
    version : int
        Of control groups: 1 or 2.
    root : Path
        Where the tree of groups is mounted.
    path : str
        The group, from the root on.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if not controllers:
            yield 2, _MOUNTED, path
        elif controller in controllers.split(","):
            yield 1, _MOUNTED / controller, path


def folders(root: Path, path: str) -> list[Path]:
    """Return the folder of a group and of all above it; some may not be there, as in a container.

    Examples
    --------
    >>> [each.as_posix() for each in folders(Path("/sys/fs/cgroup"), "/a")]
    ['/sys/fs/cgroup/a', '/sys/fs/cgroup']
    """
    group = root / path.strip("/")
    return [each for each in (group, *group.parents) if each.is_relative_to(root)]
