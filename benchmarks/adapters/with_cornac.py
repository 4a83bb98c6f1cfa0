"""Cornac: BPR with item biases. Its `fit` takes its own Dataset, made of Python dictionaries.

Without a seed, because a seed makes it use one thread. An epoch draws as many triplets as there are
positives; a draw whose negative is known is dropped.
"""


def start():
    global BPR, Dataset
    import cornac
    from cornac.data import Dataset
    from cornac.models import BPR

    return f"cornac {cornac.__version__}"


def convert(matrix):
    coo = matrix.tocoo()
    return Dataset.from_uir(zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True))


def fit(data, n_factors, n_epochs, n_threads):
    BPR(
        k=n_factors, max_iter=n_epochs, num_threads=n_threads, learning_rate=0.05,
        lambda_reg=0.01, use_bias=True, verbose=False,
    ).fit(data)  # fmt: skip
