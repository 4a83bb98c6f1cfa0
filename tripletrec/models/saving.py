"""Fitted models as safetensors files, of arrays and JSON, no pickle.

A saved model holds the constructor's parameters, the fitted attributes, the ids and, if asked for, which
items each user had in training (see `saved_seen`) and what `partial_fit` goes on from (see `saved_state`).
Loading runs no code from the file. Both sides check the same: what `load` would refuse, `save` does not
write.
"""

from __future__ import annotations

import importlib
import json
from os import PathLike
from typing import IO, Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_flag
from tripletrec._runtime.files import displayed, mapped, reading, with_sentence, writing
from tripletrec._runtime.messages import shown, warn_user
from tripletrec._runtime.tensors import map_arrays, parse_json, read_arrays, write_arrays
from tripletrec.data.id_packing import pack_ids_of, unpack_ids_of
from tripletrec.models.packing import (
    is_own,
    is_part,
    pack_notes,
    pack_parameter,
    unpack_parameter,
)
from tripletrec.models.saved_seen import SEEN_ARRAYS, VALUES, pack_seen, unpack_seen
from tripletrec.models.saved_state import pack_state, take_state, unpack_state

__all__ = ["load", "save"]

Model = TypeVar("Model")

_FORMAT = 2  # 1 without values of what was seen: older versions load that
# The only classes that a file may name.
_MODELS = {
    "MLPMatcher": "tripletrec.models.mlp",
    "MatrixFactorization": "tripletrec.models.factorization",
    "TwoTower": "tripletrec.models.two_tower",
    "EASE": "tripletrec.models.ease",
    "Popularity": "tripletrec.models.popularity",
}
_IDS = ("user_ids_", "item_ids_")


def save(
    model: Any,
    path_or_file: str | PathLike[str] | IO[bytes],
    *,
    seen: bool = True,
    state: bool = False,
) -> None:
    """Write a fitted model; see ``MatrixFactorization.save``."""
    text, arrays = _describe(model, seen=seen, state=state)
    try:
        with writing(path_or_file) as file:
            write_arrays(file, arrays, {"tripletrec": text})
    except OSError as error:
        what = f"cannot write a model to {displayed(path_or_file)}"
        raise with_sentence(error, what) from error


@overload
def load(
    path_or_file: str | PathLike[str] | IO[bytes],
    mmap: Literal[False] = False,
    *,
    kind: type[Model],
) -> Model: ...


@overload
def load(path_or_file: str | PathLike[str], mmap: bool, *, kind: type[Model]) -> Model: ...


@overload
def load(
    path_or_file: str | PathLike[str] | IO[bytes],
    mmap: Literal[False] = False,
    *,
    kind: None = None,
) -> Any: ...


@overload
def load(path_or_file: str | PathLike[str], mmap: bool, *, kind: None = None) -> Any: ...


