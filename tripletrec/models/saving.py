"""Fitted models as safetensors files, of arrays and JSON, no pickle; how a model answers is elsewhere.

A saved model holds the constructor's parameters, the fitted attributes and the ids, but neither the
optimizer's state nor the training data. Loading runs no code from the file.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.files import replacing
from tripletrec.losses import LIST_LOSSES, LOSSES, ListLoss, Loss
from tripletrec.optimizers import OPTIMIZERS, Optimizer
from tripletrec.rates import SCHEDULES, Schedule
from tripletrec.sampling import HARD_SAMPLERS, SAMPLERS, Sampler
from tripletrec.scorers import SCORERS, Scorer

__all__ = ["load", "save"]

_FORMAT = 1
# The only classes that a file may name.
_MODELS = {
    "MLPMatcher": "tripletrec.models.mlp",
    "MatrixFactorization": "tripletrec.models.factorization",
    "TwoTower": "tripletrec.models.two_tower",
}
_PARTS: dict[str, tuple[Any, Mapping[str, Any]]] = {
    "loss": ((Loss, ListLoss), {**LOSSES, **LIST_LOSSES}),
    "scorer": (Scorer, SCORERS),
    "optimizer": (Optimizer, OPTIMIZERS),
    "sampler": (Sampler, SAMPLERS | HARD_SAMPLERS),
    "schedule": (Schedule, SCHEDULES),
}


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted model; see ``MatrixFactorization.save``."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {}
    fitted: dict[str, Any] = {}
    for name, value in vars(model).items():
        if name.endswith("_") and name != "seen_":
            fitted[name] = _pack(name, value, tensors)
    parameters = {name: _pack_parameter(value) for name, value in model.get_params().items()}
    description = {
        "format": _FORMAT,
        "class": type(model).__name__,
        "parameters": parameters,
        "fitted": fitted,
    }
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, {"tripletrec": json.dumps(description, default=_plain)})
    except (OSError, SafetensorError) as error:
        raise OSError(f"cannot write a model to {os.fspath(path)}: {error}") from error


def load(path: str | PathLike[str]) -> Any:
    """Read a model that was saved with ``model.save(path)``.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    Recommender
        A fitted model of the class that was saved. Of a part of your own (such as a loss) only the name
        is restored: set the part with ``set_params`` before the next ``fit``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, is not a model of this package, or is of a newer version.

    Examples
    --------
    >>> import pathlib, tempfile, tripletrec as tr
    >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     tr.MatrixFactorization(n_epochs=1).fit(data).save(path)
    ...     tr.load(path).user_factors_.shape
    (50, 64)
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), framework="np") as file:
            text = (file.metadata() or {}).get("tripletrec")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from None
    try:
        return _rebuild(json.loads(text or ""), tensors)
    except (LookupError, TypeError, AttributeError, RecursionError, ValueError) as error:
        reason = error if type(error) is ValueError else repr(error)
        raise ValueError(f"{path} does not hold a model of this tripletrec: {reason}") from None


def _rebuild(description: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    if description["format"] > _FORMAT:
        raise ValueError("it was saved by a newer version, upgrade to load it")
    name = description["class"]
    if name not in _MODELS:
        raise ValueError(f"it holds a {name!r}, known are {', '.join(_MODELS)}")
    kind = getattr(importlib.import_module(_MODELS[name]), name)
    known = kind().get_params()
    given = description["parameters"].items()
    model = kind(**{key: _unpack_parameter(key, each) for key, each in given if key in known})
    for key, value in description["fitted"].items():
        if not key.isidentifier() or not key.endswith("_") or key.startswith("_"):
            raise ValueError(f"it holds an attribute that no model has: {key!r}")
        setattr(model, key, _unpack(key, value, tensors))
    model._check_loaded()
    return model


def _pack(name: str, value: Any, tensors: dict[str, NDArray[Any]]) -> Any:
    """Return what stands in the JSON for a fitted attribute; arrays go to `tensors`."""
    if not isinstance(value, np.ndarray):
        return {"json": value}
    if value.dtype.kind in "biuf":
        tensors[name] = np.ascontiguousarray(value)
        return {"tensor": None}
    if value.dtype.kind in "mM":
        tensors[name] = np.ascontiguousarray(value).view(np.int64)
        return {"tensor": value.dtype.str}
    elements = value.tolist()
    if value.dtype.kind == "U":
        # A few long ids must not make all the others as long: UTF-8 and where each one ends.
        encoded = [each.encode("utf-8", "surrogatepass") for each in elements]
        tensors[name] = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
        tensors[name + ".ends"] = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return {"text": None}
    if all(isinstance(each, (str, int, float)) for each in elements):
        return {"objects": elements}
    raise TypeError(f"{name} cannot be saved: ids must be strings, numbers or dates")


def _unpack(name: str, value: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Any:
    ((form, content),) = value.items()
    if form == "json":
        return content
    if form == "tensor":
        return tensors[name] if content is None else tensors[name].view(np.dtype(content))
    if form == "text":
        ends = tensors[name + ".ends"].tolist()
        whole = tensors[name].tobytes()
        pieces = [whole[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        return np.array([each.decode("utf-8", "surrogatepass") for each in pieces])
    if form == "objects":
        return np.array(content, dtype=object)
    raise KeyError(form)


def _pack_parameter(value: Any) -> Any:
    """Return what stands in the JSON for a parameter; the state of a generator is not saved."""
    for kind, known in _PARTS.values():
        if isinstance(value, kind):
            return _pack_part(value, known)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        elements = [_pack_parameter(each) for each in value]
        return {"tuple": elements} if isinstance(value, tuple) else elements
    plain = value is None or isinstance(value, (bool, int, float, str))
    return value if plain else None


def _pack_part(part: Any, known: Mapping[str, Any]) -> Any:
    """Return the fields of a built-in part that are no functions; of any other part the name."""
    if part.name not in known:
        return part.name
    fields, default = part._asdict(), known[part.name]()._asdict()
    functions = [name for name in fields if callable(fields[name]) or callable(default[name])]
    if any(default[name] is not fields[name] for name in functions):
        raise ValueError(
            f"a {type(part).__name__} of your own cannot be saved under the name {part.name!r}, "
            "which is a built-in one's: give it another name"
        )
    return {"part": {name: each for name, each in fields.items() if name not in functions}}


def _unpack_parameter(key: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(value["tuple"])
    fields = {
        name: tuple(each) if isinstance(each, list) else each
        for name, each in value["part"].items()
    }
    part = _PARTS[key][1][str(fields["name"])]()
    fields.pop("rule", None)  # in files of before samplers carried their choice
    for name in fields:
        if callable(getattr(part, name)):
            raise ValueError(f"it sets the function {name!r} of {key}")
    return part._replace(**fields)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):  # a callback may note one in the history
        return value.item()
    raise TypeError(f"{value!r} cannot be saved: it is a {type(value).__name__}")
