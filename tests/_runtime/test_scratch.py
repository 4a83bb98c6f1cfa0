"""Arrays in files without a name: what is written is read, from anywhere, and no file is left."""

import gc
import os

import numpy as np
import pytest

from tripletrec._runtime.folders import NotEnoughDiskError
from tripletrec._runtime.scratch import ScratchFolder


def test_rows_are_read_as_they_were_written(tmp_path, rng):
    expected = rng.integers(0, 9, (20, 3)).astype(np.int32)
    array = ScratchFolder(tmp_path).array(expected.shape, np.int32)
    for first in (15, 0, 5, 10):
        array.write(first, expected[first : first + 5])
    found = np.empty((7, 3), np.int32)
    array.read(4, found)
    np.testing.assert_array_equal(found, expected[4:11])
    np.testing.assert_array_equal(array.mapped(), expected)
    assert not array.mapped().flags.writeable
    with pytest.raises(OSError, match="cut off"):
        array.read(14, found)


def test_what_is_mapped_stays_and_no_name_is_left(tmp_path):
    array = ScratchFolder(tmp_path).array((2,), np.float32)
    array.write(0, np.ones(2, np.float32))
    found = array.mapped()
    del array
    gc.collect()
    assert found.tolist() == [1, 1]
    if os.name != "nt":
        assert list(tmp_path.iterdir()) == []


def test_there_may_be_no_rows(tmp_path):
    array = ScratchFolder(tmp_path).array((0, 3), np.float32)
    array.write(0, np.empty((0, 3), np.float32))
    assert array.mapped().shape == (0, 3)


def test_where_the_folder_cannot_be_written_it_is_that_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert ScratchFolder(tmp_path / "missing").folder == tmp_path
    assert ScratchFolder(None).folder == tmp_path
    (tmp_path / "there").mkdir()
    assert ScratchFolder(tmp_path / "there").folder == tmp_path / "there"


def test_too_little_room_is_refused_with_both_numbers(tmp_path):
    scratch = ScratchFolder(tmp_path)
    scratch.check_room(0, "nothing")
    with pytest.raises(
        NotEnoughDiskError, match=r"^a dream needs 1,1\d\d,\d{3},\S+ bytes of disk .* free"
    ):
        scratch.check_room(2**60, "a dream")
