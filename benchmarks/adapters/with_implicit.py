"""implicit: BayesianPersonalizedRanking. It has no full AUC: its `auc` is that of the first K items.

`factors` does not count its item biases, a column of their own, as `n_factors` does not count ours. An
iteration draws as many triplets as there are positives; a draw whose negative is known is dropped.
"""

import numpy as np


def start():
    global BayesianPersonalizedRanking, evaluation
    import implicit
    from implicit import evaluation
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    return f"implicit {implicit.__version__}"


def convert(matrix):
    return matrix


def fit(data, n_factors, n_epochs, n_threads):
    BayesianPersonalizedRanking(
        factors=n_factors, iterations=n_epochs, num_threads=n_threads, learning_rate=0.05,
        regularization=0.01, verify_negative_samples=True, random_state=0,
    ).fit(data, show_progress=False)  # fmt: skip


def full_auc(U, V, train, test, n_threads):
    model = BayesianPersonalizedRanking(factors=U.shape[1] - 1, num_threads=n_threads)
    model.user_factors, model.item_factors = U, V

    def first_ten():
        return evaluation.ranking_metrics_at_k(
            model, train, test, K=10, show_progress=False, num_threads=n_threads
        )["auc"]

    return first_ten if np.isfinite(U).all() else None
