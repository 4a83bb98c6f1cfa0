"""Rows of new users by triplet losses: the naive twin, no bit of whom else is asked for, samplers."""

import numpy as np
import pytest

import naive
import tripletrec as tr
from tiers import quick, quick_rows
from training.fits import histories_of
from tripletrec import losses
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.fold_in_triplet import Passes, TripletFoldIn

N_ITEMS, N_FACTORS = 40, 6  # of as many as in the contracts: rows of new users are not padded
PASSES = Passes(n=3, least=7, rate=0.3)


def plan_of(**params):
    return tr.MatrixFactorization(n_factors=N_FACTORS, **params)._plan()


def items_of(rng):
    factors = rng.normal(size=(N_ITEMS, N_FACTORS)).astype(np.float32)
    return factors, rng.normal(size=N_ITEMS).astype(np.float32), rng.integers(0, 9, N_ITEMS)


def random_lists(rng, n=30, most=12):
    sizes = rng.integers(0, most, n)
    return [rng.choice(N_ITEMS, size, replace=False) for size in sizes]


@pytest.mark.parametrize(
    ("loss", "scorer"),
    quick_rows([("bpr", "dot"), ("sigmoid", "cosine"), ("hinge", "dot")], ("bpr", "dot")),
)
def test_equals_the_naive_twin(loss, scorer, rng):
    plan = plan_of(loss=loss, scorer=scorer, user_l2=0.05)
    V, b, counts = items_of(rng)
    lists = [each for each in random_lists(rng, 6) if len(each)]
    rows = TripletFoldIn(plan, V, b, counts, passes=PASSES).learn(histories_of(lists))
    streams = np.random.SeedSequence(0).generate_state(5 * PASSES.n, np.uint64).reshape(-1, 5)
    for row, history in zip(rows, lists, strict=True):
        history, w = sorted(history.tolist()), np.zeros((1, N_FACTORS))
        if scorer == "cosine":
            own = V[history].astype(float)
            w[0] = (own / np.linalg.norm(own, axis=1, keepdims=True)).mean(0)
        twin = naive.Row(w[0], "adagrad", 0.0)
        for number, stream in enumerate(streams):
            twin.rate = PASSES.rate * (1 - (number + 0.5) / PASSES.n)
            drawn, order = int(stream[3]), int(stream[4])
            triplets = naive.triplets_of_history(history, N_ITEMS, PASSES.least, drawn, order)
            for first in range(0, len(triplets), 16):
                seen = twin.w.copy()
                for _, i, j in triplets[first : first + 16]:
                    (x, p), (y, q) = (
                        naive.score_and_gradients(scorer, seen, V[k].astype(float))[:2]
                        for k in (i, j)
                    )
                    slope = naive.LOSSES[loss](x + b[i] - y - b[j])[1]
                    # Coefficients are those of the group's begin, rows are not.
                    if scorer == "cosine":
                        (pi, qi, *_), (pj, qj, *_) = (
                            naive.coefficients("cosine", seen, V[k].astype(float)) for k in (i, j)
                        )
                        p, q = pi * V[i] - qi * twin.w, pj * V[j] - qj * twin.w
                    twin.update(slope * (p - q) + 0.05 * twin.w)
        np.testing.assert_allclose(row, twin.w, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "params",
    quick(
        [
            {},
            {"sampler": "dynamic", "n_negatives": 2},
            {"sampler": "popularity", "loss": "sigmoid", "scorer": "cosine"},
            {"sampler": "uniform", "loss": "hinge"},
        ],
        {},
    ),
    ids=str,
)
def test_no_bit_depends_on_others_or_on_threads(params, rng):
    fold_in = TripletFoldIn(plan_of(**params), *items_of(rng), passes=PASSES)
    lists = random_lists(rng, 700)  # several tasks
    rows = fold_in.learn(histories_of(lists))
    assert np.isfinite(rows).all() and not rows[[not len(each) for each in lists]].any()
    order = rng.permutation(len(lists))
    shuffled = fold_in.learn(histories_of([lists[u] for u in order]), n_jobs=4)
    np.testing.assert_array_equal(shuffled, rows[order])
    for u in order[:20]:
        np.testing.assert_array_equal(fold_in.learn(histories_of([lists[u]]))[0], rows[u])


def test_only_items_with_positives_are_negatives(rng):
    V, b, counts = items_of(rng)
    counts[:] = 0
    counts[[3, 8]] = 1
    V[:] = 0.0
    V[3, 0] = V[8, 1] = 1.0
    V[5, 2] = 1.0
    fold_in = TripletFoldIn(plan_of(user_l2=0.0), V, b * 0, counts, only_used=True, passes=PASSES)
    row = fold_in.learn(histories_of([[5]]))[0]
    assert row[2] > 0 > row[0] and row[1] < 0
    rows = fold_in.learn(histories_of([[3, 8], [5], [3, 5, 8]]))
    assert not rows[[0, 2]].any()  # no negative is left
    np.testing.assert_array_equal(rows[1], row)
    others = np.delete(np.arange(N_ITEMS), [3, 8])
    rows = fold_in.learn(histories_of([[3, other] for other in others]))
    assert (rows[:, 0] > 0).all() and (rows[:, 1] < 0).all()  # 8 is left


def test_longer_histories_are_learnt_better_than_none(rng):
    data = tr.datasets.make_interactions(200, 60, 3000, random_state=0)
    model = tr.MatrixFactorization(n_factors=N_FACTORS, n_epochs=20).fit(data)
    items = model.item_factors_, model.item_biases_, model.item_counts_
    rows = TripletFoldIn(model._plan(), *items).learn(ItemsOfUsers(data.indptr, data.indices))
    learnt = tr.full_auc((rows, *items[:2]), data)
    assert learnt > tr.full_auc((rows * 0, *items[:2]), data) + 0.05
    assert learnt > tr.full_auc((model.user_factors_, *items[:2]), data) - 0.05


def test_a_loss_of_lists_is_refused(rng):
    with pytest.raises(TypeError, match="loss 'softmax' is not one of triplets"):
        TripletFoldIn(plan_of(loss=losses.softmax()), *items_of(rng))
