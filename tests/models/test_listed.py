"""What ranks by popularity beside models, of one model and of several."""

import numpy as np

import tripletrec as tr
from contracts.support import interactions
from tripletrec.models.listed import popularity_of


def test_popularity_of_models_of_one_training_set_takes_what_they_have_seen():
    data = interactions(25, 12, 90)
    models = [tr.Popularity().fit(data), tr.EASE().fit(data)]
    for some in (models[:1], models):
        popular = popularity_of(some)
        assert popular.seen_ is data
        np.testing.assert_array_equal(popular.item_popularity_, np.bincount(data.indices, None, 12))


def test_popularity_of_models_of_several_leaves_out_what_any_has_seen():
    X = np.array([[1, 1, 0], [0, 1, 0]])
    models = [tr.Popularity().fit(each) for each in (X, np.flip(X))]
    popular = popularity_of(models)
    np.testing.assert_array_equal(popular.seen_.tocsr().toarray() > 0, X + np.flip(X) > 0)
    assert popular.item_popularity_.tolist() == [1.0, 2.0, 1.0]


def test_popularity_of_a_model_with_users_added_has_these_too():
    data = tr.Interactions.from_frame({"user": ["a", "b", "b"], "item": [1, 1, 2]})
    model = tr.Popularity().fit(data).add_users({"user": ["c"], "item": [2]})
    popular = popularity_of([model])
    assert popular.user_ids_.tolist() == ["a", "b", "c"]
    assert popular.seen_.tocsr().toarray().tolist() == [[1, 0], [1, 1], [0, 1]]
    assert popular.item_popularity_.tolist() == [2.0, 1.0]
