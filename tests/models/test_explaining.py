"""Explanations: weights of a ridge regression, in both forms of its equation."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.models import explaining


@pytest.mark.parametrize("n_items", [3, 40])
def test_contributions_are_those_of_the_ridge_regression(rng, n_items):
    data = np.zeros((2, 60))
    data[0, rng.choice(60, n_items, replace=False)] = 1
    data[1] = 1 - data[0]
    model = tr.MatrixFactorization(8, n_epochs=2, scorer="cosine").fit(data)
    own = np.flatnonzero(data[0])
    p, q = model.user_vectors(0)[0, :-1], model.item_vectors()[:, :-1]
    Q = q[own].astype(np.float64)
    ridge = np.mean((Q**2).sum(1))
    weights = Q @ np.linalg.inv(Q.T @ Q + ridge * np.eye(8)) @ p
    why = model.explain(0, 7, k=60)
    expected = weights * (Q @ q[7])
    np.testing.assert_allclose(why.contributions, np.sort(expected)[::-1], atol=1e-7)
    assert why.items.tolist() == own[np.argsort(-expected)].tolist()
    assert why.bias == pytest.approx(float(model.item_biases_[7]))
    assert why.rest == pytest.approx(float((p - weights @ Q) @ q[7]), abs=1e-6)


def test_a_mixed_user_whose_row_is_zero_has_a_score_of_nothing_but_the_bias():
    data = tr.Interactions(np.array([[1, 1], [1, 0], [0, 1]]))
    model = tr.MatrixFactorization(1, loss="ccl", history=0.5, n_epochs=2, random_state=1).fit(data)
    zero = np.flatnonzero(model.user_factors_[:, 0] == 0.0)
    assert len(zero)
    for user in zero:
        why = model.explain(user, 0)
        assert why.contributions.tolist() == [0.0] * len(why.items)
        assert (why.other_items, why.rest) == (0.0, 0.0)
        assert why.score == why.bias == float(model.item_biases_[0])


def test_a_user_beyond_those_whose_items_are_known_has_none(monkeypatch):
    data = tr.Interactions(1 - np.eye(5))
    model = tr.MatrixFactorization(4, n_epochs=2, random_state=0).fit(data)
    monkeypatch.setattr(explaining, "known_seen", lambda model: tr.Interactions(1 - np.eye(5)[:3]))
    assert set(model.explain(2, 0).items) == {0, 1, 3, 4}
    for user in (3, 4):
        why = model.explain(user, 0)
        assert len(why.items) == 0 and why.other_items == 0.0
        assert why.rest + why.bias == pytest.approx(why.score)


def test_planted_groups_speak_for_their_own():
    """A user of two groups of items: what speaks for an item is of its group."""
    group = np.arange(40) % 2
    likes = np.equal.outer(np.arange(60) % 2, group).astype(float)
    likes[0] = np.arange(40) < 20  # of both groups
    model = tr.MatrixFactorization(8, n_epochs=60).fit(likes)
    for item in (30, 31):
        assert (model.explain(0, item, k=5).items % 2 == item % 2).all()


def test_networks_of_pairs_have_no_vectors():
    model = tr.MLPMatcher(4, 4, (4,), n_epochs=1).fit(np.eye(6))
    for call in (model.user_vectors, model.item_vectors, lambda: model.explain(0, 1)):
        with pytest.raises(TypeError, match="MLPMatcher has no vectors"):
            call()
    with pytest.raises(TypeError, match="MLPMatcher has no vectors"):
        model.to_index("usearch")
