"""Histories of all kinds of nonsense: a list, or an error in one sentence, and the model as it was."""

import copy

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import learnt
from hostile.support import outcome

N_ITEMS = 12
ODD = [
    None, -1, N_ITEMS, 2**70, 1.5, float("nan"), float("inf"), "x", "3", "", b"3", True, (), (1,), [],
    [2], {},
    {1}, object(), np.int8(3), np.float32(2.0), np.datetime64("NaT", "s"), 3 + 0j, "\0", range(2), print,
]  # fmt: skip


@pytest.fixture(scope="module", params=["numbers", "strings"])
def model(request):
    data = tr.datasets.make_interactions(20, N_ITEMS, 80, random_state=0)
    if request.param == "strings":
        data = tr.Interactions(
            data.tocsr(), user_ids=[f"u{u}" for u in range(20)], item_ids=list("abcdefghijkl")
        )
    return tr.MatrixFactorization(n_factors=6, n_epochs=1, n_jobs=1).fit(data)


def history(rng, model):
    known = np.arange(N_ITEMS) if model.item_ids_ is None else model.item_ids_
    ids = list(rng.choice(known, rng.integers(0, 6)))
    for _ in range(rng.integers(0, 3)):
        ids.insert(int(rng.integers(len(ids) + 1)), ODD[rng.integers(len(ODD))])
    wrap = [list, tuple, lambda x: np.array(x, object), iter, lambda x: x]
    return wrap[rng.integers(len(wrap))](ids)


def test_histories(model, many, rng):
    for _ in range(many(400)):
        given = history(rng, model)
        if rng.random() < 0.5:
            given = [given, history(rng, model), ODD[rng.integers(len(ODD))]][: rng.integers(1, 4)]
        k = [3, 0, -1, 2.5, 10**9, None][rng.choice(6, p=[0.75, *[0.05] * 5])]
        found = outcome(
            model.recommend_history, given, k, unknown=["raise", "drop"][rng.integers(2)],
            exclude=["seen", None, [ODD[rng.integers(len(ODD))]]][rng.choice(3, p=[0.6, 0.3, 0.1])],
        )  # fmt: skip
        if not isinstance(found, Exception):
            ids, scores = found
            assert ids.shape == scores.shape and not np.isnan(scores).any()


def test_added_users(model, many, rng):
    for _ in range(many(200)):
        mine, state = copy.copy(model), learnt(model)
        n = int(rng.integers(0, 5))
        table = {
            "user": [
                ODD[rng.integers(len(ODD))] if rng.random() < 0.3 else f"n{u}" for u in range(n)
            ],
            "item": list(history(rng, model))[:n],
        }
        found = outcome(mine.add_users, table, unknown=["raise", "drop"][rng.integers(2)])
        if isinstance(found, Exception):
            assert learnt(mine) == state
        else:
            assert mine.n_users_ == len(mine.user_factors_) == mine.seen_.n_users > 20
        assert learnt(model) == state
