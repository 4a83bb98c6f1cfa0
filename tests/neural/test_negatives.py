"""Negatives of batches: where they come from, against draws one by one; which candidate is chosen."""

import numpy as np
import pytest

import naive
import tripletrec as tr
from tripletrec import part, sampling
from tripletrec.neural.negatives import Negatives, choose_candidates
from tripletrec.sampling import hard


@pytest.fixture
def data():
    return tr.datasets.make_interactions(20, 30, 200, random_state=1)


def test_negatives_are_unseen_and_from_the_items_given(data):
    draws = Negatives(sampling.UNSEEN, data, None, np.arange(10, 30))
    users = np.repeat(np.arange(20, dtype=np.int32), 50)
    drawn = draws.draw(np.uint64(3), users, 4)
    assert drawn.shape == (1000, 4)
    assert drawn.min() >= 10
    known = data.tocsr().toarray() > 0
    assert not known[users[:, None], drawn].any()
    assert set(drawn.ravel()) == set(range(10, 30))
    np.testing.assert_array_equal(draws.draw(np.uint64(3), users[500:], 4, first=500), drawn[500:])


def test_draws_equal_a_twin(data, rng):
    """Negative c of user t is a function of the key and of its number in the stream alone."""
    key, users = int(rng.integers(2**63)), rng.integers(0, 20, 7, np.int32)
    given = data.tocsr()[::-1]  # somebody else's positives, which differ in number
    items = np.array([3, 7, 8, 20, 29])
    samplers = (sampling.UNIFORM, None), (sampling.UNIFORM._replace(share=1.0), given)
    for sampler, negatives in samplers:
        source = None if negatives is None else tr.Interactions(negatives)
        drawn = Negatives(sampler, data, source, items).draw(np.uint64(key), users, 3, first=11)
        for t, user in enumerate(users):
            for c in range(3):
                stream = naive.derive(key, (11 + t) * 3 + c)
                own = [] if source is None else source.tocsr()[[user]].indices
                if len(own):
                    expected = own[naive.below(stream, 1, len(own))]
                else:
                    expected = items[naive.below(naive.derive(stream, 2), 0, len(items))]
                assert drawn[t, c] == expected


def test_candidates_are_all_the_same_given_one_or_none_of_them(data, rng):
    key, users = int(rng.integers(2**63)), np.repeat(np.arange(20, dtype=np.int32), 40)
    others = data.tocsr()[::-1]
    given = tr.Interactions(others - others.multiply(data.tocsr() > 0))
    sampler = sampling.dynamic(3, 0.4)
    mixed = Negatives(sampler, data, given).draw(np.uint64(key), users, 3, first=7)
    plain = Negatives(sampler, data).draw(np.uint64(key), users, 3, first=7)
    placed = 0
    for t, user in enumerate(users):
        own = given.tocsr()[[user]].indices
        head = naive.derive(key, (7 + t) * 3)
        if len(own) and naive.uniform(head, 0) < 0.4:
            assert set(mixed[t]) == {own[naive.below(head, 1, len(own))]}
            placed += 1
        else:
            np.testing.assert_array_equal(mixed[t], plain[t])
    n = np.count_nonzero(np.diff(given.indptr)[users])
    assert abs(placed / n - 0.4) < 6 * np.sqrt(0.24 / n)


def test_items_without_positives_are_drawn_and_others_by_their_counts():
    """By those of the positives, or by others where they are given."""
    data, users = tr.Interactions(np.array([[1, 1, 0, 0], [0, 1, 0, 0]])), np.ones(400, np.int32)
    for sampler, counts, expected in (
        (sampling.UNSEEN, None, [0, 2, 3]),
        (sampling.popularity(1.0), None, [0]),
        (sampling.popularity(1.0), np.array([0, 5, 1, 0]), [2]),
        (sampling.popularity(1.0), np.array([3, 0, 0, 2]), [0, 3]),
    ):
        drawn = Negatives(sampler, data, counts=counts).draw(np.uint64(3), users, 1)
        assert np.unique(drawn).tolist() == expected


def test_who_likes_everything_has_no_negative():
    data = tr.Interactions(np.array([[1, 1, 1], [1, 0, 1]]))
    drawn = Negatives(sampling.UNSEEN, data).draw(np.uint64(0), np.array([0, 1], np.int32), 4)
    assert (drawn[0] < 0).all()
    assert (drawn[1] == 1).all()
    some = Negatives(sampling.UNSEEN, data, None, np.array([0, 2]))  # of these both have all
    assert (some.draw(np.uint64(0), np.array([0, 1], np.int32), 4) < 0).all()
    loose = Negatives(sampling.UNIFORM, data)
    assert set(loose.draw(np.uint64(0), np.zeros(50, np.int32), 1).ravel()) == {0, 1, 2}


@part
def easiest(score, best, positive_score):
    return score < best


@pytest.mark.parametrize("choose", [hard.hardest, hard.semi_hard, easiest])
def test_hard_candidates_equal_a_twin(choose, rng):
    """Small whole numbers: also where scores are equal."""
    candidates = rng.integers(-1, 50, (200, 5)).astype(np.int32)
    candidates[0] = -1
    # As networks give them: the first candidate of all triplets, then the second.
    scores = np.asfortranarray(rng.integers(0, 9, (200, 5)), np.float32)
    positive = rng.integers(0, 9, 200)
    with pytest.raises(ValueError, match="scores and positive_scores must have the shapes"):
        choose_candidates(candidates, scores[:, 1:], positive.astype(np.float32), choose)
    chosen = choose_candidates(candidates, scores, positive.astype(np.float32), choose)
    assert chosen[0] == -1
    for row in range(1, 200):
        there = candidates[row] >= 0
        if not there.any():
            assert chosen[row] < 0
            continue
        place = naive.HARD[choose.__name__](scores[row][there].tolist(), positive[row])
        assert chosen[row] == candidates[row][there][place]
