"""The training loop against its naive twin: all combinations of parts as plain Python, some compiled."""

import itertools
from contextlib import contextmanager

import numpy as np
import pytest

import naive
from tiers import quick, quick_rows
from training.fits import CHOOSING, COVERING, PARTS, QUICK, QUICK_CHOOSING
from tripletrec import losses, optimizers, part, scorers
from tripletrec.sampling import hard
from tripletrec.training.plan import L2
from tripletrec.training.tables import FactorTables
from tripletrec.training.triplet_kernel import build_epoch
from tripletrec.training.triplet_records import (
    GROUP,
    N_TOTALS,
    HyperParameters,
    ItemRows,
    Triplets,
    UserRows,
    group_scratch,
)

COMBINATIONS = list(itertools.product(*PARTS))
N_USERS, N_ITEMS, N_FACTORS = 6, 9, 5
WEIGHTS_OF_L2 = L2(0.02, 0.01, 0.03, 0.005)


@part
def easiest(score, best, positive_score):
    """Tell whether a candidate scores lower than the one taken so far: a choice of one's own."""
    return score < best


CHOICES = {"hardest": hard.hardest, "semi_hard": hard.semi_hard, "easiest": easiest}


def triplets(rng, n=40):
    rows = np.column_stack(
        [rng.integers(0, N_USERS, n), rng.integers(0, N_ITEMS, n), rng.integers(-1, N_ITEMS, n)]
    ).astype(np.int32)
    return rows, rng.uniform(0.5, 2.0, n).astype(np.float32)


def start(rng, n_factors=N_FACTORS):
    return tuple(
        rng.normal(scale=0.5, size=shape).astype(np.float32)
        for shape in [(N_USERS, n_factors), (N_ITEMS, n_factors), (N_ITEMS,)]
    )


def parts_of(names):
    checks = losses.check_loss, scorers.check_scorer, optimizers.check_optimizer
    return [check(name) for check, name in zip(checks, names, strict=True)]


@contextmanager
def rules_of_numpy_2():
    """As plain Python a kernel counts with uint64, which NumPy 1 turns into floats where it meets int."""
    former = np._get_promotion_state() if np.lib.NumpyVersion(np.__version__) < "2.0.0" else None
    if former is None:
        yield
        return
    np._set_promotion_state("weak")
    try:
        yield
    finally:
        np._set_promotion_state(former)


