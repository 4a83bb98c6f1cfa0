"""Rows of new users by list-wise losses: the naive twin, optima, no bit of others, candidates."""

import numpy as np
import pytest

import naive
import tripletrec as tr
from tiers import quick, quick_rows
from training.fits import histories_of
from tripletrec import losses
from tripletrec.training.fold_in_listwise import Descent, ListwiseFoldIn, choose_candidates

N_ITEMS, N_FACTORS, L2 = 40, 5, 0.05
LOSSES = {"softmax": losses.softmax(0.5), "bsl": losses.bsl(0.5, 0.8), "ccl": losses.ccl(0.3, 4.0)}


SHIFTS = 1e-3 * np.concatenate([np.eye(N_FACTORS), -np.eye(N_FACTORS)])


def plan_of(**params):
    return tr.MatrixFactorization(n_factors=N_FACTORS, user_l2=L2, **params)._plan()


def items_of(rng, n_items=N_ITEMS):
    factors = rng.normal(size=(n_items, N_FACTORS)).astype(np.float32)
    return factors, rng.normal(size=n_items).astype(np.float32) * np.float32(0.2)


def lists_of(rng, n, n_items=N_ITEMS):
    return [rng.choice(n_items, size, replace=False) for size in rng.integers(1, 12, n)]


def objective(V, b, history, loss, scorer, masked=True):
    """The loss of a history by the item, in units of the temperature: a function of the row."""
    V, biases = V.astype(float), b.astype(float) / loss.temperature
    n, weights = len(history), np.ones(len(history))
    l2 = (0.0 if scorer == "cosine" else L2, 0.0, 0.0, 0.0)

    def value(row):
        return naive.batch_loss(
            row[None], V, biases, [0], [history], [weights], dict.fromkeys(range(len(V)), 1.0),
            loss, scorer == "cosine", masked, l2,
        ) / (n * loss.temperature)  # fmt: skip

    return value


def start_of(V, history, scorer):
    if scorer == "dot":
        return np.zeros(N_FACTORS)
    own = V[history].astype(float)
    mean = (own / np.linalg.norm(own, axis=1, keepdims=True)).sum(0)
    return mean / np.linalg.norm(mean)


@pytest.mark.parametrize(
    ("name", "scorer"),
    # The largest kernel there is: compiled for each loss, each scorer, and the default with both.
    quick_rows(
        [("softmax", "dot"), ("softmax", "cosine"), ("bsl", "cosine"), ("ccl", "dot")],
        ("softmax", "cosine"),
    ),
)
@pytest.mark.parametrize("sampler", quick(["unseen", "uniform"], "unseen"))
def test_equals_the_naive_twin(name, scorer, sampler, rng):
    """Whose gradients are differences of the loss; so few steps that rounding does not add up."""
    loss, (V, b) = LOSSES[name], items_of(rng)
    plan = plan_of(loss=loss, scorer=scorer, sampler=sampler)
    descent = Descent(n_steps=3, first=0.05)
    lists = [sorted(each.tolist()) for each in lists_of(rng, 8)]
    fold_in = ListwiseFoldIn(plan, V, b, loss.temperature, descent=descent)
    rows = fold_in.learn(histories_of(lists))
    for row, history in zip(rows, lists, strict=True):
        value = objective(V, b, history, loss, scorer, masked=sampler == "unseen")
        twin = naive.descend(
            start_of(V, history, scorer), value, 0.05, 3, sphere=scorer == "cosine"
        )
        if name == "ccl":  # the slope jumps where a score passes the margin
            beside = [
                naive.descend(start_of(V, history, scorer) + shift, value, 0.05, 3, sphere=False)
                for shift in SHIFTS
            ]
            if not np.allclose(beside, twin, atol=1e-2):
                continue  # it came so near that differences of the loss are across
            assert value(row.astype(float)) == pytest.approx(value(twin), rel=2e-2)
        else:
            np.testing.assert_allclose(row, twin, rtol=5e-3, atol=5e-4)


