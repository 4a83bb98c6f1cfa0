"""The contract of saved models: pickle, save and load, and what a file that is no model is told."""

import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

import tripletrec as tr
from contracts.support import Contract, assert_same, catalogue, rewrite


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


class SavedContract(Contract):
    """Inherit, and give `make`."""

    def test_pickle(self, fitted, pairs):
        again = pickle.loads(pickle.dumps(self.make(random_state=9)))
        assert again.get_params() == self.make(random_state=9).get_params()
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

    def test_saved_bytes_are_the_same_for_the_same_model(self, fitted, tmp_path):
        for name in "ab":
            fitted.save(tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_save_replaces_an_older_file(self, fitted, pairs, tmp_path):
        path = tmp_path / "model.safetensors"
        self.make(random_state=77).fit(pairs).save(path)
        fitted.save(path)
        assert_same(tr.load(path), fitted)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    def test_save_where_it_cannot(self, fitted, tmp_path):
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "missing" / "model", tmp_path / "folder"):
            with pytest.raises(OSError, match="cannot write a model to"):
                fitted.save(path)
        assert [each.name for each in tmp_path.iterdir()] == ["folder"]
        assert not list((tmp_path / "folder").iterdir())

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
        with pytest.raises(FileNotFoundError):
            tr.load(path)
        with pytest.raises((OSError, ValueError)):
            tr.load(tmp_path)
        for garbage in (b"", b"garbage", b"\xff" * 100, pickle.dumps([1]), b"\x08" + b"\0" * 7):
            path.write_bytes(garbage)
            with pytest.raises(ValueError, match="not a readable safetensors file"):
                tr.load(path)
        for metadata in (None, {"x": "y"}, {"tripletrec": "{"}, {"tripletrec": "[" * 100_000}):
            save_file({"a": np.ones(3, np.float32)}, path, metadata)
            with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
                tr.load(path)

    def test_load_a_truncated_or_damaged_file(self, fitted, tmp_path, rng):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        whole = path.read_bytes()
        for _ in range(60):
            path.write_bytes(whole[: rng.integers(len(whole))])
            with pytest.raises(ValueError):
                tr.load(path)
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 4000), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                tr.load(path)
            except ValueError as error:
                assert str(path) in str(error)

    def test_load_a_description_that_was_tampered_with(self, fitted, tmp_path, rng):
        path, odd = tmp_path / "model.safetensors", [None, -1, 1.5, "x", [], {}, {"part": {}}, True]

        def places(value, route=()):
            yield route
            if isinstance(value, dict):
                for key, each in value.items():
                    yield from places(each, (*route, key))

        fitted.save(path)
        whole, routes = path.read_bytes(), []
        rewrite(path, lambda description, _: routes.extend(places(description)))
        for route in routes[1:]:
            for value in [odd[rng.integers(len(odd))], "delete"]:

                def change(description, _, route=route, value=value):
                    for key in route[:-1]:
                        description = description[key]
                    if value == "delete":
                        del description[route[-1]]
                    else:
                        description[route[-1]] = value

                path.write_bytes(whole)
                rewrite(path, change)
                try:
                    model = tr.load(path)
                except ValueError as error:
                    assert str(path) in str(error), (route, value)
                    continue
                # What does not touch the shape may stand; the model must answer. Its parameters
                # are checked where they are used, as those of any estimator.
                try:
                    assert model.recommend([0, 1], k=3)[0].shape == (2, 3), (route, value)
                except (TypeError, ValueError):
                    assert route[0] == "parameters", (route, value)

    def test_load_runs_nothing_and_sets_nothing_strange(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        changes = [
            (lambda d, _: d.update(format=99), "saved by a newer version"),
            (lambda d, _: d.update({"class": "Popen"}), "holds a 'Popen', known are"),
            (lambda d, _: d["fitted"].update(fit={"json": 1}), "that no model has: 'fit'"),
            (lambda d, _: d["fitted"].update(__class__={"json": 1}), "no model has: '__class__'"),
            (lambda d, _: d["fitted"].update(_private_={"json": 1}), "no model has: '_private_'"),
            (lambda d, _: d["fitted"].pop("n_users_"), "does not hold a model"),
            (lambda d, _: d["fitted"].update(n_users_={"json": 29}), r"\(29, "),
            (lambda d, _: d["fitted"].update(user_ids_={"tensor": "O"}), "does not hold a model"),
            (lambda d, _: d["fitted"].update(user_ids_={"objects": [1, 2]}), "30"),
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
