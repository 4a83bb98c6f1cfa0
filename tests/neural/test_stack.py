"""Stacks of layers: the same numbers as the layers one by one."""

import numpy as np
import pytest

from contracts.support import run_python
from tripletrec.neural import Dense, Dropout, Layer, Normalize, ReLU, Softmax, Stack


def test_parameters_are_in_one_array(dense):
    layers = [dense(3, 2), ReLU(), dense(2, 1)]
    weights = [each.copy() for layer in layers for each in layer.parameters]
    stack = Stack(layers)
    np.testing.assert_array_equal(stack.flat[0], np.concatenate([w.ravel() for w in weights]))
    stack.flat[...] = 0.0
    assert not layers[0].weights.any()
    assert stack.dense == [layers[0], layers[2]]


def all_kinds(rng, seed, real):
    """All kinds of layers, single outputs and activations without a dense layer among them."""
    # In float32 rows of length near 0 would be normalised to noise.
    lift = 3.0 if real is np.float32 else 0.0
    return [
        Dropout(0.3, seed),
        Dense(rng.normal(size=(5, 6)).astype(real), rng.normal(size=6).astype(real)),
        ReLU(),
        Dropout(0.2, seed + 1),
        Softmax(),
        Dense(rng.normal(size=(6, 1)).astype(real), rng.normal(size=1).astype(real)),
        Dense(rng.normal(size=(1, 4)).astype(real), np.full(4, lift, real)),
        ReLU(),
        Normalize(),
        ReLU(),
    ]


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize("n_layers", range(1, 11))
def test_a_stack_is_its_layers_one_by_one(n_layers, real, rng):
    seed, key = (int(each) for each in rng.integers(0, 2**32, 2))
    alone, together = (
        all_kinds(np.random.default_rng(key), seed, real)[:n_layers] for _ in range(2)
    )
    stack = Stack(together)
    real = stack.flat.dtype  # float32 as long as no layer has weights
    rtol, atol = (1e-3, 1e-4) if real == np.float32 else (1e-9, 1e-9)
    for n_rows in (7, 9, 3):  # scratch grows, and is used in part
        x = rng.normal(size=(n_rows, 5)).astype(real)
        y = x
        for layer in alone:
            y = layer.forward(y)
        np.testing.assert_allclose(stack.forward(x), y, rtol=rtol / 10, atol=atol / 10)
        expected = gradient = rng.normal(size=y.shape).astype(real)
        for layer in reversed(alone):
            expected = layer.backward(expected)
        np.testing.assert_allclose(stack.backward(gradient), expected, rtol=rtol, atol=atol)
    flat = [each.ravel() for layer in alone for each in layer.gradients]
    if flat:
        np.testing.assert_allclose(stack.flat_gradient[0], np.concatenate(flat), rtol, atol)


def test_rows_without_gradient_may_be_left_out(rng, dense):
    stack, x = Stack([dense(4, 3), ReLU(), dense(3, 2)]), rng.normal(size=(8, 4))
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


def test_a_normalisation_alone_is_done_in_place(rng):
    stack, layer = Stack([Normalize()]), Normalize()
    for n_rows in (4, 9, 3):  # scratch grows, and is used in part
        x, gradient = rng.normal(size=(2, n_rows, 5)).astype(np.float32)
        given = x.copy(), gradient.copy()
        y = layer.forward(x)
        expected = layer.backward(gradient)
        np.testing.assert_allclose(stack.forward(x), y, rtol=1e-5)
        np.testing.assert_allclose(stack.backward(gradient), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal((x, gradient), given)
        assert stack.run(x) is x
        kept = np.array([0, 2])
        x[:2] = x[kept]
        stack.keep(kept)
        into = stack.run_back(np.concatenate([gradient[kept], gradient]))
        np.testing.assert_allclose(into, expected[kept], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="gradient must be 10 numbers"):
        stack.run_back(gradient[:1])


def test_other_layers_are_refused():
    with pytest.raises(TypeError, match="a stack takes the layers of this package"):
        Stack([Layer()])


def test_the_number_of_inputs_may_change_where_no_layer_fixes_it(rng):
    stack = Stack([ReLU(), Softmax()])
    for shape in ((4, 3), (2, 9), (5, 2)):
        x, gradient = rng.normal(size=(2, *shape)).astype(np.float32)
        first, second = ReLU(), Softmax()
        expected = second.forward(first.forward(x))
        np.testing.assert_allclose(stack.forward(x), expected, rtol=1e-5)
        expected = first.backward(second.backward(gradient))
        np.testing.assert_allclose(stack.backward(gradient), expected, rtol=1e-4, atol=1e-6)


def test_a_wrong_number_of_inputs_is_refused(rng, dense):
    for layers in ([dense(4, 3)], [dense(5, 3), ReLU(), dense(4, 2)]):
        with pytest.raises(ValueError, match="a layer of 4 inputs was given [35]"):
            Stack(layers).forward(rng.normal(size=(2, 5)))


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


def test_what_leads_out_of_the_memory_of_a_batch_is_refused(rng):
    stack = Stack([Dense(rng.normal(size=(3, 2)).astype(np.float32)), ReLU()])
    with pytest.raises(TypeError, match="x must be float32, as the parameters are, got float64"):
        stack.run(np.ones((4, 3)))
    stack.forward(np.ones((4, 3)))
    for gradient in (np.ones((3, 2)), np.ones(7)):
        with pytest.raises(ValueError, match="gradient must be 8 numbers of float32, one for each"):
            stack.backward(gradient)
    with pytest.raises(ValueError, match="gradient must be .*, got 8 of float64"):
        stack.run_back(np.ones((4, 2)))
    for rows in ([0, 4], [-1, 2]):
        with pytest.raises(ValueError, match="rows must be from 0 to 3, got"):
            stack.keep(np.array(rows))
