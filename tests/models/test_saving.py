"""Saved models: what the contract does not ask of every model."""

import copy
import datetime
import errno
import io
import json
import math
import os
import pickle
import stat
import sys
import uuid
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.base import clone

import tripletrec as tr
from contracts.support import assert_same, interactions, rewrite
from tripletrec import losses, optimizers, rates, sampling, scorers


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
        {"loss": losses.SIGMOID},
        {"loss": losses.BPR, "scorer": scorers.COSINE},
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
    own = losses.hinge(0.5)._replace(name="mine")
    model = make(loss=own).fit(data)
    model.save(path)
    again = tr.load(path)
    assert again.loss == "mine"
    np.testing.assert_array_equal(again.recommend([0, 1])[1], model.recommend([0, 1])[1])
    with pytest.raises(ValueError, match="loss 'mine' is one of your own.* set model.loss = "):
        again.fit(data)
    assert_same(again.set_params(loss=own).fit(data), model)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("loss", losses.hinge()),
        ("optimizer", optimizers.SGD),
        ("sampler", sampling.popularity()),
        ("schedule", rates.linear()),
    ],
)
def test_a_part_that_is_there_by_name_is_asked_for_where_it_is_needed(name, part, data, tmp_path):
    make().fit(data).set_params(**{name: part._replace(name="mine")}).save(tmp_path / "model")
    again = pickle.loads(pickle.dumps(tr.load(tmp_path / "model")))
    said = f"^{name} 'mine' is one of your own, of which .* holds only the name: set model.{name} ="
    for call in (
        lambda: again.recommend_history([1]),
        lambda: again.add_users({"user": [12], "item": [3]}),
        lambda: again.partial_fit(data),
        lambda: again.fit(data),
        lambda: clone(again).fit(data),
    ):
        with pytest.raises(ValueError, match=said):
            call()
    again.set_params(**{name: part}).partial_fit(data)


def test_own_scorer_is_needed_before_the_model_answers(data, tmp_path):
    path = tmp_path / "model"
    own = scorers.COSINE._replace(name="mine")
    model = make(scorer=own).fit(data)
    model.save(path)
    with pytest.warns(UserWarning, match=r"scorer 'mine' is one of your own.*set_params") as caught:
        again = tr.load(path)
    assert caught[0].filename == __file__
    assert again.scorer == "mine"
    with pytest.raises(ValueError, match="scorer 'mine' is one of your own.* set model.scorer = "):
        again.predict(0, 0)
    again.save(path)
    with pytest.warns(UserWarning, match="scorer 'mine'"):
        again = tr.load(path).set_params(scorer=own)
    np.testing.assert_array_equal(again.recommend([0, 1])[1], model.recommend([0, 1])[1])


def test_unknown_scorer_in_a_file(data, tmp_path):
    path = tmp_path / "model"
    make().fit(data).save(path)
    rewrite(path, lambda d, _: d["parameters"].update(scorer="evil"))
    with pytest.raises(ValueError, match="scorer must be one of 'dot', 'cosine', got 'evil'"):
        tr.load(path)


def test_own_list_loss_with_what_only_such_losses_take(data, tmp_path):
    path = tmp_path / "model"
    model = make(n_negatives="all", loss="softmax").fit(data)
    for loss in (losses.softmax()._replace(name="mine"), "mine"):
        model.set_params(loss=loss).save(path)
        assert tr.load(path).loss == "mine"


@pytest.mark.parametrize(
    "loss",
    [
        losses.Loss("bpr", own_value, own_slope),
        losses.Loss("softmax", own_value, own_slope),
        losses.ListLoss("bpr", own_value, own_slope),
        losses.Loss("hinge", own_value, own_slope, (1.0,)),
        losses.Loss("bpr", None, None),
    ],
)
def test_a_loss_set_after_fit_under_the_name_of_another(loss, data, tmp_path):
    """It would be loaded as the built-in one."""
    model = make().fit(data).set_params(loss=loss)
    with pytest.raises(
        ValueError, match=f"of your own cannot be saved under the name '{loss.name}'"
    ):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
    model.set_params(loss=loss._replace(name="mine")).save(tmp_path / "model")
    assert tr.load(tmp_path / "model").loss == "mine"


