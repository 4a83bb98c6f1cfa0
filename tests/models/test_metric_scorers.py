"""`metric_scorer` in scikit-learn's tools: each fold leaves out what its model was trained on."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import tripletrec as tr

FOLDS = tr.splits.InteractionKFold(3, random_state=0)


def test_cross_validation_is_what_evaluate_says(small):
    scoring = {name: tr.metric_scorer(name) for name in ("auc", "ndcg@10", "mrr", "recall@3")}
    model = tr.MatrixFactorization(n_factors=3, n_epochs=3)
    for cv in (FOLDS, KFold(3, shuffle=True, random_state=1)):
        found = cross_validate(model, small, scoring=scoring, cv=cv, return_train_score=True)
        for n, (train, test) in enumerate(cv.split(small)):
            fitted = clone(model).fit(small[train])
            result = tr.evaluate(fitted, small[test], k=(3, 10)).mean
            whole = tr.evaluate(fitted, small[train], None, k=(3, 10)).mean
            for name in scoring:
                assert found[f"test_{name}"][n] == result[name]
                assert found[f"train_{name}"][n] == whole[name]


def test_a_search_chooses_by_it(small):
    search = GridSearchCV(
        tr.EASE(),
        {"l2": [1e-3, 30.0, 1e6]},
        scoring=tr.metric_scorer("ndcg@5"),
        cv=FOLDS,
    ).fit(small)
    means = [
        np.mean([
            tr.evaluate(tr.EASE(l2).fit(small[train]), small[test], k=5).mean["ndcg@5"]
            for train, test in FOLDS.split(small)
        ])
        for l2 in (1e-3, 30.0, 1e6)
    ]  # fmt: skip
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], means)
    scorer = tr.metric_scorer("auc")
    assert scorer(search, small) == search.best_estimator_.score(small)


def test_auc_is_score(small):
    model = tr.Popularity()
    ours = cross_val_score(model, small, scoring=tr.metric_scorer("auc"), cv=FOLDS)
    np.testing.assert_array_equal(ours, cross_val_score(model, small, cv=FOLDS))


def test_pipelines(small):
    line = make_pipeline(FunctionTransformer(accept_sparse=True), tr.Popularity())
    matrix = small.tocsr()
    line.fit(matrix)
    assert tr.metric_scorer("auc")(line, matrix) == line.score(matrix)
    assert tr.metric_scorer("auc")(make_pipeline(tr.Popularity()).fit(small), small) > 0.5


def test_it_is_a_value():
    scorer = tr.metric_scorer("map@7")
    assert repr(scorer) == "metric_scorer('map@7')"
    assert pickle.loads(pickle.dumps(scorer)) == scorer == tr.metric_scorer("map@7")
    assert scorer != tr.metric_scorer("map@8") and hash(scorer) == hash(tr.metric_scorer("map@7"))
    assert "exclude=None" in repr(tr.metric_scorer("auc", exclude=None))


def test_exclude(small):
    model = tr.Popularity().fit(small[::2])
    test = small[1::2]
    whole = tr.metric_scorer("ndcg@10", exclude=None)(model, test)
    assert whole == tr.evaluate(model, test, None).mean["ndcg@10"]
    assert whole != tr.metric_scorer("ndcg@10")(model, test)


@pytest.mark.parametrize("wrong", ["ndcg", "ndcg@0", "ndcg@01", "accuracy", None, 10, "auc@10"])
def test_no_such_metric(wrong):
    with pytest.raises(ValueError, match="metric must be one of auc, mrr, precision@k, .*, got"):
        tr.metric_scorer(wrong)


def test_no_such_model(small):
    with pytest.raises(TypeError, match="metric_scorer is for models of tripletrec, got a KFold"):
        tr.metric_scorer("auc")(KFold(), small)
