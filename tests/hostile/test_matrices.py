"""Sparse matrices that lie about themselves, at every door: refused, never followed out of an array.

Their attributes can be set to anything after they were made, and SciPy does not look at them again. A
thorough run tries 2,000 of them, and 500 that are odd but honest and must give what they give as an ndarray.
"""

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from hostile.support import no_hang, outcome
from tripletrec.neural.nearest import nearest_negatives

FORMATS = ["csr", "csc", "bsr", "coo", "dia", "lil", "dok"]
DTYPES = [bool, np.int8, np.uint16, np.int64, np.float32, np.float64]
N_USERS, N_ITEMS = 30, 20


def make():
    return tr.MatrixFactorization(n_factors=4, n_epochs=1, n_jobs=1)


@pytest.fixture(scope="module")
def data():
    return tr.datasets.make_interactions(N_USERS, N_ITEMS, 150, random_state=0)


@pytest.fixture(scope="module")
def model(data):
    return make().fit(data)


@pytest.fixture(scope="module")
def doors(data, model):
    """What takes a matrix of users x items, and gives arrays."""
    users = np.arange(N_USERS)
    features = np.eye(N_ITEMS)
    return {
        "constructor": lambda M: tr.Interactions(M).tocsr().toarray(),
        "fit": lambda M: make().fit(M).user_factors_,
        "negatives": lambda M: make().fit(data, negatives=M).user_factors_,
        "validation": lambda M: make().fit(data, validation=M).user_factors_,
        "sample_weight": lambda M: make().fit(data, sample_weight=M).user_factors_,
        "exclude": lambda M: model.recommend(users, k=5, exclude=M)[1],
        "test": lambda M: tr.evaluate(model, M, None).mean.to_numpy(),
        "exclude of evaluate": lambda M: tr.evaluate(model, data, M).mean.to_numpy(),
        "auc": lambda M: np.array(tr.full_auc(model, M, None)),
        "dislikes": lambda M: nearest_negatives(data, features, M),
    }


# -------------------------------------------------------------------- lies


def place_in(array, rng):
    return int(rng.integers(len(array)))


def with_one(array, value, rng, dtype=None):
    changed = np.array(array, dtype)
    changed[place_in(changed, rng)] = value
    return changed


def as_words(array):
    return np.asarray(array).astype(str)


COMPRESSED = {
    "indptr": [
        lambda a, n, rng: a[:-1],
        lambda a, n, rng: np.append(a, a[-1]),
        lambda a, n, rng: a[:0],
        lambda a, n, rng: np.array([0, 2, 4], a.dtype),
        lambda a, n, rng: np.zeros(100_000, a.dtype),
        lambda a, n, rng: a + 1,
        lambda a, n, rng: a[::-1],
        lambda a, n, rng: np.append(a[:-1], 10**9),
        lambda a, n, rng: np.append(a[:-1].astype(np.uint64), np.uint64(2**64 - 1)),
        lambda a, n, rng: np.where(np.arange(len(a)) == 1, -1, a),
        lambda a, n, rng: np.where(np.arange(len(a)) == 1, 10**8, a),
        lambda a, n, rng: a.astype(float),
        lambda a, n, rng: a[None],
        lambda a, n, rng: as_words(a),
        lambda a, n, rng: None,
    ],
    "indices": [
        lambda a, n, rng: with_one(a, n, rng),
        lambda a, n, rng: with_one(a, -1, rng),
        lambda a, n, rng: with_one(a, 2**31 - 1, rng),
        lambda a, n, rng: with_one(a, -(2**31), rng),
        lambda a, n, rng: with_one(a, 2**62, rng, np.int64),
        lambda a, n, rng: with_one(a, 2**64 - 1, rng, np.uint64),
        lambda a, n, rng: a[:-1],
        lambda a, n, rng: a[:0],
        lambda a, n, rng: a[None],
        lambda a, n, rng: a.astype(float),
        lambda a, n, rng: as_words(a),
        lambda a, n, rng: np.ma.array(a, mask=with_one(0 * a, 1, rng)),
        lambda a, n, rng: None,
    ],
}
VALUES = [
    lambda a, wrong: a[:-1],
    lambda a, wrong: a[:0],
    lambda a, wrong: a[None],
    lambda a, wrong: as_words(a),
    lambda a, wrong: a * 1j,
    lambda a, wrong: np.full(a.shape, wrong),
    lambda a, wrong: np.full(a.shape, np.inf),
    lambda a, wrong: np.full(a.shape, 1e300),
    lambda a, wrong: np.full(a.shape, "a", object),
    lambda a, wrong: np.ma.array(a, mask=np.ones(a.shape, bool)),
    lambda a, wrong: None,
]
SHAPES = [("a", "b"), (3.5, 4), (N_USERS,), (N_USERS, N_ITEMS, 1), None, (-1, N_ITEMS), (0, 0), 5]