def test_sequences_and_numbers_of_any_kind(data, tmp_path):
    model = tr.MLPMatcher(2, 2, hidden=np.array([3, 4]), learning_rate=Fraction(1, 8), n_epochs=1)
    model.fit(data).save(tmp_path / "model")
    again = tr.load(tmp_path / "model")
    assert (again.hidden, again.learning_rate) == ([3, 4], 0.125)
    assert_same(again.fit(data), model)


def test_other_classes_are_not_saved(data, tmp_path):
    class Mine(tr.MatrixFactorization):
        pass

    with pytest.raises(TypeError, match="a Mine cannot be saved, only a MLPMatcher, Matrix"):
        Mine(n_factors=4, n_epochs=1).fit(data).save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_files_of_other_programs(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"layer.weight": np.ones((2, 3), np.float32)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match="has no description of one, so it is of another program"):
        tr.load(path)
    np.savez(tmp_path / "arrays.npz", np.ones(1000))
    with pytest.raises(ValueError, match="is not a readable safetensors file: "):
        tr.load(tmp_path / "arrays.npz")


class Full(io.RawIOBase):
    """A file on a full disk."""

    def writable(self):
        return True

    def write(self, piece):
        if len(piece):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return 0


def test_an_open_file_that_cannot_be_written(data):
    with pytest.raises(OSError) as caught:
        make().fit(data).save(Full())
    assert caught.value.errno == errno.ENOSPC
    assert str(caught.value) == "cannot write a model to an open Full: No space left on device"


def test_links_and_modes_are_kept(data, tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o600)
    try:
        link.symlink_to("model")
    except OSError:
        pytest.skip("no symbolic links here")
    make().fit(data).save(link)
    assert link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert_same(tr.load(link), tr.load(path))


def test_file_holds_arrays_and_json_only(data, tmp_path):
    path = tmp_path / "model"
    make().fit(data).save(path)
    description, names = described(path)
    factors = {"user_factors_", "item_factors_", "item_biases_", "item_counts_"}
    assert names == factors | {"seen_bounds", "seen_items"}
    assert description["format"] == 1 and description["class"] == "MatrixFactorization"
    assert description["parameters"].keys() == make().get_params().keys()
    assert b"pickle" not in path.read_bytes()


def test_history_survives(data, tmp_path):
    path = tmp_path / "model"
    model = make(n_epochs=3).fit(data[:50], validation=data[50:])
    model.save(path)
    assert tr.load(path).history_ == model.history_


@pytest.mark.parametrize("loss", ["bpr", "warp", "softmax"])
def test_what_a_training_writes_into_its_records_are_numbers(data, loss):
    model = make(loss=loss).fit(data)
    for name in model.history_[0].keys() - {"epoch"}:
        spoilt = copy.copy(model)
        spoilt.history_ = [{**model.history_[0], name: "lots"}, *model.history_[1:]]
        with pytest.raises(ValueError, match=f"{name} of epoch 1 in history_ must be a finite"):
            spoilt.save(io.BytesIO())


def test_what_a_callback_notes_survives(data, tmp_path):
    def note(_, record):
        record["numpy"], record["count"] = np.float32(0.5), np.int64(3)

    path = tmp_path / "model"
    model = make().fit(data, callbacks=note)
    model.save(path)
    assert tr.load(path).history_[0]["numpy"] == 0.5


