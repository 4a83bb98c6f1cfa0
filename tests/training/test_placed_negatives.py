"""Given negatives in place of candidates: how many, against a naive twin, and what they leave as it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_placed
import tripletrec as tr
from contracts.support import catalogue, interactions
from tiers import quick
from training.fits import assert_same_tables, negatives_of, run, start
from tripletrec import sampling
from tripletrec.training.placed_negatives import chances


@given(share=st.floats(0.0, 0.999), n_blocks=st.integers(1, 512))
def test_so_many_tries_hit_the_block_with_the_share_as_probability(share, n_blocks):
    n_tries, chance = chances(share, n_blocks)
    assert n_tries >= 1 and 0.0 <= chance <= 1.0
    hit = -np.expm1(n_tries * np.log1p(-chance / n_blocks)) if n_blocks > 1 or chance < 1 else 1.0
    if n_tries < 1000:
        assert hit == pytest.approx(share, abs=1e-6)
        fewer = -np.expm1((n_tries - 1) * np.log1p(-1.0 / n_blocks)) if n_tries > 1 else 0.0
        assert fewer <= share + 1e-6  # and no fewer do


class Drawn:
    """The triplets of the strata of an epoch, instead of learning from them: `pairs`, `candidates`."""

    def __init__(self, data, **options):
        self.training = start(data, **options)
        self.pairs, self.candidates = {}, {}
        self.training.loop = self.training.loop._replace(kernel=self.note)
        run(self.training, [1])
        epoch_layout = self.training.epoch_layout
        self.block_of = epoch_layout.deal_items(1).items.block_of
        self.key = epoch_layout.streams(1).given

    def note(self, first, last, bounds, triplets, n_negatives, group, users, items, *rest):
        (pairs, negatives), row_at = triplets[:2], items[1]
        m = self.training.loop.n_drawn // n_negatives
        for s in range(first, last):
            a, b = bounds[s] - bounds[first], bounds[s + 1] - bounds[first]
            own = negatives[a * n_negatives * m : b * n_negatives * m]
            self.candidates[s] = np.where(own < 0, -1, row_at[own]).reshape(-1, m)
            self.pairs[s] = [(int(u), int(row_at[i])) for u, i in pairs[a:b]]


@pytest.fixture(scope="module")
def blocks():
    return interactions(40, 300, 2500)


@pytest.mark.parametrize("share", quick([0.1, 0.7], 0.7))
@pytest.mark.parametrize("n_negatives", quick([1, 2], 2))
def test_they_are_placed_as_the_twin_places_them(n_negatives, share, blocks):
    others = negatives_of(blocks)
    options = {"n_negatives": n_negatives, "random_state": None}
    sampler = sampling.dynamic(3, share)
    found = Drawn(blocks, sampler=sampler, given=others, **options)
    seed = found.training.plan.seed
    plain = Drawn(blocks, sampler=sampling.dynamic(3), **{**options, "random_state": seed})
    strata = found.training.epoch_layout.strata
    n_tries, chance = chances(share, strata.n_item_blocks)
    own = [row.indices.tolist() for row in others.tocsr()]
    assert strata.n_item_blocks > 1 and found.pairs == plain.pairs
    n_placed, chances_of_all = 0, []
    for s, pairs in found.pairs.items():
        expected = naive_placed.placed(
            int(found.key), s, pairs, own, found.block_of, strata.item_block[s], n_tries, chance,
            n_negatives,
        )  # fmt: skip
        for item, ours, without in zip(
            expected, found.candidates[s], plain.candidates[s], strict=True
        ):
            np.testing.assert_array_equal(ours, without if item is None else [item] * 3)
            n_placed += item is not None
        for user, _ in pairs:  # whose given ones are shared out to the blocks in this way
            inside = (
                np.mean(found.block_of[own[user]] == strata.item_block[s]) if own[user] else 0.0
            )
            chances_of_all += [1 - (1 - chance * inside) ** n_tries] * n_negatives
    p = np.array(chances_of_all)
    assert abs(n_placed - p.sum()) < 6 * np.sqrt((p * (1 - p)).sum())


@pytest.mark.parametrize("sampler", quick([sampling.dynamic(3), sampling.semi_hard(3)]))
def test_the_bits_are_the_same_at_any_number_of_threads(sampler, blocks):
    options = {"sampler": sampler._replace(share=0.3), "given": negatives_of(blocks)}
    one, four = (start(blocks, n_jobs=n_jobs, **options) for n_jobs in (1, 4))
    assert run(one) == run(four)
    assert_same_tables(one, four)
    assert one.executor.n_jobs == 1 and four.executor.n_jobs == 4


@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower])
def test_models_learn_from_them(kind, rng):
    """Items that a user is said to dislike end below those he is not known to have met."""
    data = interactions(60, 80, 600, seed=int(rng.integers(2**31)))
    others = negatives_of(data, 0.1)
    rows, columns = others.rows, others.indices
    places = []
    for negatives in (None, others):
        model = kind(
            sampler=sampling.dynamic(4, 0.3), n_epochs=20, random_state=int(rng.integers(2**31))
        )
        if negatives is None:
            model.set_params(sampler=sampling.dynamic(4))
        scores = catalogue(model.fit(data, negatives=negatives))
        places.append(np.argsort(np.argsort(scores, axis=1), axis=1)[rows, columns].mean())
    assert places[1] < places[0] - 5


def test_a_user_without_unseen_items_learns_from_given_ones_alone():
    """No candidate is left, but what is given is a negative all the same."""
    liked = np.ones((3, 5))
    liked[:, 4] = 0
    given_ones = 1 - liked
    model = tr.MatrixFactorization(4, n_epochs=3, sampler=sampling.dynamic(2, 0.5))
    model.fit(liked, negatives=given_ones)
    assert model.history_[-1]["n_triplets"] > 0