def choose(rng, options):
    return options[int(rng.integers(len(options)))]


def lie(matrix, rng, wrong=-1):
    """Change one attribute of a matrix so that it describes no matrix, or one of `wrong` values."""
    if rng.random() < 0.1:
        vars(matrix)["_shape"] = choose(rng, SHAPES)
    elif matrix.format in ("lil", "dok"):
        {"lil": lie_in_lists, "dok": lie_in_keys}[matrix.format](matrix, rng, wrong)
    elif rng.random() < 0.3:
        matrix.data = choose(rng, VALUES)(matrix.data, wrong)
    elif matrix.format in ("csr", "csc", "bsr"):
        attribute = choose(rng, list(COMPRESSED))
        width = matrix.blocksize[1] if matrix.format == "bsr" else 1
        n = matrix.shape[0] if matrix.format == "csc" else matrix.shape[1] // width
        change = choose(rng, COMPRESSED[attribute])
        setattr(matrix, attribute, change(getattr(matrix, attribute), n, rng))
    elif matrix.format == "coo":
        coordinates = [matrix.row, matrix.col]
        axis = int(rng.integers(2))
        change = choose(rng, COMPRESSED["indices"])
        coordinates[axis] = change(coordinates[axis], matrix.shape[axis], rng)
        set_coordinates(matrix, *coordinates[: int(rng.integers(1, 6))])
    else:
        matrix.offsets = choose(
            rng,
            [
                matrix.offsets.astype(float),
                matrix.offsets[:-1],
                np.append(matrix.offsets, 0),
                matrix.offsets[None],
                as_words(matrix.offsets),
                None,
            ],
        )


def set_coordinates(matrix, *coordinates):
    if hasattr(matrix, "coords"):
        matrix.coords = coordinates
    else:  # SciPy 1.12
        matrix.row, matrix.col = (*coordinates, None)[:2]


def lie_in_lists(matrix, rng, wrong):
    row = int(np.argmax([len(each) for each in matrix.rows]))
    lies = [
        lambda: matrix.rows[row].append(0),
        lambda: matrix.data[row].append(1),
        lambda: matrix.rows[row].__setitem__(0, choose(rng, [-1, N_ITEMS, 2**62, 0.5, "a", None])),
        lambda: matrix.data[row].__setitem__(0, choose(rng, [wrong, np.inf, "a", None, 1j])),
        lambda: matrix.rows.__setitem__(row, choose(rng, [None, (0,), "a", 5])),
        lambda: setattr(matrix, choose(rng, ["rows", "data"]), matrix.rows[:-1]),
        lambda: setattr(matrix, choose(rng, ["rows", "data"]), None),
        lambda: setattr(matrix, "rows", matrix.rows.reshape(1, -1)),
    ]
    choose(rng, lies)()


def lie_in_keys(matrix, rng, wrong):
    entries = vars(matrix)["_dict"]
    bad_keys = [(N_USERS, 0), (0, N_ITEMS), (-1, 0), (2**62, 1), (0.5, 0), (0,), "ab", (1, 2, 3), 7]
    if rng.random() < 0.7:
        entries[choose(rng, bad_keys)] = 1
    else:
        entries[next(iter(entries))] = choose(rng, [wrong, np.inf, "a", None, 1j])


# -------------------------------------------------------------------- what is odd, but honest


def oddly(array, rng):
    """The same whole numbers in another kind of array."""
    unsigned = [] if (array < 0).any() else [np.uint8, np.uint32, np.uint64]
    array = array.astype(choose(rng, [np.int16, np.int64, ">i4", object, *unsigned]))
    strided = np.repeat(array, 2)[::2]
    read_only = array.copy()
    read_only.flags.writeable = False
    return choose(rng, [array, strided, read_only, np.ma.array(array), array.tolist()])


def disguise(matrix, rng):
    """Change the attributes of a matrix, but not what it says."""
    if matrix.format in ("csr", "csc"):
        if rng.random() < 0.5:  # unused room behind the entries
            matrix.indices = np.append(matrix.indices, [99, 98])
            matrix.data = np.append(matrix.data.astype(float), [np.nan, -1.0, 7.0])
        for attribute in ("indptr", "indices"):
            setattr(matrix, attribute, oddly(getattr(matrix, attribute), rng))
    elif matrix.format == "coo":
        order = rng.permutation(matrix.nnz)
        matrix.data = matrix.data[order]
        set_coordinates(matrix, *(oddly(each[order], rng) for each in (matrix.row, matrix.col)))
    elif matrix.format == "dia":
        matrix.offsets = oddly(matrix.offsets, rng)