def test_notes_that_cannot_be_saved_are_left_out_with_a_warning(data, tmp_path):
    def note(_, record):
        record["norms"], record["nan"], record["list"] = np.ones(3), math.nan, [1, None]

    model = make().fit(data, callbacks=note)
    with pytest.warns(UserWarning, match="noted in history_ as 'norms' is not saved") as caught:
        model.save(tmp_path / "model")
    assert caught[0].filename == __file__
    record = tr.load(tmp_path / "model").history_[0]
    assert "norms" not in record and math.isnan(record["nan"]) and record["list"] == [1, None]
    assert record["loss"] == model.history_[0]["loss"] and "norms" in model.history_[0]


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
        [uuid.UUID(int=n) for n in range(12)],
        [bytes([n, 0]) for n in range(12)],
        [datetime.datetime(2020, 1, n, tzinfo=ZoneInfo("Europe/Berlin")) for n in range(1, 13)],
        [datetime.date(2020, 1, n) for n in range(1, 13)],
        ["x" * 50_000, "a\0", *map(str, range(10))],
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
        None,
    ):
        path.write_bytes(whole)
        rewrite(path, lambda d, _, loss=loss: d["parameters"].update(loss=loss))
        with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
            tr.load(path)


def test_own_part_under_the_name_of_a_built_in_one(data, tmp_path):
    own = losses.hinge()._replace(value=own_value, slope=own_slope)
    model = make(loss="hinge").fit(data).set_params(loss=own)
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


@pytest.mark.parametrize("file", [io.BytesIO(b"x"), 7, None], ids=["open", "number", "none"])
def test_only_a_path_can_be_mapped(file):
    with pytest.raises(TypeError, match="mmap=True needs the path of a file, got .*mmap=False"):
        tr.load(file, mmap=True)


def test_what_is_mapped_and_how(data, tmp_path):
    path = tmp_path / "model"
    tr.MatrixFactorization(4, n_epochs=1).fit(data).save(path)
    with pytest.raises(TypeError, match="mmap must be True or False, got 1"):
        tr.load(path, mmap=1)
    with pytest.raises(FileNotFoundError, match="cannot read a model from .*none: No such"):
        tr.load(tmp_path / "none", mmap=True)
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        tr.load(tmp_path, mmap=True)


def test_a_mapped_model_is_not_looked_through(data, tmp_path):
    """What would take as long as to read it. A number that is none is met by whoever asks for it."""
    path = tmp_path / "model"
    model = tr.MatrixFactorization(4, n_epochs=1).fit(data)
    model.save(path)
    whole = path.read_bytes()
    bytes_of = model.user_factors_.tobytes()
    at = whole.index(bytes_of)
    path.write_bytes(whole[:at] + np.float32(np.nan).tobytes() + whole[at + 4 :])
    with pytest.raises(ValueError, match="user_factors_ must be finite"):
        tr.load(path)
    mapped = tr.load(path, mmap=True)
    with pytest.raises(ValueError, match="scores of user 0 contain NaN"):
        mapped.recommend(0)
    assert mapped.recommend(1, k=3)[0].tolist() == model.recommend(1, k=3)[0].tolist()


@pytest.mark.parametrize("form", ["u{}", "{:08d}", "\u00fc{}", "{}\0", "a" * 99 + "{}", "7"])
def test_ids_of_a_mapped_model(form, data, tmp_path):
    users, items = ([form.format(n) for n in range(count)] for count in data.space.shape)
    if form == "7":
        users, items = (np.arange(count) * 7 for count in data.space.shape)
    known = tr.Interactions(data.tocsr(), user_ids=users, item_ids=items)
    model = tr.MatrixFactorization(4, n_epochs=1).fit(known)
    model.save(tmp_path / "model")
    mapped = tr.load(tmp_path / "model", mmap=True)
    assert mapped.item_ids_.dtype == model.item_ids_.dtype
    assert mapped.item_ids_.tolist() == model.item_ids_.tolist()
    for n in range(25):  # beyond the number of ids that are looked for without a table
        user = model.user_ids_[n % 7]
        user = user.item() if isinstance(user, np.generic) else user
        assert mapped.recommend(user, k=2)[0].tolist() == model.recommend(user, k=2)[0].tolist()
        for unknown in ("nobody", "u0\0", -1, 1.5, [None], 2**80):
            with pytest.raises(ValueError):
                mapped.recommend(unknown)
