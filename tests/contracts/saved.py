"""The contract of saved models: pickle, save and load, and what a file that is no model is told."""

import copy
import gzip
import io
import os
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

import tripletrec as tr
from contracts.support import Contract, assert_same, catalogue, change_at, rewrite
from tripletrec.losses import hinge


def save_on_a_full_disk(model, path):
    """Save a model where a file may have 1000 bytes; return the error. For another process."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        model.save(path)
    except OSError as error:
        return str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return "saved"


class TamperedContract(Contract):
    """Inherit, and give `make`."""

    def test_load_a_description_that_was_tampered_with(self, fitted, tmp_path, rng, many):
        path, odd = tmp_path / "model.safetensors", [None, -1, 1.5, "x", [], {}, {"part": {}}, True]

        def places(value, route=()):
            yield route
            if isinstance(value, dict):
                for key, each in value.items():
                    yield from places(each, (*route, key))

        fitted.save(path)
        whole, routes = path.read_bytes(), []
        rewrite(path, lambda description, _: routes.extend(places(description)))
        for n in rng.permutation(np.arange(1, len(routes)))[: many(len(routes))]:
            route = routes[n]
            for value in [odd[rng.integers(len(odd))], "delete"]:

                def change(description, _, route=route, value=value):
                    change_at(description, route, value)

                path.write_bytes(whole)
                rewrite(path, change)
                for mmap in (False, True):
                    try:
                        model = tr.load(path, mmap=mmap)
                    except ValueError as error:
                        assert str(path) in str(error), (route, value)
                        continue
                    assert model.recommend([0, 1], k=3)[0].shape == (2, 3), (route, value)


class SavedContract(Contract):
    """Inherit, and give `make`."""

    def test_pickle(self, fitted, pairs):
        again = pickle.loads(pickle.dumps(self.make(**self.other)))
        assert again.get_params() == self.make(**self.other).get_params()
        again = pickle.loads(pickle.dumps(fitted))
        assert_same(again, fitted)
        np.testing.assert_array_equal(catalogue(again), catalogue(fitted))
        assert_same(again.fit(pairs), fitted)

    def test_save_and_load(self, fitted, pairs, tmp_path):
        for path in (tmp_path / "a.safetensors", str(tmp_path / "b")):
            fitted.save(path)
            again = tr.load(path)
            assert type(again) is type(fitted)
            assert again.get_params() == fitted.get_params()
            assert_same(again, fitted)
            np.testing.assert_array_equal(catalogue(again), catalogue(fitted))
            for ours, theirs in zip(again.recommend([0, 1]), fitted.recommend([0, 1]), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            assert_same(again.fit(pairs), fitted)
        assert len(list(tmp_path.iterdir())) == 2

    def test_load_a_known_class(self, fitted, tmp_path):
        path, own = tmp_path / "a.safetensors", type(fitted)
        fitted.save(path)
        other = tr.MLPMatcher if own is tr.MatrixFactorization else tr.MatrixFactorization
        for mmap in (False, True):
            assert_same(tr.load(path, mmap, kind=own), fitted)
            with pytest.raises(ValueError, match=f"holds a {own.__name__}, not a {other.__name__}"):
                tr.load(path, mmap=mmap, kind=other)
        with pytest.raises(TypeError, match="kind must be a class, .* got 'TwoTower'"):
            tr.load(path, kind="TwoTower")

    def test_load_by_a_memory_map(self, fitted, pairs, tmp_path):
        path = tmp_path / "a.safetensors"
        fitted.save(path)
        again = tr.load(path, mmap=True)
        assert type(again) is type(fitted) and again.get_params() == fitted.get_params()
        assert_same(again, fitted)
        for array in (getattr(again, self.table), again.item_counts_):
            assert not array.flags.writeable and not array.flags.owndata
        # What takes its place later is another file.
        self.make(**self.other).fit(pairs).save(path)
        np.testing.assert_array_equal(catalogue(again), catalogue(fitted))
        similar = ("similar_items", "similar_users") if self.compares_rows else ()
        for call in ("recommend", *similar):
            ours, theirs = (getattr(each, call)([0, 1], k=3) for each in (again, fitted))
            for array, same in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(array, same)
        assert_same(pickle.loads(pickle.dumps(again)), fitted)
        again.save(path)
        assert_same(tr.load(path, mmap=True), fitted)
        assert_same(again.fit(pairs), fitted)

    def test_saved_bytes_are_the_same_for_the_same_model(self, fitted, tmp_path):
        for name in "ab":
            fitted.save(tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_open_files(self, fitted, tmp_path):
        fitted.save(tmp_path / "model")
        memory = io.BytesIO()
        fitted.save(memory)
        assert memory.getvalue() == (tmp_path / "model").read_bytes()
        memory.seek(0)
        assert_same(tr.load(memory), fitted)
        with gzip.open(tmp_path / "model.gz", "wb") as file:
            fitted.save(file)
        with gzip.open(tmp_path / "model.gz") as file:
            assert_same(tr.load(file), fitted)
        with open(tmp_path / "text", "w") as file, pytest.raises(TypeError, match="mode 'wb'"):
            fitted.save(file)

    def test_save_replaces_an_older_file(self, fitted, pairs, tmp_path):
        path = tmp_path / "model.safetensors"
        self.make(**self.other).fit(pairs).save(path)
        fitted.save(path)
        assert_same(tr.load(path), fitted)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    def test_save_where_it_cannot(self, fitted, tmp_path):
        (tmp_path / "folder").mkdir()
        for path, error, reason in [
            (tmp_path / "missing" / "model", FileNotFoundError, "No such file or directory"),
            (tmp_path / "folder", IsADirectoryError, "it is a folder, not a regular file"),
        ]:
            with pytest.raises(error) as caught:
                fitted.save(path)
            assert str(caught.value) == f"cannot write a model to {path}: {reason}"
        assert [each.name for each in tmp_path.iterdir()] == ["folder"]
        assert not list((tmp_path / "folder").iterdir())

    @pytest.mark.thorough  # but for one model: a process is started for it
    def test_full_disk_leaves_the_older_file(self, fitted, tmp_path, elsewhere):
        pytest.importorskip("resource")
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        before = path.read_bytes()
        refusal = elsewhere(save_on_a_full_disk, fitted, path)
        assert refusal.startswith(f"cannot write a model to {path}")
        assert path.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    def test_load_what_is_no_model(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        with pytest.raises(FileNotFoundError, match=f"cannot read a model from {path}: No such"):
            tr.load(path)
        with pytest.raises(IsADirectoryError, match="it is a folder, not a regular file"):
            tr.load(tmp_path)
        for garbage in (b"", b"garbage", b"\xff" * 100, pickle.dumps([1]), b"\x08" + b"\0" * 7):
            path.write_bytes(garbage)
            for mmap in (False, True):
                with pytest.raises(ValueError, match="not a readable safetensors file"):
                    tr.load(path, mmap=mmap)
        for metadata in (None, {"x": "y"}, {"tripletrec": "{"}, {"tripletrec": "[" * 100_000}):
            save_file({"a": np.ones(3, np.float32)}, path, metadata)
            with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
                tr.load(path)

    def test_load_a_truncated_or_damaged_file(self, fitted, tmp_path, rng, many):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        whole = path.read_bytes()
        for _ in range(many(60)):
            path.write_bytes(whole[: rng.integers(len(whole))])
            with pytest.raises(ValueError):
                tr.load(path)
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 4000), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            for mmap in (False, True):
                try:
                    tr.load(path, mmap=mmap)
                except ValueError as error:
                    assert str(path) in str(error)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
    def test_a_fifo_is_neither_waited_for_nor_replaced(self, fitted, tmp_path):
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(OSError) as caught:
            tr.load(path)
        assert str(caught.value) == (
            f"cannot read a model from {path}: it is a FIFO, not a regular file"
        )
        with pytest.raises(OSError, match=f"cannot write a model to {path}: it is a FIFO, not"):
            fitted.save(path)
        assert path.is_fifo()

    def test_numbers_that_are_none_are_refused(self, fitted, tmp_path, rng):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        whole, names = path.read_bytes(), []
        rewrite(path, lambda _, tensors: names.extend(tensors))
        for name in names:

            def spoil(_, tensors, name=name):
                if tensors[name].size and tensors[name].dtype == np.float32:
                    tensors[name].flat[rng.integers(tensors[name].size)] = rng.choice(
                        [np.nan, np.inf]
                    )
                else:
                    tensors[self.table].flat[0] = np.nan

            path.write_bytes(whole)
            rewrite(path, spoil)
            with pytest.raises(ValueError, match="must be finite, got NaN or infinity"):
                tr.load(path)

    def test_what_load_would_refuse_is_not_saved(self, fitted, tmp_path):
        for change, message in [
            (lambda m: m.user_factors_.fill(np.nan), "user_factors_ must be finite"),
            (lambda m: setattr(m, "item_factors_", 3), "item_factors_ must be"),
            (lambda m: setattr(m, "n_items_", 39), "n_features_in_ must be n_items_"),
            (lambda m: setattr(m, "history_", []), "history_ must be a list of one dict for each"),
            (lambda m: setattr(m, "best_epoch_", 10**6), "best_epoch_ must be an epoch of"),
            (lambda m: setattr(m, "user_ids_", list(range(30))), "user_ids_ must be an array or"),
            (lambda m: delattr(m, "best_epoch_"), "the attribute best_epoch_ is missing"),
        ]:
            model = copy.deepcopy(fitted)
            change(model)
            with pytest.raises(ValueError, match=f"the model cannot be saved: {message}"):
                model.save(tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_what_is_set_after_fit_is_saved_too(self, fitted, tmp_path):
        model = copy.deepcopy(fitted).set_params(n_epochs=77, random_state=np.random.default_rng(1))
        model.note_ = "one's own"
        model.save(tmp_path / "model")
        again = tr.load(tmp_path / "model")
        assert (again.n_epochs, again.random_state) == (77, None)
        assert not hasattr(again, "note_")
        assert_same(again, fitted)

    @pytest.mark.parametrize(
        "name, value, message",
        [
            ("learning_rate", -1, "learning_rate must be a finite number > 0, got -1; as that was"),
            ("learning_rate", 10**400, "learning_rate must be a finite number > 0, got 1000"),
            (
                "loss",
                3,
                "loss must be a name or a Loss, got 3; as that was set after fit, the",
            ),
            ("loss", hinge()._replace(parameters=()), r"cannot be \[\]; .* saved with the default"),
            ("n_jobs", object(), "n_jobs must be a name, a number or several"),
            ("n_epochs", [], r"n_epochs must be an integer >= 1, got \[\]"),
            ("random_state", -1, "random_state must be from 0"),
        ],
    )
    def test_what_fit_would_not_take_is_saved_as_the_default(
        self, name, value, message, fitted, tmp_path
    ):
        model = copy.deepcopy(fitted).set_params(**{name: value})
        with pytest.warns(UserWarning, match=message) as caught:
            model.save(tmp_path / "model")
        assert [each.filename for each in caught] == [__file__]
        again = tr.load(tmp_path / "model")
        assert again.get_params() == fitted.get_params() | {name: type(fitted)().get_params()[name]}
        assert_same(again, fitted)

    def test_load_runs_nothing_and_sets_nothing_strange(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        changes = [
            (lambda d, _: d.update(format=99), "saved by a newer version"),
            (lambda d, _: d.update(format=-5), "its format must be an integer >= 1, got -5"),
            (lambda d, _: d.update(format=0), "its format must be an integer >= 1, got 0"),
            (lambda d, _: d.update(format=True), "its format must be an integer >= 1, got True"),
            (lambda d, _: d.update(format=1.0), "its format must be an integer >= 1, got 1.0"),
            (lambda d, _: d.pop("format"), "its format must be an integer >= 1, got None"),
            (
                lambda d, _: d["parameters"].update(loss="evil"),
                "loss must be one of 'bpr', .*'evil'",
            ),
            (lambda d, _: d["parameters"].pop("loss"), "it lacks the parameter loss"),
            (lambda d, _: d["parameters"].update(n_jobs="x"), "n_jobs must be None or an integer"),
            (lambda d, _: d["fitted"].update(note_={"json": 1}), "that no model has: 'note_'"),
            (lambda d, _: d["fitted"].pop("history_"), "it lacks the attribute history_"),
            (lambda _, t: t.update(more=np.ones(3)), "it holds an array that no model has: 'more'"),
            (lambda d, _: d.update({"class": "Popen"}), "holds a 'Popen', known are"),
            (lambda d, _: d["fitted"].update(fit={"json": 1}), "that no model has: 'fit'"),
            (lambda d, _: d["fitted"].update(__class__={"json": 1}), "no model has: '__class__'"),
            (lambda d, _: d["fitted"].update(_private_={"json": 1}), "no model has: '_private_'"),
            (lambda d, _: d["fitted"].pop("n_users_"), "it lacks the attribute n_users_"),
            (lambda d, _: d["fitted"].update(n_users_={"json": 29}), r"\(29, "),
            (lambda d, _: d["fitted"].update(user_ids_={"tensor": "O"}), "which are no ids"),
            (
                lambda d, t: (
                    d["fitted"].update(user_ids_={"ids": "numbers"}),
                    t.update(user_ids_=np.arange(2)),
                ),
                "must have 30 ids, got 2",
            ),
        ]
        for change, message in changes:
            fitted.save(path)
            rewrite(path, lambda d, t, change=change: change(d, t) and None)
            with pytest.raises(ValueError, match=message) as caught:
                tr.load(path)
            assert str(path) in str(caught.value)

    def test_load_takes_unknown_parameters_for_those_of_an_older_version(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        rewrite(path, lambda d, _: d["parameters"].update(left_over=3))
        assert_same(tr.load(path), fitted)
