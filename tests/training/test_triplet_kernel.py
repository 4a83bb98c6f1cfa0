"""The training loop against its naive twin, for every combination of parts."""

import itertools

import numpy as np
import pytest

import naive
from tripletrec import losses, optimizers, scorers
from tripletrec.sampling.hard import CHOICES
from tripletrec.training.tables import _table
from tripletrec.training.triplet_kernel import GROUP, build_epoch, group_scratch

COMBINATIONS = list(itertools.product(losses.LOSSES, scorers.SCORERS, optimizers.OPTIMIZERS))
N_USERS, N_ITEMS, N_FACTORS, WIDTH = 6, 9, 5, 16
L2 = (0.02, 0.01, 0.03, 0.005)


def triplets(rng, n=40):
    rows = np.column_stack(
        [rng.integers(0, N_USERS, n), rng.integers(0, N_ITEMS, n), rng.integers(-1, N_ITEMS, n)]
    ).astype(np.int32)
    return rows, rng.uniform(0.5, 2.0, n).astype(np.float32)


def start(rng):
    return tuple(
        rng.normal(scale=0.5, size=shape).astype(np.float32)
        for shape in [(N_USERS, N_FACTORS), (N_ITEMS, N_FACTORS), (N_ITEMS,)]
    )


def run(
    names, rows, weights, factors, *, item_bias=True, weighted=True, compiled=True, rate=0.1, rule="",
    group=GROUP,
):  # fmt: skip
    """Learn from `rows` of users, positives and negatives; with a `rule`: several candidates each."""
    loss, scorer, optimizer = (
        check(name)
        for check, name in zip(
            (losses.check_loss, scorers.check_scorer, optimizers.check_optimizer),
            names,
            strict=True,
        )
    )
    tables = [_table(len(factors[0]), WIDTH, optimizer), _table(len(factors[1]), WIDTH, optimizer)]
    biases = _table(len(factors[1]), 1, optimizer)
    tables[0][:, 0, :N_FACTORS], tables[1][:, 0, :N_FACTORS] = factors[:2]
    biases[:, 0, 0] = factors[2]
    step_counts = np.zeros((len(tables[0]), len(optimizer.step_counts)), np.float32)
    epoch = build_epoch(
        loss.value, loss.slope, scorer.score, scorer.coefficients, scorer.gradient,
        optimizer.step, optimizer.update, WIDTH, False, len(optimizer.state),
        len(optimizer.step_counts), scorer.linear, CHOICES[rule], rows.shape[1] - 2,
    )  # fmt: skip
    epoch = epoch if compiled else getattr(epoch, "py_func", epoch)
    homes = np.random.default_rng().permutation(3 * N_ITEMS)[:N_ITEMS]  # some are empty
    at = np.zeros(3 * N_ITEMS, np.int32)
    at[homes] = np.arange(N_ITEMS)
    by_home = (
        _table(len(at), 1, optimizer),
        np.zeros((len(at), len(optimizer.step_counts)), np.float32),
    )
    by_home[0][homes] = biases
    rows = np.column_stack([rows[:, :1], np.where(rows[:, 1:] < 0, -1, homes[rows[:, 1:]])])
    columns = [np.ascontiguousarray(x, np.int32) for x in (rows[:, :2], rows[:, 2:].ravel())]
    bounds = np.array([0, len(rows) // 3, len(rows)])
    totals = np.zeros((2, 4))
    epoch(
        0, 2, bounds, (*columns, weights if weighted else np.empty(0, np.float32)), 1,
        group, tables[0].reshape(-1), step_counts, tables[1].reshape(-1), at, by_home[1],
        by_home[0].reshape(-1), item_bias, np.float32(rate),
        tuple(map(np.float32, L2)), tuple(map(np.float32, loss.parameters)),
        tuple(map(np.float32, optimizer.parameters)), *group_scratch(WIDTH), totals,
    )  # fmt: skip
    if np.isfinite(totals).all():
        assert not tables[0][:, 0, N_FACTORS:].any()  # the padding stays zero
        assert not tables[1][:, 0, N_FACTORS:].any()
    factors = (table[:, 0, :N_FACTORS] for table in tables)
    return *factors, by_home[0][homes, 0, 0], totals.sum(0)


def groups_of(n, group):
    """The group of each triplet: they do not reach from one of the two strata into the other."""
    edge = n // 3
    return [("first", t // group) if t < edge else ((t - edge) // group,) for t in range(n)]


@pytest.mark.parametrize("group", [1, 3, GROUP])
@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_equals_naive_twin(names, group):
    rng = np.random.default_rng()
    rows, weights = triplets(rng)
    factors = start(rng)
    *got, totals = run(names, rows, weights, factors, group=group)
    groups = groups_of(len(rows), group)
    *expected, loss = naive.learn(
        rows, weights, *factors, *names, 0.1, L2, True, groups=groups
    )  # fmt: skip
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    assert totals[0] == pytest.approx(loss, rel=1e-3)
    used = (rows[:, 2] >= 0) & (rows[:, 1] != rows[:, 2])
    assert totals[3] == used.sum()
    assert totals[2] == pytest.approx(weights[used].sum(), rel=1e-6)


@pytest.mark.parametrize("names", COMBINATIONS[:6], ids="-".join)
def test_long_rows_equal_the_naive_twin(names, monkeypatch):
    """Loops over more than a few factors are compiled for their length."""
    monkeypatch.setitem(globals(), "N_FACTORS", 41)
    monkeypatch.setitem(globals(), "WIDTH", 48)
    test_equals_naive_twin(names, GROUP)


@pytest.mark.parametrize("names", COMBINATIONS[:6], ids="-".join)  # the loss has no part in it
@pytest.mark.parametrize("rule", ["hardest", "semi_hard"])
def test_hard_negatives_equal_the_naive_twin(rule, names):
    rng, expected = np.random.default_rng(), None
    while expected is None:  # two scores too near
        rows, weights = triplets(rng, 20)
        # Candidates may be missing, be the positive, and be there twice.
        rows = np.column_stack([rows, rng.integers(-1, N_ITEMS, (len(rows), 2))]).astype(np.int32)
        factors = start(rng)
        groups = groups_of(len(rows), GROUP)
        expected = naive.learn(rows, weights, *factors, *names, 0.1, L2, True, rule, groups)
    for compiled in (True, False):
        *got, totals = run(names, rows, weights, factors, rule=rule, compiled=compiled)
        for ours, theirs in zip(got, expected[:3], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
        assert totals[0] == pytest.approx(expected[3], rel=1e-3)
        none = (rows[:, 2:] < 0) | (rows[:, 2:] == rows[:, 1:2])
        assert totals[3] == (~none.all(1)).sum()


@pytest.mark.parametrize("names", COMBINATIONS[::5], ids="-".join)
def test_compiled_equals_uncompiled(names):
    rng = np.random.default_rng()
    rows, weights = triplets(rng, 12)
    factors = start(rng)
    compiled = run(names, rows, weights, factors)
    plain = run(names, rows, weights, factors, compiled=False)
    for ours, theirs in zip(compiled, plain, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def test_without_weights_all_weigh_one():
    rng = np.random.default_rng()
    rows, weights = triplets(rng)
    factors = start(rng)
    names = ("bpr", "dot", "sgd")
    unweighted = run(names, rows, weights, factors, weighted=False)
    ones = run(names, rows, np.ones_like(weights), factors)
    for ours, theirs in zip(unweighted, ones, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_item_bias_biases_stay():
    rng = np.random.default_rng()
    rows, weights = triplets(rng)
    factors = start(rng)
    got = run(("bpr", "dot", "adagrad"), rows, weights, factors, item_bias=False)
    np.testing.assert_array_equal(got[2], factors[2])
    expected = naive.learn(
        rows, weights, *factors, "bpr", "dot", "adagrad", 0.1, L2, False,
        groups=groups_of(len(rows), GROUP),
    )  # fmt: skip
    np.testing.assert_allclose(got[0], expected[0], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("scorer", scorers.SCORERS)
def test_step_of_sgd_is_the_gradient_of_the_loss(scorer):
    """One triplet, no L2 by differences: central differences of the loss by every parameter."""
    rng = np.random.default_rng()
    factors = [each.astype(np.float64) for each in start(rng)]
    rows, ones = np.array([[1, 2, 3]], np.int32), np.ones(1, np.float32)
    rate, h = 1e-2, 1e-5

    def loss(U, V, b):
        s_i = naive.score_and_gradients(scorer, U[1], V[2])[0] + b[2]
        s_j = naive.score_and_gradients(scorer, U[1], V[3])[0] + b[3]
        l2 = L2[0] * U[1] @ U[1] + L2[1] * V[2] @ V[2] + L2[2] * V[3] @ V[3]
        l2 += L2[3] * (b[2] ** 2 + b[3] ** 2)
        return naive.LOSSES["bpr"](s_i - s_j)[0] + 0.5 * l2

    after = run(
        ("bpr", scorer, "sgd"), rows, ones, [f.astype(np.float32) for f in factors], rate=rate
    )
    for which, before in enumerate(factors):
        step = (before - after[which]) / rate
        for place in np.ndindex(before.shape):
            ends = []
            for sign in (1, -1):
                moved = [f.copy() for f in factors]
                moved[which][place] += sign * h
                ends.append(loss(*moved))
            assert step[place] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-2, abs=1e-4)


def test_nan_is_seen():
    rng = np.random.default_rng()
    rows, weights = triplets(rng)
    for name in losses.LOSSES:
        factors = start(rng)
        factors[0][:] = np.nan
        assert np.isnan(run((name, "dot", "sgd"), rows, weights, factors)[3][0])
