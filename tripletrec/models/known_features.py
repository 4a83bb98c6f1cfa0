"""Features of old users and items and of new ones when `TwoTower` learns on; towers are in `towers`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from tripletrec.data.features import align, encode
from tripletrec.data.interactions import Interactions
from tripletrec.models.continuing import News
from tripletrec.models.towers import Columns, Encoded

__all__ = ["encode_all", "features_of"]


def features_of(columns: Columns) -> csr_matrix | None:
    """Return the encoded features of all users or items, or None if there are none."""
    n_columns = columns.encoding["n_columns"]
    return columns.matrix[:, :n_columns] if n_columns else None


def encode_all(
    known: csr_matrix | None, encoding: dict[str, Any], features: Any, news: News, word: str
) -> Encoded:
    """Return the features of all users or items: of old ones those that are known, of new ones those given.

    Parameters
    ----------
    known : csr_matrix or None
        Encoded features of the first users or items; None: they are not known.
    encoding : dict
        As `fit` learnt it.
    features : DataFrame, matrix or None
        Of those that are new in X.
    news : News
    word : {"user", "item"}
    """
    name, merger, X = f"{word}_features", news.merger, news.X
    every, rows = (
        (merger.users, merger.user_rows) if word == "user" else (merger.items, merger.item_rows)
    )
    shape = every.n, encoding["n_columns"]
    if not encoding["n_columns"]:
        if features is not None:
            raise ValueError(f"{name} must be None, for the model was fitted without")
        return Encoded(csr_matrix(shape, dtype=np.float32), encoding)
    if known is None:
        if features is None:
            raise ValueError(
                f"partial_fit needs {name} of all {word}s, old ones too, for they are not in the file that "
                "the model is from: give them, or save models with state=True"
            )
        aligned = align(features, every.values, _used(news.data, word), name)
        return Encoded(encode(encoding, aligned, name), encoding)
    old = vstack([known, csr_matrix((every.n - known.shape[0], shape[1]), dtype=np.float32)], "csr")
    new = rows >= known.shape[0]
    needed = new & _used(X, word)
    if features is None:
        if needed.any():
            raise ValueError(
                f"partial_fit needs {name} of the {word}s that are new in X, which are {needed.sum()}"
            )
        return Encoded(old, encoding)
    ids = X.user_ids if word == "user" else X.item_ids
    matrix = encode(encoding, align(features, ids, needed, name), name)[np.flatnonzero(new)]
    n_new = matrix.shape[0]
    place = csr_matrix(
        (np.ones(n_new, np.float32), (rows[new], np.arange(n_new))), (every.n, n_new)
    )
    return Encoded((old + place @ matrix).tocsr(), encoding)


def _used(data: Interactions, word: str) -> NDArray[np.bool_]:
    """Return which users or items have an interaction."""
    if word == "user":
        return np.diff(data.indptr) > 0
    return np.bincount(data.indices, minlength=data.n_items) > 0
