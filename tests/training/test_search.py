"""Losses that search for their negatives: what they try, which one they take, and what they learn from it."""

import numpy as np
import pytest
from scipy.stats import chisquare

import naive_warp
import tripletrec as tr
from contracts.support import interactions
from tiers import quick_rows
from training.fits import assert_same_tables, run, start, weights_of
from tripletrec import losses
from tripletrec.training.strata import LIMITS

L2 = {"user_l2": 0.02, "item_l2": 0.01, "negative_l2": 0.03, "bias_l2": 0.005}


@pytest.fixture(scope="module")
def blocks():
    return interactions(40, 300, 1500)


class Visit:
    """What the training loop is given in one epoch, in place of learning from it."""

    def __init__(self, data, *, epoch=1, **options):
        self.training = start(data, **options)
        self.start = [each.copy() for each in self.training.factors]
        self.visits, self.others = [], []
        self.training.loop = self.training.loop._replace(kernel=self.note)
        run(self.training, [epoch])
        self.visits.sort(key=lambda visit: visit[0])

    def note(self, first, last, bounds, triplets, n_negatives, group, users, items, *rest):
        (pairs, negatives, weights, others), row_at = triplets, items[1]
        loop, bounds = self.training.loop, bounds - bounds[first]
        m, n_others = loop.n_drawn // n_negatives, loop.n_positives - 1
        for s in range(first, last):
            for begin in range(bounds[s], bounds[s + 1], group):
                for c in range(n_negatives):
                    for t in range(begin, min(begin + group, bounds[s + 1])):
                        own = [t, *others[t * n_others : (t + 1) * n_others].tolist()]
                        assert all(bounds[s] <= each < bounds[s + 1] for each in own)
                        assert len(set(pairs[own, 0].tolist())) == 1
                        place = (t * n_negatives + c) * m
                        drawn = negatives[place : place + m]
                        positives = [
                            (row_at[pairs[each, 1]], weights[each] if len(weights) else 1.0)
                            for each in own
                        ]
                        self.visits.append(
                            (
                                (s, begin, c),
                                pairs[t, 0],
                                positives,
                                row_at[drawn[drawn >= 0]].tolist(),
                            )
                        )
                        self.others.append(own)


CASES = [
    (losses.warp(max_sampled=4), "dot", "adagrad", {"weights": weights_of, "n_negatives": 2}),
    (losses.k_os_warp(2, 3, 0.5, 4), "dot", "adagrad", {"weights": weights_of}),
    (losses.warp(0.3, 1), "cosine", "sgd", {"item_bias": False}),
    (losses.k_os_warp(3, 3, 0.2), "dot", "adam", {}),
]


@pytest.mark.parametrize(
    ("loss", "scorer", "optimizer", "options"),
    quick_rows(CASES, *CASES[:2]),
    ids=["warp", "k-os warp, weights", "cosine, one try", "k-os warp, adam"],
)
def test_an_epoch_equals_its_naive_twin(loss, scorer, optimizer, options, rng):
    expected, item_bias = None, options.get("item_bias", True)
    while expected is None:
        # The more scores are compared, the rarer are data without two that are too near to be told apart.
        n = 150 if loss.max_sampled <= 4 else 80
        data = interactions(24, 70, n, seed=int(rng.integers(10**6)))
        given = {key: each(data) if callable(each) else each for key, each in options.items()}
        params = {
            "loss": loss, "scorer": scorer, "optimizer": optimizer, "init_scale": 0.6,
            "learning_rate": 0.05, "random_state": int(rng.integers(10**6)), **L2, **given,
        }  # fmt: skip
        visit = Visit(data, **params)
        expected = naive_warp.learn(
            visit.visits, *visit.start, scorer, optimizer, 0.05, tuple(L2.values()), data.n_items,
            loss.parameters[0], loss.k, item_bias,
        )  # fmt: skip
    training = start(data, **params)
    record = run(training, [1])[0]
    for ours, theirs in zip(training.factors, expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    total, right, mass, n = expected[3]
    assert record["loss"] == pytest.approx(total / mass, rel=1e-3)
    assert record["train_auc"] == pytest.approx(right / mass, rel=1e-6)
    assert record["n_violations"] == n
    assert record["n_triplets"] == len(visit.visits) and record["n_skipped"] == 0


@pytest.mark.thorough
@pytest.mark.parametrize("scorer", ["dot", "cosine"])
def test_step_of_sgd_is_the_gradient_of_the_weighted_loss(scorer):
    """One triplet: central differences of Φ times the hinge, and of an L2 that Φ does not scale."""
    data = tr.Interactions(np.array([[0, 1, 0, 0, 0, 0, 0, 0]]))
    params = {
        "loss": losses.warp(5.0, 7), "scorer": scorer, "optimizer": "sgd", "learning_rate": 1e-2,
        "init_scale": 0.7, **L2,
    }  # fmt: skip
    visit = Visit(data, **params)
    ((_, u, ((i, _),), tried),) = visit.visits
    assert sorted([i, *tried]) == list(range(8))  # without replacement
    j, weight = tried[0], np.log(7)  # with so wide a margin the first violates it

    def objective(U, V, b):
        s_i, s_j = (naive_warp.coefficients(scorer, U[u], V[item])[3] + b[item] for item in (i, j))
        l2 = L2["user_l2"] * U[u] @ U[u] + L2["item_l2"] * V[i] @ V[i]
        l2 += L2["negative_l2"] * V[j] @ V[j] + L2["bias_l2"] * (b[i] ** 2 + b[j] ** 2)
        return weight * max(0.0, 5.0 - s_i + s_j) + 0.5 * l2

    training = start(data, **params)
    run(training, [1])
    before = [each.astype(np.float64) for each in visit.start]
    for which, place in ((w, p) for w in range(3) for p in np.ndindex(before[w].shape)):
        ends = []
        for sign in (1, -1):
            moved = [each.copy() for each in before]
            moved[which][place] += sign * 1e-5
            ends.append(objective(*moved))
        step = (before[which][place] - training.factors[which][place]) / 1e-2
        assert step == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-2, abs=1e-3)


