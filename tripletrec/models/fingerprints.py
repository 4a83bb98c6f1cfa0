"""What tells one fit from another: digests of parameters and parts; those of data are in `data.digests`."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterable
from typing import Any

from numpy.typing import NDArray

from tripletrec._runtime.digests import UndecidableError, digest_content, digest_function
from tripletrec._runtime.messages import shorten
from tripletrec._runtime.versions import version_of
from tripletrec.data.digests import digest_data
from tripletrec.data.interactions import Interactions
from tripletrec.models.packing import is_part, pack_parameter
from tripletrec.training.plan import Plan

__all__ = ["Fingerprint", "difference", "fingerprint"]

Fingerprint = dict[str, dict[str, Any]]
"""Plain data: "versions", "fit", "parameters", "parts" and "data", each an entry by name."""

# They change no bit of what is learnt; the seed is an entry of its own.
_WITHOUT_EFFECT = {"n_jobs", "random_state", "verbose"}
_PACKAGES = ("tripletrec", "numpy", "numba")


def fingerprint(
    model: Any,
    plan: Plan,
    **data: Interactions | NDArray[Any] | Iterable[NDArray[Any]] | None,
) -> Fingerprint:
    """Return all that what a fit learns depends on, as plain data that can be compared.

    Parameters
    ----------
    model : estimator
        Its parameters have been checked.
    plan : Plan
        The model's, with its parts and its seed.
    **data
        Interactions and arrays by what the user calls them.
    """
    parameters, parts = {}, {}
    for name, value in model.get_params().items():
        if is_part(name):
            part = getattr(plan, name)
            parameters[name], parts[name] = _text_of(part), _digest_part(part)
        elif name not in _WITHOUT_EFFECT:
            parameters[name] = repr(pack_parameter(name, value))
    return {
        "versions": {**{name: version_of(name) for name in _PACKAGES}, "python": _python()},
        "fit": {"model": type(model).__name__, "seed": plan.seed},
        "parameters": parameters,
        "parts": parts,
        "data": {name: digest_data(each) for name, each in data.items()},
    }


def difference(before: Any, now: Fingerprint) -> str | None:
    """Return how a fingerprint that a file holds differs from another, in words; None: nowhere."""
    if not isinstance(before, dict) or not all(isinstance(before.get(name), dict) for name in now):
        raise ValueError("it does not say what it is of")
    for kind, say in _SENTENCES.items():
        mine, other = now[kind], before[kind]
        names = [name for name in {**other, **mine} if mine.get(name) != other.get(name)]
        if names:
            return ", ".join(say(name, other.get(name), mine.get(name)) for name in names)
    return None


def _there(name: str, before: Any, now: Any) -> str:
    return f"{name} is {shorten(str(before), 60)} there and {shorten(str(now), 60)} here"


# In this order, for parts that nobody gave go by the data.
_SENTENCES: dict[str, Callable[[str, Any, Any], str]] = {
    "versions": lambda name, before, now: _there(f"the version of {name}", before, now),
    "fit": lambda name, before, now: _there(f"the {name}", before, now),
    "data": lambda name, *_: f"the argument {name} differs",
    "parameters": _there,
    "parts": lambda name, *_: f"the code of the {name} has changed",
}


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])  # whose bytecode is digested


def _text_of(part: Any) -> str:
    """Return the code that makes a part; of one of the user's own what it holds beside functions."""
    text = repr(part)
    if not text.startswith("<"):
        return text
    numbers = {name: each for name, each in part._asdict().items() if not callable(each)}
    return (
        f"{type(part).__name__}({', '.join(f'{name}={each!r}' for name, each in numbers.items())})"
    )


def _digest_part(part: Any) -> str:
    """Return a digest of the functions of a part."""
    digest = hashlib.sha256()
    for name, value in zip(part._fields, part, strict=True):
        if callable(value):
            digest.update(name.encode() + b":" + _digest_function(value))
    return digest.hexdigest()


def _digest_function(function: Any) -> bytes:
    try:
        return digest_function(function)
    except (UndecidableError, AttributeError, TypeError):
        # A function that reaches what has no digest, or an object that is called.
        return digest_content(function)