def load(path_or_file: Any, mmap: bool = False, *, kind: type[Any] | None = None) -> Any:
    """Read a model that was saved with ``model.save(path_or_file)``.

    Memory for three times what the file holds is needed at most. No file makes it run code, wait or take
    memory that the file's size does not explain. Whatever is not as `fit` leaves it is refused; only numbers
    that were changed into other finite numbers cannot be told.

    Parameters
    ----------
    path_or_file : path-like or binary file
        A regular file, or one that is open for reading: it is read to its end and stays open.
    mmap : bool, default False
        Whether arrays stay in the file, of which a path is needed then: they are read-only, read from the
        disk when they are needed and shared between the processes that have loaded it, so that loading takes
        no longer for a million items. Nor are they looked through for NaN, infinity and ids that are there
        twice. The file may be replaced meanwhile, as ``save`` does, but neither overwritten in place nor cut
        off.
    kind : class, default None
        What the model must be, such as ``MatrixFactorization``, which type checkers then know; None: whatever
        was saved.

    Returns
    -------
    MatrixFactorization, TwoTower, MLPMatcher, EASE or Popularity
        A fitted model of the class that was saved. Of a part of your own (such as a loss) only the name
        is restored: set the part, as in ``model.loss = loss``, before the model learns anything: before
        `fit`, `partial_fit`, and what new users' histories are given to. A scorer is needed before any
        answer, so that a warning tells if it is one of your own. ``seen_`` has no times; of a file that was
        saved with ``seen=False`` it is None.

    Raises
    ------
    OSError
        If there is no such file (``FileNotFoundError``), it cannot be read, or is not a regular one.
    TypeError
        If it is neither a path nor an open file, or one that gives text; with `mmap`, if it is no path; if
        `kind` is no class.
    ValueError
        If the file is damaged, is not a model of this package, of another class than `kind`, or of a newer
        version.

    See Also
    --------
    MatrixFactorization.save : writes such a file.

    Examples
    --------
    >>> import pathlib, tempfile, tripletrec as tr
    >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.safetensors")
    ...     tr.MatrixFactorization(n_epochs=1).fit(data).save(path)
    ...     tr.load(path).user_factors_.shape
    ...     tr.load(path, mmap=True).recommend(7, k=3)[0].shape
    (50, 64)
    (3,)
    """
    name = displayed(path_or_file)
    if not (kind is None or isinstance(kind, type)):
        raise TypeError(
            f"kind must be a class, such as MatrixFactorization, or None, got {shown(kind)}"
        )
    try:
        arrays, texts = (_mapped if check_flag(mmap, "mmap") else _read)(path_or_file, name)
    except OSError as error:
        raise with_sentence(error, f"cannot read a model from {name}") from error
    try:
        model, own_scorer = _rebuild(texts.get("tripletrec"), arrays, look_through=not mmap)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        reason = error if isinstance(error, (ValueError, TypeError)) else repr(error)
        raise ValueError(f"{name} does not hold a model of this tripletrec: {reason}") from None
    if kind is not None and not isinstance(model, kind):
        raise ValueError(f"{name} holds a {type(model).__name__}, not a {kind.__name__}")
    if own_scorer:
        warn_user(
            f"scorer {own_scorer!r} is one of your own, of which a file holds only the name: set it with "
            "model.set_params(scorer=...) before the model can answer",
        )
    return model


def _read(path_or_file: Any, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    with reading(path_or_file) as (file, size):
        try:
            return read_arrays(file, size)
        except ValueError as error:
            raise _unreadable(name, error) from None


def _mapped(path: Any, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    content = mapped(path)
    try:
        return map_arrays(content)
    except ValueError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: ValueError) -> ValueError:
    return ValueError(f"{name} is not a readable safetensors file: {error}")


def _describe(model: Any, *, seen: bool, state: bool) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return the description of a model and its arrays; raise if it could not be loaded again."""
    kind = type(model)
    if _MODELS.get(kind.__name__) != kind.__module__:
        raise TypeError(
            f"a {kind.__name__} cannot be saved, only a {', '.join(_MODELS)}: pickle it, or copy its "
            "fitted attributes to one of these"
        )
    try:
        model._check_learnt()
    except (ValueError, TypeError) as error:
        raise ValueError(f"the model cannot be saved: {error}") from error
    parameters = {}
    for name, value in model.get_params().items():
        parameters[name] = _parameter(kind, name, value)
    arrays: dict[str, NDArray[Any]] = {}
    fitted: dict[str, Any] = {}
    for name in model._learnt_names():
        fitted[name] = _pack(name, getattr(model, name), arrays)
    knows_seen = check_flag(seen, "seen") and pack_seen(model, arrays)
    description = {
        "format": _FORMAT if VALUES in arrays else 1,
        "class": kind.__name__,
        "parameters": parameters,
        "fitted": fitted,
        "seen": knows_seen,
        "state": pack_state(model, arrays) if check_flag(state, "state") else None,
    }
    try:
        return json.dumps(description), arrays
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"the model cannot be saved: {error}") from error


def _parameter(kind: Any, name: str, value: Any) -> Any:
    """Return what stands in the JSON for a parameter; in place of one that is not allowed, the default."""
    try:
        packed = pack_parameter(name, value)
        _check_alone(kind, name, packed)
    except TypeError as error:
        default = kind().get_params()[name]
        warn_user(
            f"{error}; as that was set after fit, the model is saved with the default, {name}={default!r}",
        )
        return pack_parameter(name, default)
    return packed


def _pack(name: str, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return what stands in the JSON for a fitted attribute; arrays go to `arrays`."""
    if name in _IDS:
        return pack_ids_of(name, value, arrays)
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"tensor": None}
    if name == "_companions":
        return {"json": {each: pack_parameter(each, value[each]) for each in value}}
    if name != "history_":
        return {"json": value}
    records, lost = pack_notes(value)
    if lost:
        warn_user(
            f"what callbacks noted in history_ as {', '.join(lost)} is not saved: only numbers, "
            "strings, None, and lists and dicts of these are",
        )
    return {"json": records}


