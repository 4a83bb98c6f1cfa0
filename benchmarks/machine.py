"""What a table of times has to state beside the times: machine, versions, load; and what is timed."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

__all__ = ["by_kernels", "cache_bytes", "compile_fits", "describe", "load", "n_cores"]

PACKAGES = ("tripletrec", "numpy", "numba", "llvmlite", "scipy")
NUMPY_FIRST = ("dealing", "start_values", "user_parts")  # of tripletrec.training


def by_kernels() -> None:
    """Let kernels do what NumPy does of a process's first fits; call it before the fit that compiles.

    Otherwise NumPy is timed, and then the compiler. Versions of tripletrec that have no such module are left
    as they are.
    """
    for name in NUMPY_FIRST:
        with suppress(ImportError, AttributeError):
            import_module(f"tripletrec.training.{name}")._FIRST.covers(sys.maxsize)


def compile_fits(settings: dict[str, Any], *, from_disk: bool = False) -> None:
    """Compile all that fits with these settings run, whether their factors lie in the caches or not."""
    import tripletrec as tr  # here, because of others only the machine is asked for
    from tripletrec.training.from_disk import DiskTripletTraining

    by_kernels()
    for n_items in (200, 100_000):
        tiny = tr.datasets.make_interactions(100, n_items, 1000, random_state=0)
        fewer = {"n_epochs": 1}
        if isinstance(settings.get("n_negatives"), int):
            fewer["n_negatives"] = min(settings["n_negatives"], n_items)
        model = tr.MatrixFactorization(**{**settings, **fewer}).fit(tiny)
        if from_disk:  # what is so small would be learnt in memory
            with TemporaryDirectory() as folder:
                mapped = tiny.to_memory_map(folder)
                DiskTripletTraining(model._plan(), mapped, None, None, 1).run_epoch(1)


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
