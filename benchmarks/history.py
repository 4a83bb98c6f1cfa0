"""The preset "softmax" with and without users' histories, on validation cuts of training data only.

Each configuration is fitted on training data without a validation part, which is then to be found. Recall@20
and NDCG@20 are also given with the item biases multiplied by some factors after the training: where another
one than 1 is best, training makes too much or too little of popularity.

    python benchmarks/history.py --data movielens shop:2000,1000,60000 --history 0 0.5 0.7
    python benchmarks/history.py --data FOLDER --history 0 0.7 --epochs 30 --set n_factors=128
    python benchmarks/history.py --data movielens --history 0.8 --biases --spectral 32 64 --share 0.05 0.1

FOLDER holds `train.npz` and `valid.npz`, as for `benchmarks/published.py`; the test set is not read.
With ``--spectral K`` the scores are also mixed, after the training, with those of a low-pass filter: what the
first K singular vectors of the normalised matrix keep of a user's items (Shen et al., CIKM 2021, section 4).
``shop:U,I,E`` are E events of U users and I items from `tripletrec.datasets.make_events`, ``needs:FILE``,
``tags:FILE``, ``builds:FILE`` and ``uploads:FILE`` are those of lists of Debian, see `package_data`, and
``ratings:FILE`` is a table with the columns of the ratings.csv of MovieLens' newer sets.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

import tripletrec as tr
from machine import compile_fits
from split_folder import split_folder

METRICS = ("recall@20", "ndcg@20")
FILES = ("needs", "tags", "builds", "uploads", "ratings")


def data_name(text: str, parts: Sequence[str] = ("train", "valid")) -> str:
    """Return the name of data, as an argument of argparse: refused if there are no such data."""
    kind, _, rest = text.partition(":")
    if kind == "shop":
        if not re.fullmatch(r"\d+,\d+,\d+", rest):
            raise argparse.ArgumentTypeError(
                f"must be shop:USERS,ITEMS,EVENTS with three numbers, got {text}"
            )
    elif kind in FILES:
        if not Path(rest).is_file():
            raise argparse.ArgumentTypeError(f"{text}: there is no file {rest}")
    elif text != "movielens":
        split_folder(text, parts)
    return text


def read(name: str, n_users: int | None, seed: int) -> tuple[tr.Interactions, tr.Interactions]:
    """Return what to fit on and what to find, both of training data."""
    kind, _, rest = name.partition(":")
    if name == "movielens":
        data = tr.datasets.fetch_movielens_100k().train
    elif kind in FILES and kind != "ratings":
        from package_data import read_packages  # here, because other data do without

        data = read_packages(rest, kind)
    elif kind == "ratings":
        data = tr.Interactions.read(rest, user="userId", item="movieId")
    elif kind == "shop":
        events = tr.datasets.make_events(*map(int, rest.split(",")), random_state=seed).events
        data = tr.Interactions.from_frame(events, user="user_id", item="item_id")
    else:
        return _read_folder(name, n_users, seed)
    return tr.splits.train_test_split(data, 0.2, random_state=seed)


def _read_folder(
    name: str, n_users: int | None, seed: int
) -> tuple[tr.Interactions, tr.Interactions]:
    train, valid = (sp.csr_matrix(sp.load_npz(Path(name, f"{x}.npz"))) for x in ("train", "valid"))
    train.data[:] = valid.data[:] = 1
    train = train - train.multiply(valid)
    train.eliminate_zeros()
    if n_users is not None:
        rows = np.sort(np.random.default_rng(seed).permutation(train.shape[0])[:n_users])
        train, valid = train[rows], valid[rows]
        items = np.flatnonzero(np.asarray(train.sum(0)).ravel())
        train, valid = train[:, items], valid[:, items]
    return tr.Interactions(train.tocsr()), tr.Interactions(valid.tocsr())


def configurations(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Return the parameters of each fit beside those of the preset."""
    given: dict[str, list[Any]] = {"history": options.history, "n_epochs": options.epochs or [None]}
    for each in options.set:
        name, _, values = each.partition("=")
        given[name] = [ast.literal_eval(value) for value in values.split(",")]
    if "sampler" in given:
        given["sampler"] = [
            each if isinstance(each, str) else tr.sampling.popularity(each)
            for each in given["sampler"]
        ]
    for chosen in itertools.product(*given.values()):
        yield {name: x for name, x in zip(given, chosen, strict=True) if x is not None}


