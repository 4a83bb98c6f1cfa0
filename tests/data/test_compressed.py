"""The arrays of interactions can neither be replaced nor written to, nor be damaged in a pickle."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from tripletrec.data.interactions import Interactions, as_interactions

DENSE = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 0, 4]])
ARRAYS = ["indptr", "indices", "values", "timestamps"]


@pytest.mark.parametrize("name", [*ARRAYS, "n_users", "n_items", "nnz", "rows"])
def test_nothing_can_be_replaced(name):
    data = Interactions(DENSE)
    with pytest.raises(AttributeError, match=f"{name}"):
        setattr(data, name, np.arange(3))


@pytest.mark.parametrize(
    "copied", [lambda x: x, copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_nothing_can_be_written_to(copied):
    data = copied(Interactions(DENSE, timestamps=[1, 2, 3, 4]))
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 1


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("indptr", lambda a: a[:-1], "indptr must have one element more"),
        ("indptr", lambda a: np.append(a[:-1], 99), "indptr ends at 99, beyond the 4 stored"),
        (
            "indptr",
            lambda a: np.append(a[:-1], 3),
            r"indices must be one per interaction: .* \(3,\)",
        ),
        ("indices", lambda a: a + 9, "indices must be < 4, got 12"),
        ("values", lambda a: a[:2], r"values must be one per interaction: expected shape \(4,\)"),
        ("timestamps", lambda a: a[:2], "timestamps must be one per interaction"),
        ("shape", lambda a: (3, 2), "indices must be < 2, got 3"),
    ],
)
def test_a_damaged_pickle(name, damage, message):
    data = Interactions(DENSE, timestamps=[1, 2, 3, 4])
    make, arguments, state = data.__reduce_ex__(2)[:3]
    rows = state["_rows"]
    state["_rows"] = rows._replace(**{name: damage(getattr(rows, name))})
    with pytest.raises(ValueError, match=message):
        make(*arguments).__setstate__(state)


def test_a_matrix_that_shares_its_indices_and_was_changed():
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    data = Interactions(matrix)
    assert as_interactions(data) is data
    for wrong in (4, -1, 2**31 - 1):
        matrix.indices[1] = wrong
        message = f"train shares its indices .*: they must be from 0 to 3, got {wrong}"
        with pytest.raises(ValueError, match=message):
            as_interactions(data, "train")
    matrix.indices[1] = 2
    matrix.indptr[:] = 10**6  # of these there is a copy, whatever their type
    assert as_interactions(data).rows.tolist() == [0, 0, 2, 2]


def test_64_bit_pointers_are_not_shared():
    matrix = sp.csr_matrix(DENSE.astype(np.float32))
    matrix.indptr = matrix.indptr.astype(np.int64)
    data = Interactions(matrix)
    matrix.indptr[:] = 10**6
    assert data.indptr.tolist() == [0, 2, 2, 4]
