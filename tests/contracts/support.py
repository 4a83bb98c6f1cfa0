"""What the contracts and other tests share: data, comparison to the last bit, other processes."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import tripletrec as tr


class Contract:
    """Base of the contracts: inherit, and give `make`."""

    takes_sample_weight = True
    takes_negatives = True
    is_random = True
    compares_rows = True
    other = {"random_state": 5}  # a parameter that another model is learnt with
    table = "user_factors_"  # a float32 array that is learnt

    def make(self, **overrides):
        """Return an unfitted estimator that fits in milliseconds."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, pairs):
        """Return a fitted estimator, never modified."""
        return cls().make().fit(pairs)


def interactions(n_users, n_items, nnz, seed=7):
    """Return distinct random pairs; cheaper than planted factors, and of any size."""
    pairs = np.random.default_rng(seed).choice(n_users * n_items, nnz, replace=False)
    users, items = np.divmod(pairs, n_items)
    return tr.Interactions.from_arrays(users, items, shape=(n_users, n_items))


def negatives_of(data, seed=2, share=0.02):
    """Return some pairs that are not positives, as a matrix of truth values."""
    others = np.random.default_rng(seed).random(data.space.shape) < share
    return others & ~data.tocsr().toarray().astype(bool)


def with_ids(kind, pairs):
    """Return the same interactions with ids of a kind: "int", "str", "date" or "mixed"."""
    n_users, n_items = pairs.space.shape
    strings = [f"üser {u}\u4e2d\0x" for u in range(n_users)]
    words = {
        "int": (np.arange(n_users) * 7 + 1000, np.arange(n_items)[::-1] - 5),
        "str": (strings, [f"{i}" for i in range(n_items)]),
        "date": (
            np.datetime64("2020-01-01") + np.arange(n_users),
            np.datetime64("2020-01-01T00:00:01") + np.arange(n_items),
        ),
        "mixed": ([u if u % 2 else str(u) for u in range(n_users)], np.arange(n_items) / 4),
    }
    users, items = words[kind]
    return tr.Interactions(pairs.tocsr(), user_ids=users, item_ids=items)


def catalogue(model):
    """Return the scores of all users and items."""
    users, items = np.indices((model.n_users_, model.n_items_))
    if model.user_ids_ is not None:
        users = model.user_ids_[users]
    if model.item_ids_ is not None:
        items = model.item_ids_[items]
    return model.predict(users.ravel(), items.ravel()).reshape(users.shape)


def learnt(model):
    """Return all that fit has set, with bytes in place of arrays and without the times."""

    def frozen(value):
        if isinstance(value, np.ndarray):
            plain = value.tolist() if value.dtype == object else value.tobytes()
            return value.dtype.str, value.shape, plain
        if isinstance(value, dict):
            return {key: frozen(each) for key, each in value.items() if key != "seconds"}
        if isinstance(value, (list, tuple)):
            return [frozen(each) for each in value]
        return value

    fitted = {key for key in vars(model) if key.endswith("_")} - {"seen_"}  # given, not learnt
    attributes = {key: each for key, each in vars(model).items() if key in fitted}
    return frozen(attributes)


def digest(model):
    """Return `learnt` as text, to compare across processes."""
    return hashlib.sha256(repr(sorted(learnt(model).items())).encode()).hexdigest()


def fit_and_digest(model, data):
    """Fit a model; return its digest. For another process."""
    return digest(model.fit(data))


def assert_same(model, other):
    """Raise unless the two models have learnt the same, to the last bit."""
    ours, theirs = learnt(model), learnt(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == theirs[name], name


def run_python(code, *arguments, timeout=300):
    """Run code in a new process that can import what this one can; return what it printed."""
    # Whoever is started in the background by a shell script ignores Ctrl-C, and so do his children.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    done = subprocess.run(
        [sys.executable, "-c", heed + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def change_at(description, route, value):
    """Put a value at a place of nested dicts and lists; "delete" is taken at its word."""
    for key in route[:-1]:
        description = description[key]
    if value == "delete":
        del description[route[-1]]
    else:
        description[route[-1]] = value


def rewrite(path, change):
    """Rewrite the description in a saved model by ``change(description, tensors)``."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(path, framework="np") as file:
        description = json.loads(file.metadata()["tripletrec"])
    tensors = load_file(path)
    changed = change(description, tensors)
    text = json.dumps(description if changed is None else changed)
    save_file(tensors, path, {"tripletrec": text})
