"""Which data look as if a splitter had cut them wrongly; what searches do is in `scikit_learn`."""

import re
import warnings

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.data.interactions import Space
from tripletrec.models.folds import check_fold, whole

OTHERS = "the rows of X seem to be other users"
COLD = r"\d+ of the \d+ users in X have no training data"


@pytest.fixture
def shop(rng):
    """Items of unequal popularity, users of unequal activity, with tastes of their own."""
    n_users, n_items = 200, 150
    popularity = rng.gamma(0.5, size=n_items) + 0.05
    activity = rng.gamma(1.0, size=n_users) + 0.3
    taste = rng.gamma(0.3, size=(n_users, n_items))
    rates = activity[:, None] * popularity * taste
    chances = 1 - np.exp(-rates * 4000 / rates.sum())
    return tr.Interactions((rng.random(chances.shape) < chances).astype(np.float32))


def said(seen, X, unseen=False, rows=True):
    space = Space(*seen.space.shape)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_fold(seen, X, space, unseen=unseen, rows=rows)
    return [str(each.message) for each in caught]


def test_rows_of_other_users_are_found(shop, rng):
    matrix = shop.tocsr()
    for _ in range(5):
        order = rng.permutation(200)
        train, test = matrix[order[:100]], matrix[order[100:]]
        (text,) = said(tr.Interactions(train), test)
        assert text.startswith(OTHERS)
        assert said(tr.Interactions(train), tr.Interactions(test)) == []
        assert said(tr.Interactions(train), test, rows=False) == []
    shuffled = matrix[rng.permutation(200)]
    assert said(shop, shuffled)[0].startswith(OTHERS)


def test_the_same_users_are_not(shop, rng):
    train, test = tr.splits.train_test_split(shop, 0.4, random_state=int(rng.integers(1000)))
    again = train.tocsr()[:, :].copy()
    again.data[rng.random(again.nnz) < 0.7] = 0  # users return to three tenths of what they know
    returning = again + test.tocsr()
    for X in (train, test, shop, train[::2]):
        assert said(train, X.tocsr()) == said(train, X.tocsr().toarray()) == said(train, X) == []
    assert said(train, returning) == []


def test_users_without_training_data(shop):
    first, last = shop[: len(shop) // 2], shop[len(shop) // 2 :]
    (text,) = said(first, last)
    assert re.match(COLD, text) and "InteractionKFold(5)" in text
    assert said(first, last.tocsr())[0] == text
    assert said(first, last, unseen=True) == [] == said(first, first)


def test_what_is_no_matrix_over_the_items_passes(shop):
    space = shop.space
    for side in (None, "values", [1.0, 2.0], np.ones(3), np.ones((4, 7)), 5, object()):
        for X in (shop, shop.take([2, 0]), shop.tocsr()):
            assert whole(side, X, space, "sample_weight") is side
    with pytest.raises(
        ValueError, match="validation must have the 200 users of X, got 4: if scikit"
    ):
        whole(np.ones((4, 150)), shop.tocsr(), space, "validation")
