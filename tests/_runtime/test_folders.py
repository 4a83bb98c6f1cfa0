"""Folders that are written whole or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tripletrec._runtime.folders import (
    NotEnoughDiskError,
    check_disk,
    filling_folder,
    replacing_folder,
    settled,
)
from tripletrec._runtime.leftovers import temporary_beside


def is_older(folder):
    return (folder / "mine").exists()


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def write(path, text="new"):
    with replacing_folder(path, "out", is_older) as temporary:
        (temporary / "mine").write_text(text)
        assert not is_older(Path(path)) or Path(path, "mine").read_text() != text


@pytest.mark.parametrize("old", [None, "empty", "older"])
def test_the_folder_appears_when_it_is_complete(tmp_path, old):
    path = tmp_path / "out"
    if old:
        path.mkdir()
    if old == "older":
        (path / "mine").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_folder(path, "out", is_older) as temporary:
        (temporary / "mine").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == (["out"] if old else [])
    assert old != "older" or (path / "mine").read_text() == "old"
    write(str(path))
    assert names(tmp_path) == ["out"] and (path / "mine").read_text() == "new"


def test_what_came_meanwhile_stays(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(
        ValueError, match="out must be a new or an empty folder, got '.*out', which"
    ):
        with replacing_folder(path, "out", is_older) as temporary:
            (temporary / "mine").write_text("new")
            path.mkdir()
            (path / "yours").write_text("")
    assert names(path) == ["yours"] and names(tmp_path) == ["out"]


@pytest.mark.skipif(sys.platform == "win32", reason="links are those of POSIX")
def test_a_link_stays_one(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and names(tmp_path / "there") == ["mine"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    path = tmp_path / "out"
    code = f"""if 1:
        import os
        from tripletrec._runtime.folders import replacing_folder
        with replacing_folder({str(path)!r}, "out", lambda folder: False) as temporary:
            (temporary / "half").write_text("")
            os._exit(1)
        """
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(names(tmp_path)) == 1
    os.utime(tmp_path / names(tmp_path)[0], (0, time.time() - 10**6))
    write(path)
    assert names(tmp_path) == ["out"]


@pytest.mark.thorough  # starts a process
def test_an_older_folder_that_had_made_way_is_put_back(tmp_path):
    path = tmp_path / "out"
    write(path, "old")
    os.utime(path, (0, time.time() - 100))
    code = f"""if 1:
        import os
        from tripletrec._runtime.folders import replacing_folder
        rename = os.rename
        os.rename = lambda *paths: (rename(*paths), os._exit(1))
        with replacing_folder({str(path)!r}, "out", lambda folder: True) as temporary:
            (temporary / "mine").write_text("new")
        """
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(names(tmp_path)) == 2 and not path.exists()
    with pytest.raises(KeyboardInterrupt), replacing_folder(path, "out", is_older):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out"] and (path / "mine").read_text() == "old"


def test_too_large_for_the_disk(tmp_path):
    check_disk(tmp_path, 0, "out")
    with pytest.raises(
        NotEnoughDiskError, match="out needs 1,000,000,000,000,000,000,000 bytes of"
    ):
        check_disk(tmp_path, 10**21, "out")


def test_two_writers_at_once_leave_one_whole_folder(tmp_path):
    """The second one writes, and takes the place, between any two steps of the first."""
    path, rename = tmp_path / "out", os.rename
    write(path, "old")
    for step in range(2):
        n = []

        def interrupted(source, target, step=step, n=n):
            n.append(1)
            if len(n) == step + 1:
                write(path, "theirs")
            rename(source, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "rename", interrupted)
            write(path, f"mine {step}")
        assert len(n) > step and names(tmp_path) == ["out"]
        assert (path / "mine").read_text() == f"mine {step}"


def test_a_folder_that_is_always_replaced_gets_a_sentence(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", os.rename
    write(path, "old")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def occupied(source, target):
        if os.fspath(target) == os.fspath(path):
            path.mkdir()
            (path / "mine").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(os, "rename", occupied)
    with pytest.raises(OSError, match="cannot replace the folder '.*out': other processes replace"):
        write(path)
    assert names(tmp_path) == ["out"] and (path / "mine").read_text() == "theirs"
    n = []

    def look():
        n.append(1)
        os.utime(path / "mine", (0, len(n)))

    monkeypatch.setattr(time, "monotonic", lambda: len(n) / 8)
    with pytest.raises(OSError, match="cannot open the folder '.*out': other processes replace it"):
        settled(path, look, "mine")
    assert len(n) == 8  # within a second, as long as looking may take


def test_what_else_happens_in_a_folder_does_not_replace_it(tmp_path):
    looks = []

    def look():
        looks.append((tmp_path / f"new{len(looks)}").write_text(""))

    settled(tmp_path, look)
    (tmp_path / "mine").write_text("")
    settled(tmp_path, look, "mine")
    assert len(looks) == 2


def test_a_mount_point_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    with pytest.raises(ValueError, match="out must be no mount point, got '.*': name a folder"):
        write(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_files_come_out_when_all_are_written(there, tmp_path):
    folder = tmp_path / "more" / "lists"
    if there:
        folder.mkdir(parents=True)
        folder.chmod(0o2770)
        before = folder.stat()
    with filling_folder(folder, "out") as place:
        (place / "a").write_text("1")
        (place / "b").write_text("2")
        assert names(folder) == [place.name]
    assert names(folder) == ["a", "b"] and (folder / "b").read_text() == "2"
    assert not there or (folder.stat().st_ino, folder.stat().st_mode) == (
        before.st_ino,
        before.st_mode,
    )
    with pytest.raises(
        ValueError, match="out must be a new or an empty folder, got '.*lists', which"
    ):
        with filling_folder(folder, "out"):
            raise AssertionError("there are files in it")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("moved", [False, True])
def test_no_file_comes_out_if_anything_goes_wrong(moved, there, tmp_path, monkeypatch):
    folder, rename = tmp_path / "lists", os.rename
    if there:
        folder.mkdir()

    def interrupted(source, target):
        rename(source, target)
        if Path(target).name == "a":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), filling_folder(folder, "out") as place:
        (place / "a").write_text("1")
        if not moved:
            raise KeyboardInterrupt
        monkeypatch.setattr(os, "rename", interrupted)
    assert folder.exists() == there and not (there and names(folder))
    assert not place.exists()


def test_a_folder_that_cannot_be_filled(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "within"):
        with pytest.raises((ValueError, OSError), match="^(out must be|.*out must be) a folder"):
            with filling_folder(path, "out"):
                raise AssertionError("there is no folder")


def test_a_folder_that_has_made_way_is_no_other_kind_of_file(tmp_path, monkeypatch):
    """Another process has moved the older folder, and its own takes the place a little later."""
    path, away = tmp_path / "out", temporary_beside(tmp_path / "out")
    write(path, "old")
    is_dir = Path.is_dir

    def moved(self, **options):
        if self == path and path.exists():
            os.rename(path, away)
        return is_dir(self, **options)

    monkeypatch.setattr(Path, "is_dir", moved)
    monkeypatch.setattr(time, "sleep", lambda seconds: (monkeypatch.undo(), os.rename(away, path)))
    write(path)
    assert names(tmp_path) == ["out"] and (path / "mine").read_text() == "new"
