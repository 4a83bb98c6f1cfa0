"""Which candidate becomes the negative, compiled and not, for exact scores of a factor model."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
from tiers import quick_rows
from tripletrec._runtime.jit import kernel
from tripletrec.sampling import hard
from tripletrec.scorers import COSINE, DOT
from tripletrec.training.hard_negatives import choose_negative
from tripletrec.training.triplet_records import ItemRows, UserRows

WIDTH = 4
SIZES = 2 * WIDTH, 2 * WIDTH, 2
HARD = {"hardest": hard.hardest, "semi_hard": hard.semi_hard}


def build(choose, scorer):
    score = scorer.score

    @kernel
    def chosen(negatives, start, n_candidates, user, positive, users, items):
        return choose_negative(
            choose, negatives, start, n_candidates, user, positive, users, items, score, WIDTH, SIZES
        )  # fmt: skip

    return chosen


BY_HAND = [("dot", True), ("dot", False), ("cosine", False)]
KERNELS = {(name, s.name): build(each, s) for name, each in HARD.items() for s in (DOT, COSINE)}


def choose(name, candidates, positive, scores, scorer="dot", compiled=True):
    """Choose for a user by whom item i scores ``scores[i]``, half of it a bias."""
    U, V = np.zeros((1, 2, WIDTH), np.float32), np.zeros((len(scores), 2, WIDTH), np.float32)
    U[0, 0, 1] = 2.0
    half = 0.5 * np.asarray(scores, np.float32)
    if scorer == "dot":
        V[:, 0, 1] = 0.5 * half
    else:  # rows of length 5 at an angle with this cosine; a cosine must not depend on the length
        V[:, 0, 1], V[:, 0, 2] = 5 * half, 5 * np.sqrt(1 - half**2)
    b = np.zeros((len(scores), 2), np.float32)
    b[:, 0] = half
    # The second negative of three: the others must not be looked at.
    negatives = np.array([*[7] * len(candidates), *candidates, *[7] * len(candidates)], np.int32)
    row_at = np.random.default_rng(3).permutation(len(scores)).astype(np.int32)
    rows = np.empty_like(V)
    rows[row_at] = V
    nothing = np.empty((1, 0), np.float32)
    users = UserRows(U.reshape(-1), nothing)
    items = ItemRows(rows.reshape(-1), row_at, b.reshape(-1), nothing)
    function = KERNELS[name, scorer]
    function = function if compiled else getattr(function, "py_func", function)
    return function(negatives, len(candidates), len(candidates), 0, positive, users, items)


@pytest.mark.parametrize(
    ("scorer", "compiled"),
    quick_rows(itertools.product(("dot", "cosine"), (True, False)), *BY_HAND),
)
def test_by_hand(scorer, compiled):
    #         0    1    2    3    4    5    6    7
    scores = [0.5, 0.9, 0.1, 0.4, 0.7, 0.5, 0.8, 1.0]
    options = {"scorer": scorer, "compiled": compiled}
    assert choose("hardest", [2, 3, 1, 4], 0, scores, **options) == 1
    assert choose("semi_hard", [2, 3, 1, 4], 0, scores, **options) == 3  # the best below 0.5
    assert choose("semi_hard", [1, 4, 6], 0, scores, **options) == 4  # none is: the least bad
    assert choose("semi_hard", [4, 6, 2, 1], 0, scores, **options) == 2
    for name in HARD:  # missing ones and the positive itself do not count
        assert choose(name, [-1, 0, 3, -1], 0, scores, **options) == 3
        assert choose(name, [-1, 0, 0], 0, scores, **options) == -1


def test_equal_scores():
    scores = [0.5, 0.5, 0.9, 0.9, 0.25, 0.25, 0.0, 1.0]
    assert choose("hardest", [4, 3, 2], 0, scores) == 3  # the first of equals
    assert choose("semi_hard", [5, 4], 0, scores) == 5
    assert choose("semi_hard", [2, 3], 0, scores) == 2
    assert choose("semi_hard", [1, 4], 0, scores) == 4  # as high as the positive is not below


def test_not_a_number_is_chosen_rather_than_hidden():
    """Else a diverged model would look like a user without negatives."""
    for name in HARD:
        assert choose(name, [3, 4], 0, np.full(8, np.nan)) in (3, 4)


@pytest.mark.parametrize("name", HARD)
@given(
    scores=st.lists(st.integers(-4, 4), min_size=8, max_size=8),
    candidates=st.lists(st.integers(-1, 7), min_size=1, max_size=6),
    positive=st.integers(0, 7),
)
def test_the_hardest_is_chosen(name, scores, candidates, positive):
    """Small whole numbers, exact in float32: also where scores are equal."""
    chosen = choose(name, candidates, positive, scores)
    assert chosen == naive.hard_negative(candidates, positive, scores, naive.HARD[name])
    negatives = [j for j in candidates if j >= 0 and j != positive]
    if not negatives:
        assert chosen == -1
        return
    assert chosen in negatives
    harder = [j for j in negatives if scores[j] > scores[chosen]]
    if name == "hardest":
        assert not harder
    else:
        assert all(scores[j] >= scores[positive] for j in harder)
        if scores[chosen] >= scores[positive]:
            assert scores[chosen] == min(scores[j] for j in negatives)
