"""The contract of vectors: inner products are scores, indexes find lists, explanations add up."""

import json

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import Contract, catalogue, with_ids

KINDS = ("usearch", "hnswlib", "faiss")
LIBRARIES = {"usearch": "usearch.index", "hnswlib": "hnswlib", "faiss": "faiss"}


def neighbours(index, kind, vectors, k):
    """Return what an index of a kind answers."""
    if kind == "usearch":
        return index.search(vectors, k).keys
    return index.knn_query(vectors, k)[0] if kind == "hnswlib" else index.search(vectors, k)[1]


class VectorsContract(Contract):
    """Inherit, and give `make`."""

    def test_inner_products_are_scores(self, fitted):
        users, items = fitted.user_vectors(), fitted.item_vectors()
        assert users.dtype == items.dtype == np.float32
        np.testing.assert_allclose(users @ items.T, catalogue(fitted), rtol=1e-5, atol=1e-6)

    def test_of_some(self, pairs):
        model = self.make().fit(with_ids("str", pairs))
        users, items = model.user_ids_[[7, 2]], model.item_ids_[[5, 1, 5]]
        np.testing.assert_array_equal(model.user_vectors(users), model.user_vectors()[[7, 2]])
        np.testing.assert_array_equal(model.item_vectors(items), model.item_vectors()[[5, 1, 5]])
        assert model.item_vectors("3").shape == (1, model.item_vectors().shape[1])
        with pytest.raises(ValueError, match="unknown user id 'nobody'"):
            model.user_vectors(["nobody"])

    def test_are_copies(self, pairs):
        model = self.make().fit(pairs)
        before = catalogue(model)
        model.user_vectors()[:] = 0
        model.item_vectors()[:] = 0
        np.testing.assert_array_equal(catalogue(model), before)

    @pytest.mark.parametrize("kind", KINDS)
    def test_an_index_finds_the_lists(self, fitted, kind, tmp_path):
        pytest.importorskip(LIBRARIES[kind], reason=f"needs {kind}")
        _, exact = fitted.recommend(np.arange(30), k=5, exclude=None)
        index = fitted.to_index(kind, tmp_path / "items.index")
        found = neighbours(index, kind, fitted.user_vectors(np.arange(30)), 5)
        # By their scores: of items with the same one, any will do.
        scores = np.take_along_axis(catalogue(fitted), np.asarray(found).astype(np.int64), axis=1)
        assert (scores >= exact[:, -1:] - 1e-5).mean() >= 0.95
        assert [each.name for each in tmp_path.iterdir()] == ["items.index"]
        assert (tmp_path / "items.index").stat().st_size > 0

    def test_no_such_index(self, fitted):
        with pytest.raises(ValueError, match="kind must be one of 'usearch', .*, got 'annoy'"):
            fitted.to_index("annoy")

    def test_explanations_add_up(self, fitted, pairs):
        for user, item in ((3, 4), (0, 39), (7, 7)):
            why = fitted.explain(user, item, k=3)
            own = pairs.indices[pairs.indptr[user] : pairs.indptr[user + 1]]
            assert set(why.items.tolist()) <= set(own.tolist())
            assert len(why.items) == len(why.contributions) == min(3, len(own))
            assert (np.diff(why.contributions) <= 0).all()
            assert why.score == pytest.approx(float(fitted.predict(user, item)[0]), abs=1e-5)
            assert sum(why.terms()) == pytest.approx(why.score, abs=1e-6)
            json.dumps([why.items.tolist(), why.terms()])
        whole = fitted.explain(3, 4, k=pairs.n_items)
        assert whole.other_items == 0.0
        assert fitted.explain(3, 4, k=1).contributions[0] == whole.contributions[0]

    def test_explanations_speak_in_ids(self, pairs):
        model = self.make().fit(with_ids("str", pairs))
        user = model.user_ids_[3]
        assert set(model.explain(user, "4").items) <= set(model.item_ids_)
        with pytest.raises(ValueError, match="item must be one id"):
            model.explain(user, ["4", "5"])
        with pytest.raises(ValueError, match="unknown item id 'x'"):
            model.explain(user, "x")

    def test_a_user_without_items(self, pairs):
        data = tr.Interactions(pairs.tocsr().toarray() * (np.arange(30) != 5)[:, None])
        why = self.make().fit(data).explain(5, 0)
        assert len(why.items) == 0 and why.other_items == 0.0
        assert why.rest + why.bias == pytest.approx(why.score, abs=1e-6)
