"""LightFM (installed as lightfm-next): bpr; it has no plain SGD, so with its own default, Adagrad."""


def start():
    global LightFM, auc_score
    from importlib.metadata import version

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
