"""Parts and parameters in the description of a saved model: what comes back, and what is refused."""

import json

import numpy as np
import pytest

from tripletrec import losses, optimizers, rates, sampling, scorers
from tripletrec._checks import OwnName
from tripletrec.models.packing import (
    is_own,
    pack_notes,
    pack_parameter,
    unpack_parameter,
)


def there_and_back(name, value):
    return unpack_parameter(name, json.loads(json.dumps(pack_parameter(name, value))))


@losses.part
def mine(x, parameters):
    return x


@pytest.mark.parametrize(
    "name, part",
    [
        *(("loss", make()) for make in (losses.LOSSES | losses.LIST_LOSSES).values()),
        *(("loss", make()) for make in losses.SEARCHING_LOSSES.values()),
        *(("scorer", make()) for make in scorers.SCORERS.values()),
        *(("optimizer", make()) for make in optimizers.OPTIMIZERS.values()),
        *(("sampler", make()) for make in (sampling.SAMPLERS | sampling.HARD_SAMPLERS).values()),
        *(("schedule", make()) for make in rates.SCHEDULES.values()),
        ("loss", losses.hinge(0.25)),
        ("loss", losses.softmax(0.5)),
        ("loss", losses.bsl(0.5)._replace(temperature=None)),
        ("loss", losses.hinge()._replace(parameters=(np.float32(0.5),))),
        ("sampler", sampling.UNSEEN._replace(verified=False, alpha=1)),
        ("schedule", rates.cosine(0.1)),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_built_in_parts_come_back_with_their_numbers(name, part):
    assert there_and_back(name, part) == part
    assert not is_own(pack_parameter(name, part))
    assert there_and_back(name, part.name) == part.name


@pytest.mark.parametrize(
    "name, value, loaded",
    [
        ("n", np.int8(3), 3),
        ("n", np.float32(0.5), 0.5),
        ("n", np.True_, True),
        ("n", np.str_("x"), "x"),
        ("n", (1, 2), (1, 2)),
        ("n", [1, np.int64(2)], [1, 2]),
        ("n", range(3), [0, 1, 2]),
        ("n", np.arange(3), [0, 1, 2]),
        ("n", np.array(3), 3),
        ("n", None, None),
        ("random_state", np.random.default_rng(0), None),
        ("random_state", np.random.RandomState(0), None),
        ("loss", losses.Loss("mine", mine, mine), OwnName("mine")),
        ("loss", losses.ListLoss("my loss", mine, mine), OwnName("my loss")),
        ("loss", "not known", OwnName("not known")),
    ],
)
def test_parameters_come_back(name, value, loaded):
    found = there_and_back(name, value)
    assert found == loaded and type(found) is type(loaded)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("loss", losses.Loss("bpr", mine, mine), "Loss of your own cannot be saved under the name"),
        ("loss", losses.Loss("softmax", mine, mine), "a Loss of your own cannot be saved"),
        ("loss", losses.ListLoss("bpr", mine, mine), "a ListLoss of your own cannot be saved"),
        ("loss", losses.Loss("bpr", None, 3), "cannot be saved under the name 'bpr'"),
        (
            "loss",
            losses.Loss(None, mine, mine),
            "name of a loss must be a string of 1 to 100 print",
        ),
        ("loss", losses.Loss("a\nb", mine, mine), "name of a loss must be a string"),
        ("loss", losses.Loss("a" * 101, mine, mine), "name of a loss must be a string"),
        ("loss", 3, "loss must be a name or a Loss, got 3"),
        ("scorer", losses.BPR, "scorer must be a name or a Scorer, got losses.BPR"),
        ("schedule", rates.Schedule("cosine", abs), "a Schedule of your own cannot be saved"),
        ("n", object(), "n must be a name, a number or several, got <object"),
        ("n", [b""], "n must be a name, a number or several, got b''"),
        ("n", np.random.default_rng(0), "n must be a name, a number or several"),
    ],
)
def test_parameters_that_would_be_lost(name, value, message):
    kind = TypeError if "must be a name" in message else ValueError
    with pytest.raises(kind, match=message):
        pack_parameter(name, value)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "evil"},
        {"name": "hinge", "value": "print"},
        {"name": "hinge", "no_field": 1},
        {"name": "hinge", "parameters": []},
        {"name": "hinge", "parameters": [float("nan")]},
        {"name": "hinge", "parameters": ["1"]},
        {"name": "hinge", "parameters": 1.0},
        {"name": "hinge", "parameters": [10**400, 1]},
        {"name": "softmax", "temperature": "1"},
        {"name": "softmax", "temperature": float("inf")},
        {},
        3,
    ],
)
def test_parts_of_a_file_that_are_none(fields):
    with pytest.raises(ValueError, match="loss"):
        unpack_parameter("loss", {"part": fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"verified": 1},
        {"alpha": None},
        {"share": True},
        {"n_candidates": 0},
        {"n_candidates": 1.0},
        {"choose": 1},
        {"by_features": None},
    ],
)
def test_samplers_of_a_file_that_are_none(fields):
    with pytest.raises(ValueError, match=f"'{next(iter(fields))}' of sampler 'unseen' cannot be"):
        unpack_parameter("sampler", {"part": {"name": "unseen", **fields}})


def test_notes():
    loop = []
    loop.append(loop)
    record = {
        "epoch": 1,
        "number": np.float32(0.5),
        "missing": float("nan"),
        "text": np.str_("x"),
        "list": [1, (2, None), {"a": True}],
        "array": np.ones(3),
        "object": object(),
        "bytes": b"",
        "digits": 10**5000,
        "fewer": -(10**5000),
        "keys": {"a": 1, 2: "b"},
        "loop": loop,
        3: 1,
    }
    records, lost = pack_notes([record, {"epoch": 2, "array": 1}])
    names = "array object bytes digits fewer keys loop".split()
    assert lost == [*map(repr, names), "3"]
    assert repr(json.loads(json.dumps(records))) == repr(
        [
            {
                "epoch": 1,
                "number": 0.5,
                "missing": float("nan"),
                "text": "x",
                "list": [1, [2, None], {"a": True}],
            },
            {"epoch": 2, "array": 1},
        ]
    )
