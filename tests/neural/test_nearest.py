"""The nearest negatives by features, and the samplers of hard negatives."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec import sampling
from tripletrec.neural.nearest import nearest_negatives


def naive_nearest(known, features, allowed):
    """For each positive, by user: the allowed item of the highest cosine, the lowest of equals."""
    length = np.linalg.norm(features, axis=1)
    unit = (features / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32)
    found = []
    for user, item in np.argwhere(known):
        best = [(-round(float(unit[item] @ unit[j]), 4), j) for j in np.flatnonzero(allowed[user])]
        found.append(min(best)[1] if best else -1)
    return found


@pytest.mark.parametrize("given", [False, True])
def test_nearest_equals_a_loop(given, rng):
    known = rng.random((8, 20)) < 0.3
    features = rng.integers(0, 2, (20, 5)).astype(float)
    dislikes = (rng.random((8, 20)) < 0.2) & ~known
    dislikes[0] = False
    found = nearest_negatives(
        known, features, dislikes if given else None, n_neighbors=20, max_similarities=60
    )
    assert found.tolist() == naive_nearest(known, features, dislikes if given else ~known)


def test_nearest_gives_up_beyond_its_neighbours():
    known = np.array([[1, 1, 0]])
    assert nearest_negatives(known, np.eye(3), n_neighbors=1).tolist() == [-1, -1]
    assert nearest_negatives(known, np.eye(3)).tolist() == [2, 2]


def test_bad_input():
    known = np.array([[1, 1, 0]])
    with pytest.raises(ValueError, match="item_features must have 3 rows, got 2"):
        nearest_negatives(known, np.eye(2))
    with pytest.raises(ValueError, match=r"dislikes must have shape \(1, 3\)"):
        nearest_negatives(known, np.eye(3), np.ones((2, 3)))
    with pytest.raises(ValueError, match="n_neighbors"):
        nearest_negatives(known, np.eye(3), n_neighbors=0)


def test_what_models_refuse(small):
    others = ~small.tocsr().toarray().astype(bool)
    for sampler in ("dynamic", sampling.semi_hard(4), sampling.dynamic()._replace(share=0.5)):
        name = getattr(sampler, "name", sampler)
        with pytest.raises(ValueError, match=f"loss 'bsl' .* sampler '{name}'|given"):
            tr.MatrixFactorization(loss="bsl", sampler=sampler).fit(small)
        with pytest.raises(ValueError, match=f"sampler '{name}' takes no given negatives"):
            tr.MatrixFactorization(sampler=sampler).fit(small, negatives=others)
    with pytest.raises(ValueError, match="sampler 'dynamic' takes no given negatives"):
        tr.MatrixFactorization(sampler=sampler).fit(small)
    for loss in ("bpr", "softmax"):
        with pytest.raises(ValueError, match="sampler 'nearest' compares features of items, which"):
            tr.MatrixFactorization(loss=loss, sampler="nearest").fit(small)
    with pytest.raises(ValueError, match="needs item features"):
        tr.MLPMatcher(sampler="nearest").fit(small)
    for kind in (tr.MatrixFactorization, tr.MLPMatcher):
        with pytest.raises(TypeError, match="choose of a sampler must be a part .*'odd'"):
            kind(sampler=sampling.Sampler("mine", True, choose="odd")).fit(small)
        with pytest.raises(ValueError, match="n_candidates must be an integer >= 1, got 0"):
            kind(sampler=sampling.dynamic()._replace(n_candidates=0)).fit(small)


def test_nearest_in_training(small):
    rng = np.random.default_rng(0)
    items = rng.integers(0, 2, (small.n_items, 4)).astype(np.float32)
    model = tr.TwoTower(sampler=sampling.nearest(1.0), n_epochs=2)
    assert model.fit(small, item_features=items).history_[-1]["n_triplets"] == small.nnz
    with pytest.raises(ValueError, match="needs features"):
        model.fit(small)
