"""New events of every kind: learnt from, or refused in one sentence with the model as it was.

A thorough run tries 300 of them: ids of the kinds and the shapes of the model and of others, matrices,
weights, negatives and numbers of epochs that are none.
"""

import copy

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import learnt
from hostile.support import outcome

N_USERS, N_ITEMS = 12, 9


def draw_ids(rng, n):
    """Return ids of a kind, some of them those of the models below."""
    first = int(rng.integers(-3, N_USERS))
    return [
        [f"{first + k}" for k in range(n)],
        list(range(first, first + n)),
        [first + k + 0.5 for k in range(n)],
        list(np.datetime64("2024-01-01") + np.arange(n)),
        [bytes([65 + k]) for k in range(n)],
        [str(k) if k % 2 else k for k in range(n)],
        [2**63 + k for k in range(n)],
        [f"{k}" * 300 for k in range(1, n + 1)],
        [(k, "a") for k in range(n)],
        None,
    ][rng.integers(10)]


def draw_events(rng, model):
    """Return interactions, a matrix or something else."""
    n_users, n_items = N_USERS + int(rng.integers(-4, 5)), N_ITEMS + int(rng.integers(-4, 5))
    matrix = sp.random(n_users, n_items, rng.choice([0.0, 0.02, 0.3]), "csr", random_state=0)
    kind = rng.integers(8)
    if kind == 0:
        return rng.choice([np.nan, -1.0, np.inf, 1e300, 1e-45, 0.0], (n_users, n_items))
    if kind == 1:
        return matrix
    if kind == 2:
        return [None, "X", 3, [], [[1, 0]], {"user": [1]}, np.ones(3), np.ones((2, 2, 2))][
            rng.integers(8)
        ]
    if kind < 6:  # of the model's kind
        first = int(rng.integers(0, 9))
        users, items = np.arange(first, first + n_users), np.arange(first, first + n_items)
        users = None if model.user_ids_ is None else users.astype(model.user_ids_.dtype)
        items = None if model.item_ids_ is None else items
        return outcome(tr.Interactions, matrix, user_ids=users, item_ids=items)
    return outcome(
        tr.Interactions, matrix, user_ids=draw_ids(rng, n_users), item_ids=draw_ids(rng, n_items)
    )


def draw_options(rng, X):
    """Return arguments beside X, most of them good."""
    n = getattr(X, "nnz", 3)
    choices = {
        "n_epochs": [1, 2, 1, 1, 0, -1, 1.5, True, None, "1", np.int64(1)],
        "sample_weight": [
            None,
            None,
            "values",
            "x",
            np.ones(n),
            np.zeros(n),
            -np.ones(n),
            [np.nan] * n,
            3,
        ],
        "negatives": [None, None, None, X, "x", np.eye(3)],
        "callbacks": [None, None, 3, [None], lambda model, record: True],
    }
    drawn = {name: each[rng.integers(len(each))] for name, each in choices.items()}
    return {name: each for name, each in drawn.items() if rng.random() < 0.4}


@pytest.fixture(scope="module")
def models():
    """Models with ids of three kinds."""
    data = tr.datasets.make_interactions(N_USERS, N_ITEMS, 40, random_state=0).tocsr()
    ids = [
        (None, None),
        *((list(map(kind, range(N_USERS))), range(N_ITEMS)) for kind in (str, int)),
    ]
    return [
        tr.MatrixFactorization(4, n_epochs=1, n_jobs=1).fit(
            tr.Interactions(data, user_ids=users, item_ids=items)
        )
        for users, items in ids
    ]


def test_new_events(models, many, rng):
    n_learnt = 0
    for _ in range(many(300)):
        model = models[rng.integers(len(models))]
        before, given = learnt(model), copy.copy(model)
        X = draw_events(rng, model)
        options = draw_options(rng, X)
        answer = outcome(given.partial_fit, X, **options)
        if isinstance(answer, Exception):
            assert learnt(given) == before
            continue
        n_learnt += 1
        assert answer is given and given.n_users_ >= model.n_users_
        assert (given.n_users_, given.n_items_) == given.seen_.space.shape
        assert len(given.user_factors_) == given.n_users_
        assert len(given.item_factors_) == len(given.item_biases_) == given.n_items_
        assert np.isfinite(given.user_factors_).all() and np.isfinite(given.item_factors_).all()
        given._check_learnt()
        assert learnt(model) == before
    assert n_learnt > many(300) / 20