def run(
    names, rows, weights, factors, *, item_bias=True, bare_items=False, compiled=True, rate=0.1,
    choose=None, group=GROUP,
):  # fmt: skip
    """Learn from `rows` of users, positives and negatives; with a `choose`: several candidates each.

    Returns the factors after it and the sums over the triplets.
    """
    loss, scorer, optimizer = parts_of(names)
    n_users, n_factors = factors[0].shape
    n_items, n_candidates = len(factors[1]), rows.shape[1] - 2
    tables = FactorTables.start(n_users, n_items, n_factors, optimizer, scale=1.0, seed=0)
    for ours, given in zip(tables.factors, factors, strict=True):
        ours[:] = given
    epoch = build_epoch(
        loss, scorer, optimizer, tables.width, choose, n_candidates, bare_items=bare_items
    )
    # Positions of items, some of them empty.
    position = np.random.default_rng(4).permutation(3 * n_items)[:n_items]
    row_at = np.zeros(3 * n_items, np.int32)
    row_at[position] = np.arange(n_items)
    if bare_items:
        tables.items, tables.biases = (
            np.ascontiguousarray(each[:, :1]) for each in (tables.items, tables.biases)
        )
    biases = np.zeros((len(row_at), *tables.biases.shape[1:]), np.float32)
    step_counts = np.zeros((len(row_at), len(optimizer.step_counts)), np.float32)
    biases[position], step_counts[position] = tables.biases, tables.item_step_counts
    placed = np.where(rows[:, 1:] < 0, -1, position[rows[:, 1:]]).astype(np.int32)
    totals = np.zeros((2, N_TOTALS))
    arguments = (
        0, 2, np.array([0, len(rows) // 3, len(rows)]),
        tuple(Triplets(
            np.column_stack([rows[:, 0], placed[:, 0]]).astype(np.int32),
            np.ascontiguousarray(placed[:, 1:]).ravel(),
            np.empty(0, np.float32) if weights is None else weights,
        )),
        1, group,
        tuple(UserRows(tables.users.reshape(-1), tables.user_step_counts)),
        tuple(ItemRows(tables.items.reshape(-1), row_at, biases.reshape(-1), step_counts)),
        tuple(HyperParameters(
            np.float32(rate), L2(*map(np.float32, WEIGHTS_OF_L2)),
            tuple(map(np.float32, loss.parameters)), tuple(map(np.float32, optimizer.parameters)),
            item_bias,
        )),
        tuple(group_scratch(tables.width)), totals,
    )  # fmt: skip
    if compiled:
        epoch(*arguments)
    else:
        with rules_of_numpy_2():
            getattr(epoch, "py_func", epoch)(*arguments)
    if np.isfinite(totals).all():
        assert not tables.users[:, 0, n_factors:].any()  # the padding stays zero
        assert not tables.items[:, 0, n_factors:].any()
    tables.biases[:], tables.item_step_counts[:] = biases[position], step_counts[position]
    return tables, totals.sum(0)


def assert_close(tables, expected):
    for ours, theirs in zip(tables.factors, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def groups_of(n, group):
    """The group of each triplet: they do not reach from one of the two strata into the other."""
    edge = n // 3
    return [("first", t // group) if t < edge else ((t - edge) // group,) for t in range(n)]


@pytest.mark.parametrize("group", [1, 3, GROUP])
@pytest.mark.parametrize("names", quick([*COVERING, QUICK[-1]], *QUICK), ids="-".join)
def test_equals_naive_twin(names, group, rng):
    check(names, rng, group=group)


@pytest.mark.parametrize("names", COMBINATIONS, ids="-".join)
def test_every_combination_equals_the_naive_twin(names, rng):
    """As plain Python: no time to compile it."""
    check(names, rng, compiled=False)


def check(names, rng, *, n_factors=N_FACTORS, group=GROUP, compiled=True):
    rows, weights = triplets(rng)
    factors = start(rng, n_factors)
    tables, totals = run(names, rows, weights, factors, group=group, compiled=compiled)
    groups = groups_of(len(rows), group)
    *expected, loss = naive.learn(
        rows, weights, *factors, *names, 0.1, WEIGHTS_OF_L2, groups=groups
    )
    assert_close(tables, expected)
    assert totals[0] == pytest.approx(loss, rel=1e-3)
    used = (rows[:, 2] >= 0) & (rows[:, 1] != rows[:, 2])
    assert totals[3] == used.sum()
    assert totals[2] == pytest.approx(weights[used].sum(), rel=1e-6)


@pytest.mark.parametrize(
    "names",  # without a choice of the loss, which knows nothing of rows
    quick(
        [("bpr", "dot", "adagrad"), ("bpr", "cosine", "sgd"), ("bpr", "dot", "adam")],
        ("bpr", "dot", "adagrad"),
    ),
    ids="-".join,
)
def test_long_rows_equal_the_naive_twin(names, rng):
    """Loops over more than a few factors are compiled for their length."""
    check(names, rng, n_factors=50)


@pytest.mark.parametrize(
    ("choice", "names"),
    quick_rows([*CHOOSING, ("easiest", ("bpr", "dot", "sgd"))], *QUICK_CHOOSING),
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_hard_negatives_equal_the_naive_twin(choice, names, rng):
    expected = None
    while expected is None:  # two scores too near
        rows, weights = triplets(rng, 20)
        # Candidates may be missing, be the positive, and be there twice.
        rows = np.column_stack([rows, rng.integers(-1, N_ITEMS, (len(rows), 2))]).astype(np.int32)
        factors = start(rng)
        expected = naive.learn(
            rows, weights, *factors, *names, 0.1, WEIGHTS_OF_L2, choose=naive.HARD[choice],
            groups=groups_of(len(rows), GROUP),
        )  # fmt: skip
    for compiled in (True, False):
        tables, totals = run(
            names, rows, weights, factors, choose=CHOICES[choice], compiled=compiled
        )
        assert_close(tables, expected[:3])
        assert totals[0] == pytest.approx(expected[3], rel=1e-3)
        none = (rows[:, 2:] < 0) | (rows[:, 2:] == rows[:, 1:2])
        assert totals[3] == (~none.all(1)).sum()


@pytest.mark.parametrize(
    ("names", "compiled"),
    quick_rows(
        [
            *((names, True) for names in COMBINATIONS[:4]),
            *((names, False) for names in COMBINATIONS[4:6]),
        ],
        (("bpr", "dot", "adagrad"), True),
        *((names, False) for names in COMBINATIONS[4:6]),
    ),
    ids=str,
)
def test_bare_items_stay(names, compiled, rng):
    rows, weights = triplets(rng)
    factors = start(rng)
    tables, totals = run(names, rows, weights, factors, bare_items=True, compiled=compiled)
    *expected, loss = naive.learn(
        rows, weights, *factors, *names, 0.1, WEIGHTS_OF_L2, learn_items=False,
        groups=groups_of(len(rows), GROUP),
    )  # fmt: skip
    assert_close(tables, expected)
    assert totals[0] == pytest.approx(loss, rel=1e-3)
    fresh, _ = run(names, rows[:0], weights[:0], factors, bare_items=True, compiled=False)
    for name in ("items", "biases", "item_step_counts"):
        np.testing.assert_array_equal(getattr(tables, name), getattr(fresh, name))
    assert (tables.users != fresh.users).any()


@pytest.mark.parametrize("names", quick(COVERING[::4], *QUICK), ids="-".join)
def test_compiled_equals_uncompiled(names, rng):
    rows, weights = triplets(rng, 12)
    factors = start(rng)
    compiled, totals = run(names, rows, weights, factors)
    plain, expected = run(names, rows, weights, factors, compiled=False)
    assert_close(compiled, plain.factors)
    np.testing.assert_allclose(totals, expected, rtol=2e-3, atol=2e-4)


def test_without_weights_all_weigh_one(rng):
    rows, weights = triplets(rng)
    factors = start(rng)
    names = ("bpr", "dot", "sgd")
    unweighted, totals = run(names, rows, None, factors)
    ones, expected = run(names, rows, np.ones_like(weights), factors)
    for ours, theirs in zip(unweighted.factors, ones.factors, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(totals, expected)


def test_without_item_bias_biases_stay(rng):
    rows, weights = triplets(rng)
    factors = start(rng)
    names = ("bpr", "dot", "adagrad")
    tables, _ = run(names, rows, weights, factors, item_bias=False)
    np.testing.assert_array_equal(tables.factors.item_biases, factors[2])
    expected = naive.learn(
        rows, weights, *factors, *names, 0.1, WEIGHTS_OF_L2, item_bias=False,
        groups=groups_of(len(rows), GROUP),
    )  # fmt: skip
    assert_close(tables, expected[:3])


@pytest.mark.parametrize("scorer", quick(scorers.SCORERS, "dot"))
def test_step_of_sgd_is_the_gradient_of_the_loss(scorer, rng):
    """One triplet: central differences of the loss and its L2 by every parameter."""
    factors = [each.astype(np.float64) for each in start(rng)]
    rows, ones = np.array([[1, 2, 3]], np.int32), np.ones(1, np.float32)
    rate, h = 1e-2, 1e-5

    def loss(U, V, b):
        s_i = naive.score_and_gradients(scorer, U[1], V[2])[0] + b[2]
        s_j = naive.score_and_gradients(scorer, U[1], V[3])[0] + b[3]
        l2 = WEIGHTS_OF_L2.user * U[1] @ U[1] + WEIGHTS_OF_L2.positive * V[2] @ V[2]
        l2 += WEIGHTS_OF_L2.negative * V[3] @ V[3] + WEIGHTS_OF_L2.bias * (b[2] ** 2 + b[3] ** 2)
        return naive.LOSSES["bpr"](s_i - s_j)[0] + 0.5 * l2

    tables, _ = run(
        ("bpr", scorer, "sgd"), rows, ones, [f.astype(np.float32) for f in factors], rate=rate
    )
    for which, before in enumerate(factors):
        step = (before - tables.factors[which]) / rate
        for place in np.ndindex(before.shape):
            ends = []
            for sign in (1, -1):
                moved = [f.copy() for f in factors]
                moved[which][place] += sign * h
                ends.append(loss(*moved))
            assert step[place] == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-2, abs=1e-4)


def test_any_two_parts_meet_in_a_kernel():
    for one, other in itertools.combinations(range(3), 2):
        met = {(names[one], names[other]) for names in COVERING}
        assert met == {*itertools.product(PARTS[one], PARTS[other])}
        met = {(choice, names[one]) for choice, names in CHOOSING}
        assert met == {*itertools.product(("hardest", "semi_hard"), PARTS[one])}


@pytest.mark.parametrize("names", quick(COVERING, *QUICK), ids="-".join)
def test_nan_is_seen(names, rng):
    rows, weights = triplets(rng)
    factors = start(rng)
    factors[0][:] = np.nan
    assert np.isnan(run(names, rows, weights, factors)[1][0])


def test_one_loop_for_one_choice():
    """Parameters and start values are no part of it."""
    sgd, dot = optimizers.SGD, scorers.DOT
    loop = build_epoch(losses.hinge(0.5), dot, sgd, 16)
    assert build_epoch(losses.hinge(2.0), dot, sgd, 16) is loop
    assert build_epoch(losses.hinge(0.5), dot, sgd, 32) is not loop
    assert build_epoch(losses.BPR, dot, sgd, 16) is not loop
    adagrad = build_epoch(losses.BPR, dot, optimizers.adagrad(0.5), 16)
    assert build_epoch(losses.BPR, dot, optimizers.adagrad(0.1), 16) is adagrad
    bare = build_epoch(losses.BPR, dot, optimizers.adagrad(), 16, bare_items=True)
    assert bare is not adagrad
