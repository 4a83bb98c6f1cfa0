"""Versions of installed packages, also where one runs from a checkout and is not installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["version_of"]


def version_of(name: str) -> str:
    """Return the version of a package, "unknown" of one that is run from a checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
