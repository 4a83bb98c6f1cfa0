"""Saved models: what the contract does not ask of every model."""

import json
import os
import stat
import sys

import numpy as np
import pytest
from safetensors import safe_open

import tripletrec as tr
from contracts.support import assert_same, interactions, rewrite
from tripletrec import losses, optimizers, sampling, scorers


@pytest.fixture(scope="module")
def data():
    return interactions(12, 15, 60)


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 4, "n_epochs": 2, **overrides})


def described(path):
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["tripletrec"]), set(file.keys())


@losses.part
def own_value(x, parameters):
    return max(0.0, parameters[0] - x) ** 2


@losses.part
def own_slope(x, parameters):
    return -2.0 * max(0.0, parameters[0] - x)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": losses.hinge(0.5)},
        {"loss": losses.SIGMOID, "scorer": scorers.COSINE},
        {"optimizer": optimizers.adam(beta1=0.8, epsilon=1e-5)},
        {"optimizer": optimizers.adagrad(0.7)},
        {"sampler": sampling.popularity(1.25)},
        {"sampler": sampling.UNIFORM},
        {"sampler": sampling.semi_hard(3)},
        {"random_state": np.int64(3), "learning_rate": np.float32(0.25), "item_bias": np.True_},
        {"negative_l2": 0.5, "early_stopping": None, "validation_metric": "ndcg@7"},
    ],
    ids="-".join,
)
def test_parameters_survive(params, data, tmp_path):
    path = tmp_path / "model"
    model = make(**params).fit(data)
    model.save(path)
    again = tr.load(path)
    for name, value in model.get_params().items():
        loaded = again.get_params()[name]
        assert loaded == value
        assert type(loaded) in (type(value), bool, int, float)
    assert_same(again, model)
    assert_same(again.fit(data), model)


def test_parts_given_by_hand_survive_with_their_parameters(data, tmp_path):
    path = tmp_path / "model"
    given = 1 - (data.tocsr().toarray() > 0)
    model = make(sampler=sampling.explicit(0.25)).fit(data, negatives=given)
    model.save(path)
    again = tr.load(path)
    assert again.sampler == sampling.explicit(0.25)
    assert_same(again.fit(data, negatives=given), model)


def test_generator_is_not_saved(data, tmp_path):
    path = tmp_path / "model"
    model = make(random_state=np.random.default_rng(1)).fit(data)
    model.save(path)
    assert tr.load(path).random_state is None
    assert_same(tr.load(path), model)


def test_own_loss_is_there_by_name(data, tmp_path):
    path = tmp_path / "model"
    own = losses.Loss("squared_hinge", own_value, own_slope, (1.0,))
    model = make(loss=own).fit(data)
    model.save(path)
    again = tr.load(path)
    assert again.loss == "squared_hinge"
    np.testing.assert_array_equal(again.recommend([0, 1])[1], model.recommend([0, 1])[1])
    with pytest.raises(ValueError, match="loss must be one of .* got 'squared_hinge'"):
        again.fit(data)
    assert_same(again.set_params(loss=own).fit(data), model)


def test_file_holds_arrays_and_json_only(data, tmp_path):
    path = tmp_path / "model"
    make().fit(data).save(path)
    description, names = described(path)
    assert names == {"user_factors_", "item_factors_", "item_biases_"}
    assert description["format"] == 1 and description["class"] == "MatrixFactorization"
    assert description["parameters"].keys() == make().get_params().keys()
    assert b"pickle" not in path.read_bytes()


def test_history_survives(data, tmp_path):
    path = tmp_path / "model"
    model = make(n_epochs=3).fit(data[:50], validation=data[50:])
    model.save(path)
    assert tr.load(path).history_ == model.history_


def test_what_a_callback_notes_survives(data, tmp_path):
    def note(_, record):
        record["numpy"], record["count"] = np.float32(0.5), np.int64(3)

    path = tmp_path / "model"
    model = make().fit(data, callbacks=note)
    model.save(path)
    assert tr.load(path).history_[0]["numpy"] == 0.5


