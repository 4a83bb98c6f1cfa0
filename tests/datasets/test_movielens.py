"""MovieLens-100K: what is loaded, from the cache and without, and what happens to the cache file.

Offline: a tiny set of invented data stands in for the real one. Only the tests marked `network` fetch that.
"""

import errno
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pytest

from tripletrec.datasets import fetch_movielens_100k, movielens
from tripletrec.datasets.movielens import fetch_from
from tripletrec.datasets.sources import read_archive

CACHE = "movielens-100k.npz"


def test_the_split_is_the_first_ten_of_each_user(tiny, serve, tmp_path):
    sources = serve(tiny.archive)
    data = fetch_from(sources, tmp_path)
    seen = {1: 0, 2: 0, 3: 0}
    for row, split in zip(tiny.ratings, data.ratings.split, strict=True):
        seen[row[0]] += 1
        assert split == ("test" if seen[row[0]] <= 10 else "train")
    for part, name in ((data.train, "train"), (data.test, "test")):
        frame = data.ratings[(data.ratings.split == name) & (data.ratings.rating >= 4)]
        frame = frame.sort_values(["user", "item"])
        assert part.rows.tolist() == frame.user.tolist()
        assert part.indices.tolist() == frame.item.tolist()
        assert part.timestamps.tolist() == frame.timestamp.tolist()
        assert set(part.values) == {1.0} and part.user_ids is None


def test_features(tiny, serve, tmp_path):
    sources = serve(tiny.archive)
    data = fetch_from(sources, tmp_path)
    assert data.user_features.loc[2].tolist() == [53, "F", "other", "T8H1N"]
    assert data.user_features.loc[3, "zip_code"] == "00123"
    assert data.item_features.index.tolist() == list(range(1, 17))
    assert data.item_features.release_year.isna().tolist() == [False, True] + [False] * 14
    assert data.item_features.release_year[3] == 1995
    genres = data.item_features.drop(columns=["title", "release_year"])
    assert genres.shape == (16, 18) and set(np.unique(genres)) == {0, 1}
    assert genres.loc[3].pipe(lambda row: list(row.index[row == 1])) == ["Animation", "Western"]
    assert genres.loc[2].sum() == 0
    assert "ratings of 3 users and 16 items" in repr(data)


def test_min_rating(tiny, serve, tmp_path):
    sources = serve(tiny.archive)
    everything = fetch_from(sources, tmp_path, min_rating=1)
    assert len(everything.train) + len(everything.test) == len(tiny.ratings)
    best = fetch_from(sources, tmp_path, min_rating=5)
    assert len(best.train) + len(best.test) == sum(row[2] == 5 for row in tiny.ratings)
    with pytest.raises(ValueError, match="min_rating must be a number from 1 to 5, got 6"):
        fetch_from(sources, tmp_path, min_rating=6)
    with pytest.raises(TypeError, match="min_rating must be a number from 1 to 5, got '4'"):
        fetch_from(sources, tmp_path, min_rating="4")


def test_the_second_load_needs_no_network(tiny, serve, tmp_path, capsys):
    sources = serve(tiny.archive)
    fetch_from(sources, tmp_path / "new" / "folder", verbose=True)
    assert capsys.readouterr().out.count("fetching") == 1
    tiny.check(fetch_from(tiny.sources, tmp_path / "new" / "folder", verbose=True))
    assert capsys.readouterr().out == ""
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == [CACHE]


def offline(monkeypatch):
    """Let nothing be reached, as where there is no network."""

    def urlopen(url, timeout):
        raise urllib.error.URLError(f"{url} cannot be reached")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def test_the_public_function_asks_the_official_sources(pip, monkeypatch, tmp_path):
    offline(monkeypatch)
    with pytest.raises(OSError, match="archive https://files.grouplens.org/") as caught:
        fetch_movielens_100k(tmp_path)
    assert "the wheel recbole==1.2.1, with pip: " in str(caught.value)


def test_the_wheel_when_the_archive_is_out_of_reach(tiny, pip, tmp_path, capsys):
    pip(tiny.wheel)
    tiny.check(fetch_from(tiny.sources, str(tmp_path)))
    assert capsys.readouterr().out == "", "silent unless asked"
    assert (tmp_path / CACHE).is_file()


def test_an_archive_put_there_by_hand(tiny, tmp_path):
    (tmp_path / "ml-100k.zip").write_bytes(tiny.archive)
    tiny.check(fetch_from(tiny.sources, tmp_path))


