"""What goes into `TwoTower`'s towers, how they start to learn and what comes out of them.

Parameters and fitted attributes are in `two_tower`, layers, networks and trainings in `tripletrec.neural`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_flag
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.features import align, check_encoding, encode, groups_of, learn_encoding
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss
from tripletrec.models.fit_arguments import check_widths
from tripletrec.models.trained import width_of
from tripletrec.models.trained_network import count_weights
from tripletrec.neural.explained import divide
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.history import TowerMix
from tripletrec.neural.listwise import ListwiseTowers, NetworkListwiseTraining
from tripletrec.neural.nearest import nearest_negatives
from tripletrec.neural.networks import Towers
from tripletrec.neural.stack import Stack
from tripletrec.neural.triplet import NetworkTripletTraining
from tripletrec.training.plan import NetworkPlan

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = [
    "LEARNT",
    "Columns",
    "Encoded",
    "Tower",
    "check_towers",
    "infer_all",
    "learn_columns",
    "nobody",
    "start_training",
    "tower_shapes",
    "unseen_input",
]

# The fitted attributes of two towers.
LEARNT = tuple(
    f"{word}_{name}_"
    for name in ("factors", "table", "weights", "widths", "encoding")
    for word in ("user", "item")
) + ("item_biases_",)
_COMBINATIONS = ("sum", "concatenation")
_ROWS = 1 << 8  # through a tower at once
_NOTHING: dict[str, Any] = {"kind": "matrix", "n_columns": 0}


class Columns(NamedTuple):
    """What users, or items, are to a network: a sparse row each, and how their features were encoded.

    The columns are those of the features, a constant and, with own factors, one for each user or item.
    `groups` holds the group of each column; groups have their own places in the input of a tower. None: the
    factors of all columns are added up. `untold` are the columns of features that no row with interactions
    has: training says nothing of them.
    """

    matrix: csr_matrix
    groups: NDArray[np.int64] | None
    encoding: dict[str, Any]
    untold: NDArray[np.int64]


class Encoded(NamedTuple):
    """Features of all users, or of all items, that are encoded already: a sparse row each, and how."""

    matrix: csr_matrix
    encoding: dict[str, Any]


class Tower(NamedTuple):
    """The tower of users or of items: its columns, the layer that reads them, and the dense layers."""

    columns: Columns
    layer: FeatureEmbedding
    stack: Stack
    widths: list[int]


def learn_columns(
    features: Any, id: Any, data: Interactions, word: str, *, own: bool, combine: str
) -> Columns:
    """Encode the features of users or items, and add a constant and own factors.

    Parameters
    ----------
    features : table, sparse matrix, array, Encoded or None
    id : str or None
        The column of ids of a table.
    data : Interactions
        The encoding is learnt from the users or items that have interactions.
    word : {"user", "item"}
    own : bool
        Whether there are own factors.
    combine : {"sum", "concatenation"}
    """
    from scipy.sparse import csr_matrix, hstack  # here, because answers do without

    name = f"{word}_features"
    if features is None and id is not None:
        raise ValueError(f"{word}_id names a column of {name}, which is None: got {shown(id)}")
    _check_combine(combine)
    if word == "user":
        ids, used = data.user_ids, np.bincount(data.rows, minlength=data.n_users) > 0
    else:
        ids, used = data.item_ids, np.bincount(data.indices, minlength=data.n_items) > 0
    n = len(used)
    encoding, matrix = _NOTHING, csr_matrix((n, 0), dtype=np.float32)
    if isinstance(features, Encoded):
        matrix, encoding = features
    elif features is not None:
        aligned = align(features, ids, used, name, id)
        encoding = learn_encoding(aligned, np.flatnonzero(used), name)
        matrix = encode(encoding, aligned, name)
    if not own and not encoding["n_columns"]:
        found = "None" if features is None else "some without a column"
        raise ValueError(f"own_factors=False needs features: fit(X, {name}=...), got {found}")
    rows = np.flatnonzero(used)
    n_entries = np.bincount(matrix[rows].indices, minlength=matrix.shape[1])
    parts = [matrix, csr_matrix(np.ones((n, 1), np.float32))]
    if own:
        # A row without interactions has no own factors: they would stay as they started.
        entries = (np.ones(len(rows), np.float32), (rows, rows))
        parts.append(csr_matrix(entries, shape=(n, n)))
    groups = _groups(encoding, n if own else 0, combine)
    return Columns(hstack(parts, "csr"), groups, encoding, np.flatnonzero(n_entries == 0))


def start_training(
    plan: NetworkPlan,
    data: Interactions,
    weights: NDArray[np.float32] | None,
    given: Interactions | None,
    users: Tower,
    items: Tower,
    mix: TowerMix,
) -> NetworkTraining:
    """Return a training of two towers, by triplets or by lists as the loss of the plan says."""
    if isinstance(plan.loss, ListLoss):
        return _start_listwise(plan, plan.loss, data, weights, given, users, items, mix)
    network = Towers(users.layer, items.layer, users.stack, items.stack, plan.loss)
    drawn, nearest = np.flatnonzero(np.bincount(data.indices)), None
    if plan.sampler.by_features:
        nearest = _nearest_negatives(items.columns, data, given, drawn)
    return NetworkTripletTraining(
        plan, network, data, weights, given, partial(_fitted_arrays, network, users, items),
        items=drawn, nearest=nearest,
    )  # fmt: skip


def _start_listwise(
    plan: NetworkPlan,
    loss: ListLoss,
    data: Interactions,
    weights: NDArray[np.float32] | None,
    given: Interactions | None,
    users: Tower,
    items: Tower,
    mix: TowerMix,
) -> NetworkListwiseTraining:
    network = ListwiseTowers(
        users.layer,
        items.layer,
        users.stack,
        items.stack,
        loss,
        loss.temperature or 1.0,
        data,
        plan.sampler,
        mix,
        given,
    )
    n_items = len(network.candidates.items)
    if plan.n_negatives > n_items:
        raise ValueError(
            f"n_negatives must be at most the number of items with a positive ({n_items}) with "
            f"loss {loss.name!r}, got {plan.n_negatives}"
        )
    if given is not None and plan.sampler.share > 0.0:
        _warn_of_left_out(loss, given.nnz - len(network.given.indices), given.nnz)
    arrays = partial(_fitted_arrays, network, users, items)
    return NetworkListwiseTraining(plan, network, data, weights, arrays)


def _warn_of_left_out(loss: ListLoss, n_left_out: int, n_given: int) -> None:
    if n_left_out:
        warn_user(
            f"{n_left_out} of {n_given} negatives are not learnt from: nobody has their items, and loss "
            f"{loss.name!r} compares only items that have a positive: leave them out, or take a loss of "
            "triplets, such as 'bpr'"
        )


def _nearest_negatives(
    items: Columns, data: Interactions, given: Interactions | None, drawn: NDArray[np.integer]
) -> NDArray[np.int32]:
    n_columns = items.encoding["n_columns"]
    if not n_columns:
        raise ValueError("sampler 'nearest' needs features: fit(X, item_features=...)")
    return nearest_negatives(data, items.matrix[:, :n_columns], given, items=drawn)


def unseen_input(
    encoding: dict[str, Any], features: Any, table: NDArray[np.float32], name: str, width: int
) -> FeatureEmbedding:
    """Return the input of a tower for users or items that training has not seen.

    Parameters
    ----------
    encoding : dict
        As it was learnt.
    features : as in `fit`
        Of the n new users or items, which have no own factors.
    table : float32 array of shape (n_columns, n_factors)
        Factors of all columns, as they were learnt.
    name : {"user_features", "item_features"}
    width : int
        Of the tower's first layer, which tells whether factors are summed or concatenated.
    """
    from scipy.sparse import csr_matrix, hstack

    if not encoding["n_columns"]:
        raise ValueError(f"the model was fitted without {name}")
    matrix = encode(encoding, features, name)
    n_rows, n_known = matrix.shape[0], matrix.shape[1] + 1
    n_own = len(table) - n_known
    combine = "sum" if width == table.shape[1] else "concatenation"
    constant = csr_matrix(np.ones((n_rows, 1), np.float32))
    rows = hstack([matrix, constant, csr_matrix((n_rows, n_own))], "csr")
    return FeatureEmbedding(table, rows, _groups(encoding, n_own, combine))


def nobody(encoding: dict[str, Any], table: NDArray[np.float32], width: int) -> FeatureEmbedding:
    """Return the input of a tower for one user (or item) of whom nothing is known: the constant alone.

    Parameters
    ----------
    encoding, table, width
        As of `unseen_input`.
    """
    from scipy.sparse import csr_matrix

    constant = encoding["n_columns"]
    row = csr_matrix(([np.float32(1.0)], ([0], [constant])), shape=(1, len(table)))
    combine = "sum" if width == table.shape[1] else "concatenation"
    return FeatureEmbedding(table, row, _groups(encoding, len(table) - constant - 1, combine))


def check_towers(parameters: dict[str, Any]) -> None:
    """Raise unless these parameters of `TwoTower` make towers, as far as it can be told without data."""
    check_count(parameters["n_factors"], "n_factors")
    for name in ("user_layers", "item_layers"):
        check_widths(parameters[name], name)
    check_flag(parameters["own_factors"], "own_factors")
    _check_combine(parameters["combine"])


def _check_combine(combine: Any) -> None:
    if not isinstance(combine, str) or combine not in _COMBINATIONS:
        raise ValueError(f"combine must be one of {_COMBINATIONS}, got {shown(combine)}")


def tower_shapes(word: str, n: int, attributes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the arrays of a fitted tower must have; raise if it cannot be one.

    Parameters
    ----------
    word : {"user", "item"}
    n : int
        Users, or items.
    attributes : dict
        Of the fitted model.
    """
    encoding, table, widths = (
        attributes[f"{word}_{name}_"] for name in ("encoding", "table", "widths")
    )
    check_encoding(encoding, f"{word}_encoding_")
    n_factors = width_of(table, f"{word}_table_")
    n_outputs = width_of(attributes["user_factors_"], "user_factors_")
    n_weights = count_weights(widths, f"{word}_widths_")
    n_known = encoding["n_columns"] + 1
    if n_known > len(table):
        raise ValueError(f"{word}_table_ must have {n_known} rows or more, got {len(table)}")
    n_own = n if len(table) > n_known else 0
    n_groups = int(_separate_groups(encoding, n_own).max(initial=0)) + 1
    inputs = n_factors, n_factors * n_groups
    if widths[0] not in inputs or widths[-1] != n_outputs:
        raise ValueError(
            f"{word}_widths_ must go from {inputs[0]} (or {inputs[1]}, concatenated) to {n_outputs}, "
            f"got {shown(widths)}"
        )
    return {
        f"{word}_factors_": (n, n_outputs),
        f"{word}_weights_": (n_weights,),
        f"{word}_table_": (n_known + n_own, n_factors),
    }


