"""Ids that come in pieces: the same as of the whole column."""

import numpy as np
import pytest

from tripletrec.data.foreign import Dictionary
from tripletrec.data.ids import Ids
from tripletrec.data.numbering import Collected, Known, Numbers


def texts(numbers):
    found, codes = np.unique(numbers, return_inverse=True)
    return Dictionary(codes, np.array([f"u{each}" for each in found], object))


@pytest.mark.parametrize(
    "kind",
    [np.int64, np.int8, lambda each: each.astype(np.uint64) + np.uint64(2**63), np.float64,
     lambda each: each * 10**12, lambda each: (each * 10**9).astype("M8[s]"), texts],
    ids=["int64", "int8", "uint64", "float64", "far apart", "dates", "texts"],
)  # fmt: skip
def test_pieces_make_the_whole(rng, kind):
    numbers = rng.integers(30, size=100)
    pieces = [kind(each) for each in np.array_split(numbers, rng.integers(1, 9))]
    collected = Collected("who", "user")
    for piece in pieces:
        collected.add(piece)
    ids, counts = collected.sorted()
    distinct, expected = np.unique(numbers, return_counts=True)
    if kind is texts:
        order = np.argsort([f"u{each}" for each in distinct])
        distinct, expected = distinct[order], expected[order]
        assert ids.values.tolist() == [f"u{each}" for each in distinct]
    else:
        np.testing.assert_array_equal(ids.values, kind(distinct))
        assert ids.values.dtype == kind(distinct).dtype
    np.testing.assert_array_equal(counts, expected)
    numbered = np.concatenate([Numbers(ids, "who").rows(each) for each in pieces])
    assert numbered.dtype == np.int32
    np.testing.assert_array_equal(distinct[numbered], numbers)
    strangers = kind(np.array([numbers.min() - 1, numbers.max() + 1, 50]))
    assert Numbers(ids, "who").rows(strangers).tolist() == [-1, -1, -1]


def test_ids_that_are_known():
    known = Known(Ids(["b", "a"], 2, "user"), "who")
    assert known.rows(texts(np.array([1]))).tolist() == [-1]
    assert known.rows(np.array(["a", "c", "b"], object)).tolist() == [1, -1, 0]


def test_missing_ids_are_refused():
    with pytest.raises(ValueError, match="column 'who' has a missing id at position 1"):
        Collected("who", "user").add(np.array([1.0, np.nan]))


def test_floats_that_round_ids_are_refused_in_the_first_piece():
    with pytest.raises(ValueError, match="column 'who' must not be floats of"):
        Collected("who", "user").add(np.array([1.0, 2.0**60]))
