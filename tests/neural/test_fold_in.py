"""New users of a perceptron: both ways to learn them equal the loops."""

import numpy as np
import pytest
import scipy.sparse as sp

import naive_fold_in
import tripletrec as tr
from tiers import quick
from tripletrec import losses, sampling
from tripletrec.data.ids import Ids
from tripletrec.models.history_input import read_histories
from tripletrec.neural.fold_in import PerceptronFoldIn
from tripletrec.neural.layers import Dense, ReLU
from tripletrec.neural.negatives import Negatives
from tripletrec.neural.pair_scores import item_terms
from tripletrec.neural.stack import Stack
from tripletrec.training.fold_in_triplet import Passes

N_ITEMS, N_FACTORS = 25, 3
HISTORIES = [[3], [0, 7, 24], [1, 2, 5, 8, 11]]


@pytest.mark.parametrize("hidden", quick([(5,), (16,), (), (6, 4)], (5,), (6, 4)), ids=str)
@pytest.mark.parametrize("final_relu", [False, True])
@pytest.mark.parametrize("loss", [losses.BPR, losses.hinge(0.3)], ids=lambda each: each.name)
@pytest.mark.parametrize("n_candidates", [1, 3])
def test_rows_equal_those_of_the_loops(hidden, final_relu, loss, n_candidates, rng):
    widths = (N_FACTORS + 2, *hidden, 1)
    sizes = list(zip(widths, widths[1:], strict=False))
    layers = [(rng.normal(0, 0.7, size), rng.normal(0, 0.1, size[1])) for size in sizes]
    factors = rng.normal(size=(N_ITEMS, 2)).astype(np.float32)

    def perceptron():
        found = []
        for weights, bias in layers:
            dense = Dense(weights.astype(np.float32))
            dense.bias[...] = bias
            found += [dense, ReLU()]
        return Stack(found if final_relu else found[:-1])

    sampler = sampling.UNIFORM if n_candidates == 1 else sampling.dynamic(n_candidates)
    model = tr.MLPMatcher(N_FACTORS, 2, loss=loss, user_l2=0.1, n_negatives=2, sampler=sampler)
    plan, passes = model._plan_with(0, model._first_loss()), Passes(n=4, least=3)
    counts = np.ones(N_ITEMS, np.int64)
    terms = item_terms(perceptron(), factors)
    fold_in = PerceptronFoldIn(plan, perceptron, N_FACTORS, terms, counts, passes)
    histories = read_histories(HISTORIES, Ids(None, N_ITEMS, "item"), "raise").items
    found = fold_in.learn(histories)
    keys = np.random.SeedSequence(0).generate_state(passes.n, np.uint64)
    known = sp.csr_matrix((np.ones(len(histories.indices)), histories.indices, histories.indptr))
    known.resize(len(HISTORIES), N_ITEMS)
    negatives = Negatives(sampler, tr.Interactions(known), counts=counts)

    def slope(x):
        return loss.slope(x, loss.parameters), abs(x - 0.3) if loss.name == "hinge" else np.inf

    rates = passes.rate * (1.0 - (np.arange(passes.n) + 0.5) / passes.n)
    for user, own in enumerate(HISTORIES):
        positives = np.repeat(np.tile(own, -(-passes.least // len(own))), 2)
        if len(hidden) == 1:  # all passes draw from one stream
            users = np.full(passes.n * len(positives), user, np.int32)
            drawn = negatives.draw(keys[0], users, n_candidates)
            drawn = drawn.reshape(passes.n, len(positives), n_candidates)
        else:
            users = np.full(len(positives), user, np.int32)
            drawn = np.stack([negatives.draw(key, users, n_candidates) for key in keys])
        drawn[drawn == positives[:, None]] = -1
        expected, nearest = naive_fold_in.learn_user(
            factors, layers, final_relu, slope, positives, drawn, 0.1, rates
        )
        if nearest < 1e-5:  # float32 may be on the other side of a bend
            continue
        np.testing.assert_allclose(found[user], expected, rtol=2e-3, atol=2e-4)