def test_ids_that_cannot_be_saved_are_refused_by_fit(data):
    ids = [(n, n) for n in range(12)]
    model = make()
    with pytest.raises(
        TypeError, match=r"user_ids must be strings, numbers.* got \(0, 0\), a tuple"
    ):
        model.fit(tr.Interactions(data.tocsr(), user_ids=ids))
    with pytest.raises(TypeError, match="item_ids must be strings, numbers"):
        model.fit(tr.Interactions(data.tocsr().T, item_ids=ids))
    assert not hasattr(model, "user_ids_"), "before it has learnt anything"


@pytest.mark.parametrize(
    "ids",
    [
        ["", "\0b", "a\0b", "ü", "\u4e2d", "\U0001f600", "\ud800", " ", "a" * 5000, *"0N", "nan"],
        [-(2**63), 2**63 - 1, *range(10)],
        np.arange(12, dtype=np.uint8),
        np.arange(12, dtype=np.uint64) + np.uint64(2**63),
        np.linspace(-1, 1, 12),
        np.linspace(-1, 1, 12).astype(np.float32),
        [2**70, *range(11)],
        [1.5, "a", 2, *"bcdefghij"],
        np.arange(12).astype("M8[D]"),
        (1000 * np.arange(12)).astype("M8[ns]"),
        np.arange(12).astype("m8[s]"),
    ],
    ids=lambda ids: str(ids)[:20],
)
def test_ids_survive(ids, data, tmp_path):
    matrix = data.tocsr()
    model = make().fit(tr.Interactions(matrix, user_ids=ids))
    model.save(tmp_path / "model")
    again = tr.load(tmp_path / "model")
    assert again.user_ids_.dtype == model.user_ids_.dtype
    assert again.user_ids_.tolist() == model.user_ids_.tolist()
    for each in (model, again):
        np.testing.assert_array_equal(
            each.recommend(list(model.user_ids_))[0], each.recommend(model.user_ids_)[0]
        )
        each.predict(model.user_ids_[3], 0)


def test_long_ids_do_not_make_all_ids_long(tmp_path):
    n = 2000
    ids = ["x" * 5000, *map(str, range(1, n))]
    data = tr.Interactions.from_arrays(np.arange(n), np.arange(n) % 3, user_ids=ids)
    make().fit(data).save(tmp_path / "model")
    assert (tmp_path / "model").stat().st_size < 200_000


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are those of POSIX")
def test_mode_is_that_of_any_new_file(data, tmp_path):
    path = tmp_path / "model"
    make().fit(data).save(path)
    (tmp_path / "other").write_text("")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_save_beside_a_name_without_folder(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make().fit(data).save("model")
    assert os.listdir() == ["model"]


def test_longest_possible_name(data, tmp_path):
    path = tmp_path / ("m" * 255)
    make().fit(data).save(path)
    assert_same(tr.load(path), make().fit(data))


def test_unknown_part_in_a_file(data, tmp_path):
    path = tmp_path / "model"
    make(loss=losses.hinge(0.5)).fit(data).save(path)
    whole = path.read_bytes()
    for loss in (
        {"part": {"name": "evil", "parameters": [1.0]}},
        {"part": {"name": "hinge", "value": "print"}},
        {"part": {"name": "hinge", "no_field": 1}},
        {"part": 3},
        {"other": {}},
        {},
    ):
        path.write_bytes(whole)
        rewrite(path, lambda d, _, loss=loss: d["parameters"].update(loss=loss))
        with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
            tr.load(path)


def test_own_part_under_the_name_of_a_built_in_one(data, tmp_path):
    own = losses.hinge()._replace(value=own_value, slope=own_slope)
    model = make(loss=own).fit(data)
    with pytest.raises(
        ValueError, match="a Loss of your own cannot be saved under the name 'hinge'"
    ):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "array",
    [np.float32(1), np.ones((12, 4)), np.ones((12, 5), np.float32), np.ones(12, np.float32)],
    ids=["no shape", "float64", "other width", "one dimension"],
)
def test_arrays_of_another_shape_or_type(array, data, tmp_path):
    path = tmp_path / "model"
    make().fit(data).save(path)
    rewrite(path, lambda _, tensors: tensors.update(user_factors_=np.asarray(array)))
    with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
        tr.load(path)
