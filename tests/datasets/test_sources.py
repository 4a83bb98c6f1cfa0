"""Each source of MovieLens-100K, and every accident on the way from there."""

import errno
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tripletrec.datasets.movielens import fetch_from
from tripletrec.datasets.sources import read_archive, read_wheel


def test_both_sources_give_the_same_tables(tiny):
    one, two = read_archive(tiny.archive, tiny.sources), read_wheel(tiny.wheel, tiny.sources)
    for name, array in one._asdict().items():
        np.testing.assert_array_equal(array, getattr(two, name), strict=True)


@pytest.mark.parametrize("kind", ["empty", "half", "one bit", "longer", "text"])
def test_a_damaged_download_is_not_used(tiny, pip, serve, tmp_path, kind):
    log = []
    pip(tiny.wheel, log)
    sources = serve(tiny.damage(kind, tiny.archive))
    tiny.check(fetch_from(sources, tmp_path))
    assert log == ["pip"]
    pip(None)
    with pytest.raises(OSError, match="official archive .*wrong checksum: .* bytes with MD5"):
        fetch_from(sources, tmp_path / "other")


def test_a_connection_that_breaks_off(tiny, serve, tmp_path):
    sources = serve(tiny.archive[:200], length=len(tiny.archive))
    with pytest.raises(OSError, match="official archive .*(IncompleteRead|wrong checksum)"):
        fetch_from(sources, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_says_no(tiny, serve, tmp_path):
    sources = serve(b"gone", status=404)
    with pytest.raises(OSError, match="official archive .*HTTPError: HTTP Error 404"):
        fetch_from(sources, tmp_path)


def test_a_server_that_hangs(tiny, serve, tmp_path):
    released = threading.Event()
    sources = serve(tiny.archive[:100], length=len(tiny.archive), hang=released)
    sources = sources._replace(connect_seconds=0.2)
    with pytest.raises(OSError, match="official archive .*timed out"):
        fetch_from(sources, tmp_path)
    released.set()


def test_a_server_that_trickles(tiny, serve, tmp_path):
    sources = serve(tiny.archive, pause=0.05)._replace(download_seconds=0.2)
    started = time.monotonic()
    with pytest.raises(OSError, match="official archive .*TimeoutError: not complete after 0 s"):
        fetch_from(sources, tmp_path)
    assert time.monotonic() - started < 10


def test_a_server_that_never_ends(tiny, serve, tmp_path):
    sources = serve(tiny.archive)._replace(archive_max_bytes=100)
    with pytest.raises(OSError, match="longer than 100 bytes"):
        fetch_from(sources, tmp_path)


def test_a_wheel_with_other_contents(tiny, pip, tmp_path):
    members = dict(tiny.members)
    members["ml-100k.inter"] += b"1\t1\t5\t1\n"
    wheel = tiny.wheel_of(members)
    for content, message in (
        (wheel, "wrong checksum: ml-100k.inter has SHA-256"),
        (wheel[:-30], "BadZipFile"),
        (tiny.wheel_of({"other": b""}), "no item named"),
    ):
        pip(content)
        with pytest.raises(OSError, match=f"wheel recbole==1.2.1, with pip: .*{message}"):
            fetch_from(tiny.sources, tmp_path)


def test_pip_that_hangs_or_is_absent(tiny, monkeypatch, tmp_path):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(OSError, match="with pip: TimeoutExpired"):
        fetch_from(tiny.sources, tmp_path)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(OSError, match="cannot start pip"):
        fetch_from(tiny.sources, tmp_path)


@pytest.mark.parametrize("n_wheels", [0, 2])
def test_pip_that_brings_nothing_or_too_much(tiny, monkeypatch, tmp_path, n_wheels):
    def run(command, **options):
        for number in range(n_wheels):
            Path(command[-1], f"recbole-1.2.{number}.whl").write_bytes(tiny.wheel)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(OSError, match="with pip: .*pip download recbole==1.2.1 failed: no message"):
        fetch_from(tiny.sources, tmp_path)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device"),
        (errno.ENOENT, "No usable temporary directory found"),
    ],
)
def test_no_place_for_pip(tiny, monkeypatch, tmp_path, number, words):
    def no_folder(**options):
        raise OSError(number, words)

    monkeypatch.setattr(tempfile, "TemporaryDirectory", no_folder)
    with pytest.raises(OSError, match=f"with pip: .*{words}"):
        fetch_from(tiny.sources, tmp_path)


def test_no_source_at_all(tiny, tmp_path):
    with pytest.raises(OSError) as caught:
        fetch_from(tiny.sources, tmp_path)
    said = str(caught.value)
    for part in (
        "could not be fetched",
        f"the cache file {tmp_path / 'movielens-100k.npz'}: not there",
        f"the archive {tmp_path / 'ml-100k.zip'}: not there",
        "the official archive http://127.0.0.1:9/ml-100k.zip: URLError",
        "pip download recbole==1.2.1 failed: ERROR: No matching dist",
        f"put it, as it is, at {tmp_path / 'ml-100k.zip'}",
        "TRIPLETREC_DATA",
    ):
        assert part in said
    assert list(tmp_path.iterdir()) == []
