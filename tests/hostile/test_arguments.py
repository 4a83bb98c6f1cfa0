"""Wrong arguments of answers and metrics: what comes of them is an answer or one sentence."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import tripletrec as tr
from hostile.support import outcome

N_USERS, N_ITEMS = 12, 17


def positives(rng, share=0.3):
    matrix = rng.random((N_USERS, N_ITEMS)) < share
    matrix[rng.integers(N_USERS), rng.integers(N_ITEMS)] = True
    return matrix


@pytest.fixture(scope="module")
def models():
    matrix = positives(np.random.default_rng(0))
    named = tr.Interactions(
        matrix,
        user_ids=[f"u{n}" for n in range(N_USERS)],
        item_ids=[f"i{n}" for n in range(N_ITEMS)],
    )
    model = tr.MatrixFactorization(n_factors=4, n_epochs=1, random_state=0)
    return [model.fit(data) for data in (tr.Interactions(matrix),)] + [
        tr.MatrixFactorization(n_factors=4, n_epochs=1, random_state=0).fit(named)
    ]


def strange(rng):
    """Something that somebody may hand in, by mistake or not."""
    size = int(rng.integers(0, 30))
    numbers = rng.integers(-3, 25, size)
    choices = (
        None, True, False, 0, 1, 3, -1, 17, 2**31, 2**31 - 1, 2**63, 2**64, 2**70, -(2**70), 10**5000,
        0.5, 3.0, np.nan, np.inf, -np.inf, 1e300, 1j, "", "i3", "u3", "3", "all", b"i3", "\0", "x" * 300,
        (), [], {}, set(), [[]], [[1, 2], [3]], {1, 2, 3}, {"a": 1}, range(5), range(10**5), iter([1]),
        object(), int, len, lambda rows: rows, Ellipsis, NotImplemented, slice(2), datetime.date.today(),
        decimal.Decimal("3"), np.int8(3), np.uint64(2**64 - 1), np.float16(2), np.bool_(True), np.str_("i1"),
        np.datetime64("2020-01-01"), np.array(3), np.array("i3"), np.empty((0, 3)), np.empty(0), numbers,
        numbers.tolist(), numbers.astype(np.uint8), numbers.astype(float), numbers.astype(str),
        numbers.astype(object), numbers[:, None], numbers % N_ITEMS, [f"i{n % N_ITEMS}" for n in numbers],
        [f"u{n % N_USERS}" for n in numbers], pd.Series(numbers % N_USERS), pd.Index(numbers),
        pd.DataFrame({"a": numbers}), np.ma.masked_array(numbers, numbers > 3), memoryview(b"abc"),
        positives(rng), positives(rng).T, positives(rng).astype(int) * -1, sp.csr_matrix(positives(rng)),
        sp.coo_array(positives(rng)), tr.Interactions(positives(rng)), sp.csr_matrix((N_USERS, N_ITEMS)),
        np.full((N_USERS, N_ITEMS), np.nan), np.ones((N_USERS, N_ITEMS), dtype="M8[s]"),
        rng.normal(size=(N_USERS, 3)), (rng.normal(size=(N_USERS, 3)), rng.normal(size=(N_ITEMS, 3))),
        (rng.normal(size=(N_USERS, 0)), rng.normal(size=(N_ITEMS, 0)), rng.normal(size=N_ITEMS)),
        (rng.normal(size=(N_USERS, 3)) * 1e300, rng.normal(size=(N_ITEMS, 3)) * 1e300),
        lambda rows: rng.normal(size=(len(rows), int(rng.integers(15, 20)))),
        lambda rows: rng.choice([np.nan, 1.0, np.inf], size=(len(rows), N_ITEMS)),
        lambda rows: [[1] * N_ITEMS] * len(rows), lambda: None, lambda rows: 1 / np.array(0),
    )  # fmt: skip
    return choices[rng.integers(len(choices))]


def perhaps(rng, right, share=0.5):
    return right if rng.random() < share else strange(rng)


def test_of_answers(models, many, rng):
    for _ in range(many(400)):
        model = models[rng.integers(2)]
        before = model.user_factors_.tobytes(), model.item_factors_.tobytes()
        users = [0, 3, 3] if model.item_ids_ is None else ["u0", "u3", "u3"]
        items = [1, 2, 5] if model.item_ids_ is None else ["i1", "i2", "i5"]
        call, arguments, options = [
            (
                model.recommend,
                (perhaps(rng, users), perhaps(rng, 4), perhaps(rng, None)),
                {"candidates": perhaps(rng, None)},
            ),
            (model.similar_items, (perhaps(rng, items), perhaps(rng, 4)), {}),
            (model.similar_users, (perhaps(rng, users), perhaps(rng, 4)), {}),
            (model.predict, (perhaps(rng, users), perhaps(rng, items)), {}),
        ][rng.integers(4)]
        found = outcome(call, *arguments, **options)
        if isinstance(found, tuple):
            ids, scores = found
            assert ids.shape == scores.shape and scores.dtype == np.float32
        assert before == (model.user_factors_.tobytes(), model.item_factors_.tobytes())


def test_of_metrics(models, many, rng):
    test = tr.Interactions(positives(rng))
    for _ in range(many(400)):
        given = perhaps(rng, models[0]), perhaps(rng, test), perhaps(rng, None)
        n_jobs = perhaps(rng, 2, 0.8)
        if rng.random() < 0.5:
            found = outcome(tr.evaluate, *given, k=perhaps(rng, (2, 5)), n_jobs=n_jobs)
            if isinstance(found, tr.Evaluation):
                values = found.per_user.drop(columns="auc").to_numpy()
                assert ((values >= 0) & (values <= 1 + 1e-12)).all()
        else:
            found = outcome(tr.full_auc, *given, n_jobs=n_jobs)
            assert isinstance(found, Exception) or 0 <= found <= 1


COUNTS = (
    "n_factors", "n_epochs", "n_negatives", "batch_size", "early_stopping", "verbose", "n_user_factors",
    "n_item_factors", "hidden", "user_layers", "item_layers",
)  # fmt: skip


@pytest.mark.parametrize("make", [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower])
@pytest.mark.parametrize(
    "value", [2**31, 2**40, 2**70, 10**5000], ids=["2^31", "2^40", "2^70", "10^5000"]
)
def test_counts_beyond_all_bounds(make, value, rng):
    data = tr.Interactions(positives(rng))
    for name in set(COUNTS) & make().get_params().keys():
        model = make().set_params(**{name: value})
        if make is tr.MatrixFactorization and name == "batch_size":
            model.set_params(loss="softmax")
        if make is tr.TwoTower and name.endswith("layers"):
            model.set_params(**{name: (value,)})
        with pytest.raises(
            ValueError, match=f"{name} must be an integer from . to 2147483647, got "
        ):
            model.fit(data, validation=data if name == "early_stopping" else None)
        assert not hasattr(model, "history_")


def test_more_threads_than_any_machine_has(rng):
    data = tr.Interactions(positives(rng))
    expected = tr.MatrixFactorization(4, n_epochs=1, random_state=0, n_jobs=1).fit(data)
    model = tr.MatrixFactorization(4, n_epochs=1, random_state=0, n_jobs=2**70).fit(data)
    np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = tr.full_auc(model, data, exclude=None, n_jobs=10**6)
        assert ours == tr.full_auc(expected, data, exclude=None, n_jobs=1)
