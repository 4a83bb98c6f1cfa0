"""LightFM (installed as lightfm-next): bpr; it has no plain SGD, so with its own default, Adagrad."""

import time


def start():
    global LightFM, auc_score, np
    from importlib.metadata import version

    import numpy as np
    from lightfm import LightFM
    from lightfm.evaluation import auc_score

    return f"lightfm-next {version('lightfm-next')}"


def convert(matrix):
    return matrix


def fit(data, n_factors, n_epochs, n_threads):
    LightFM(no_components=n_factors, loss="bpr", random_state=0).fit(
        data, epochs=n_epochs, num_threads=n_threads
    )


def full_auc(U, V, train, test, n_threads):
    model = LightFM(no_components=U.shape[1], random_state=0)
    # An epoch over nothing makes arrays of the right shapes; then the factors are put in.
    model.fit(train, epochs=0)
    model.user_embeddings, model.item_embeddings = U, V
    model.user_biases[:], model.item_biases[:] = 0.0, 0.0
    return lambda: auc_score(model, test, num_threads=n_threads).mean()


def hybrid(folder, settings, n_epochs, n_threads):
    """Time epochs of the hybrid with features and factors of users' and items' own, beyond the first."""
    from scipy.sparse import hstack, identity, load_npz

    positives, users, items = (
        load_npz(f"{folder}/{name}.npz") for name in ("positives", "users", "items")
    )
    users, items = (
        hstack([each, np.ones((each.shape[0], 1)), identity(each.shape[0])], "csr", np.float32)
        for each in (users, items)
    )
    clock, times = time.process_time if n_threads == 1 else time.perf_counter, []
    model = LightFM(64, random_state=0, **settings)
    for epochs in (1, n_epochs):
        times.append(clock())
        model.fit_partial(positives, users, items, epochs=epochs, num_threads=n_threads)
    return {"seconds": (clock() - times[-1]) / n_epochs}
