"""Approximate indexes of other libraries over item vectors; exact lists are in `ranking`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._runtime.files import displayed, replacing, with_sentence
from tripletrec._runtime.messages import said_by, shown

__all__ = ["build", "check_kind"]

Vectors = NDArray[np.float32]


_FIRST = 1024  # items of an index


def _usearch(vectors: Vectors, n_neighbors: int, depth: int) -> tuple[Any, Callable[[str], Any]]:
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=n_neighbors,
        expansion_add=depth, expansion_search=depth,
    )  # fmt: skip
    # Threads that begin with an empty graph may leave items there to which no way leads: one in a hundred
    # builds lost some of them from all lists. So one thread adds the first ones.
    rows = np.arange(len(vectors))
    try:
        index.add(rows[:_FIRST], vectors[:_FIRST], threads=1)
        if len(rows) > _FIRST:
            index.add(rows[_FIRST:], vectors[_FIRST:])
    except RuntimeError as error:
        if "terminated" in str(error):  # what it makes of Ctrl-C
            raise KeyboardInterrupt from None
        raise
    return index, index.save


def _hnswlib(vectors: Vectors, n_neighbors: int, depth: int) -> tuple[Any, Callable[[str], Any]]:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(len(vectors), M=n_neighbors, ef_construction=depth)
    index.add_items(vectors, np.arange(len(vectors)))
    index.set_ef(depth)

    def save(path: str) -> None:
        index.save_index(path)
        written, size = os.path.getsize(path), index.index_file_size()
        if written < size:  # as on a full disk, of which it says nothing
            raise OSError(f"only {written} of {size} bytes could be written")

    return index, save


def _faiss(vectors: Vectors, n_neighbors: int, depth: int) -> tuple[Any, Callable[[str], Any]]:
    import faiss

    index = faiss.IndexHNSWFlat(vectors.shape[1], n_neighbors, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = index.hnsw.efSearch = depth
    index.add(vectors)
    return index, lambda path: faiss.write_index(index, path)


_KINDS = {
    "usearch": (_usearch, "usearch"),
    "hnswlib": (_hnswlib, "hnswlib"),
    "faiss": (_faiss, "faiss-cpu"),
}


def check_kind(kind: Any) -> None:
    """Raise ValueError unless there is such an index."""
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, _KINDS))}, got {shown(kind)}")


def build(
    kind: str,
    vectors: Vectors,
    path: str | os.PathLike[str] | None,
    n_neighbors: Any,
    depth: Any,
) -> Any:
    """Return an index of a kind, and save it; see ``MatrixFactorization.to_index``."""
    make, package = _KINDS[kind]
    n_neighbors, depth = check_count(n_neighbors, "n_neighbors", 2), check_count(depth, "depth")
    try:
        index, save = make(np.ascontiguousarray(vectors), n_neighbors, depth)
    except ImportError as error:
        raise ImportError(f"kind {kind!r} needs its library: pip install {package}") from error
    if path is not None:
        try:
            with replacing(path) as temporary:
                save(os.fspath(Path(temporary)))
        except (OSError, RuntimeError) as error:  # of the library
            known = error if isinstance(error, OSError) else OSError(said_by(error))
            raise with_sentence(known, f"cannot write an index to {displayed(path)}") from error
    return index
