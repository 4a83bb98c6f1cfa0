import os
import stat
import sys
import threading

import pytest

from tripletrec._runtime.files import check_writable, replacing

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and links are those of POSIX")


def names(folder):
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("old", [None, "old"])
def test_writes_a_file_of_which_nobody_sees_a_part(old, tmp_path):
    path = tmp_path / "numbers.json"
    if old:
        path.write_text(old)
    with replacing(path) as temporary:
        assert temporary.parent.samefile(tmp_path)
        assert temporary.suffix == ".json"  # some writers take the format from it
        temporary.write_text("new")
        assert path.exists() == bool(old)
        assert not old or path.read_text() == old
    assert path.read_text() == "new"
    assert names(tmp_path) == ["numbers.json"]


@pytest.mark.parametrize("error", [OSError("full"), ValueError("wrong"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_leaves_all_as_it_was(error, old, tmp_path):
    path = tmp_path / "file"
    if old:
        path.write_text(old)
    with pytest.raises(type(error)) as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert caught.value is error
    assert names(tmp_path) == (["file"] if old else [])
    assert not old or path.read_text() == old


def test_an_interrupted_rename_leaves_all_as_it_was(monkeypatch, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.parametrize("path", [str, lambda path: path])
def test_takes_paths_of_any_kind_and_names_without_folder(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "ü" * 120, "m" * 255, tmp_path / "b.npz"):
        with replacing(path(name)) as temporary:
            temporary.write_text("x")
    assert len(names(tmp_path)) == 4


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("again", [False, True], ids=["in place", "created again"])
def test_a_new_file_has_the_mode_of_any_new_file(umask, again, tmp_path):
    former = os.umask(umask)
    try:
        with replacing(tmp_path / "file") as temporary:
            _write(temporary, again)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o777])
@pytest.mark.parametrize("again", [False, True], ids=["in place", "created again"])
def test_an_old_file_keeps_its_mode(mode, again, tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    with replacing(path) as temporary:
        _write(temporary, again)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_text() == "new"


def _write(temporary, again):
    if again:  # as safetensors does
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    temporary.write_text("new")


@posix
@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_stays_one(dangling, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    link.symlink_to("elsewhere/target")
    if not dangling:
        target.write_text("old")
    with replacing(link) as temporary:
        assert temporary.parent.samefile(target.parent)
        temporary.write_text("new")
    assert link.is_symlink() and not target.is_symlink()
    assert target.read_text() == "new"
    assert names(tmp_path / "elsewhere") == ["target"]


def test_what_is_no_file_is_refused_and_named(tmp_path):
    for path, error in [(tmp_path, IsADirectoryError), (tmp_path / "no" / "x", FileNotFoundError)]:
        with pytest.raises(error) as caught, replacing(path):
            pass
        assert str(path) in str(caught.value)
    assert names(tmp_path) == []


@posix
def test_a_device_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe"), replacing(pipe):
        pass
    with pytest.raises(ValueError, match="--json must be a file, got '.*pipe'"):
        check_writable(pipe, "--json")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_several_writers_and_a_reader(tmp_path):
    path = tmp_path / "file"
    path.write_text("0" * 10_000)

    def write(digit):
        for _ in range(40):
            with replacing(path) as temporary:
                temporary.write_text(digit * 10_000)

    writers = [threading.Thread(target=write, args=(digit,)) for digit in "1234"]
    for each in writers:
        each.start()
    while any(each.is_alive() for each in writers):
        content = path.read_text()
        assert len(content) == 10_000 and len(set(content)) == 1
    assert names(tmp_path) == ["file"]


def test_check_writable(tmp_path):
    check_writable(tmp_path / "new", "--json")
    assert names(tmp_path) == []
    (tmp_path / "old").write_text("old")
    check_writable(tmp_path / "old", "--json")
    assert (tmp_path / "old").read_text() == "old"
    with pytest.raises(ValueError, match="--json must be a file, got the folder "):
        check_writable(tmp_path, "--json")
    with pytest.raises(ValueError, match=r"--json must be in a folder .* got '.*x' \(No such file"):
        check_writable(tmp_path / "none" / "x", "--json")
