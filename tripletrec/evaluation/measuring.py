"""`full_auc` and `evaluate`: a model's metrics from one pass over its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tripletrec._checks import Seed, check_cutoffs
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.tidy import as_series
from tripletrec.evaluation.listing import table_of_lists
from tripletrec.evaluation.metrics import (
    Gains,
    auc,
    check_gains,
    check_metric,
    gains_of,
    mean_of,
    metrics_of,
)
from tripletrec.evaluation.protocol import EvaluationProtocol
from tripletrec.evaluation.results import Evaluation
from tripletrec.evaluation.slices import metrics_by, read_groups
from tripletrec.evaluation.standing import stand, warn_of_constant_scores

if TYPE_CHECKING:
    import pandas as pd

    from tripletrec.evaluation.measured import Measured

__all__ = ["evaluate", "full_auc", "mean_metric"]


def full_auc(
    model: Any,
    test: Any,
    exclude: Any = "seen",
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> float:
    """Return the mean over users of the probability that a positive outranks a negative.

    Ties count 1/2: per user it equals scikit-learn's ``roc_auc_score``. Users without a positive
    or without a negative are left out of the mean.

    Parameters
    ----------
    model, test, exclude, n_jobs, verbose
        As in `evaluate`.

    Returns
    -------
    float
        From 0 to 1; 0.5 is chance.

    Raises
    ------
    ValueError
        As in `evaluate`, and if no user has both a positive and a negative.

    See Also
    --------
    evaluate : other metrics, top-k ones too, from the same pass.
    metric_scorer : a metric for scikit-learn's `scoring=`.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> U, V = np.array([[1.0], [-1.0]]), np.array([[3.0], [2.0], [1.0]])
    >>> tr.full_auc((U, V), np.array([[1, 0, 0], [0, 1, 0]]))
    0.75
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(train)
    >>> tr.full_auc(model, test) == tr.full_auc(model, test, train) != tr.full_auc(model, test, None)
    True
    """
    standing, _ = stand(model, test, EvaluationProtocol(exclude, n_jobs=n_jobs, verbose=verbose))
    warn_of_constant_scores(standing)
    aucs = auc(standing)
    if np.isnan(aucs).all():
        raise ValueError("no user in test has a negative: AUC is undefined")
    return mean_of(aucs)


def evaluate(
    model: Any,
    test: Any,
    exclude: Any = "seen",
    k: int | ArrayLike = (10, 20),
    candidates: Any = None,
    gains: Gains = "binary",
    *,
    sampled: int | None = None,
    by: Any = None,
    random_state: Seed = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Evaluation:
    """Return all ranking metrics of a model, per user and on average, from one pass.

    Parameters
    ----------
    model : estimator, tuple or callable
        A fitted estimator; arrays ``(U, V)`` or ``(U, V, b)`` from any library, of shapes
        (n_users, n_factors), (n_items, n_factors) and (n_items,), that score ``U @ V.T + b``; or
        a function from an int64 array of row numbers to scores of shape (len(rows), n_items).
        Scores are compared in the precision of their numbers, float32 or float64; of whole numbers those
        beyond 2**53, which float64 rounds, are refused. A function may return infinite scores.
    test : Interactions, sparse matrix or array of shape (n_users, n_items)
        The positives to rank.
    exclude : "seen", None, interactions or a matrix of the same shape, item ids, or a tuple, default "seen"
        Items left out of the ranking of a user. "seen": what a fitted model was trained on (``model.seen_``);
        factors and functions know nothing of that, so that for them nothing is left out. None: nothing, so
        that training positives count as negatives. Interactions: these alone; item ids: these for all users;
        ``("seen", interactions)`` or ``("seen", ids)``: both. An item that is in both `test` and `exclude` is
        left out like any other: it counts neither as a positive nor as a negative, and a warning says how
        many there are.
    k : int or sequence of int, default (10, 20)
        Lengths of the lists that the top-k metrics are computed for; at most 2**31 - 1.
    candidates : None, sequence or set of item ids, n_users of them, or interactions, default None
        The only items that are ranked; None: all. A list of lists, or an array of ids with a row for each
        user, has one for each user of `test`, in their order; interactions, a sparse matrix or an array of
        truth values say of each user which items are ranked. What is excluded is left out of them, and a
        positive that is not among them is left out, too; a warning says how many there are.
    gains : {"binary", "values", "exponential"}, default "binary"
        What a positive is worth to NDCG: 1; its value g in `test` (linear gain); or 2^g - 1, at most for
        values up to 1,000. All other metrics go by positives, whatever their values.
    sampled : int, default None
        Rank the positives of each user against so many other items only, drawn at random for each user
        without replacement from those that are not left out (all, where they are not more): the "1 + n"
        protocol of many papers, to compare with theirs. **Such numbers are biased**, far higher than those of
        full rankings, and may order models wrongly (Krichene and Rendle, "On sampled metrics for item
        recommendation", KDD 2020).
    by : Series, dict or array, default None
        Groups of users or of items for `Evaluation.by`: a Series or dict over their ids, or one group for
        each user or item of `test` in their order. A Series whose keys may be ids of both, such as row
        numbers, says which by the name of its index, "user" or "item". Groups of items: the rankings stay as
        they are, and only the positives of the group count as positives (others are neither positive nor
        negative to AUC). An id without a group, or with a missing one, is in none.
    random_state : int, RandomState, Generator or None, default 0
        Source of the draws of `sampled`.
    n_jobs : int, optional
        Number of threads; None: one where there is little work, else all cores; -1: all cores. Functions
        and networks are called for one batch of users after the other. The result does not depend on it.
    verbose : int, default 0
        1: a progress bar on standard error, if it takes longer than a second.

    Returns
    -------
    Evaluation
        ``.mean``, a Series, and ``.per_user``, a DataFrame without the users who have no positive
        (after exclusion); ``.interval(.95)``, confidence intervals; ``.lists``, coverage, Gini, novelty and
        more of what is recommended; ``.by``, the means of groups. With ``rank`` from 1, ``P`` positives and
        ``hits@k`` of them among the first k, the columns are the means over all orders of candidates with
        equal scores (McSherry and Najork, ECIR 2008) of

        - ``auc``: probability that a positive outranks a negative; NaN for a user without
          a negative, who is left out of its mean;
        - ``mrr``: 1 / rank of the first positive, over the whole ranking (Voorhees, TREC-8, 1999);

        and for each k

        - ``precision@k``: hits@k / k, also if fewer than k candidates remain;
        - ``recall@k``: hits@k / P;
        - ``ndcg@k``: sum of gain / log2(rank + 1) over the hits, divided by its largest possible value, the
          same sum with the best min(P, k) positives on top (Jarvelin and Kekalainen, TOIS 2002), as
          scikit-learn's ``ndcg_score``;
        - ``map@k``: mean average precision, sum over the hits of hits@rank / rank, divided by
          min(P, k) (Manning et al., Introduction to Information Retrieval, 2008, ch. 8.4);
        - ``hit_rate@k``: 1 if hits@k > 0 else 0.

    Raises
    ------
    ValueError
        If shapes or ids disagree, a factor is not finite, a score is NaN or a whole number beyond 2**53, or
        no user has a positive (after exclusion), as where a model is to be evaluated on what it was trained
        on.
    TypeError
        If `model` is none of the above or its numbers are not real.

    Warns
    -----
    UserWarning
        If positives of `test` are in `exclude` too, or if all scores of each user are equal. Once for a
        model that does not know what it was trained on, because its file was saved with ``seen=False``.

    See Also
    --------
    compare : several models on the same test.
    full_auc : the AUC alone.
    tripletrec.cluster.evaluate : the same by many workers.

    Notes
    -----
    Each thread holds the scores of one batch of users at a time: up to eight million, 32 MB in
    float32, or of 16 users where those are more.

    Examples
    --------
    >>> import numpy as np
    >>> import tripletrec as tr
    >>> popularity = np.array([5.0, 3.0, 1.0])
    >>> test = np.array([[0, 1, 1], [0, 0, 0]])
    >>> result = tr.evaluate(lambda users: np.tile(popularity, (len(users), 1)), test, k=2)
    >>> result.mean[["recall@2", "mrr"]].tolist()
    [0.5, 0.5]
    """
    cutoffs, gains = check_cutoffs(k), check_gains(gains)
    test = as_interactions(test, "test")
    groups = None if by is None else read_groups(by, test)
    protocol = EvaluationProtocol(exclude, candidates, sampled, random_state, n_jobs, verbose)
    standing, ranked = stand(model, test, protocol)
    warn_of_constant_scores(standing)
    worth = gains_of(standing, gains)
    columns = metrics_of(standing, cutoffs, worth)

    import pandas as pd

    per_user = pd.DataFrame(columns, index=pd.Index(as_series(standing.user_ids), name="user"))
    mean = pd.Series({name: mean_of(values) for name, values in columns.items()}, name="mean")
    of_groups = None if groups is None else metrics_by(groups, standing, cutoffs, worth, columns)

    def lists() -> pd.DataFrame:
        return table_of_lists(ranked, test, cutoffs)

    def measure() -> Measured:
        from tripletrec.evaluation.measured import measured  # here, because most do without

        asked = None if sampled is not None else ranked.field.asked
        return measured(test, cutoffs, gains, ranked.left_out, asked)

    return Evaluation(mean, per_user, of_groups, sampled)._with(lists, measure)


def mean_metric(
    model: Any, test: Interactions, exclude: Any, metric: str, n_jobs: int | None
) -> float:
    """Return the mean of one metric, as `evaluate` does; NaN where it is undefined."""
    cutoff = check_metric(metric, "metric")
    standing, _ = stand(model, test, EvaluationProtocol(exclude, n_jobs=n_jobs))
    if metric == "auc":
        return mean_of(auc(standing))
    return mean_of(metrics_of(standing, (cutoff,))[metric])
