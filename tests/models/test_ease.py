"""EASE: the contract, the closed form, what is alike, memory, files without histories."""

import numpy as np
import pytest

import tripletrec as tr
from contracts.baseline import BaselineContract
from contracts.support import catalogue, interactions
from tiers import quick
from tripletrec.models.companions import percentile_rank_of
from tripletrec.models.ease import _is_wide, _solve_by_items, l2_for


class TestContract(BaselineContract):
    kind = tr.EASE
    settings = {"l2": 5.0}
    other = {"l2": 50.0}
    cannot = {"l2": -1.0}
    table = "item_weights_"

    def test_a_model_that_knows_nothing_of_its_training_learns_nothing_of_it(self):
        """See below: nor does it take new users."""

    def test_saved_models_may_not_know_it(self):
        """See below: they answer to histories alone."""

    def test_users_without_history_score_nothing(self):
        model = self.make().fit(np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]]))
        assert model.predict(1, [0, 1, 2]).tolist() == [0.0] * 3
        assert model.recommend(1, k=1)[0].tolist() == [1]


def weights(data, l2):
    """B as the paper has it."""
    X = (data.tocsr().toarray() > 0).astype(np.float64)
    P = np.linalg.inv(X.T @ X + l2 * np.eye(X.shape[1]))
    B = np.eye(X.shape[1]) - P / np.diag(P)
    np.fill_diagonal(B, 0.0)
    return X, P, B


