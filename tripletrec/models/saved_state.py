"""What a saved model holds for `partial_fit`: optimizer state and known features; all else is in `saving`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.checks import check_length, check_pointers, check_positions

__all__ = ["OptimizerState", "pack_state", "take_state", "unpack_state"]

_PREFIX = "optimizer."
_LENGTHS = "lengths.0"  # see `tripletrec.training.histories`, which loading does without
_FEATURES = ("user_features", "item_features")
_PARTS = ("indptr", "indices", "data")  # of a CSR matrix, as SciPy calls them


class OptimizerState(NamedTuple):
    """The optimizer's state in brief, as trainings give it (``row_state``), and whose it is.

    Of parameter n of a model ``state.n`` has shape (n_rows, n_state, 1), of layers (1, n_state, n_weights),
    and ``step_counts.n`` shape (n_rows, n_step_counts). Rows that were appended since have none. Of users
    with a history ``lengths.0`` has the lengths of their own rows, shape (n_users, 1).
    """

    optimizer: str
    arrays: dict[str, NDArray[Any]]


def pack_state(model: Any, arrays: dict[str, NDArray[Any]]) -> dict[str, Any] | None:
    """Put what `partial_fit` goes on from into `arrays`; return what stands in the description.

    Raises
    ------
    ValueError
        If the model has no state.
    """
    if not model._learns_in_epochs:
        return None  # what goes on learning from its data alone
    kept = model._optimizer_state
    if kept is None:
        raise ValueError(
            "state must be False for a model from a file without state and for the one that a callback gets: "
            "there is none before the end of the next fit or partial_fit"
        )
    arrays.update({_PREFIX + name: each for name, each in kept.arrays.items()})
    features = [name for name in _FEATURES if getattr(model, f"_{name}") is not None]
    for name in features:
        matrix = getattr(model, f"_{name}")
        for part in _PARTS:
            arrays[f"{name}.{part}"] = getattr(matrix, part)
    return {"optimizer": kept.optimizer, "features": features}


def take_state(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Remove from the arrays of a file those that `pack_state` has put there, and return them."""
    ours = [name for name in arrays if name.startswith((_PREFIX, *(f"{x}." for x in _FEATURES)))]
    return {name: arrays.pop(name) for name in ours}


def unpack_state(value: Any, arrays: dict[str, NDArray[Any]], model: Any) -> None:
    """Give a model the state that a file holds, if it holds one.

    Parameters
    ----------
    value : object
        What the description of the file says of it.
    arrays : dict of ndarray
        From `take_state`; what is used is removed.
    model : estimator
        With all that was learnt.

    Raises
    ------
    ValueError, TypeError
        If it is not as `pack_state` wrote it.
    """
    if value is not None:
        if not model._learns_in_epochs:
            raise ValueError(f"state must be null for a {type(model).__name__}, got {shown(value)}")
        if not isinstance(value, dict) or value.keys() != {"optimizer", "features"}:
            raise ValueError(
                f"state must be null or name an optimizer and features, got {shown(value)}"
            )
        name, features = value["optimizer"], value["features"]
        if not isinstance(name, str):
            raise ValueError(f"optimizer must be a name, got {shown(name)}")
        if not isinstance(features, list) or [x for x in _FEATURES if x in features] != features:
            raise ValueError(f"features must be among {_FEATURES}, got {shown(features)}")
        model._optimizer_state = OptimizerState(name, _optimizer_arrays(arrays, model))
        for each in features:
            setattr(model, f"_{each}", _matrix(each, arrays, model))
    if arrays:
        raise ValueError(f"it holds an array that no model has: {shown(next(iter(arrays)))}")


def _optimizer_arrays(arrays: dict[str, NDArray[Any]], model: Any) -> dict[str, NDArray[Any]]:
    learnt, found = model._learnt_parameters(), dict[str, NDArray[Any]]()
    lengths: dict[str, set[int]] = {"state": set(), "step_counts": set()}
    for n, each in enumerate(learnt):
        for kind in lengths if each.ndim == 2 else ("state",):
            name = f"{kind}.{n}"
            array = arrays.pop(_PREFIX + name, None)
            if array is None:
                raise ValueError(f"it lacks the array {_PREFIX}{name}")
            _check_rows(name, array, each, n_axes=3 if kind == "state" else 2)
            lengths[kind].add(array.shape[1])
            found[name] = array
    row_lengths = arrays.pop(_PREFIX + _LENGTHS, None)  # of users with a history only
    if row_lengths is not None:
        if row_lengths.shape[1:] != (1,) or (row_lengths < 0).any():
            raise ValueError(f"{_LENGTHS} must be one number >= 0 for each row")
        _check_rows(_LENGTHS, row_lengths, learnt[0], n_axes=2)
        found[_LENGTHS] = row_lengths
    if any(len(each) != 1 for each in lengths.values()):
        raise ValueError("the optimizer's state must hold as many numbers for each parameter")
    return found


def _check_rows(name: str, array: NDArray[Any], learnt: NDArray[Any], *, n_axes: int) -> None:
    widths = (1, *learnt.shape[1:])
    known = array.ndim == n_axes and array.dtype == np.float32 and len(array) <= len(learnt)
    if not known or (n_axes == 3 and array.shape[2] not in widths):
        raise ValueError(
            f"{name} must be float32 rows of those of shape {learnt.shape}, got {array.dtype} {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def _matrix(name: str, arrays: dict[str, NDArray[Any]], model: Any) -> Any:
    """Return the encoded features of users or items; raise if kernels would be led astray by them."""
    from scipy.sparse import csr_matrix

    missing = [part for part in _PARTS if f"{name}.{part}" not in arrays]
    if missing:
        raise ValueError(f"it lacks the array {name}.{missing[0]}")
    indptr, indices, data = (arrays.pop(f"{name}.{part}") for part in _PARTS)
    word = name[:4]
    n_columns = getattr(model, f"{word}_encoding_", {}).get("n_columns", 0)
    n_most = getattr(model, f"n_{word}s_")
    n_rows = len(indptr) - 1
    if not 0 <= n_rows <= n_most:
        raise ValueError(f"{name} must have at most {n_most} rows, got {n_rows}")
    if data.dtype != np.float32 or not np.isfinite(data).all():
        raise ValueError(f"{name} must be finite float32 numbers, got {data.dtype}")
    indptr = check_pointers(indptr, n_rows, len(indices), name)
    check_positions(indices, name, n_columns)
    check_length(data, len(indices), name, "entry")
    return csr_matrix((data, indices, indptr), shape=(n_rows, n_columns))
