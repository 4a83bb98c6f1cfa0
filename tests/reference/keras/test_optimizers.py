"""Dense optimizers: one step is the rule, for every weight."""

import numpy as np
import pytest

import naive
from tripletrec.reference.keras import SGD, Adagrad, Adam, optimizers

RULES = {
    "sgd": (lambda: SGD(0.1, l2=0.01), naive.sgd_step, [], (0.1, 0.01)),
    "adagrad": (
        lambda: Adagrad(0.1, initial=0.2, epsilon=1e-3, l2=0.01),
        naive.adagrad_step,
        [0.2],
        (0.1, 0.01, 1e-3),
    ),
    "adam": (
        lambda: Adam(0.1, beta1=0.8, beta2=0.95, epsilon=1e-3, l2=0.01),
        naive.adam_step,
        [0.0, 0.0],
        (0.1, 0.01, 0.8, 0.95, 1e-3),
    ),
}


def table(rng, *shape, dtype=np.float64):
    return rng.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 1e-5)])
def test_a_step_is_the_rule_for_every_weight(name, dtype, tolerance):
    rng = np.random.default_rng(0)
    build, rule, state, scalars = RULES[name]
    optimizer = build()
    weights = [table(rng, 3, 5, dtype=dtype), table(rng, 4, dtype=dtype)]
    expected = [[(float(w), list(state)) for w in each.ravel()] for each in weights]
    for t in range(1, 6):
        gradients = [table(rng, *each.shape, dtype=dtype) for each in weights]
        gradients[0][1] = 0.0  # dense: a row without gradient moves on
        for states, each in zip(expected, gradients, strict=True):
            for k, g in enumerate(each.ravel()):
                states[k] = rule(states[k][0], float(g), states[k][1], t, *scalars)
        optimizer.update(weights, gradients)
        assert all((each == 0.0).all() for each in gradients)
    for each, states in zip(weights, expected, strict=True):
        np.testing.assert_allclose(each.ravel(), [w for w, _ in states], rtol=tolerance, atol=1e-6)


def test_adam_moves_rows_that_the_batch_did_not_touch():
    weights, gradient = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    optimizer = Adam()
    optimizer.update([weights], [gradient])
    before = weights.copy()
    gradient[0] = 1.0
    optimizer.update([weights], [gradient])
    assert (weights[1] < before[1]).all()
    np.testing.assert_allclose(before, -1e-3, rtol=1e-4)  # the first step is the learning rate


def test_adams_means_do_not_sink_into_subnormal_numbers():
    weights, gradient, optimizer = np.zeros(8, np.float32), np.ones(8, np.float32), Adam()
    for _ in range(1000):  # 0.9 ** 1000 is 1e-46
        optimizer.update([weights], [gradient])
    mean = optimizer._state[0][0]
    assert (mean == 0.0).all()


@pytest.mark.parametrize("name", ["_sgd_step", "_adagrad_step", "_adam_step"])
def test_compiled_steps_equal_their_python(name):
    rng = np.random.default_rng(1)
    compiled = getattr(optimizers, name)
    n_state = {"_sgd_step": 0, "_adagrad_step": 1, "_adam_step": 2}[name]
    arrays = [rng.random(17, dtype=np.float32) for _ in range(2 + n_state)]
    scalars = [np.float32(s) for s in (0.1, 0.02, 0.9, 0.99, 1e-3)]
    scalars = scalars[: 2 + {0: 0, 1: 1, 2: 3}[n_state]]
    twins = [each.copy() for each in arrays]
    compiled(*arrays, *scalars)
    getattr(compiled, "py_func", compiled)(*twins, *scalars)
    for each, twin in zip(arrays, twins, strict=True):
        np.testing.assert_allclose(each, twin, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Adam(0.0), "learning_rate must be a finite number > 0, got 0.0"),
        (lambda: Adam(beta1=1.0), "beta1"),
        (lambda: Adam(epsilon=-1.0), "epsilon"),
        (lambda: Adagrad(initial=-0.1), "initial"),
        (lambda: SGD(l2=float("nan")), "l2"),
    ],
)
def test_optimizers_refuse_what_makes_no_sense(build, message):
    with pytest.raises(ValueError, match=message):
        build()