@pytest.mark.parametrize(
    "size",
    quick([(30, 40, 300), (20, 700, 900), (400, 700, 900), (5, 1, 2), (1, 2, 1)], (20, 700, 900)),
    ids=str,
)
def test_it_is_the_closed_form(size, rng):
    """Also of more items than are computed at once, and of more of them than users."""
    data = interactions(*size, seed=int(rng.integers(2**31)))
    l2 = float(rng.uniform(0.5, 20))
    model = tr.EASE(l2=l2).fit(data)
    X, _, B = weights(data, l2)
    np.testing.assert_allclose(model.item_weights_, B, rtol=1e-4, atol=1e-6)
    assert model.item_weights_.dtype == np.float32 and not np.diag(model.item_weights_).any()
    np.testing.assert_allclose(catalogue(model), X @ B, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("l2", [1e-3, 1.0, 300.0])
def test_a_matrix_of_users_gives_what_one_of_items_gives(l2, rng):
    wide = interactions(40, 90, 400, seed=int(rng.integers(2**31)))
    # Users without anything change nothing, but their number.
    found = tr.EASE(l2=l2).fit(wide).item_weights_
    nobody = tr.Interactions(np.pad(wide.tocsr().toarray(), ((7, 90), (0, 0))))
    assert _is_wide(wide) and _is_wide(nobody)
    np.testing.assert_array_equal(tr.EASE(l2=l2).fit(nobody).item_weights_, found)
    expected = _solve_by_items(wide, l2)
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_it_minimizes_what_it_says(rng):
    data = interactions(25, 12, 90)
    X, _, _ = weights(data, 3.0)
    B = tr.EASE(l2=3.0).fit(data).item_weights_.astype(np.float64)

    def loss(B):
        return ((X - X @ B) ** 2).sum() + 3.0 * (B**2).sum()

    for _ in range(20):
        step = rng.normal(0, 0.01, B.shape)
        np.fill_diagonal(step, 0.0)
        assert loss(B + step) > loss(B)


def test_values_have_no_effect():
    data = interactions(25, 12, 90)
    other = tr.Interactions(data.tocsr() * 3.5)
    expected = tr.EASE().fit(data).item_weights_
    np.testing.assert_array_equal(tr.EASE().fit(other).item_weights_, expected)


def test_scores_of_candidates_are_those_of_all_items(pairs):
    model = tr.EASE().fit(pairs)
    ids, scores = model.recommend([4, 0, 4], k=40, exclude=None)
    some, own = [31, 2, 17], [[31, 2, 17], [5], []]
    for candidates in (some, own):
        found = model.recommend([4, 0, 4], k=3, exclude=None, candidates=candidates)
        for n in range(3):
            kept = np.isin(ids[n], candidates if candidates is some else own[n])
            m = int(kept.sum())
            assert found[0][n].tolist() == [*ids[n][kept].tolist(), *[-1] * (3 - m)]
            np.testing.assert_array_equal(found[1][n, :m], scores[n][kept])


def test_similar_items_are_partially_correlated():
    data = interactions(30, 20, 200)
    _, P, _ = weights(data, 4.0)
    ids, found = tr.EASE(l2=4.0).fit(data).similar_items(range(20), k=19)
    partial = -P / np.sqrt(np.outer(np.diag(P), np.diag(P)))
    expected = np.take_along_axis(partial, ids, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_similar_users_share_items():
    data = interactions(30, 20, 200)
    X = (data.tocsr().toarray() > 0) / np.sqrt(np.diff(data.indptr))[:, None]
    ids, found = tr.EASE().fit(data).similar_users(range(30), k=29)
    np.testing.assert_allclose(found, np.take_along_axis(X @ X.T, ids, axis=1), rtol=1e-5)


def test_explanations_are_weights(pairs):
    model = tr.EASE(l2=2.0).fit(pairs)
    why = model.explain(3, 5, k=4)
    np.testing.assert_array_equal(why.contributions, model.item_weights_[why.items, 5])
    assert why.rest == why.bias == 0.0


def test_memory_is_said_before_it_is_taken():
    """Two million items would take 48,000 GB, of two users a third of that."""
    everyone = np.arange(1_000_001)
    for users, needed in (([0, 1], "16,000.0"), (everyone, "48,000.0")):
        items = np.linspace(0, 2_000_000, len(users)).astype(int)
        data, model = tr.Interactions.from_arrays(users, items), tr.EASE()
        for kind in (MemoryError, ValueError):
            with pytest.raises(
                kind,
                match=f"EASE of 2,000,001 items needs {needed} GB of memory, and .*: keep fewer",
            ):
                model.fit(data)
        assert not hasattr(model, "n_users_")


def test_the_l2_goes_by_how_well_users_are_told(pairs):
    assert [l2_for(each) for each in (0.4, 0.015, 1e-9)] == [300.0, 300.0, 1.0]
    assert l2_for(0.0015) == pytest.approx(300 * 0.1**1.5)
    users = np.repeat(np.arange(400), 5)  # of forty groups with items of their own
    alike = tr.Interactions.from_arrays(users, 5 * (users % 40) + np.tile(np.arange(5), 400))
    model, named = tr.EASE().fit(alike), tr.EASE(l2_for(percentile_rank_of(alike))).fit(alike)
    assert 0 < model.l2_ == named.l2_ < 300.0 and model.l2 is None
    np.testing.assert_array_equal(model.item_weights_, named.item_weights_)
    assert tr.EASE()._settled_params() == {"l2": 300.0}
    assert tr.EASE()._settled_params(alike) == model._settled_params() == {"l2": model.l2_}
    model.set_params(l2=7.0)
    assert model._settled_params() == {"l2": 7.0} and model.l2_ < 300.0
    grown = tr.EASE().fit(alike).partial_fit(alike[:50])
    assert grown.l2_ == model.l2_  # by all that was seen


@pytest.mark.parametrize("wrong", [0, -1.0, np.nan, np.inf, "300", True])
def test_wrong_l2(wrong, pairs):
    with pytest.raises((ValueError, TypeError), match="l2 must be a finite number > 0, got"):
        tr.EASE(l2=wrong).fit(pairs)


def test_too_small_an_l2_is_told(pairs):
    some = pairs.tocsr().toarray()
    twins = np.repeat(np.tile(some, (3, 1)), 2, axis=1), np.repeat(some[:9], 2, axis=0)
    for data, n_items in zip(twins, (80, 40), strict=True):
        with pytest.raises(
            ValueError, match=f"l2 is too small for these {n_items} items .*, got 1e-30"
        ):
            tr.EASE(l2=1e-30).fit(data)


def test_without_what_was_seen_only_histories_are_answered(pairs, tmp_path):
    model = tr.EASE(l2=5.0).fit(pairs)
    model.save(tmp_path / "model", seen=False)
    again = tr.load(tmp_path / "model")
    ids, scores = again.recommend_history([3, 7], k=5)
    np.testing.assert_array_equal(scores, model.recommend_history([3, 7], k=5)[1])
    assert again.similar_items(3, k=2)[0].shape == (2,)
    with pytest.warns(UserWarning, match="does not know what it was trained on"):
        pytest.raises(ValueError, again.recommend, 3)
    for call in (
        lambda: again.recommend(3, exclude=None),
        lambda: again.predict(3, 4),
        lambda: again.similar_users(3),
        lambda: again.add_users({"user": [30], "item": [3]}),
        lambda: tr.full_auc(again, pairs, None),
    ):
        with pytest.raises(ValueError, match="does not know what its users have had.*: use recom"):
            call()
    with pytest.raises(ValueError, match="partial_fit of an EASE needs what was seen before"):
        again.partial_fit(pairs)


@pytest.mark.parametrize("n_users", [20, 300, 3000])
def test_items_that_nearly_all_users_share_are_refused_before_they_are_garbage(n_users):
    """All items are alike: each other one weighs 1 / (n_items - 1 + l2 / n_users)."""
    X = np.ones((n_users, 60))
    for l2 in 10.0 ** np.arange(-12, 3):
        try:
            weights = tr.EASE(l2=l2).fit(X).item_weights_
        except ValueError as error:
            assert "l2 is too small" in str(error) and l2 <= 1e-6
            continue
        others = weights[~np.eye(60, dtype=bool)]
        np.testing.assert_allclose(others, 1 / (59 + l2 / n_users), rtol=1e-3)
