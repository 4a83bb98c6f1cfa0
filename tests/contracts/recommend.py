"""The contract of answers: predict, recommend, similar rows, score, with ids of every kind."""

import functools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import Contract, catalogue, interactions, with_ids
from tiers import quick


class RecommendContract(Contract):
    """Inherit, and give `make`."""

    def test_predict(self, fitted, pairs):
        scores = catalogue(fitted)
        assert scores.dtype == np.float32 and np.isfinite(scores).all()
        np.testing.assert_array_equal(
            fitted.predict(3, np.arange(pairs.n_items)), fitted.predict([3] * 40, np.arange(40))
        )
        assert fitted.predict(3, 4).shape == (1,)
        assert fitted.predict(np.arange(30), 4).shape == (30,)
        assert fitted.predict([], []).shape == (0,)
        with pytest.raises(ValueError, match="of one length, got 2 and 3"):
            fitted.predict([0, 1], [0, 1, 2])

    def test_recommend_is_the_top_of_the_catalogue(self, fitted, pairs):
        ids, scores = fitted.recommend(np.arange(30), k=7, exclude=None)
        assert ids.shape == scores.shape == (30, 7)
        assert (np.diff(scores, axis=1) <= 0).all()
        whole = catalogue(fitted)
        np.testing.assert_allclose(scores, -np.sort(-whole, axis=1)[:, :7], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(scores, np.take_along_axis(whole, ids, axis=1))

    def test_recommend_one_user_or_many(self, fitted, rng):
        order = rng.permutation(30)
        ids, scores = fitted.recommend(order, k=4)
        for row, user in enumerate(order):
            for given in (user, int(user)):
                single = fitted.recommend(given, k=4)
                assert single[0].shape == single[1].shape == (4,)
                np.testing.assert_array_equal(single[0], ids[row])
                np.testing.assert_array_equal(single[1], scores[row])
        for several in (order.tolist(), tuple(order), pd.Series(order), order.astype(np.uint8)):
            np.testing.assert_array_equal(fitted.recommend(several, k=4)[0], ids)
        assert fitted.recommend([2], k=4)[0].shape == (1, 4)
        assert fitted.recommend([], k=4)[0].shape == (0, 4)
        np.testing.assert_array_equal(fitted.recommend([5, 5], k=4)[0][0], ids[order == 5][0])

    def test_recommend_more_than_there_is(self, fitted):
        ids, scores = fitted.recommend([0, 1], k=1000, exclude=None)
        assert ids.shape == (2, 40)
        assert sorted(ids[1]) == list(range(40)) and np.isfinite(scores).all()

    def test_recommend_excludes(self, fitted, pairs):
        known = pairs.tocsr().toarray() > 0
        for given in (pairs, known, pairs.tocsr(), sp.csc_array(known)):
            ids, scores = fitted.recommend(np.arange(30), k=40, exclude=given)
            for user in range(30):
                left = np.isfinite(scores[user])
                assert set(ids[user][left]) == set(np.flatnonzero(~known[user]))
                assert (ids[user][~left] == -1).all()
        single = fitted.recommend(0, k=40, exclude=pairs)[0]
        assert len(single) == (~known[0]).sum()

    def test_nothing_to_exclude(self, fitted, pairs):
        """As on the first day of a service."""
        expected = fitted.recommend([0, 1], k=5, exclude=None)
        shape = pairs.space.shape
        nothing = [tr.Interactions.empty(pairs), np.zeros(shape), np.zeros(shape, bool).tolist()]
        nothing += [sp.csr_matrix(shape).asformat(form) for form in ("csr", "csc", "coo", "lil")]
        nothing += [sp.csr_array(shape), sp.coo_matrix(([0.0], ([1], [1])), shape), pairs[[]]]
        for given in nothing:
            ids, scores = fitted.recommend([0, 1], k=5, exclude=given)
            np.testing.assert_array_equal(ids, expected[0])
            np.testing.assert_array_equal(scores, expected[1])
            assert fitted.score(pairs, exclude=given) == fitted.score(pairs, exclude=None)
        with pytest.raises(ValueError, match="test has no interaction: at least one positive is"):
            fitted.score(nothing[0])

    def test_recommend_from_candidates(self, fitted, pairs):
        for k in (3, 6, 2**70):
            ids, scores = fitted.recommend([0, 1], k=k, exclude=None, candidates=[9, 2, 30, 2])
            assert ids.shape == scores.shape == (2, 3)
            assert all(set(row) == {2, 9, 30} for row in ids)
        assert fitted.recommend([0, 1], k=2**70)[0].shape == (2, 40)
        assert fitted.recommend([0, 1], candidates=[])[0].shape == (2, 0)
        assert (np.diff(scores, axis=1) <= 0).all()
        ids, scores = fitted.recommend(0, k=3, candidates=[], exclude=pairs)
        assert ids.shape == scores.shape == (0,)
        liked = pairs.indices[: pairs.indptr[1]]
        assert len(fitted.recommend(0, candidates=liked, exclude=pairs)[0]) == 0

    def test_user_who_has_everything(self, pairs):
        full = pairs.tocsr().toarray()
        full[4] = 1
        model = self.make().fit(full)
        ids, scores = model.recommend([4, 5], k=3, exclude=full)
        assert (ids[0] == -1).all() and (scores[0] == -np.inf).all()
        assert (ids[1] >= 0).all()
        assert len(model.recommend(4, k=3, exclude=full)[0]) == 0

    @pytest.mark.parametrize("what", ["items", "users"])
    def test_similar(self, fitted, what):
        if not self.compares_rows:
            pytest.skip("knows of no likeness")
        similar = getattr(fitted, f"similar_{what}")
        n = getattr(fitted, f"n_{what}_")
        ids, scores = similar(np.arange(n), k=5)
        assert ids.shape == scores.shape == (n, 5)
        assert not (ids == np.arange(n)[:, None]).any()
        assert (np.diff(scores, axis=1) <= 0).all()
        assert np.abs(scores).max() <= 1 + 1e-5
        rows = getattr(fitted, f"{what[:-1]}_factors_", None)
        if rows is not None:
            units = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
            cosines = units @ units.T - 3 * np.eye(n)  # of others only
            np.testing.assert_allclose(scores, -np.sort(-cosines, axis=1)[:, :5], atol=1e-5)
            np.testing.assert_allclose(np.take_along_axis(cosines, ids, axis=1), scores, atol=1e-5)
        single = similar(3, k=5)
        assert single[0].shape == (5,)
        np.testing.assert_array_equal(single[0], ids[3])
        assert len(similar(3, k=1000)[0]) == n - 1
        ids, scores = similar([3], n, range(n))  # itself among them
        assert ids.shape == (1, n - 1)
        np.testing.assert_array_equal((ids[0], scores[0]), similar(3, k=n))

    @pytest.mark.parametrize("bad", [-1, 30, 10**12, "foo", 1.5, None, np.nan, True])
    def test_unknown_users(self, fitted, bad, pairs):
        calls = [
            lambda: fitted.predict(bad, 0),
            lambda: fitted.recommend([bad]) if bad is None else fitted.recommend(bad),
            lambda: fitted.recommend([bad]),
        ]
        if self.compares_rows:
            calls.append(lambda: fitted.similar_users(bad))
        for call in calls:
            with pytest.raises(ValueError, match=f"unknown user id {bad!r}"):
                call()

    @pytest.mark.parametrize("bad", [-1, 40, "foo", 1.5])
    def test_unknown_items(self, fitted, bad):
        calls = [
            lambda: fitted.predict(0, bad),
            lambda: fitted.recommend(0, candidates=[bad]),
        ]
        if self.compares_rows:
            calls.append(lambda: fitted.similar_items(bad))
        for call in calls:
            with pytest.raises(ValueError, match=f"unknown item id {bad!r}"):
                call()

    @pytest.mark.parametrize("kind", ["number", "str"])
    def test_unknown_candidates_are_counted(self, fitted, pairs, kind):
        model, known, unknown, test = fitted, [3, 4], [-1, 40, "foo"], "0 <= c < model.n_items_"
        if kind == "number":
            unknown = unknown[:2]
        else:
            data = with_ids("str", pairs)
            model = self.make().fit(data)
            known, test = data.item_ids[:2].tolist(), r"c in set\(model.item_ids_\)"
        message = (
            f"unknown item id {unknown[0]!r}: .*; {len(unknown)} of the {2 + len(unknown)} candidates are "
            rf"unknown, which may be left out: \[c for c in candidates if {test}\]"
        )
        user = 0 if kind == "number" else data.user_ids[0]
        with pytest.raises(ValueError, match=message):
            model.recommend(user, candidates=[*known, *unknown])

    def test_wrong_arguments_of_recommend(self, fitted, pairs):
        for k, kind in ((0, ValueError), (-3, ValueError), (2.0, TypeError), ("3", TypeError)):
            similar = [fitted.similar_items, fitted.similar_users] if self.compares_rows else []
            for call in (fitted.recommend, *similar):
                with pytest.raises(kind, match=f"k must be an integer >= 1, got {k!r}"):
                    call(0, k=k)
        with pytest.raises(
            ValueError, match="exclude must have the 30 users and 40 items of the model"
        ):
            fitted.recommend(0, exclude=np.ones((30, 39)))
        with pytest.raises(ValueError, match="one-dimensional"):
            fitted.recommend([[0, 1], [2, 3]])

    def test_score_is_the_full_auc(self, fitted, pairs):
        test = interactions(30, 40, 60, seed=8)
        whole = fitted.score(test, exclude=None)
        assert whole == tr.full_auc(fitted, test, None) == fitted.score(test.tocsr(), exclude=None)
        message = "of 60 positives in test are in exclude too and are left out"
        with pytest.warns(UserWarning, match=message) as caught:
            excluded = fitted.score(test, exclude=pairs)
        assert [each.filename for each in caught] == [__file__]
        with pytest.warns(UserWarning, match=message):
            assert excluded == tr.full_auc(fitted, test, pairs)
        assert whole == tr.evaluate(fitted, test, exclude=None).mean["auc"] != excluded
        new = test[~np.isin(test.rows * 40 + test.indices, pairs.rows * 40 + pairs.indices)]
        assert fitted.score(new) == tr.full_auc(fitted, new) == excluded
        with pytest.raises(ValueError, match="shape"):
            fitted.score(np.ones((3, 3)))
        assert fitted.score(new, np.ones(len(new))) == excluded  # as scikit-learn's tools do
        for wrong in (pairs, pairs.tocsr(), np.ones((30, 40)), "seen"):
            for score in (fitted.score, functools.partial(tr.metric_scorer("auc"), fitted)):
                with pytest.raises(TypeError, match="second argument of a score .* exclude="):
                    score(new, wrong)

    @pytest.mark.parametrize("kind", quick(["int", "str", "date", "mixed"], "str", "mixed"))
    def test_ids_in_and_out_and_saved(self, kind, pairs, fitted, tmp_path):
        data = with_ids(kind, pairs)
        model = self.make().fit(data)
        model.save(tmp_path / "model.safetensors")
        expected, scores = fitted.recommend([3, 4], k=5, exclude=pairs)
        for each in (model, tr.load(tmp_path / "model.safetensors")):
            users = list(data.user_ids[[3, 4]])
            ids, got = each.recommend(pd.Series(users), k=5, exclude=data)
            np.testing.assert_array_equal(got, each.recommend(users, k=5, exclude=data)[1])
            assert ids.tolist() == data.item_ids[expected].tolist()
            np.testing.assert_array_equal(got, scores)
            single = each.recommend(users[0], k=5, exclude=data)
            assert single[0].tolist() == ids[0].tolist()
            np.testing.assert_array_equal(
                each.predict(users, list(data.item_ids[[5, 6]])), fitted.predict([3, 4], [5, 6])
            )
            if self.compares_rows:
                similar = each.similar_items(data.item_ids[7], k=3)[0]
                assert similar.tolist() == data.item_ids[fitted.similar_items(7, k=3)[0]].tolist()
                similar = each.similar_users(data.user_ids[7], k=3)[0]
                assert similar.tolist() == data.user_ids[fitted.similar_users(7, k=3)[0]].tolist()
            assert each.score(data, exclude=None) == fitted.score(pairs, exclude=None)
            with pytest.raises(ValueError, match="unknown user id 'nobody': 30 ids are known"):
                each.recommend("nobody")

    def test_padding_of_ids(self, pairs):
        data = with_ids("str", pairs)
        model = self.make().fit(data)
        ids, scores = model.recommend(data.user_ids[:3], k=40, exclude=data)
        missing = ~np.isfinite(scores)
        assert missing.any()
        assert all(each is None for each in ids[missing])
        assert all(isinstance(each, str) for each in ids[~missing])

    def test_ids_must_agree(self, pairs):
        data, other = with_ids("str", pairs), with_ids("int", pairs)
        model = self.make().fit(data)
        for call in (
            lambda: model.recommend(data.user_ids[0], exclude=other),
            lambda: model.score(other),
        ):
            with pytest.raises(ValueError, match="ids"):
                call()
