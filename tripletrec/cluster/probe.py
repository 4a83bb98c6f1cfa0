"""Whether all workers give the same bits: versions, processor, and a small fit of the same plan."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tripletrec._runtime.versions import version_of
from tripletrec.cluster.worker import Memory
from tripletrec.data.interactions import Interactions
from tripletrec.training.plan import FactorPlan
from tripletrec.training.triplet import TripletTraining

__all__ = ["Report", "check_alike", "probe"]

_PACKAGES = ("tripletrec", "numpy", "numba", "llvmlite")
_SIZE = (64, 260)  # users, items: of two user blocks


class Report(NamedTuple):
    """What a worker says of itself.

    Parameters
    ----------
    versions : dict of str
        Of Python and of packages.
    processor : str
        That machine code is made for, as Numba names it, and its features.
    digest : str
        Of what a small fit has learnt.
    """

    versions: dict[str, str]
    processor: str
    digest: str


def probe(memory: Memory, plan: FactorPlan, has_given: bool, is_weighted: bool) -> Report:
    """Return what this process says of itself.

    Parameters
    ----------
    memory : dict
        Not looked at.
    plan : FactorPlan
        Of the fit, so that the machine code is the same.
    has_given : bool
        Whether there are given negatives.
    is_weighted : bool
        Whether positives have weights.
    """
    from tripletrec._runtime.compiler import processor_name

    return Report(versions(), processor_name(), _digest(plan, has_given, is_weighted))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that bits depend on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **{name: version_of(name) for name in _PACKAGES}}


def check_alike(reports: Mapping[str, Report], known: Report | None = None) -> Report:
    """Return what all workers say; raise unless they say the same.

    Parameters
    ----------
    reports : dict of Report
        By name of the worker.
    known : Report, default None
        What those said with whom the fit began.

    Raises
    ------
    ValueError
        If they differ; the message names worker and difference.
    """
    (first, expected), *others = reports.items()
    if known is not None:
        first, expected, others = "those that began the fit", known, list(reports.items())
    for name, found in others:
        for package, mine in expected.versions.items():
            theirs = found.versions.get(package)
            if theirs != mine:
                raise ValueError(
                    f"all workers must run the same versions: {package} is {theirs} on {name} and {mine} on "
                    f"{first}"
                )
        if found.processor != expected.processor:
            raise ValueError(
                f"all workers must make machine code for the same processor: it is {found.processor} on "
                f"{name} and {expected.processor} on {first}; start all with NUMBA_CPU_NAME=generic in their "
                "environment, or with another NUMBA_CPU_NAME and NUMBA_CPU_FEATURES that all have"
            )
        if found.digest != expected.digest:
            raise ValueError(
                f"all workers must learn the same bits: a small fit gave others on {name} than on {first}; "
                "start all with NUMBA_CPU_NAME=generic in their environment, on one kind of machine"
            )
    return expected


def _digest(plan: FactorPlan, has_given: bool, is_weighted: bool) -> str:
    """Return a digest of what two epochs learn from invented data."""
    n_users, n_items = _SIZE
    pairs = np.arange(n_users * n_items)
    kind = (pairs * 2654435761 >> 7) % 17  # a few of each, spread over all
    positives, others = pairs[kind < 2], pairs[kind == 2]
    shape = n_users, n_items
    data = Interactions.from_arrays(
        positives // n_items, positives % n_items, 1.0 + kind[positives], shape=shape
    )
    given = None
    if has_given:
        given = Interactions.from_arrays(others // n_items, others % n_items, shape=shape)
    weights = data.values / np.float32(3) if is_weighted else None
    training = TripletTraining(plan, data, weights, given, 1)
    for number in (1, 2):
        training.run_epoch(number)
    digest = hashlib.sha256()
    for _, each in sorted(training.state().items()):
        digest.update(np.ascontiguousarray(each).tobytes())
    return digest.hexdigest()
