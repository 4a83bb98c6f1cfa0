"""Layers, factors of features, networks: gradients against central differences, and naive twins."""

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import run_python
from tripletrec import losses, optimizers, sampling
from tripletrec.neural import (
    Dense,
    Dropout,
    FeatureEmbedding,
    Layer,
    Normalize,
    ReLU,
    Softmax,
    Stack,
)
from tripletrec.neural.negatives import Negatives
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.neural.pair_scores import score_catalogue
from tripletrec.neural.row_optimizer import RowOptimizer


def normal(rng, *shape):
    return rng.normal(size=shape)


def dense(rng, n_inputs, n_outputs):
    return Dense(normal(rng, n_inputs, n_outputs), normal(rng, n_outputs))


def check_gradient(value, arrays, gradients, rng, step=1e-6):
    """Compare with central differences in random directions."""
    for array, gradient in zip(arrays, gradients, strict=True):
        for _ in range(3):
            direction, start, sides = rng.normal(size=array.shape), array.copy(), []
            for sign in (1, -1):
                array[...] = start + sign * step * direction
                sides.append(value())
            array[...] = start
            slope = (sides[0] - sides[1]) / (2 * step)
            assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-7)


LAYERS = {
    "dense": lambda rng: dense(rng, 5, 3),
    "dense to one": lambda rng: dense(rng, 5, 1),
    "relu": lambda rng: ReLU(),
    "softmax": lambda rng: Softmax(),
    "normalize": lambda rng: Normalize(),
    "stack": lambda rng: Stack([dense(rng, 5, 4), ReLU(), dense(rng, 4, 3), Softmax()]),
    "empty stack": lambda rng: Stack([]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_against_central_differences(name):
    rng = np.random.default_rng()
    layer, x = LAYERS[name](rng), normal(rng, 7, 5)
    into = normal(rng, *layer.forward(x).shape)  # dL/dy of L = Σ into * y

    def value():
        return (layer.infer(x) * into).sum()

    np.testing.assert_allclose(layer.forward(x), layer.infer(x))
    gradient = layer.backward(into)
    check_gradient(value, [x, *layer.parameters], [gradient, *layer.gradients], rng)
    layer.forward(x)
    before = [each.copy() for each in layer.gradients]
    layer.backward(into)
    for once, twice in zip(before, layer.gradients, strict=True):
        np.testing.assert_allclose(2 * once, twice)  # backward adds


def test_dropout():
    rng = np.random.default_rng()
    layer, x = Dropout(0.3, seed=5), np.ones((200, 100), np.float32)
    first, second = layer.forward(x), layer.forward(x)
    again = Dropout(0.3, seed=5)
    np.testing.assert_array_equal(again.forward(x), first)
    assert (first != second).any()
    for y in (first, second):
        assert set(np.unique(y)) == {np.float32(0.0), np.float32(1.0 / 0.7)}
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.02)
        assert (y == 0).mean(axis=0).std() < 0.06  # no column, no row is special
        assert (y == 0).mean(axis=1).std() < 0.08
    g = rng.normal(size=x.shape).astype(np.float32)
    np.testing.assert_allclose(again.backward(g), g * first)
    np.testing.assert_array_equal(layer.infer(x), x)
    with pytest.raises(ValueError, match="rate"):
        Dropout(1.0)


def test_masks_of_different_calls_are_independent():
    layer, x = Dropout(0.5, seed=1), np.ones((64, 64), np.float32)
    masks = [layer.forward(x).ravel() > 0 for _ in range(40)]
    agreement = [np.mean(a == b) for a, b in zip(masks, masks[1:], strict=False)]
    assert np.abs(np.array(agreement) - 0.5).max() < 0.05


def test_softmax_and_normalize_are_safe():
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        np.testing.assert_allclose(Softmax().infer(np.array([[1e4, 0.0]])), [[1.0, 0.0]])
        layer = Normalize()
        assert (layer.forward(np.zeros((1, 3))) == 0).all()
        assert (layer.backward(np.ones((1, 3))) == 0).all()


def test_a_stack_keeps_its_parameters_in_one_array():
    rng = np.random.default_rng(0)
    layers = [dense(rng, 3, 2), ReLU(), dense(rng, 2, 1)]
    weights = [each.copy() for layer in layers for each in layer.parameters]
    stack = Stack(layers)
    np.testing.assert_array_equal(stack.flat[0], np.concatenate([w.ravel() for w in weights]))
    stack.flat[...] = 0.0
    assert not layers[0].weights.any()
    assert stack.dense == [layers[0], layers[2]]


def all_kinds(rng, seed):
    """All kinds of layers, single outputs and activations without a dense layer among them."""
    real = np.float32
    return [
        Dropout(0.3, seed),
        Dense(rng.normal(size=(5, 6)).astype(real), rng.normal(size=6).astype(real)),
        ReLU(),
        Dropout(0.2, seed + 1),
        Softmax(),
        Dense(rng.normal(size=(6, 1)).astype(real), rng.normal(size=1).astype(real)),
        Dense(rng.normal(size=(1, 4)).astype(real)),
        ReLU(),
        Normalize(),
        ReLU(),
    ]


@pytest.mark.parametrize("n_layers", range(1, 11))
def test_a_stack_is_its_layers_one_by_one(n_layers):
    seed, key = (int(each) for each in np.random.default_rng().integers(0, 2**32, 2))
    alone, together = (all_kinds(np.random.default_rng(key), seed)[:n_layers] for _ in range(2))
    stack, rng = Stack(together), np.random.default_rng(key)
    for n_rows in (7, 9, 3):  # scratch grows, and is used in part
        x = rng.normal(size=(n_rows, 5)).astype(np.float32)
        y = x
        for layer in alone:
            y = layer.forward(y)
        np.testing.assert_allclose(stack.forward(x), y, rtol=1e-4, atol=1e-5)
        expected = gradient = rng.normal(size=y.shape).astype(np.float32)
        for layer in reversed(alone):
            expected = layer.backward(expected)
        np.testing.assert_allclose(stack.backward(gradient), expected, rtol=1e-3, atol=1e-4)
    flat = [each.ravel() for layer in alone for each in layer.gradients]
    if flat:
        np.testing.assert_allclose(stack.flat_gradient[0], np.concatenate(flat), 1e-3, 1e-4)


def test_a_stack_forgets_rows_without_gradient():
    rng = np.random.default_rng()
    stack, x = Stack([dense(rng, 4, 3), ReLU(), dense(rng, 3, 2)]), rng.normal(size=(8, 4))
    kept = np.flatnonzero(rng.random(8) < 0.5).astype(np.int32)
    gradient = np.zeros((8, 2))
    gradient[kept] = rng.normal(size=(len(kept), 2))
    stack.forward(x)
    everything = stack.backward(gradient)
    parameters = stack.flat_gradient.copy()
    stack.flat_gradient[...] = 0.0
    moved = x.copy()
    stack.run(moved)
    moved[: len(kept)] = moved[kept]
    stack.keep(kept)
    into = stack.run_back(gradient[kept])
    np.testing.assert_allclose(into, everything[kept], atol=1e-12)
    np.testing.assert_allclose(stack.flat_gradient, parameters, atol=1e-12)


def test_a_stack_refuses_what_it_cannot_run():
    with pytest.raises(TypeError, match="a stack takes the layers of this package"):
        Stack([Layer()])


def features(rng, n=6, n_columns=8):
    return sp.random(n, n_columns, 0.4, format="csr", random_state=rng) + sp.csr_matrix(
        (np.ones(n), (np.arange(n), np.arange(n))), shape=(n, n_columns)
    )


@pytest.mark.parametrize("concatenate", [False, True])
def test_feature_embedding(concatenate):
    rng = np.random.default_rng()
    matrix, table = features(rng).tocsr(), normal(rng, 8, 3)
    groups = np.array([0, 0, 1, 1, 1, 2, 2, 2])
    layer = FeatureEmbedding(table, matrix, groups if concatenate else None)
    rows, dense_rows = rng.integers(0, 6, 9), matrix.toarray()
    parts = [groups == g for g in range(3)] if concatenate else [groups >= 0]
    expected = np.concatenate([dense_rows[rows][:, p] @ table[p] for p in parts], axis=1)
    np.testing.assert_allclose(layer.forward(rows), expected)
    assert layer.width == expected.shape[1]
    into = normal(rng, *expected.shape)
    layer.backward(rows, into)
    check_gradient(lambda: (layer.forward(rows) * into).sum(), [table], layer.gradients, rng)
    assert set(layer.met) == set(np.flatnonzero(dense_rows[rows].any(axis=0)))
    before = layer.gradient.copy()
    layer.backward(rows, np.zeros_like(into), 0.5)
    times = (dense_rows[rows] != 0).sum(axis=0)[:, None]
    np.testing.assert_allclose(layer.gradient - before, 0.5 * times * table)


def embedding(rng, n, width):
    return FeatureEmbedding(normal(rng, n, width), sp.identity(n, format="csr"))


def perceptron(rng, loss):
    trunk = Stack([dense(rng, 7, 6), ReLU(), dense(rng, 6, 4), ReLU(), dense(rng, 4, 1)])
    return PairPerceptron(embedding(rng, 5, 3), embedding(rng, 9, 4), trunk, loss)


def towers(rng, loss):
    towers = Stack([dense(rng, 3, 4)]), Stack([dense(rng, 4, 5), ReLU(), dense(rng, 5, 4)])
    return Towers(embedding(rng, 5, 3), embedding(rng, 9, 4), *towers, loss)


@pytest.mark.parametrize(
    "loss", [losses.BPR, losses.SIGMOID, losses.hinge(0.7)], ids=lambda x: x.name
)
@pytest.mark.parametrize("build", [perceptron, towers])
def test_networks_against_central_differences(build, loss):
    rng = np.random.default_rng()
    network = build(rng, loss)
    users, weights = rng.integers(0, 5, 8), rng.uniform(0.5, 2.0, 8)
    positives, negatives = rng.integers(0, 9, 8), rng.integers(0, 9, 8)
    l2 = (0.1, 0.2)

    def value():
        x = network.scores(users, positives) - network.scores(users, negatives)
        parameters = loss.parameters
        # The losses of the package are of float32; smooth enough for a wide step.
        total = sum(
            w * float(loss.value(each, parameters)) for w, each in zip(weights, x, strict=True)
        )
        U, V = network.users.table, network.items.table
        penalty = l2[0] * (U[users] ** 2).sum() + l2[1] * (V[positives] ** 2).sum()
        return total / 8 + (penalty + l2[1] * (V[negatives] ** 2).sum()) / 2

    totals = np.zeros(3)
    network.step(users, positives, negatives, weights, l2, totals)
    assert totals[2] == pytest.approx(weights.sum())
    for array, gradient in zip(network.parameters, network.gradients, strict=True):
        direction, start, sides = rng.normal(size=array.shape), array.copy(), []
        direction /= np.linalg.norm(direction)
        for sign in (1, -1):
            array[...] = start + sign * 1e-4 * direction
            sides.append(value())
        array[...] = start
        slope = (sides[0] - sides[1]) / 2e-4
        assert (gradient * direction).sum() == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_a_step_counts():
    """Losses, right orders and weights, of scores that are the products of single factors."""
    columns = [np.ones((3, 1)), np.array([[2.0], [0.0], [1.0], [0.5], [0.0], [3.0]])]
    columns = [each.astype(np.float32) for each in columns]
    sides = (FeatureEmbedding(x, sp.identity(len(x), format="csr")) for x in columns)
    network = Towers(*sides, Stack([]), Stack([]), losses.hinge(), mean=False)
    totals = np.zeros(3)
    network.step(np.arange(3), np.arange(3), np.arange(3, 6), None, (0.0, 0.0), totals)
    np.testing.assert_allclose(network.items.gradient[:, 0], [0, -1, -1, 0, 1, 1])
    np.testing.assert_allclose(totals, [0 + 1 + 3, 1.5, 3])


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_rows_move_as_a_naive_twin(name):
    """Each row met moves once by the optimizer's own rule; all others stay."""
    rng, optimizer = np.random.default_rng(), optimizers.OPTIMIZERS[name]()
    table = rng.normal(size=(4, 3)).astype(np.float32)
    twin = np.zeros((4, 1 + len(optimizer.state), 3), np.float32)
    twin[:, 0] = table
    twin[:, 1:] = np.array(optimizer.state, np.float32)[:, None]
    step_counts = np.tile(np.array(optimizer.step_counts, np.float32), (4, 1))
    parameters = tuple(map(np.float32, optimizer.parameters))
    moving, gradient = RowOptimizer(optimizer, 0.1, [table], [0.01]), np.zeros_like(table)
    for _ in range(5):
        rows = rng.integers(0, 4, 3)
        gradient[rows] = rng.normal(size=(3, 3))
        for row in set(rows.tolist()):
            rate = optimizer.step(step_counts, row, np.float32(0.1), parameters)
            for k in range(3):
                at, l2 = row * twin[0].size + k, np.float32(0.01)
                optimizer.update(twin.reshape(-1), at, 3, gradient[row, k], l2, rate, parameters)
        moving.update([gradient], [rows])
        assert not gradient.any()
        np.testing.assert_allclose(table, twin[:, 0], rtol=1e-5, atol=1e-6)


def test_tables_moved_as_a_whole_take_the_mean():
    one, two = np.ones((2, 2), np.float32), np.ones((2, 2), np.float32)
    gradients = [np.ones((2, 2), np.float32) for _ in range(2)]
    RowOptimizer(optimizers.SGD, 1.0, [one, two]).update(gradients, [np.arange(2), None], 4)
    assert (one == 0.0).all()
    assert (two == 0.75).all()


@pytest.mark.parametrize("final_relu", [False, True])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 5), (6, 5, 4)], ids=str)
def test_catalogue_equals_pair_by_pair(hidden, final_relu):
    rng = np.random.default_rng()
    widths = [7, *hidden, 1]
    layers = []
    for n_inputs, n_outputs in zip(widths, widths[1:], strict=False):
        layers += [Dropout(0.5), dense(rng, n_inputs, n_outputs), ReLU()]
    stack = Stack(layers if final_relu else layers[:-1])
    U, V = normal(rng, 5, 3), normal(rng, 9, 4)
    scores = score_catalogue(stack, U, V)(np.array([4, 0, 4]))
    for r, user in enumerate((4, 0, 4)):
        for item in range(9):
            pair = np.concatenate([U[user], V[item]])[None]
            assert scores[r, item] == pytest.approx(stack.infer(pair)[0, 0], abs=1e-9)


def test_negatives_are_unseen_and_from_the_items_given():
    data = tr.datasets.make_interactions(20, 30, 200, random_state=1)
    draws = Negatives(sampling.UNSEEN, data, None, np.arange(10, 30))
    users = np.repeat(np.arange(20), 50)
    drawn = draws.draw(np.uint64(3), users, 4)
    assert drawn.shape == (1000, 4)
    assert drawn.min() >= 10
    known = data.tocsr().toarray() > 0
    assert not known[users[:, None], drawn].any()
    assert set(drawn.ravel()) == set(range(10, 30))
    np.testing.assert_array_equal(draws.draw(np.uint64(3), users[500:], 4, first=500), drawn[500:])


def test_a_blas_that_is_loaded_during_a_fit_is_limited_too():
    """And given back: the layers bring SciPy's, which others may be the first to keep from its threads."""
    code = """
import numpy
from threadpoolctl import threadpool_info
from tripletrec._runtime.blas import one_blas_thread

def threads():
    return {each["filepath"]: each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

former = threads()
with one_blas_thread():
    import tripletrec.neural.stack
    assert set(threads().values()) <= {1}
assert former.items() <= threads().items()
"""
    run_python(code)
