"""Temporary names; how those of killed processes are told from others is tested with the files."""

import os

import pytest

from tripletrec._runtime.leftovers import is_being_written, remove_leftovers, temporary_beside


def test_a_folder_beside_others_is_being_written(tmp_path):
    target = tmp_path / "out"
    temporary_beside(target).write_text("a file")
    temporary_beside(tmp_path / "other").mkdir()
    left = temporary_beside(target)
    left.mkdir()
    os.utime(left, (0, 0))
    assert not is_being_written(target)
    temporary_beside(target).mkdir()
    assert is_being_written(target)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_of_a_link_that_was_left_only_the_link_goes(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("kept")
    link = temporary_beside(tmp_path / "out")
    link.symlink_to(folder)
    os.utime(link, (0, 0), follow_symlinks=False)
    remove_leftovers(tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
    assert (folder / "file").read_text() == "kept"