def matrix_for(door, data, rng):
    """Return a dense matrix that is right for a door: dislikes are no likes, weights are of likes."""
    liked = data.tocsr().toarray() > 0
    allowed = liked if door == "sample_weight" else ~liked
    chosen = allowed & (rng.random(allowed.shape) < choose(rng, [0.1, 0.5]))
    chosen[np.nonzero(allowed)[0][:3], np.nonzero(allowed)[1][:3]] = True
    return chosen * rng.integers(1, 4, chosen.shape)


def sparse_form(dense, rng):
    kind = choose(rng, [sp.csr_matrix, sp.csr_array])
    return kind(dense.astype(choose(rng, DTYPES))).asformat(choose(rng, FORMATS)).copy()


# -------------------------------------------------------------------- tests


def test_lying_matrices_are_refused_at_every_door(data, doors, many, rng):
    for number in range(many(1900)):
        door = choose(rng, list(doors))
        matrix = sparse_form(matrix_for(door, data, rng), rng)
        lie(matrix, rng)
        answer = outcome(doors[door], matrix)
        assert isinstance(answer, (ValueError, TypeError)), (number, door, matrix.format, answer)


def test_honest_matrices_are_what_they_say(data, doors, many, rng):
    for number in range(many(500)):
        door = choose(rng, list(doors))
        dense = matrix_for(door, data, rng)
        matrix = sparse_form(dense, rng)
        given = matrix.toarray()
        if door == "sample_weight":  # an array of weights has one for each interaction
            given = given[data.rows, data.indices]
        expected = outcome(doors[door], given)
        disguise(matrix, rng)
        with no_hang():
            np.testing.assert_array_equal(
                doors[door](matrix), expected, err_msg=f"{number} {door} {matrix.format}"
            )


def test_lying_features_are_refused(data, many, rng):
    for number in range(many(100)):
        matrix = sparse_form(rng.integers(1, 4, (N_USERS, N_ITEMS)), rng)
        lie(matrix, rng, wrong=np.nan)
        towers = tr.TwoTower(n_factors=2, user_layers=(), item_layers=(), n_epochs=1)
        answer = outcome(towers.fit, data, user_features=matrix)
        assert isinstance(answer, (ValueError, TypeError)), (number, matrix.format, answer)


def long_matrix(indptr):
    matrix = sp.csr_matrix((200_000, 50), dtype=np.float32)
    matrix.data = np.ones(4, np.float32)
    matrix.indices = np.arange(4, dtype=np.int32)
    matrix.indptr = np.array(indptr, np.int32)
    return matrix


@pytest.fixture(scope="module")
def long_model():
    data = tr.Interactions.from_arrays([0, 1, 2], [0, 1, 2], shape=(200_000, 50))
    return make().fit(data)


@pytest.mark.parametrize("indptr", [[0, 2, 4], [], [0] * 300_000 + [4]], ids=len)
def test_a_wrong_number_of_row_pointers(long_model, indptr):
    message = (
        rf"indptr must have one element more than .* shape \(200001,\), got \({len(indptr)},\)"
    )
    matrix = long_matrix(indptr)
    with pytest.raises(ValueError, match=f"exclude.{message}"):
        long_model.recommend(np.arange(0, 200_000, 7), k=3, exclude=matrix)
    with pytest.raises(ValueError, match=f"X.{message}"):
        make().fit(matrix)


def test_a_matrix_that_is_changed_after_it_was_checked(model, data):
    matrix = sp.csr_matrix(data.tocsr(), copy=True)
    shared = tr.Interactions(matrix)
    matrix.indices[3], matrix.indptr[5:] = 10**6, 10**6
    message = (
        "shares its indices with a matrix or a file that was changed: .* from 0 to 19, got 1000000"
    )
    for call in (
        lambda: make().fit(shared),
        lambda: make().fit(data, negatives=shared),
        lambda: model.recommend(0, exclude=shared),
        lambda: tr.evaluate(model, shared),
        lambda: tr.full_auc(model, data, shared),
        lambda: tr.splits.train_test_split(shared),
    ):
        assert isinstance(answer := outcome(call), ValueError)
        with pytest.raises(ValueError, match=message):
            raise answer
