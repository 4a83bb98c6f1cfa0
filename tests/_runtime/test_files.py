"""Files that are written whole or not at all: modes, links, leftovers, errors in a sentence."""

import errno
import gzip
import io
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from tripletrec._runtime.files import (
    check_writable,
    displayed,
    mapped,
    reading,
    replacing,
    with_sentence,
    writing,
)

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


@posix
def test_symbolic_links_that_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("no folder/file")
    for name, error in [("loop", errno.ELOOP), ("gone", errno.ENOENT)]:
        for call in (replacing, reading):
            with pytest.raises(OSError) as caught, call(tmp_path / name):
                pass
            assert caught.value.errno == error and name in str(caught.value)
    assert names(tmp_path) == ["gone", "loop"] and (tmp_path / "loop").is_symlink()


def special_files(folder):
    """Yield a path to one of each kind of file that is no regular one, and what messages call it."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        try:
            listening.bind(str(folder / "socket"))
            yield folder / "socket", "a socket"
        except OSError:
            pass  # a path of more than 107 bytes
    (folder / "link").symlink_to("pipe")
    yield from ((folder / name, "a FIFO") for name in ("pipe", "link"))
    yield folder, "a folder"
    yield from ((Path("/dev", name), "a device") for name in ("null", "full", "zero"))


@posix
def test_what_is_no_regular_file_is_neither_replaced_nor_waited_for(tmp_path):
    """Neither as root, who might."""
    for path, kind in special_files(tmp_path):
        if not path.exists():
            continue
        before = path.stat().st_mode
        for call in (replacing, reading):
            with pytest.raises(OSError, match=f"it is {kind}, not a regular file") as caught:
                with call(path):
                    pass
            assert isinstance(caught.value, IsADirectoryError) == (kind == "a folder")
        with pytest.raises(ValueError, match="must be a file"):
            check_writable(path, "--json")
        assert path.stat().st_mode == before
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("path", ["", "file/", "new/", "a\0b"], ids=repr)
def test_names_that_no_file_can_have(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("old")
    with pytest.raises((OSError, ValueError)), replacing(path):
        pass
    assert names(tmp_path) == ["file"]


def test_paths_as_bytes_and_with_a_tilde(tmp_path, monkeypatch):
    """As of `open`: nothing is expanded."""
    monkeypatch.chdir(tmp_path)
    for path in (b"bytes", "~", os.fsencode(tmp_path / "absolute")):
        with replacing(path) as temporary:
            temporary.write_text("x")
    assert names(tmp_path) == ["absolute", "bytes", "~"]


def test_an_ending_as_long_as_a_name(tmp_path):
    path = tmp_path / ("m." + "x" * 253)
    with replacing(path) as temporary:
        temporary.write_text("x")
    assert path.read_text() == "x"


@posix
def test_nobody_else_reads_a_file_that_is_being_written(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    with replacing(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_a_file_that_root_writes_stays_its_owner_s(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, 1234, 4321)
    path.chmod(0o640)
    with replacing(path) as temporary:
        temporary.write_text("new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o640)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_what_is_protected_is_left_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="write-protected"), replacing(path):
        pass
    path.chmod(0o644)
    tmp_path.chmod(0o555)
    try:
        for each in (path, tmp_path / "new"):
            with pytest.raises(PermissionError) as caught, replacing(each):
                pass
            assert str(each) in str(caught.value)
    finally:
        tmp_path.chmod(0o755)
    assert path.read_text() == "old" and names(tmp_path) == ["file"]


# ---------------------------------------------------- what killed processes leave

WRITE_UNTIL_KILLED = """
import sys, time
from tripletrec._runtime.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(300)
"""


class Writer:
    """Another process that is writing a file."""

    def __init__(self, path):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
        command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert self.process.stdout.readline().strip() == b"writing"

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def write(path, text="new"):
    with replacing(path) as temporary:
        temporary.write_text(text)


@posix
def test_the_next_writer_removes_what_a_killed_process_left(tmp_path):
    with Writer(tmp_path / "file.txt") as process:
        assert len(names(tmp_path)) == 1
        write(tmp_path / "file.txt")
        assert len(names(tmp_path)) == 2, "it is still writing"
        os.kill(process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # nobody has asked how it ended
        write(tmp_path / "other.txt")
        assert len(names(tmp_path)) == 3, "it was not of this file"
        write(tmp_path / "file.txt")
        assert names(tmp_path) == ["file.txt", "other.txt"]


@posix
def test_what_a_killed_process_left_goes_even_if_the_next_writer_fails(tmp_path):
    with Writer(tmp_path / "file"):
        pass
    with pytest.raises(KeyError), replacing(tmp_path / "file"):
        raise KeyError
    assert names(tmp_path) == []


def test_other_threads_are_not_disturbed(tmp_path):
    with replacing(tmp_path / "file") as first:
        first.write_text("first")
        thread = threading.Thread(target=write, args=(tmp_path / "file", "second"))
        thread.start()
        thread.join()
        assert (tmp_path / "file").read_text() == "second"
    assert (tmp_path / "file").read_text() == "first"
    assert names(tmp_path) == ["file"]


def renamed_leftover(folder, change):
    """Leave a temporary file of "file" as another process would have named it."""
    with replacing(folder / "file") as temporary:
        *before, machine, process, start, _ = temporary.name.split("-")
        parts = change({"machine": machine, "process": process, "start": start})
        left = temporary.with_name("-".join([*before, *parts.values(), "00000000"]))
        left.write_text("half")
    return left


@posix
@pytest.mark.parametrize(
    "change, goes",
    [
        ({}, False),
        ({"process": "4194305"}, True),  # beyond the largest number of a process
        ({"machine": "0123456789abcdef", "process": "4194305"}, False),
        ({"machine": "?"}, False),
        ({"process": "x"}, False),
        ({"process": "9" * 50}, False),
        pytest.param(
            {"start": "1"},
            True,
            marks=pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux"),
        ),
    ],
    ids=str,
)
def test_which_leftovers_go(change, goes, tmp_path):
    left = renamed_leftover(tmp_path, lambda parts: parts | change)
    write(tmp_path / "file")
    assert left.exists() != goes
    if not goes:  # whoever that process is, it does not write for a day
        day_ago = time.time() - 86_500
        os.utime(left, (day_ago, day_ago))
        write(tmp_path / "file")
        assert not left.exists()


def test_a_name_that_only_looks_like_a_leftover_of_this_file(tmp_path):
    with replacing(tmp_path / "other") as temporary:
        name = temporary.name
    for each in (name, ".tripletrec-", ".tripletrec-x-y-1-2-3"):
        (tmp_path / each).write_text("")
        os.utime(tmp_path / each, (0, 0))
    write(tmp_path / "file")
    assert len(names(tmp_path)) == 5


# ------------------------------------------------------------------- open files


class Slow:
    """A file that takes a few bytes at once."""

    def __init__(self, answer=None):
        self.content, self.answer = b"", answer

    def write(self, piece):
        assert type(piece) is bytes
        self.content += piece if self.answer is None else piece[: self.answer]
        return self.answer if self.answer is None else min(len(piece), self.answer)


@pytest.mark.parametrize("make", [io.BytesIO, lambda: tempfile.TemporaryFile("w+b", buffering=0)])
def test_open_files_are_written_and_read_to_their_end(make):
    with make() as opened:
        opened.write(b"before")
        with writing(opened) as file:
            assert file.write(b"12") == 2 and file.write(memoryview(b"3456789")) == 7
        assert not opened.closed
        opened.seek(6)
        with reading(opened) as (file, size):
            assert size == 9 and file.read() == b"123456789"
        assert not opened.closed


@pytest.mark.parametrize("answer", [None, 1, 5, 100])
def test_files_that_take_a_few_bytes_or_do_not_say(answer):
    slow = Slow(answer)
    with writing(slow) as file:
        file.write(b"1234567890" * 3)
    assert slow.content == b"1234567890" * 3


def test_a_file_that_takes_nothing_is_no_endless_loop():
    with pytest.raises(OSError, match="no more bytes"), writing(Slow(0)) as file:
        file.write(b"1")


def test_compressed_files_and_archives(tmp_path):
    with gzip.open(tmp_path / "file.gz", "wb") as opened, writing(opened) as file:
        file.write(b"x" * 10_000_000)
    with gzip.open(tmp_path / "file.gz") as opened, reading(opened) as (_, size):
        assert size == 10_000_000
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive, archive.open("a", "w") as opened:
        with writing(opened) as file:
            file.write(b"12")
    with zipfile.ZipFile(tmp_path / "file.zip") as archive, archive.open("a") as opened:
        with reading(opened) as (file, size):
            assert (file.read(), size) == (b"12", 2)


def test_what_is_neither_a_path_nor_a_binary_file(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xff\xfe\x00")
    with open(path, encoding="utf-8") as text, pytest.raises(TypeError, match="mode 'rb'"):
        with reading(text):
            pass
    with open(tmp_path / "new", "w") as text, pytest.raises(TypeError, match="mode 'wb'"):
        with writing(text):
            pass
    with open(path, "rb") as other, pytest.raises(TypeError, match="does not take bytes"):
        with writing(other):
            pass
    with open(path, "ab") as other, pytest.raises(TypeError, match="does not give bytes"):
        with reading(other):
            pass
    for call in (reading, writing):
        for wrong in (None, 3, [], object()):
            with pytest.raises(TypeError, match="path_or_file must be a path or an open binary"):
                with call(wrong):
                    pass
        closed = io.BytesIO()
        closed.close()
        with pytest.raises(ValueError, match="must be open, got a closed BytesIO"):
            with call(closed):
                pass
    assert path.read_bytes() == b"\xff\xfe\x00"


def test_a_file_that_knows_its_path_is_a_file(tmp_path):
    """As those of fsspec; and a path that can read and write itself (py.path) is a path."""

    class Opened(io.BytesIO):
        def __fspath__(self):
            return str(tmp_path / "not this")

    with writing(opened := Opened()) as file:
        file.write(b"1")
    assert opened.getvalue() == b"1" and displayed(opened) == "an open Opened"
    assert displayed("a b") == "a b" and displayed(b"a\x1b[31m") == r"'a\x1b[31m'"

    class OldPath:
        def __fspath__(self):
            return str(tmp_path / "this")

        def write(self, content):
            raise AssertionError

        read = write

    with writing(OldPath()) as file:
        file.write(b"1")
    with reading(OldPath()) as (file, size):
        assert (file.read(), size) == (b"1", 1)
    assert names(tmp_path) == ["this"]


def test_a_sentence_keeps_class_and_number(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, open(tmp_path / "none"):
        pass
    error = with_sentence(caught.value, "cannot read it")
    assert type(error) is FileNotFoundError and error.errno == errno.ENOENT
    assert str(error) == "cannot read it: No such file or directory"


def test_a_sentence_for_a_class_that_is_made_of_more():
    class RemoteError(OSError):
        def __init__(self, code, body):
            super().__init__(f"{code}: {body}")

    error = with_sentence(RemoteError(503, "busy"), "cannot write it")
    assert type(error) is OSError and str(error) == "cannot write it: 503: busy"


def test_several_writers_and_a_reader(tmp_path):
    path = tmp_path / "file"
    path.write_text("0" * 10_000)

    def write(digit):
        for _ in range(10):
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


def test_a_mapped_file_stays_what_it_was_when_another_takes_its_place(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1 2 3")
    content = mapped(path)
    with replacing(path) as temporary:
        temporary.write_bytes(b"other")
    assert content[:] == b"1 2 3" and mapped(str(path))[:] == b"other"
    with pytest.raises(TypeError):
        content[0] = 7


def test_what_cannot_be_mapped(tmp_path):
    with pytest.raises(FileNotFoundError):
        mapped(tmp_path / "none")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        mapped(tmp_path)
    with pytest.raises(TypeError, match="mmap=True needs the path of a file, got <_io.BytesIO"):
        mapped(io.BytesIO(b"1"))
    (tmp_path / "empty").touch()
    assert mapped(tmp_path / "empty") == b""
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(OSError, match="it is a FIFO"):
            mapped(tmp_path / "fifo")