def test_without_a_violation_there_is_no_step():
    """Not even that of the L2: all users like the first six items, whose biases put them on top."""
    data = tr.Interactions(np.repeat([[1] * 6 + [0] * 6], 6, 0))
    training = start(data, loss="warp", user_l2=5.0, item_l2=5.0, bias_l2=5.0)
    training.tables.biases[:6, 0] = 9.0
    before = [each.copy() for each in training.factors]
    record = run(training, [1])[0]
    assert (record["n_violations"], record["n_triplets"], record["loss"]) == (0, 36, 0.0)
    for ours, theirs in zip(training.factors, before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_tried_is_unseen_distinct_and_of_the_positives_block(blocks):
    visit = Visit(blocks, loss=losses.warp(max_sampled=8), random_state=None)
    assert visit.training.epoch_layout.strata.n_item_blocks > 1
    liked, of_block = blocks.tocsr().toarray() > 0, {}
    for (s, _, _), u, ((i, _),), tried in visit.visits:
        assert len(set(tried)) == 8 and not liked[u, tried].any()
        block = visit.training.epoch_layout.strata.item_block[s]
        assert all(of_block.setdefault(item, block) == block for item in (i, *tried))


def test_where_few_items_are_unseen_all_of_them_are_tried():
    dense = np.ones((6, 12))
    dense[:, 7:] = 0
    visit = Visit(tr.Interactions(dense), loss=losses.warp(max_sampled=9), random_state=None)
    for *_, tried in visit.visits:
        assert sorted(tried) == [7, 8, 9, 10, 11]


@pytest.mark.parametrize("sampler", ["unseen", tr.sampling.popularity(1.0)])
def test_tries_are_as_the_sampler_says_but_for_those_before(sampler):
    """The second of two, by the first: of all others with their weights."""
    dense = np.zeros((40, 6))
    dense[:, 0] = 1
    for item in range(1, 6):
        dense[: 4 * item, item] = 1
    data = tr.Interactions(dense)
    counts, seen = np.zeros((6, 6)), data.tocsr().toarray()[39] > 0
    for seed in range(40):
        visit = Visit(data, loss=losses.warp(max_sampled=2), sampler=sampler, random_state=seed)
        for _, u, _, tried in visit.visits:
            if u >= 20:  # who likes item 0 alone
                counts[tuple(tried)] += 1
    weights = np.where(seen, 0.0, 1.0 if sampler == "unseen" else dense.sum(0))
    share = weights / weights.sum()
    expected = share[:, None] * np.where(np.eye(6) > 0, 0.0, share) / (1.0 - share[:, None])
    some = expected > 0
    assert not counts[~some].any()
    assert chisquare(counts[some], expected[some] * counts.sum()).pvalue > 1e-9


def test_positives_that_are_compared_are_drawn_alike():
    data = tr.Interactions(np.array([[1, 1, 1, 1, 0, 0, 0, 0]]))
    counts = np.zeros((4, 4))
    for seed in range(60):
        visit = Visit(data, loss=losses.k_os_warp(1, 3), random_state=seed)
        for _, _, ((own, _), *others), _ in visit.visits:
            counts[own] += np.bincount([i for i, _ in others], minlength=4)
    assert counts.sum() == 60 * 4 * 2
    assert chisquare(counts.ravel()).pvalue > 1e-9


@pytest.mark.parametrize("loss", [losses.warp(max_sampled=4), losses.k_os_warp(2, 3, 0.5, 4)])
def test_the_same_bits_at_any_number_of_threads(loss, blocks):
    one, four = (start(blocks, loss=loss, n_jobs=n_jobs) for n_jobs in (1, 4))
    assert len(one.rounds) > 0 and len(four.rounds[0]) > 1
    assert run(one) == run(four)
    assert_same_tables(one, four)


def test_of_few_data_there_is_one_block():
    data = interactions(200, 300, 6000)
    assert start(data, loss="warp", limits=LIMITS).epoch_layout.strata.n_item_blocks == 1
    assert start(data, loss="hinge", limits=LIMITS).epoch_layout.strata.n_item_blocks > 1


def test_not_a_number_is_seen():
    data = interactions(12, 40, 100)
    training = start(data, loss="warp")
    training.tables.users[:] = np.nan
    assert np.isnan(run(training, [1])[0]["loss"])


def test_weights_must_be_numbers(blocks):
    for weigh in (lambda n, tries: -1.0, lambda n, tries: np.nan):
        loss = losses.warp()._replace(name="mine", weigh=weigh)
        with pytest.raises(
            ValueError, match="weigh of loss 'mine' must return finite numbers >= 0"
        ):
            start(blocks, loss=loss)
