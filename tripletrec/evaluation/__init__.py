"""Exact metrics of any model, full AUC and top-k, from one pass over its scores; counting is in `ranking`.

For each positive ``p`` of a user, among the candidates (all items but the excluded ones), let ::

    greater(p) = number of candidates with a higher score
    equal(p)   = number of other candidates with the same score

All metrics follow from these two counts. With ``P`` positives and ``N`` negatives among the
candidates::

    AUC = 1 - (sum_p (2 greater(p) + equal(p)) - P (P - 1)) / (2 P N)

The sum counts each pair of positives as 2, whichever of them is ahead. Subtracting ``P (P - 1)`` leaves
the pairs of a positive and a negative: AUC is the Mann-Whitney statistic with ties 1/2 (Hanley and
McNeil, Radiology 143, 1982), averaged over users as in Rendle et al., "BPR" (UAI 2009), eq. 1.
Ranks are exact, over all candidates: metrics on a sample of negatives may order models wrongly
(Krichene and Rendle, "On sampled metrics for item recommendation", KDD 2020).

Candidates with equal scores may stand in any order. Every metric is the mean over all their orders, which
`ranking.ties` computes exactly, after McSherry and Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores" (ECIR 2008). So a model that gives all items one score
gets what chance would give, whatever the numbers of the items; AUC's 1/2 says the same.
"""

from tripletrec.evaluation.comparing import Comparison, compare
from tripletrec.evaluation.measuring import evaluate, full_auc, mean_metric
from tripletrec.evaluation.metrics import check_metric
from tripletrec.evaluation.results import Evaluation
from tripletrec.evaluation.standing import all_known, drop_known

__all__ = [
    "Comparison",
    "Evaluation",
    "all_known",
    "check_metric",
    "compare",
    "drop_known",
    "evaluate",
    "full_auc",
    "mean_metric",
]
