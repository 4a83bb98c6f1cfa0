"""What a table of times has to state beside the times: machine, versions, load."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cache_bytes", "describe", "load", "n_cores"]

PACKAGES = ("tripletrec", "numpy", "numba", "llvmlite", "scipy")


def n_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> str:
    """Return the load average of the last minute: near 0 at the start, or the times are not to be used."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def cache_bytes() -> dict[int, int]:
    """Return {level: bytes} of the first core's data caches, as far as the system tells."""
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind, level, size = (
            (folder / name).read_text().strip() for name in ("type", "level", "size")
        )
        if kind != "Instruction":
            found[int(level)] = int(size.rstrip("K")) * 1024
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def describe(*others: str) -> list[str]:
    """Return lines about machine and versions; `others` are "name version" of further packages."""
    levels = cache_bytes()
    caches = ", ".join(f"L{level} {levels[level] // 1024:,} KiB" for level in sorted(levels))
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return [
        f"Machine: {_processor()}, {n_cores()} cores{', ' * bool(caches)}{caches}; "
        f"{platform.system()}.",
        f"Versions: {', '.join([*versions, *others])}.",
    ]