def numbers(model: Any, valid: tr.Interactions, train: tr.Interactions, factor: float) -> str:
    """Return Recall@20 and NDCG@20 with the item biases multiplied by a factor."""
    biases = model.item_biases_
    model.item_biases_ = biases * np.float32(factor)
    found = top_of_lists(model, valid, train)
    model.item_biases_ = biases
    return found


def filtered(train: tr.Interactions, n_vectors: int) -> tuple[Any, Any]:
    """Return factors of users and items whose products are the low-pass scores."""
    matrix = train.tocsr().astype(np.float64)
    of_users, of_items = (np.maximum(np.asarray(matrix.sum(axis)).ravel(), 1.0) for axis in (1, 0))
    scaled = matrix @ sp.diags_array(of_items**-0.5)
    _, _, vectors = svds(
        sp.diags_array(of_users**-0.5) @ scaled, k=n_vectors, v0=np.ones(min(matrix.shape))
    )
    return scaled @ vectors.T, vectors.T * np.sqrt(of_items)[:, None]


def standardised(users: Any, items: Any) -> tuple[Any, Any]:
    """Return the factors with each user's scaled, so that their scores of all items deviate by 1."""
    covariance = np.cov(items.T, bias=True)
    variances = np.einsum("uk,kl,ul->u", users, covariance, users)
    return users / np.sqrt(np.maximum(variances, 1e-12))[:, None], items


def mixed(model: Any, low_pass: tuple[Any, Any], share: float) -> tuple[Any, Any]:
    """Return factors for both kinds of scores, with a deviation of 1 for each user."""
    own, of_own = standardised(model.user_vectors(), model.item_vectors())
    other, of_other = standardised(*low_pass)
    return np.c_[(1 - share) * own, share * other], np.c_[of_own, of_other]


def top_of_lists(model: Any, valid: tr.Interactions, train: tr.Interactions) -> str:
    """Return Recall@20 and NDCG@20."""
    mean = tr.evaluate(model, valid, train, k=20).mean
    return " ".join(f"{float(mean[metric]):.4f}" for metric in METRICS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each configuration on each data set."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", nargs="+", type=data_name, default=["movielens"])
    parser.add_argument("--history", nargs="+", type=float, default=[0.0, 0.7])
    parser.add_argument("--epochs", nargs="+", type=int, help="default: as the preset")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        help="name=value,value of other parameters; of the sampler a number is popularity's exponent",
    )
    parser.add_argument("--biases", nargs="*", type=float, default=[0.8, 0.9], help="factors")
    parser.add_argument("--spectral", nargs="*", type=int, default=[], help="singular vectors")
    parser.add_argument("--share", nargs="*", type=float, default=[0.05], help="of their scores")
    parser.add_argument("--users", type=int, help="of a folder, a sample")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for name in options.data:
        train, valid = read(name, options.users, options.seed)
        print(f"{name}: {train.n_users} users, {train.n_items} items, {train.nnz} to learn from")
        for parameters in configurations(options):
            made = tr.MatrixFactorization.preset("softmax", random_state=options.seed, **parameters)
            compile_fits(made.get_params(deep=False))
            started = time.perf_counter(), time.process_time()
            model = made.fit(train)
            passed, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
            line = [f"1: {numbers(model, valid, train, 1.0)}"]
            line += [f"{x:g}: {numbers(model, valid, train, x)}" for x in options.biases]
            shown = ", ".join(f"{key} {value}" for key, value in parameters.items())
            took = f"{passed:.0f} s, {cpu:.0f} s of CPU"
            print(f"  {shown} ({took})  biases × " + "  × ".join(line), flush=True)
            for n_vectors in options.spectral:
                low_pass = filtered(train, n_vectors)
                for share in options.share:
                    found = top_of_lists(mixed(model, low_pass, share), valid, train)
                    print(f"    {n_vectors} singular vectors, share {share:g}: {found}", flush=True)


if __name__ == "__main__":
    main()
