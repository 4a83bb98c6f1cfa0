"""Ids as JSON and arrays, and back."""

import numpy as np
import pytest

from tripletrec.data.id_packing import pack_ids_of, unpack_ids_of


def test_ids_are_arrays_and_a_form():
    arrays = {}
    assert pack_ids_of("ids", np.array(["a", "üb"]), arrays) == {"ids": "letters"}
    assert arrays["ids"].tolist() == [[97, 0], [252, 98]]
    assert unpack_ids_of("ids", {"ids": "letters"}, arrays).tolist() == ["a", "üb"] and not arrays
    assert pack_ids_of("ids", np.array(["a", "üb"], object), arrays) == {"ids": "str"}
    assert arrays["ids"].tobytes() == "aüb".encode() and arrays["ids.ends"].tolist() == [1, 4]
    found = unpack_ids_of("ids", {"ids": "str"}, arrays)
    assert found.tolist() == ["a", "üb"] and not arrays
    assert unpack_ids_of("ids", {"json": None}, {}) is None


@pytest.mark.parametrize("ends", [[], [1], [3, 2], [-1, 2], [1, 3], [2**63 - 1, -(2**63), 2]])
def test_ends_that_are_none(ends):
    arrays = {"ids": np.frombuffer(b"ab", np.uint8), "ids.ends": np.array(ends, np.int64)}
    with pytest.raises(ValueError, match="ends of ids must never fall, and the last be 2"):
        unpack_ids_of("ids", {"ids": "str"}, arrays)
