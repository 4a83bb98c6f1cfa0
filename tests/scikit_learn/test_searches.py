"""Scikit-learn's searches and curves fit on interactions, and pass on whole what is no value per sample."""

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn import model_selection as ms
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.pipeline import make_pipeline

import tripletrec as tr
from contracts.support import assert_same
from tiers import quick

KFOLD = ms.KFold(3, shuffle=True, random_state=0)
ROWS = "if scikit-learn has cut the rows of a matrix, wrap it in Interactions"


@pytest.fixture(autouse=True)
def _no_warning():
    """All that follows is right, and no word is said, unless a test expects one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def factors(**parameters):
    return tr.MatrixFactorization(**{"n_factors": 4, "n_epochs": 3, **parameters})


def towers(**parameters):
    return tr.TwoTower(**{"n_factors": 4, "n_epochs": 3, **parameters})


@pytest.fixture(scope="module")
def halves():
    """Interactions to learn from and, of the same tastes, exactly as many to validate on."""
    shop = tr.datasets.make_interactions(60, 120, 2400, random_state=3)
    return tr.splits.train_test_split(shop, 1200, random_state=0)


@pytest.fixture(scope="module")
def data(halves):
    return halves[0]


@pytest.fixture(scope="module", params=quick([1200, 200], 1200), ids=["as many", "fewer"])
def side(halves, request):
    """What `fit` takes beside X; as many as X has interactions is what scikit-learn would cut."""
    data, held_out = halves
    shop = data.tocsr() + held_out.tocsr()
    free = np.flatnonzero((shop.toarray() == 0).ravel())
    pairs = np.random.default_rng(0).choice(free, request.param, replace=False)
    disliked = tr.Interactions.from_arrays(*np.divmod(pairs, 120), shape=(60, 120))
    return {"validation": held_out[:: 1200 // request.param], "negatives": disliked}


def by_hand(model, data, cv, **side):
    """Return what a search over one candidate must come to: models and scores."""
    splits = list(cv.split(data))
    models = [clone(model).fit(data[train], **side) for train, _ in splits]
    scores = [each.score(data[test]) for each, (_, test) in zip(models, splits, strict=True)]
    return models, scores


@pytest.mark.parametrize("n_jobs", quick([1, 2], 1))
@pytest.mark.parametrize("cv", [KFOLD, tr.splits.InteractionKFold(3, random_state=1)], ids=repr)
def test_cross_validation_is_what_it_is_by_hand(cv, n_jobs, data):
    found = ms.cross_validate(
        factors(), data, cv=cv, n_jobs=n_jobs, return_train_score=True, return_estimator=True
    )
    models, scores = by_hand(factors(), data, cv)
    np.testing.assert_array_equal(found["test_score"], scores)
    for model, expected in zip(found["estimator"], models, strict=True):
        assert_same(model, expected)
        assert len(model.seen_) == 800 and model.seen_.space.shape == (60, 120)
    # Of what was trained on nothing can be left out.
    train_scores = [each.score(each.seen_, exclude=None) for each in models]
    np.testing.assert_array_equal(found["train_score"], train_scores)
    scores_of_all = [
        each.score(data[test], exclude=None)
        for each, (_, test) in zip(models, cv.split(data), strict=True)
    ]
    assert (np.array(scores) != scores_of_all).all()
    np.testing.assert_array_equal(ms.cross_val_score(factors(), data, cv=cv), scores)


SEARCHES = {
    "grid": lambda model, cv, n_jobs: ms.GridSearchCV(
        model, {"learning_rate": [1e-6, 0.1]}, cv=cv, n_jobs=n_jobs, error_score="raise"
    ),
    "random": lambda model, cv, n_jobs: ms.RandomizedSearchCV(
        model, {"learning_rate": [1e-6, 0.1]}, n_iter=2, cv=cv, n_jobs=n_jobs, random_state=0,
        error_score="raise",
    ),
    "halving of samples": lambda model, cv, n_jobs: ms.HalvingGridSearchCV(
        model, {"learning_rate": [1e-6, 0.1]}, cv=cv, n_jobs=n_jobs, random_state=0, factor=2,
        resource="n_samples", min_resources=600, error_score="raise",
    ),
    "halving of epochs": lambda model, cv, n_jobs: ms.HalvingRandomSearchCV(
        model, {"learning_rate": [1e-6, 0.1]}, n_candidates=2, cv=cv, n_jobs=n_jobs, random_state=0,
        factor=2, resource="n_epochs", min_resources=10, max_resources=20, error_score="raise",
    ),
}  # fmt: skip


def test_folds_in_time(data, side):
    """They are what they are by hand; weights are cut along, and held-out data are whole."""
    timed = tr.Interactions(data.tocsr(), timestamps=np.random.default_rng(1).permutation(1200))
    cv = tr.splits.TimeFolds(3, test=0.15)
    weights = 1.0 + timed.indices % 3
    found = ms.cross_validate(
        factors(),
        timed,
        cv=cv,
        params={"validation": side["validation"], "sample_weight": weights},
        return_estimator=True,
        error_score="raise",
    )
    for (train, test), model, score in zip(
        cv.split(timed), found["estimator"], found["test_score"], strict=True
    ):
        by_hand = factors().fit(
            timed[train], validation=side["validation"], sample_weight=weights[train]
        )
        assert_same(model, by_hand)
        assert score == by_hand.score(timed[test])
    search = ms.GridSearchCV(factors(), {"learning_rate": [0.05, 0.1]}, cv=cv, error_score="raise")
    assert len(search.fit(timed, **side).best_estimator_.seen_) == len(timed)


@pytest.mark.parametrize("n_jobs", quick([1, 2], 1))
@pytest.mark.parametrize("name", quick(SEARCHES, "halving of samples"))
def test_searches_choose_and_pass_side_data_whole(name, n_jobs, data, side):
    model = factors(early_stopping=10, n_epochs=20)
    search = SEARCHES[name](model, tr.splits.InteractionKFold(3, random_state=0), n_jobs)
    search.fit(data, **side)
    assert search.best_params_ in ({"learning_rate": 0.1}, {"learning_rate": 0.1, "n_epochs": 20})
    assert len(search.best_estimator_.seen_) == len(data)
    assert_same(
        search.best_estimator_, clone(model).set_params(**search.best_params_).fit(data, **side)
    )


def test_halving_with_unseeded_folds(data):
    """Scikit-learn asks for folds that are the same at each call; without a seed they are by chance."""
    search = SEARCHES["halving of samples"](
        factors(), tr.splits.InteractionKFold(3, random_state=None), 1
    )
    assert search.fit(data).best_params_ == {"learning_rate": 0.1}
    folds = tr.splits.InteractionKFold(3, random_state=None)
    assert (
        ms.GridSearchCV(factors(), {"learning_rate": [1e-6, 0.1]}, cv=folds).fit(data).best_index_
        == 1
    )


@pytest.mark.parametrize("n_jobs", quick([1, 2], 1))
def test_early_stopping_in_every_fold(n_jobs, data, side):
    model = factors(early_stopping=2, n_epochs=30)
    found = ms.cross_validate(
        model,
        data,
        cv=KFOLD,
        n_jobs=n_jobs,
        params=side,
        return_estimator=True,
        error_score="raise",
    )
    models, scores = by_hand(model, data, KFOLD, **side)
    np.testing.assert_array_equal(found["test_score"], scores)
    for each, expected in zip(found["estimator"], models, strict=True):
        assert_same(each, expected)


def test_curves(data, side):
    options = {"cv": KFOLD, "error_score": "raise", "params": side}
    model = factors(early_stopping=3)
    sizes, _, test_scores = ms.learning_curve(
        model, data, None, train_sizes=[0.5, 1.0], shuffle=True, random_state=0, **options
    )
    assert sizes.tolist() == [400, 800] and test_scores.shape == (2, 3)
    np.testing.assert_array_equal(test_scores[1], by_hand(model, data, KFOLD, **side)[1])
    _, test_scores = ms.validation_curve(
        model, data, None, param_name="learning_rate", param_range=[1e-6, 0.1], **options
    )
    assert (test_scores[1] > test_scores[0]).all()
    with pytest.warns(UserWarning, match="users in X have no training data"):
        ms.learning_curve(model, data, None, train_sizes=[0.4], **options)  # the first users only


def test_permutations(data):
    """The answers of X are in X itself: there is nothing to permute, and all scores are one."""
    score, permuted, _ = ms.permutation_test_score(
        factors(), data, np.zeros(len(data)), cv=KFOLD, n_permutations=2, random_state=0
    )
    assert (permuted == score).all()


@pytest.fixture
def features(rng):
    users = pd.DataFrame({"kind": rng.choice(list("abc"), 60), "age": rng.normal(size=60)})
    return {"user_features": users, "item_features": sp.csr_matrix(rng.random((120, 5)) < 0.5)}


@pytest.mark.parametrize("n_jobs", quick([1, 2], 1))
def test_features_in_every_fold(n_jobs, features, data, side):
    options = {"params": {**features, **side}, "error_score": "raise"}
    model = towers(early_stopping=3)
    found = ms.cross_validate(model, data, cv=KFOLD, n_jobs=n_jobs, **options)
    _, scores = by_hand(model, data, KFOLD, **features, **side)
    np.testing.assert_array_equal(found["test_score"], scores)
    search = ms.GridSearchCV(model, {"learning_rate": [1e-6, 0.1]}, cv=KFOLD, error_score="raise")
    assert search.fit(data, **options["params"]).best_params_ == {"learning_rate": 0.1}
    best = towers(early_stopping=3, learning_rate=0.1).fit(data, **features, **side)
    assert_same(search.best_estimator_, best)


def test_a_search_within_a_search(data, side):
    inner = ms.GridSearchCV(factors(early_stopping=3), {"learning_rate": [1e-6, 0.1]}, cv=KFOLD)
    found = ms.cross_validate(inner, data, cv=KFOLD, params=side, return_estimator=True)
    for (train, _), search in zip(KFOLD.split(data), found["estimator"], strict=True):
        best = factors(early_stopping=3, **search.best_params_).fit(data[train], **side)
        assert_same(search.best_estimator_, best)


@pytest.mark.thorough
def test_what_a_search_within_a_search_cannot_restore(data, halves):
    """Of two cuts, the first in another process: the whole is not there."""
    inner = ms.GridSearchCV(factors(), {"n_epochs": [1]}, cv=KFOLD, n_jobs=2, error_score="raise")
    with pytest.raises(
        ValueError, match="validation must not be cut, .* both have 1200 interactions"
    ):
        ms.cross_validate(
            inner, data, cv=KFOLD, params={"validation": halves[1]}, error_score="raise"
        )


def test_y_is_labels_of_samples_or_validation_data(data, side):
    cv, labels = tr.splits.InteractionKFold(3, random_state=1), np.arange(len(data))
    plain = ms.cross_val_score(factors(), data, cv=cv)
    np.testing.assert_array_equal(ms.cross_val_score(factors(), data, labels, cv=cv), plain)
    search = ms.GridSearchCV(factors(), {"n_epochs": [2]}, cv=cv, error_score="raise")
    assert_same(
        search.fit(data, labels).best_estimator_, factors().set_params(n_epochs=2).fit(data)
    )
    line = make_pipeline("passthrough", factors()).fit(data, side["validation"])
    assert_same(line[-1], factors().fit(data, validation=side["validation"]))


def test_in_a_pipeline(data, side):
    line = make_pipeline("passthrough", factors(early_stopping=3))
    named = {f"matrixfactorization__{name}": value for name, value in side.items()}
    found = ms.cross_val_score(line, data, cv=KFOLD, params=named, error_score="raise")
    np.testing.assert_array_equal(found, by_hand(factors(early_stopping=3), data, KFOLD, **side)[1])


@pytest.mark.parametrize("n_jobs", quick([1, 2], 1))
def test_metadata_routing(n_jobs, data, side):
    plain = factors(early_stopping=3)
    scores = [
        model.score(data[test], exclude=side["negatives"])
        for model, (_, test) in zip(
            by_hand(plain, data, KFOLD, **side)[0], KFOLD.split(data), strict=True
        )
    ]
    with config_context(enable_metadata_routing=True):
        model = factors(early_stopping=3).set_fit_request(validation=True, negatives=True)
        model.set_score_request(exclude=True)
        params = {**side, "exclude": side["negatives"]}
        found = ms.cross_val_score(
            model, data, cv=KFOLD, params=params, n_jobs=n_jobs, error_score="raise"
        )
        np.testing.assert_array_equal(found, scores)
        search = ms.GridSearchCV(model, {"learning_rate": [1e-6, 0.1]}, cv=KFOLD, n_jobs=n_jobs)
        search.fit(data, **params)
    assert search.best_params_ == {"learning_rate": 0.1}
    assert_same(search.best_estimator_, plain.set_params(learning_rate=0.1).fit(data, **side))


# ------------------------------------------------------------------------- weights


def test_weights_are_cut_along(rng, data):
    weights = rng.integers(1, 5, len(data)).astype(np.float32)
    matrix = data.tocsr().copy()
    matrix.data = weights
    weighted = tr.Interactions(matrix)
    for cv in (KFOLD, ms.KFold(3, shuffle=True, random_state=5)):
        along, whole, values = (
            ms.cross_val_score(
                factors(), X, cv=cv, params={"sample_weight": weight}, error_score="raise"
            )
            for X, weight in ((data, weights), (data, weighted), (weighted, "values"))
        )
        np.testing.assert_array_equal(along, whole)
        np.testing.assert_array_equal(along, values)
    found = ms.cross_val_score(
        factors(), data, cv=KFOLD, params={"sample_weight": matrix}, error_score="raise"
    )
    np.testing.assert_array_equal(
        found, ms.cross_val_score(factors(), weighted, cv=KFOLD, params={"sample_weight": "values"})
    )


def test_weights_in_a_random_order_are_refused(rng, data):
    """Scikit-learn would pair them with other interactions."""
    weights = rng.random(len(data))
    with pytest.raises(ValueError, match="sample_weight must not be an array here: .*='values'"):
        ms.cross_val_score(
            factors(), data, cv=ms.ShuffleSplit(2), params={"sample_weight": weights},
            error_score="raise",
        )  # fmt: skip
    train, _ = ms.train_test_split(data)
    with pytest.raises(ValueError, match="in random order"):
        factors().fit(train, sample_weight=np.ones(len(train)))
    factors().fit(train[:], sample_weight=np.ones(len(train)))


# ------------------------------------------------------------------------ refused


@pytest.mark.parametrize("name", ["validation", "negatives", "sample_weight"])
def test_a_matrix_of_as_many_rows_as_interactions_is_refused(name, halves):
    """Scikit-learn cuts it; nothing is left of the rest."""
    data = halves[0][:60]
    side = halves[1] if name != "sample_weight" else halves[0]
    message = f"{name} must have the 60 users of X, but scikit-learn has cut it to 40 rows"
    with pytest.raises(ValueError, match=message):
        ms.cross_val_score(
            factors(), data, cv=KFOLD, params={name: side.tocsr()}, error_score="raise"
        )
    if name != "sample_weight":
        ms.cross_val_score(factors(), data, cv=KFOLD, params={name: side}, error_score="raise")


@pytest.mark.parametrize("name", ["user_features", "item_features"])
def test_features_of_as_many_rows_as_interactions_are_refused(name, features, data):
    warnings.filterwarnings("ignore", ".* users in X have no training data")
    features["item_features"] = features["item_features"][:60]
    options = {"params": {name: features[name]}, "error_score": "raise", "cv": KFOLD}
    data = tr.Interactions.from_arrays(data.rows, data.indices % 60, shape=(60, 60))
    data = data[:60]
    message = f"{name} must have all 60 rows, but scikit-learn has cut it to 40, .* as in X.1:."
    with pytest.raises(ValueError, match=message):
        ms.cross_val_score(towers(), data, **options)
    ms.cross_val_score(towers(), data[1:], **options)


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array, sp.csr_matrix.toarray])
def test_rows_of_a_matrix_are_refused_where_they_are_fewer(kind, data):
    matrix = kind(data.tocsr())
    with pytest.raises(ValueError, match=f"X must have the 40 users of the model, got 20: {ROWS}"):
        ms.cross_val_score(factors(), matrix, cv=3, error_score="raise")
    with pytest.raises(ValueError, match=f"validation must have the 40 users of X, got 60: {ROWS}"):
        ms.cross_val_score(
            factors(), matrix, cv=3, params={"validation": data}, error_score="raise"
        )


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_matrix.toarray])
@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_of_a_matrix_are_warned_of_where_they_are_as_many(kind, shuffle, data):
    halves = ms.KFold(2, shuffle=shuffle, random_state=0 if shuffle else None)
    warnings.filterwarnings("ignore", ".* are in what the model was trained on too")
    for cv in (halves, ms.ShuffleSplit(2, test_size=0.5)):
        with pytest.warns(UserWarning, match=f"seem to be other users .* {ROWS}") as caught:
            ms.cross_val_score(factors(), kind(data.tocsr()), cv=cv)
        assert len([each for each in caught if "other users" in str(each.message)]) >= 1


def test_a_matrix_split_by_interactions_is_not_warned_of(data, halves):
    train, test = tr.splits.train_test_split(data, 0.3, random_state=0)
    model = factors().fit(train.tocsr())
    for X in (test, train, data):
        scores = [model.score(each, exclude=None) for each in (X, X.tocsr(), X.tocsr().toarray())]
        assert len(set(scores)) == 1
    assert factors().fit(data.tocsr()).score(halves[1].tocsr(), exclude=None) > 0.5
    returning = tr.Interactions((test.tocsr() + train[::3].tocsr()).astype(bool))
    with pytest.warns(UserWarning, match="are in what the model was trained on too") as caught:
        model.score(returning.tocsr())
    assert len(caught) == 1


def test_folds_of_whole_users_are_warned_of(data):
    """Positions are row by row, so that consecutive ones are blocks of users."""
    message = r"of the \d+ users in X have no training data.*InteractionKFold\(5\)"
    for cv in (None, 5, ms.KFold(3), ms.TimeSeriesSplit(3)):
        with pytest.warns(UserWarning, match=message):
            ms.cross_val_score(factors(), data, cv=cv)
    with pytest.warns(UserWarning, match=message):
        ms.cross_val_score(factors(), data, cv=ms.GroupKFold(3), groups=data.rows)


def test_users_known_by_their_features_are_not_warned_of(features, data):
    scores = ms.cross_val_score(towers(), data, cv=3, params=features, error_score="raise")
    assert np.isfinite(scores).all()
    with pytest.warns(UserWarning, match="no training data"):
        ms.cross_val_score(
            towers(), data, cv=3, params={"item_features": features["item_features"]}
        )


def test_folds_of_interactions_need_interactions(data):
    search = ms.GridSearchCV(factors(), {"n_epochs": [1]}, cv=tr.splits.InteractionKFold(3))
    with pytest.raises(TypeError, match="X must be Interactions, got csr_matrix: wrap it in"):
        search.fit(data.tocsr())