def test_the_folder_is_argument_then_variable_then_user_cache(tiny, pip, monkeypatch, tmp_path):
    pip(tiny.wheel)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetch_from(tiny.sources)
    assert (tmp_path / "cache" / "tripletrec" / CACHE).is_file()
    monkeypatch.setenv("TRIPLETREC_DATA", str(tmp_path / "variable"))
    fetch_from(tiny.sources)
    assert (tmp_path / "variable" / CACHE).is_file()
    fetch_from(tiny.sources, tmp_path / "argument")
    assert (tmp_path / "argument" / CACHE).is_file()
    with pytest.raises(ValueError, match="data_home must be None or the path of a folder"):
        fetch_from(tiny.sources, "")


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
def test_user_cache_folder_by_platform(monkeypatch, tmp_path, platform, folder):
    for variable in ("TRIPLETREC_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert movielens._data_home(None) == tmp_path / folder / "tripletrec"


def test_no_home_folder(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("TRIPLETREC_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(OSError, match="no cache folder .* set data_home or TRIPLETREC_DATA"):
        fetch_movielens_100k()


@pytest.mark.parametrize("kind", ["empty", "half", "one bit", "longer", "text"])
def test_a_corrupted_cache_file_is_fetched_again(tiny, pip, tmp_path, kind):
    pip(tiny.wheel)
    fetch_from(tiny.sources, tmp_path)
    good = (tmp_path / CACHE).read_bytes()
    (tmp_path / CACHE).write_bytes(tiny.damage(kind, good))
    tiny.check(fetch_from(tiny.sources, tmp_path))
    pip(None)
    tiny.check(fetch_from(tiny.sources, tmp_path))


def test_a_corrupted_cache_file_and_no_network(tiny, tmp_path):
    (tmp_path / CACHE).write_bytes(b"nonsense")
    with pytest.raises(OSError, match="cache file .*: ValueError: damaged, thrown away"):
        fetch_from(tiny.sources, tmp_path)
    assert not (tmp_path / CACHE).exists()


def test_a_whole_cache_file_of_other_data_is_refused(tiny, tmp_path):
    tables = read_archive(tiny.archive, tiny.sources)
    tables.ratings[0, 2] = 6 - tables.ratings[0, 2]
    tables.ratings[1, 2] = tables.ratings[1, 2] % 5 + 1
    (tmp_path / CACHE).write_bytes(movielens._to_bytes(tables))
    with pytest.raises(OSError, match="thrown away .ValueError: not MovieLens-100K: .*expected"):
        fetch_from(tiny.sources, tmp_path)


def test_a_damaged_archive_put_by_hand_is_left_there(tiny, tmp_path):
    (tmp_path / "ml-100k.zip").write_bytes(tiny.archive[:-1])
    with pytest.raises(OSError, match=r"archive .*ml-100k.zip: ValueError: wrong checksum"):
        fetch_from(tiny.sources, tmp_path)
    assert (tmp_path / "ml-100k.zip").is_file()


def test_a_cache_folder_that_cannot_be_written(tiny, pip, tmp_path):
    pip(tiny.wheel)
    (tmp_path / "file").write_text("in the folder's place")
    with pytest.warns(UserWarning, match="cannot be kept in .*file.*set data_home") as caught:
        data = fetch_from(tiny.sources, tmp_path / "file")
    tiny.check(data)
    assert caught[0].filename == __file__, "the warning points at the caller's line"
    assert (tmp_path / "file").read_text() == "in the folder's place"


def test_a_full_disk(tiny, pip, monkeypatch, tmp_path):
    pip(tiny.wheel)

    def write_some(path, content, write=Path.write_bytes):
        if path.parent != tmp_path:
            return write(path, content)
        write(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.warns(UserWarning, match="cannot be kept .*No space left on device"):
        tiny.check(fetch_from(tiny.sources, tmp_path))
    assert list(tmp_path.iterdir()) == [], "no half file is left"


def test_an_interrupted_write_leaves_the_old_file(tiny, pip, monkeypatch, tmp_path):
    pip(tiny.wheel)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", interrupt)
        fetch_from(tiny.sources, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_threads_at_once(tiny, pip, tmp_path):
    pip(tiny.wheel)
    start, results = threading.Barrier(6), []

    def work():
        start.wait()
        results.append(fetch_from(tiny.sources, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for data in results:
        tiny.check(data)
    assert [file.name for file in tmp_path.iterdir()] == [CACHE]


@pytest.mark.thorough
def test_another_process_writes_while_this_one_reads(tiny, tmp_path):
    tables = read_archive(tiny.archive, tiny.sources)
    movielens._store(tmp_path, tables)
    script = (
        "import sys, pathlib; from tripletrec.datasets import movielens\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "tables = movielens._from_bytes((folder / sys.argv[2]).read_bytes())\n"
        "for _ in range(100): movielens._store(folder, tables)\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        command = [sys.executable, "-c", script, str(tmp_path), CACHE]
        writer = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        while writer.poll() is None:
            movielens._from_bytes((tmp_path / CACHE).read_bytes())
    assert writer.returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == [CACHE]


@pytest.mark.thorough
def test_importing_the_data_sets_is_light():
    script = (
        "import sys, tripletrec.datasets; print({'pandas', 'scipy', 'numba'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    folder = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens")
    try:
        return fetch_movielens_100k(folder), folder
    except OSError as error:
        if "wrong checksum" in str(error) or "not MovieLens" in str(error):
            raise
        pytest.skip(f"no source of MovieLens-100K can be reached from here: {error}")


@pytest.mark.thorough
@pytest.mark.network
def test_the_real_data(real):
    data, _ = real
    assert len(data.ratings) == 100_000
    assert (len(data.train), len(data.test)) == (49_906, 5_469)
    assert data.train.space.shape == data.test.space.shape == (944, 1683)
    train = data.ratings[data.ratings.split == "train"].sort_values(["user", "item"])
    assert train.iloc[:3, :3].values.tolist() == [[1, 1, 5], [1, 2, 3], [1, 3, 4]]
    assert len(train) == 90_570
    assert round(train.rating.mean(), 6) == 3.523827
    assert data.train.indptr[1] == 0 and 0 not in data.train.indices
    assert data.user_features.shape == (943, 4) and data.item_features.shape == (1682, 20)
    assert data.item_features.title[1] == "Toy Story (1995)"
    assert data.item_features.Drama.sum() == 725


@pytest.mark.thorough
@pytest.mark.network
def test_the_real_data_from_the_cache(real, pip, monkeypatch):
    data, folder = real
    offline(monkeypatch)
    again = fetch_movielens_100k(folder, min_rating=5)
    assert again.ratings.equals(data.ratings)
    assert len(again.train) + len(again.test) == (data.ratings.rating == 5).sum()
