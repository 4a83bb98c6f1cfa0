"""Names of temporary files and folders, by which those of killed processes are found and removed."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["is_being_written", "leftovers_of", "remove_leftovers", "temporary_beside"]

_DAY = 86400.0  # seconds

# What a killed process leaves: ".tripletrec-<file>-<machine>-<process>-<its start>-<random>.<ending>".


def temporary_beside(target: Path, suffix: str = "") -> Path:
    """Return a path in the same folder that no other process takes, and that `remove_leftovers` knows."""
    return target.with_name(f"{_prefix(target)}{_this_process()}-{os.urandom(4).hex()}{suffix}")


def _prefix(target: Path) -> str:
    return f".tripletrec-{_digest(os.fsencode(target.name))}-"


def _this_process() -> str:
    return f"{_machine()}-{os.getpid()}-{_start_of(os.getpid()) or 0}"


def _digest(name: bytes) -> str:
    import hashlib  # here, because reading does without

    return hashlib.sha256(name).hexdigest()[:16]


def _machine() -> str:
    """Name that in which the numbers of processes are unique: a system since its start, or a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return _digest((boot + os.readlink("/proc/self/ns/pid")).encode())
    except OSError:
        import platform

        return _digest(platform.node().encode())


def _start_of(pid: int) -> str | None:
    """Return when a process started, in ticks, "" if it has ended; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError, ValueError):
        return None


def _runs(pid: int, start: str) -> bool:
    """Tell whether a process of this machine may still be running."""
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it belongs to someone else
        pass
    return _start_of(pid) in (None, start)


def leftovers_of(target: Path) -> list[os.DirEntry[str]]:
    """Return what is temporary beside `target` if its process ended or nobody has touched it for a day."""
    return [each for each in _temporary_of(target) if _is_left(each, target)]


def is_being_written(target: Path) -> bool:
    """Tell whether a temporary folder is beside `target` that a process may be writing or has moved there."""
    return any(each.is_dir() and not _is_left(each, target) for each in _temporary_of(target))


def _is_left(entry: os.DirEntry[str], target: Path) -> bool:
    machine, pid, start = (*entry.name[len(_prefix(target)) :].split("-"), "", "", "")[:3]
    try:
        ended = machine == _machine() and pid.isdecimal() and not _runs(int(pid), start)
        return ended or time.time() - _last_touched(entry) > _DAY
    except OSError:
        return False


def _temporary_of(target: Path) -> list[os.DirEntry[str]]:
    prefix = _prefix(target)
    try:
        with os.scandir(target.parent) as entries:
            return [each for each in entries if each.name.startswith(prefix)]
    except OSError:
        return []  # whoever creates the next one hears of it


def remove_leftovers(target: Path) -> None:
    """Remove all `leftovers_of` it."""
    for entry in leftovers_of(target):
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def _last_touched(entry: os.DirEntry[str]) -> float:
    """Return when a file, or a folder or any file in it, was last written to."""
    times = [entry.stat(follow_symlinks=False).st_mtime]
    if entry.is_dir(follow_symlinks=False):
        with os.scandir(entry.path) as within:
            times += [each.stat(follow_symlinks=False).st_mtime for each in within]
    return max(times)
