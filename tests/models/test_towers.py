"""What goes into TwoTower's towers and comes out: columns and groups, unseen rows, blocks."""

import copy
import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import interactions
from tripletrec.models import towers
from tripletrec.models.towers import infer_all, learn_columns, tower_shapes, unseen_input
from tripletrec.neural import Dense, FeatureEmbedding, Normalize, ReLU, Stack


@pytest.fixture(scope="module")
def data():
    """Five users of whom the last has no interaction."""
    matrix = sp.csr_matrix(interactions(4, 6, 12).tocsr())
    matrix.resize((5, 6))
    return tr.Interactions(matrix)


@pytest.fixture(scope="module")
def users():
    return pd.DataFrame({"country": ["x", "y", "x", "z", "y"], "age": [1.0, 2.0, 3.0, 4.0, 5.0]})


def test_columns_without_features_are_a_constant_and_own_factors(data):
    columns = learn_columns(None, None, data, "user", own=True, combine="sum")
    expected = np.column_stack((np.ones(5), np.diag([1, 1, 1, 1, 0])))
    np.testing.assert_array_equal(columns.matrix.toarray(), expected)
    assert columns.groups is None and columns.encoding["n_columns"] == 0


@pytest.mark.parametrize("own", [True, False])
def test_columns_of_features(data, users, own):
    columns = learn_columns(users, None, data, "user", own=own, combine="concatenation")
    n_columns = columns.encoding["n_columns"]
    assert columns.matrix.shape == (5, n_columns + 1 + (5 if own else 0))
    np.testing.assert_array_equal(columns.matrix[:, n_columns].toarray(), np.ones((5, 1)))
    assert len(columns.groups) == columns.matrix.shape[1]
    assert columns.groups[n_columns] == 0  # the constant's is that of the first
    assert len(set(columns.groups)) == (3 if own else 2)
    assert set(columns.groups[n_columns + 1 :]) <= {columns.groups.max()}


def test_wrong_columns(data, users):
    with pytest.raises(
        ValueError, match=r"own_factors=False needs features: fit\(X, user_features="
    ):
        learn_columns(None, None, data, "user", own=False, combine="sum")
    for empty in (users[[]], np.empty((5, 0))):
        with pytest.raises(
            ValueError, match="own_factors=False needs .*, got some without a column"
        ):
            learn_columns(empty, None, data, "user", own=False, combine="sum")
    with pytest.raises(ValueError, match="combine must be one of .*, got 'product'"):
        learn_columns(users, None, data, "user", own=True, combine="product")
    with pytest.raises(ValueError, match="item_features must have 6 rows, got 3"):
        learn_columns(np.ones((3, 2)), None, data, "item", own=True, combine="sum")


@pytest.mark.parametrize("combine", ["sum", "concatenation"])
def test_unseen_rows_are_read_as_known_ones_without_own_factors(data, users, combine, rng):
    columns = learn_columns(users, None, data, "user", own=True, combine=combine)
    table = rng.normal(size=(columns.matrix.shape[1], 3)).astype(np.float32)
    known = FeatureEmbedding(table, columns.matrix, columns.groups)
    unseen = unseen_input(columns.encoding, users, table, "user_features", known.width)
    assert unseen.width == known.width and unseen.n_rows == 5
    # The last user has no own factors either.
    np.testing.assert_array_equal(unseen.forward(np.array([4])), known.forward(np.array([4])))
    table[columns.encoding["n_columns"] + 1 :] = 0
    np.testing.assert_allclose(
        unseen.forward(np.arange(5)), known.forward(np.arange(5)), rtol=1e-6, atol=1e-7
    )
    with pytest.raises(ValueError, match="the model was fitted without user_features"):
        unseen_input({"n_columns": 0}, users, table, "user_features", known.width)


def test_all_rows_pass_a_tower_block_by_block(rng):
    n_rows = towers._ROWS + 3
    table = rng.normal(size=(n_rows, 2)).astype(np.float32)
    layer = FeatureEmbedding(table, sp.identity(n_rows, np.float32, format="csr"))
    stack = Stack([Dense.start(rng, 2, 3)])
    vectors = infer_all(layer, stack)
    assert vectors.shape == (n_rows, 3)
    rows = np.array([0, 1, towers._ROWS - 1, towers._ROWS, n_rows - 1])
    np.testing.assert_allclose(vectors[rows], stack.infer(layer.forward(rows)), rtol=1e-5)


@pytest.mark.parametrize("widths", [(16, 64), (9, 20, 1), (64, 33, 8)])
def test_a_row_has_the_same_bits_alone_and_among_any_others(widths, rng):
    layers = [Dense.start(rng, *pair) for pair in itertools.pairwise(widths)]
    stack = Stack([*layers[:1], ReLU(), *layers[1:], Normalize()])
    table = rng.normal(size=(600, widths[0])).astype(np.float32)
    all_rows = infer_all(FeatureEmbedding(table, sp.identity(600, np.float32, format="csr")), stack)
    for n in (*range(1, 201), 256, 257, 599):
        first = int(rng.integers(601 - n))
        some = slice(first, first + n)
        layer = FeatureEmbedding(table[some], sp.identity(n, np.float32, format="csr"))
        np.testing.assert_array_equal(infer_all(layer, stack), all_rows[some])


@pytest.fixture(scope="module")
def model(data):
    """A fitted model with features and layers on one side only."""
    features = pd.DataFrame({"kind": list("aabbcc"), "price": range(6)}).iloc[: data.n_items]
    model = tr.TwoTower(3, user_layers=(6,), combine="concatenation", n_epochs=1)
    return model.set_params(item_layers=(6,)).fit(data, item_features=features)


@pytest.fixture
def fitted(model):
    """Its attributes, to be modified."""
    return vars(copy.deepcopy(model))


def test_shapes_of_a_fitted_tower(fitted):
    for word, n in (("user", fitted["n_users_"]), ("item", fitted["n_items_"])):
        for name, shape in tower_shapes(word, n, fitted).items():
            assert fitted[name].shape == shape


@pytest.mark.parametrize(
    "change, message",
    [
        ({"item_widths_": [3, 5]}, r"item_widths_ must go from 3 \(or 9, concatenated\) to 6, got"),
        ({"item_widths_": [4, 6]}, "item_widths_ must go from 3"),
        ({"item_widths_": []}, "item_widths_ must be a list of integers >= 1"),
        ({"item_widths_": 9}, "item_widths_ must be a list of integers >= 1"),
        ({"item_widths_": [9, 6.0]}, "item_widths_ must be an integer >= 1"),
        ({"item_widths_": [9, True]}, "item_widths_ must be an integer >= 1"),
        (
            {"item_table_": np.ones((3, 3), np.float32)},
            "item_table_ must have 5 rows or more, got 3",
        ),
        ({"item_table_": np.ones(3, np.float32)}, "item_table_ must be a table with rows"),
        ({"user_factors_": np.ones((6, 0), np.float32)}, "user_factors_ must be a table with rows"),
        (
            {"item_encoding_": {"kind": "matrix", "n_columns": 10**9}},
            "must have 1000000001 rows or more",
        ),
        ({"item_encoding_": {"n_columns": 0}}, "item_encoding_ must say how"),
    ],
    ids=str,
)
def test_what_is_no_tower(change, message, fitted):
    with pytest.raises((ValueError, TypeError), match=message):
        tower_shapes("item", fitted["n_items_"], fitted | change)
