"""`metric_scorer`: any metric for scikit-learn's `scoring=`; `score` of the models is in `recommender`."""

from __future__ import annotations

from typing import Any

from tripletrec.evaluation import check_metric, mean_metric
from tripletrec.models.fit_arguments import check_score_takes
from tripletrec.models.recommender import Recommender, check_test

__all__ = ["MetricScorer", "metric_scorer"]


class MetricScorer:
    """What `metric_scorer` returns: call it as ``scorer(model, X)``; equal ones compare equal."""

    def __init__(self, metric: str, exclude: Any = "seen") -> None:
        check_metric(metric, "metric")
        self.metric: str = metric
        self.exclude: Any = exclude

    def __call__(self, estimator: Any, X: Any, y: Any = None) -> float:
        """Return the metric of a fitted model on the interactions `X`."""
        check_score_takes(y)
        model, X = _model_of(estimator, X)
        test, exclude = check_test(model, X, self.exclude)
        return mean_metric(model, test, exclude, self.metric, model.n_jobs)

    def __repr__(self) -> str:
        more = "" if isinstance(self.exclude, str) else f", exclude={self.exclude!r}"
        return f"metric_scorer({self.metric!r}{more})"

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, MetricScorer) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(self.metric)


def metric_scorer(metric: str, *, exclude: Any = "seen") -> MetricScorer:
    """Return a metric as scikit-learn's `scoring=` takes it, such as ``"ndcg@10"``.

    In `cross_validate`, `GridSearchCV` and all that follow them each fold leaves out of the rankings what its
    model was trained on, as `evaluate` does.

    Parameters
    ----------
    metric : str
        A column of `evaluate`: "auc", "mrr", or "precision@k", "recall@k", "ndcg@k", "map@k" or "hit_rate@k".
    exclude : "seen", None, interactions, item ids or a tuple, default "seen"
        As of `evaluate`. Where all positives of a fold were trained on, "seen" means None, too: that is a
        training score, as of ``return_train_score=True``.

    Returns
    -------
    callable
        ``scorer(model, X)``; it can be pickled, for ``n_jobs``. The model may be the last step of a pipeline,
        or what a search has found.

    Raises
    ------
    ValueError
        If there is no such metric.

    See Also
    --------
    evaluate : the same metrics of a fitted model.
    tripletrec.splits.InteractionKFold, tripletrec.splits.TimeFolds : folds for `cv=`.

    Examples
    --------
    >>> import tripletrec as tr
    >>> from sklearn.model_selection import cross_validate
    >>> data = tr.datasets.make_interactions(60, 40, 800, random_state=0)
    >>> scoring = {name: tr.metric_scorer(name) for name in ("auc", "ndcg@10")}
    >>> cv = tr.splits.InteractionKFold(3, random_state=0)
    >>> found = cross_validate(tr.Popularity(), data, scoring=scoring, cv=cv)
    >>> found["test_ndcg@10"].shape
    (3,)
    """
    return MetricScorer(metric, exclude)


def _model_of(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the model at the end of pipelines and searches, and X as it gets it."""
    while not isinstance(estimator, Recommender):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
            estimator = estimator[-1]
        else:
            raise TypeError(
                f"metric_scorer is for models of tripletrec, got a {type(estimator).__name__}"
            )
    return estimator, X