def _rebuild(
    text: Any, arrays: dict[str, NDArray[Any]], look_through: bool
) -> tuple[Any, str | None]:
    """Return the model that a description and arrays are of, and the name of a scorer of one's own."""
    if not isinstance(text, str):
        raise ValueError("it has no description of one, so it is of another program")
    description = parse_json(text)
    name, parameters, fitted = _sections(description)
    model = _unfitted(getattr(importlib.import_module(_MODELS[name]), name), parameters)
    expected = model._learnt_names()
    unknown = [key for key in fitted if key not in expected]
    if unknown:
        raise ValueError(f"it holds an attribute that no model has: {shown(unknown[0])}")
    for key in expected:
        if key not in fitted:
            raise ValueError(f"it lacks the attribute {key}")
        setattr(model, key, _unpack(key, fitted[key], arrays))
    seen_arrays = {each: arrays.pop(each) for each in SEEN_ARRAYS if each in arrays}
    state_arrays = take_state(arrays)
    if arrays:
        raise ValueError(f"it holds an array that no model has: {shown(next(iter(arrays)))}")
    model._check_learnt(look_through)
    if "state" not in description:
        raise ValueError("its description does not say whether it holds a state")
    model.seen_ = unpack_seen(description.get("seen"), seen_arrays, model)
    unpack_state(description["state"], state_arrays, model)
    return model, parameters["scorer"]["own"] if is_own(parameters.get("scorer")) else None


def _sections(description: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the class, the parameters and the fitted attributes that a description has."""
    if not isinstance(description, dict):
        raise ValueError("its description is no JSON object")
    version, name = description.get("format"), description.get("class")
    if type(version) is not int or version < 1:
        raise ValueError(f"its format must be an integer >= 1, got {shown(version)}")
    if version > _FORMAT:
        raise ValueError("it was saved by a newer version, upgrade to load it")
    if not isinstance(name, str) or name not in _MODELS:
        raise ValueError(f"it holds a {shown(name)}, known are {', '.join(_MODELS)}")
    parameters, fitted = description.get("parameters"), description.get("fitted")
    if not isinstance(parameters, dict) or not isinstance(fitted, dict):
        raise ValueError("its parameters and fitted attributes must be JSON objects")
    return name, parameters, fitted


def _unpack(name: str, value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return a fitted attribute; what is taken from `arrays` is removed there."""
    if name in _IDS:
        return unpack_ids_of(name, value, arrays)
    if isinstance(value, dict) and value.keys() == {"json"}:
        content = value["json"]
        if name == "_companions" and isinstance(content, dict):
            return {each: unpack_parameter(each, content[each]) for each in content}
        return content
    if value != {"tensor": None} or name not in arrays:
        raise ValueError(f"{name} is {shown(value)}, without a value")
    return arrays.pop(name)


def _unfitted(kind: Any, parameters: dict[str, Any]) -> Any:
    """Return a model with the parameters that stand in the JSON; raise if one is not allowed.

    What is no parameter is passed over: it was one in an older version.
    """
    known = kind().get_params()
    missing = [name for name in known if name not in parameters]
    if missing:
        raise ValueError(f"it lacks the parameter {missing[0]}")
    return kind(**{name: _check_alone(kind, name, parameters[name]) for name in known})


def _check_alone(kind: Any, name: str, packed: Any) -> Any:
    """Return the parameter that stands in the JSON; raise TypeError if no fit of the class would take it.

    What goes together is for `fit` to say: a fitted model may have been given anything since.
    """
    errors: list[Exception] = []
    for beside in ({}, {"loss": "softmax"}):  # with a loss of lists more is allowed
        try:
            value = unpack_parameter(name, packed)
            if value is None or not is_part(name):
                kind(**{**beside, name: value})._check_parameters()
            return value
        except (ValueError, TypeError) as error:
            errors.append(error)
    raise TypeError(str(errors[0]))
