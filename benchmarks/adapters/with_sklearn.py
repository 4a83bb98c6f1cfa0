"""scikit-learn: `roc_auc_score` of each user who has test positives."""


def start():
    global np, roc_auc_score
    import numpy as np
    import sklearn
    from sklearn.metrics import roc_auc_score

    return f"scikit-learn {sklearn.__version__}"


def full_auc(U, V, train, test, n_threads):
    truth = test.toarray() > 0
    users = np.flatnonzero(truth.any(axis=1))

    def loop():
        return np.mean([roc_auc_score(truth[user], U[user] @ V.T) for user in users])

    return loop