@pytest.mark.parametrize(
    ("name", "scorer"),
    quick_rows(
        [("softmax", "dot"), ("softmax", "cosine"), ("bsl", "cosine")], ("softmax", "cosine")
    ),
)
def test_many_steps_end_where_the_loss_is_flat(name, scorer, rng):
    loss, (V, b) = LOSSES[name], items_of(rng)
    plan = plan_of(loss=loss, scorer=scorer)
    lists = [sorted(each.tolist()) for each in lists_of(rng, 8)]
    fold_in = ListwiseFoldIn(plan, V, b, loss.temperature, descent=Descent(n_steps=200))
    for row, history in zip(fold_in.learn(histories_of(lists)), lists, strict=True):
        value = objective(V, b, history, loss, scorer)
        row, start = row.astype(float), start_of(V, history, scorer)
        slopes = [np.linalg.norm(naive.gradient_at(value, at)) for at in (row, start)]
        assert slopes[0] < 2e-2 or slopes[0] < 0.02 * slopes[1]
        assert value(row) <= value(start) + 1e-6


@pytest.mark.parametrize("n_candidates", [1000, 30])
@pytest.mark.parametrize("scorer", quick(["dot", "cosine"], "cosine"))
def test_no_bit_depends_on_others_or_on_threads(scorer, n_candidates, rng):
    """Also where a block of users is not full, and scores are products of another form."""
    V, b = items_of(rng, 130)
    plan = plan_of(loss=LOSSES["softmax"], scorer=scorer)
    descent = Descent(n_candidates=n_candidates)
    counts = rng.integers(0, 9, 130)
    fold_in = ListwiseFoldIn(plan, V, b, 0.5, counts, descent=descent)
    lists = [*lists_of(rng, 100, 130), np.empty(0, int)]
    rows = fold_in.learn(histories_of(lists))
    assert np.isfinite(rows).all() and not rows[-1].any()
    order = rng.permutation(len(lists))
    shuffled = fold_in.learn(histories_of([lists[u] for u in order]), n_jobs=3)
    np.testing.assert_array_equal(shuffled, rows[order])
    for u in order[:10]:
        np.testing.assert_array_equal(fold_in.learn(histories_of([lists[u]]))[0], rows[u])


@pytest.mark.parametrize("name", quick(list(LOSSES), "ccl"))
def test_items_that_nobody_has_change_no_row(name, rng):
    """Where only used ones are candidates."""
    V, b = items_of(rng)
    counts = rng.integers(1, 9, N_ITEMS)
    more, none = rng.normal(size=(60, N_FACTORS)).astype(np.float32), np.zeros(60, np.int64)
    plan, lists = plan_of(loss=LOSSES[name], scorer="cosine"), histories_of(lists_of(rng, 5))
    few = ListwiseFoldIn(plan, V, b, 0.5, counts, only_used=True)
    many = ListwiseFoldIn(
        plan, np.concatenate([V, more]), np.append(b, np.zeros(60, np.float32)), 0.5,
        np.append(counts, none), only_used=True,
    )  # fmt: skip
    np.testing.assert_array_equal(many.learn(lists), few.learn(lists))


def test_candidates(rng):
    counts = rng.integers(0, 50, 500)
    counts[7] = 10**6
    descent = Descent(n_candidates=100)
    items, importance = choose_candidates(counts, only_used=False, descent=descent)
    assert len(items) in range(99, 102) and (np.diff(items) > 0).all()
    assert importance[items == 7] == 1.0 and (importance >= 1.0).all()
    # One over the chance to be drawn: their sum is that of all, but for chance.
    assert importance.sum() == pytest.approx(500, rel=0.5)
    used, _ = choose_candidates(counts, only_used=True, descent=descent)
    assert (counts[used] > 0).all()
    everything, ones = choose_candidates(counts, only_used=False, descent=Descent(n_candidates=500))
    assert len(everything) == 500 and (ones == 1).all()


def test_a_loss_of_triplets_is_refused(rng):
    with pytest.raises(TypeError, match="loss 'bpr' is not list-wise"):
        ListwiseFoldIn(plan_of(), *items_of(rng), 1.0)
