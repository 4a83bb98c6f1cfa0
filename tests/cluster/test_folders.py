"""Files of a folder, on disk and behind a URL."""

import os
import pickle

import numpy as np
import pytest

from tripletrec.cluster.folders import Folder


@pytest.fixture(params=["path", "file", "memory", "another kind"])
def folder(request, tmp_path):
    if request.param == "path":
        return Folder(tmp_path / "a" / "b")
    if request.param == "file":
        return Folder(f"file://{tmp_path}/a/b")
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec: the extra cluster")
    if request.param == "another kind":  # where a file is written and then moved
        return Folder(f"dir://::file://{tmp_path}/a")
    fsspec.filesystem("memory").store.clear()
    return Folder("memory://a/b")


def test_what_is_written_is_read(folder):
    assert folder.names() == [] and folder.read_json("x.json") is None
    arrays = {"x": np.arange(6, dtype=np.int32).reshape(2, 3), "y": np.empty(0, np.float32)}
    folder.check_writable()
    folder.write_arrays("some/x.safetensors", arrays)
    folder.write_json("x.json", {"a": [1, None]})
    folder.write_json("x.json", {"a": [2, None]})
    again = pickle.loads(pickle.dumps(folder))
    found = again.read_arrays("some/x.safetensors")
    assert found.keys() == arrays.keys()
    for name, each in arrays.items():
        np.testing.assert_array_equal(found[name], each)
        assert found[name].dtype == each.dtype
    assert again.read_json("x.json") == {"a": [2, None]}
    assert again.names() == ["some", "x.json"]
    assert again.names("some") == ["x.safetensors"]
    for name in ("some", "x.json", "some", "x.json"):
        folder.remove(name)
    assert folder.names() == []


def test_missing_and_damaged_files(folder):
    with pytest.raises(FileNotFoundError):
        folder.read_arrays("x.safetensors")
    folder.write_json("x.safetensors", 3)
    with pytest.raises(ValueError, match=r"^file 'x.safetensors' of '.*' cannot be read: "):
        folder.read_arrays("x.safetensors")
    folder.write_arrays("y.json", {"x": np.arange(3) + 200})
    with pytest.raises(ValueError, match=r"^file 'y.json' of '.*' cannot be read: "):
        folder.read_json("y.json")


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match=r"^checkpoint must be a folder that can be written, got '.*file' \("
    ):
        Folder(tmp_path / "file").check_writable()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "url, error", [(3, TypeError), (None, TypeError), ("nowhere://x", ValueError)]
)
def test_no_folder(url, error):
    pytest.importorskip("fsspec", reason="needs fsspec: the extra cluster")
    with pytest.raises(error, match="^checkpoint "):
        Folder(url)
