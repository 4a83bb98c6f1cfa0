"""Parts and numbers that no training can use: wrong in kind, arity, result or size."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import tripletrec as tr
from hostile.support import outcome
from tripletrec.losses import BPR, ListLoss, Loss, ccl, hinge, softmax
from tripletrec.optimizers import Optimizer, adagrad, adam
from tripletrec.rates import Schedule
from tripletrec.sampling import Sampler, dynamic, explicit, popularity
from tripletrec.scorers import DOT, Scorer

MODELS = [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower]
LEARNERS = [
    (tr.MatrixFactorization, {"n_factors": 4}),
    (tr.MatrixFactorization, {"n_factors": 4, "loss": "hinge", "optimizer": "adagrad"}),
    (tr.MatrixFactorization, {"n_factors": 4, "loss": "softmax", "scorer": "cosine"}),
    (tr.MatrixFactorization, {"n_factors": 4, "loss": "ccl", "scorer": "cosine"}),
    (tr.MLPMatcher, {"hidden": (4,), "final_relu": True}),
    (tr.TwoTower, {}),
]
RESULTS = [
    None, "a", b"a", (1.0, 2.0, 3.0), (), [1.0], {}, 1j, np.ones(2), math.nan, math.inf, -math.inf, object,
]  # fmt: skip
NO_PARTS = [None, 3, "bpr", b"", math.exp, np.sin, len, int, Loss, (), [], {}, object(), 1.5]
WRONG = [
    -1, -0.5, -1e-300, 10**400, -(10**400), math.nan, math.inf, -math.inf, None, "0.1", b"1", 1j, (), [0.1],
    {}, object(), np.float32(math.nan), np.array([0.1]), Decimal("0.1"),
]  # fmt: skip
NUMBERS = [
    *WRONG, 0, 1, 2, 0.5, 0.1, 1e-300, 1e-45, 1e-30, 1e-8, 10.0, 1e3, 1e8, 1e19, 1e30, 1e38, 1e39, 1e300,
    True, np.float32(0.1), np.float16(6e4), np.int8(3), np.array(0.1), Fraction(1, 7),
]  # fmt: skip


@pytest.fixture(scope="module")
def data():
    """What all fits learn from; the kernels that they need are compiled by now, however long that took."""
    data = tr.datasets.make_interactions(20, 15, 80, random_state=1)
    for kind, params in LEARNERS:
        kind(n_epochs=1, **params).fit(data)
    return data


def function_of(rng, n_arguments):
    """Return a function that is no part of `n_arguments`, and what must be said of it."""
    result = RESULTS[rng.integers(len(RESULTS))]
    names = "abcdefghij"[:n_arguments]

    def raises(*arguments):
        raise [ValueError, KeyError, ZeroDivisionError, RuntimeError][n_arguments % 4]("my own")

    wrong = {
        "no part": lambda: NO_PARTS[rng.integers(len(NO_PARTS))],
        "not marked": lambda: lambda *arguments: 0.0,
        "too few": lambda: tr.part(eval(f"lambda {', '.join(names[:-1])}: 0.0")),
        "too many": lambda: tr.part(eval(f"lambda {', '.join(names)}, one_more: 0.0")),
        "no result": lambda: tr.part(lambda *arguments: result),
        "undefined": lambda: tr.part(lambda *arguments: no_such_name),  # noqa: F821
        "raises": lambda: tr.part(raises),
    }
    kind = rng.choice(list(wrong)[:5] if rng.random() < 0.9 else list(wrong))
    print(kind, result)
    return wrong[kind]()


def spoil(rng):
    """Return the parameters of a model with one wrong part, its kind, name and field."""
    soft, mine = softmax(), ("mine", True, 0.0, 0.0, 4)
    records = {
        "loss": (Loss("mine", BPR.value, BPR.slope), {"value": 2, "slope": 2}),
        "list-wise loss": (
            ListLoss("mine", soft.exponentiate, soft.reduce), {"exponentiate": 5, "reduce": 10},
        ),
        "optimizer": (Optimizer("mine", *adagrad()[1:]), {"step": 4}),
        "scorer": (Scorer("mine", *DOT[1:]), {"score": 3, "coefficients": 3, "gradient": 4}),
        "sampler": (Sampler(*mine, choose=dynamic().choose), {"choose": 3}),
    }  # fmt: skip
    kind = str(rng.choice(list(records)))
    record, fields = records[kind]
    field = str(rng.choice(list(fields)))
    word = kind.split()[-1]
    return {word: record._replace(**{field: function_of(rng, fields[field])})}, word, field


def test_wrong_parts_get_one_sentence(data, many, rng):
    for _ in range(many(150)):
        params, word, field = spoil(rng)
        if params[word] == params[word]._replace(**{field: None}) and field == "choose":
            continue  # a sampler need not choose
        kind = MODELS[rng.integers(3)] if word in ("loss", "optimizer", "sampler") else MODELS[0]
        if kind is not MODELS[0] and isinstance(params.get("loss"), ListLoss):
            kind = tr.TwoTower
        print(kind.__name__, params)
        model = kind(**params, n_epochs=1)
        error = outcome(model.fit, data)
        assert isinstance(error, Exception), error
        assert "'mine'" in str(error) and field in str(error), error
        assert re.search(r" must be a? ?.*(function|finite)", str(error)), error
        assert "\n" not in str(error) and not hasattr(model, "history_")


def test_wrong_fields_get_one_sentence(data, many, rng):
    for _ in range(many(150)):
        value, any_value = (each[rng.integers(len(each))] for each in (WRONG, NUMBERS))
        params = [
            {"loss": BPR._replace(parameters=value)},
            {"loss": hinge()._replace(parameters=(value if value != -1 else math.nan,))},
            {"loss": BPR._replace(name=value)},
            {"loss": softmax()._replace(temperature=any_value), "scorer": "cosine"},
            {"optimizer": adam()._replace(state=(0.5,))},
            {"optimizer": adam()._replace(step_counts=(any_value,))},
            {"optimizer": adagrad()._replace(state=any_value)},
            {"sampler": dynamic()._replace(n_candidates=value)},
            {"sampler": popularity()._replace(alpha=value)},
            {"sampler": explicit()._replace(share=any_value)},
            {"sampler": popularity()._replace(verified=any_value)},
            {"schedule": Schedule("mine", lambda s, value=any_value: value)},
            {"schedule": Schedule("mine", lambda s: 1.0, any_value)},
        ][rng.integers(13)]
        if params.get("sampler") == popularity():
            continue  # verified=True
        print(params)
        model = tr.MatrixFactorization(n_factors=4, n_epochs=1).set_params(**params)
        answer = outcome(model.fit, data)
        if isinstance(answer, Exception):
            assert not hasattr(model, "history_")
        else:
            assert np.isfinite(model.user_factors_).all() and np.isfinite(model.item_factors_).all()


def test_hostile_numbers(data, many, rng):
    """Learnt factors are finite, or there is an error: whatever rates, penalties, margins and weights are."""

    def number(usual):
        return NUMBERS[rng.integers(len(NUMBERS))] if rng.random() < 0.3 else usual

    makers = [
        lambda: {},
        lambda: {"loss": hinge(number(1.0))},
        lambda: {"loss": softmax(number(0.2)), "dropout": number(0.1), "batch_size": number(5)},
        lambda: {"loss": ccl(number(0.2), number(9.0))},
        lambda: {"dropout": number(0.1), "l2": number(0.0)},
        lambda: {"l2": number(0.0), "batch_size": number(16)},
    ]
    n_learnt = 0
    for _ in range(many(150)):
        which = int(rng.integers(len(makers)))
        made, (kind, usual_ones) = outcome(makers[which]), LEARNERS[which]
        if isinstance(made, Exception):
            continue  # a loss that says so at once
        params = {
            **usual_ones,
            **{name: number(usual) for name, usual in (
                ("learning_rate", 0.1), ("user_l2", 0.01), ("item_l2", 0.01), ("init_scale", 0.1),
            )},
            **made,
        }  # fmt: skip
        weights = rng.choice([0.0, 1e-38, 1.0, 1e6, 1e30, 1e38], len(data))
        options = {"sample_weight": weights} if rng.random() < 0.2 else {}
        print(kind.__name__, params, options)
        model = kind(n_epochs=2, random_state=int(rng.integers(2**31)), **params)
        answer = outcome(model.fit, data, **options)
        if isinstance(answer, Exception):
            assert not hasattr(model, "history_")
            continue
        n_learnt += 1
        assert math.isfinite(model.history_[-1]["loss"])
        assert np.isfinite(model.predict(np.arange(20), np.arange(20) % 15)).all()
        for name, value in vars(model).items():
            if isinstance(value, np.ndarray) and value.dtype == np.float32:
                assert np.isfinite(value).all(), name
    assert n_learnt
