"""Studies are told apart by all that their trials depend on, and found again by all that is the same."""

import functools

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from tripletrec.losses import Loss
from tripletrec.tuning.spaces import read_space
from tripletrec.tuning.studies import study_name

TRAIN = tr.Interactions.from_arrays(
    [0, 0, 1, 2], [0, 1, 2, 0], [1.0, 2.0, 1.0, 1.0], timestamps=[1, 2, 3, 4], shape=(4, 3)
)
VALID = tr.Interactions.from_arrays([1, 3], [0, 1], shape=(4, 3))
LOW = 2


def with_(data, **changes):
    """The same with other values or times."""
    given = {"values": data.values, "timestamps": data.timestamps, **changes}
    return tr.Interactions.from_arrays(data.rows, data.indices, shape=(4, 3), **given)


def space_of(low, choices=(8,)):
    def from_(trial):
        return max(low, least(trial), *choices)

    return lambda trial: {"n_factors": trial.suggest_int("n", from_(trial), 16)}


def least(trial):
    return LOW


class Space:
    def __init__(self, low):
        self.low = low

    def __call__(self, trial):
        return {"n_factors": self.low}

    def drawn(self, trial):
        return {"n_factors": 2 * self.low}


def loss_of(margin, slope, parameters=()):
    @tr.part
    def value(x, parameters):
        return max(0.0, margin - x)

    @tr.part
    def slope_(x, parameters):
        return -slope

    return Loss("own", value, slope_, parameters=parameters)


def name_of(model=None, space=None, metric="auc", seed=0, data=(TRAIN, VALID), **fit_params):
    template = tr.MatrixFactorization(4) if model is None else model
    return study_name(template, space or space_of(2), metric, seed, data, fit_params)


def model(**parameters):
    return {"model": tr.MatrixFactorization(4, **parameters)}


ITEMS = {"kind": ["a", "b", "b"], "size": np.arange(3.0)}
DIFFERENT = {
    "models": [
        lambda: {},
        lambda: {"model": tr.EASE(4)},
        lambda: model(n_epochs=3),
        lambda: model(loss=tr.losses.softmax(0.05)),
        lambda: model(loss=tr.losses.softmax(5.0)),
        lambda: model(sampler=tr.sampling.dynamic(4)),
        lambda: model(sampler=tr.sampling.dynamic(8)),
        lambda: model(loss=loss_of(1.0, 1.0)),
        lambda: model(loss=loss_of(2.0, 1.0)),
        lambda: model(loss=loss_of(1.0, 2.0)),
        lambda: model(loss=loss_of(1.0, 1.0, (3.0,))),
        lambda: model(random_state=1),
        lambda: model(random_state=np.random.default_rng(1)),
        lambda: model(random_state=np.random.default_rng(2)),
        lambda: {"metric": "mrr"},
        lambda: {"seed": 1},
    ],
    "spaces": [
        lambda: {"space": space_of(2)},
        lambda: {"space": space_of(3)},
        lambda: {"space": space_of(2, [4, 8])},
        lambda: {"space": lambda trial: {"n_factors": trial.suggest_int("n", 2, 16)}},
        lambda: {"space": lambda trial: {"n_factors": trial.suggest_int("n", 2, 32)}},
        lambda: {"space": functools.partial(space_of, 2)},
        lambda: {"space": functools.partial(space_of, 3)},
        lambda: {"space": Space(2)},
        lambda: {"space": Space(3)},
        lambda: {"space": Space(2).drawn},
        lambda: {"space": Space(3).drawn},
    ],
    "data": [
        lambda: {},
        lambda: {"data": (VALID, TRAIN)},
        lambda: {"data": (with_(TRAIN, values=[1.0, 3.0, 1.0, 1.0]), VALID)},
        lambda: {"data": (with_(TRAIN, timestamps=[1, 2, 3, 5]), VALID)},
        lambda: {"data": (with_(TRAIN, timestamps=None), VALID)},
        lambda: {"data": (TRAIN, with_(VALID, values=[1.0, 2.0]))},
        lambda: {"data": (TRAIN[:3], VALID)},
    ],
    "arguments of fit": [
        lambda: {},
        lambda: {"sample_weight": "values"},
        lambda: {"sample_weight": np.ones(4)},
        lambda: {"sample_weight": np.arange(4.0)},
        lambda: {"sample_weight": [0.0, 1.0, 2.0, 3.0]},
        lambda: {"sample_weight": TRAIN},
        lambda: {"sample_weight": TRAIN.tocsr()},
        lambda: {"negatives": TRAIN.tocsr()},
        lambda: {"negatives": 2 * TRAIN.tocsr()},
        lambda: {"item_features": ITEMS},
        lambda: {"item_features": {**ITEMS, "size": np.arange(3.0)[::-1]}},
        lambda: {"item_features": pd.DataFrame(ITEMS, index=[2, 1, 0])},
        lambda: {"item_features": ITEMS, "item_id": "kind"},
    ],
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_names(kind):
    makers = DIFFERENT[kind]
    names = [name_of(**make()) for make in makers]
    assert len(set(names)) == len(names)
    assert [name_of(**make()) for make in makers] == names


def test_what_changes_no_trial_changes_no_name():
    name = name_of()
    assert name.startswith("MatrixFactorization auc ")
    for same in (
        model(n_jobs=2, verbose=1),
        {"data": (with_(TRAIN), VALID)},
        {"callbacks": print},
        {"sample_weight": None},
    ):
        assert name_of(**same) == name
    frame = name_of(item_features=pd.DataFrame(ITEMS))
    assert frame == name_of(item_features=ITEMS)


def test_a_number_that_a_function_reads_counts(monkeypatch):
    before = name_of()
    monkeypatch.setattr(f"{__name__}.LOW", 3)
    assert name_of() != before


def test_choices_count_by_what_they_do():
    pytest.importorskip("optuna")

    def of(*losses):
        template = tr.MatrixFactorization(4)
        return name_of(template, read_space({"loss": list(losses)}, template))

    names = [of("bpr"), of("bpr", "hinge"), of(loss_of(1.0, 1.0)), of(loss_of(2.0, 1.0))]
    assert len(set(names)) == 4 and of(loss_of(1.0, 1.0)) == names[2]