def infer_all(layer: FeatureEmbedding, stack: Stack) -> NDArray[np.float32]:
    """Return what a tower gives for all rows of its input: the same bits for a row alone and among others."""
    return _infer(layer, stack, np.arange(layer.n_rows))


def _infer(layer: FeatureEmbedding, stack: Stack, rows: NDArray[np.integer]) -> NDArray[np.float32]:
    blocks = []
    for first in range(0, max(len(rows), 1), _ROWS):
        x = layer.forward(rows[first : first + _ROWS])
        # The order in which BLAS adds depends on the size of a product, so all blocks are of one.
        whole = np.zeros((_ROWS, layer.width), x.dtype)
        whole[: len(x)] = x
        blocks.append(stack.infer(whole)[: len(x)])
    return np.concatenate(blocks)


def _fitted_arrays(network: Towers, users: Tower, items: Tower) -> tuple[NDArray[Any], ...]:
    """Return vectors, factors of columns and weights of layers, each of users and of items; then biases."""
    (of_users, user_table), (of_items, item_table) = _fitted(users), _fitted(items)
    biases = np.zeros(len(of_items), np.float32)
    if isinstance(network, ListwiseTowers):
        biases = network.biases_of_scores()
        if network.histories is not None:
            of_users = network.histories.mix_all(of_users, of_items)
    weights = users.stack.flat[0], items.stack.flat[0]
    return of_users, of_items, user_table, item_table, *weights, biases


def _fitted(tower: Tower) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what a tower gives for all rows, and its factors of columns: features explain what they can."""
    layer, stack, columns = tower.layer, tower.stack, tower.columns
    vectors = infer_all(layer, stack)
    n_features = columns.encoding["n_columns"]
    n_known, n_all = n_features + 1, columns.matrix.shape[1]
    if n_features == 0 or n_known == n_all or columns.groups is not None:
        return vectors, layer.table
    table = divide(layer.arrays, n_known)
    unseen = np.flatnonzero(np.diff(columns.matrix[:, n_known:].indptr) == 0)
    vectors[unseen] = _infer(layer.with_table(table), stack, unseen)
    return vectors, table


def _groups(encoding: dict[str, Any], n_own: int, combine: str) -> NDArray[np.int64] | None:
    """Return the group of each column, the constant's being that of the first; None: one for all."""
    return None if combine == "sum" else _separate_groups(encoding, n_own)


def _separate_groups(encoding: dict[str, Any], n_own: int) -> NDArray[np.int64]:
    groups = groups_of(encoding)
    own = np.full(n_own, int(groups.max(initial=-1)) + 1)
    return np.concatenate([groups, [0], own])
