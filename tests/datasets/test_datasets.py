"""MovieLens-100K from every source and through every accident; synthetic interactions.

Offline: a tiny archive and a tiny wheel of invented data stand in for the real ones, a server on
this machine for the publisher's. Only the tests marked `network` fetch the real data.
"""

import errno
import hashlib
import http.server
import io
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tripletrec.datasets import _sources, fetch_movielens_100k, make_interactions, movielens

CACHE = "movielens-100k.npz"


# ---------------------------------------------------------------- a tiny set in both forms


def invented_ratings():
    rng = np.random.default_rng(5)
    pairs = [(user, item) for user in (1, 2, 3) for item in rng.permutation(16)[:13] + 1]
    return [
        (*pairs[k], int(rng.integers(1, 6)), 880_000_000 + int(rng.integers(1000)))
        for k in rng.permutation(len(pairs))
    ]


USERS = ["1|24|M|technician|85711", "2|53|F|other|T8H1N", "3|7|M|student|00123"]
ITEMS = [("Café au Lait, Le (1993)", {8}), ("unknown", set()), ("Land (1995) (V)", {3, 18})]
ITEMS += [(f"Film {n} (19{n:02d})", {n}) for n in range(4, 17)]


def archive_bytes(ratings):
    data = "".join("\t".join(map(str, row)) + "\n" for row in ratings)
    items = ""
    for number, (title, genres) in enumerate(ITEMS, 1):
        flags = "|".join(str(int(g in genres or (g == 0 and not genres))) for g in range(19))
        items += f"{number}|{title} |01-Jan-1995||http://example|{flags}\n"
    return zipped(
        {
            "ml-100k/u.data": data.encode(),
            "ml-100k/u.user": ("\n".join(USERS) + "\n").encode(),
            "ml-100k/u.item": items.encode("latin-1"),
        }
    )


def wheel_members(ratings):
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    inter += "".join("\t".join(map(str, row)) + "\n" for row in ratings)
    users = "user_id:token\t...\n" + "".join(u.replace("|", "\t") + "\n" for u in USERS)
    items = "item_id:token\t...\n"
    for number, (title, genres) in enumerate(ITEMS, 1):
        head, _, year = title.rpartition(" (")
        head, year = (head, year[:-1]) if year.endswith(")") else ("unkonwn", "unkonwn")
        words = " ".join(_sources.GENRES[g - 1] for g in sorted(genres)) or "unknown"
        items += f"{number}\t{head}\t{year}\t{words}\n"
    return {
        "ml-100k.inter": inter.encode(),
        "ml-100k.user": users.encode(),
        "ml-100k.item": items.encode(),
    }


def zipped(members):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return body.getvalue()


@pytest.fixture
def tiny(monkeypatch):
    """The invented set; no source is reachable until a test makes it so."""
    ratings = invented_ratings()
    archive, members = archive_bytes(ratings), wheel_members(ratings)
    digests = {name: hashlib.sha256(member).hexdigest() for name, member in members.items()}
    wheel = zipped({_sources.WHEEL_FOLDER + name: member for name, member in members.items()})
    monkeypatch.setattr(_sources, "ARCHIVE_MD5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(_sources, "WHEEL_SHA256", digests)
    monkeypatch.setattr(
        movielens, "_FINGERPRINT", movielens._fingerprint(_sources.read_archive(archive))
    )
    monkeypatch.setattr(_sources, "ARCHIVE_URL", "http://127.0.0.1:9/ml-100k.zip")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("TRIPLETREC_DATA", raising=False)
    set_pip(monkeypatch, None)
    return SimpleNamespace(ratings=ratings, archive=archive, wheel=wheel, members=members)


def set_pip(monkeypatch, wheel, log=None):
    """Let `pip download` bring this wheel; None: let it fail as it does offline."""

    def run(command, **options):
        assert command[1:4] == ["-m", "pip", "download"] and options["timeout"] > 0
        if log is not None:
            log.append("pip")
        if wheel is None:
            return SimpleNamespace(returncode=1, stderr="WARNING: no\nERROR: No matching dist\n")
        Path(command[command.index("--dest") + 1], "recbole-1.2.1.whl").write_bytes(wheel)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(_sources.subprocess, "run", run)


@pytest.fixture
def serve(monkeypatch, tiny):
    """Return a function that makes the publisher answer in a given way."""
    servers = []

    def start(body, *, status=200, length=None, hang=None, pause=0.0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                try:
                    for byte in body if pause else ():
                        self.wfile.write(bytes([byte]))
                        time.sleep(pause)
                    self.wfile.write(b"" if pause else body)
                except OSError:  # the client has gone
                    return
                if hang is not None:
                    hang.wait(20)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/ml-100k.zip"
        monkeypatch.setattr(_sources, "ARCHIVE_URL", url)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check_tiny(data, tiny):
    assert [tuple(row) for row in data.ratings.drop(columns="split").values] == tiny.ratings
    assert data.train.shape == data.test.shape == (4, 17)
    assert list(data.item_features.title[:3]) == [
        "Café au Lait, Le (1993)",
        "unknown",
        "Land (1995) (V)",
    ]


# ---------------------------------------------------------------- what comes out


def test_both_sources_give_the_same_tables(tiny):
    one, two = _sources.read_archive(tiny.archive), _sources.read_wheel(tiny.wheel)
    for name, array in one._asdict().items():
        np.testing.assert_array_equal(array, getattr(two, name), strict=True)


def test_the_split_is_the_first_ten_of_each_user(tiny, serve, tmp_path):
    serve(tiny.archive)
    data = fetch_movielens_100k(tmp_path)
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
    serve(tiny.archive)
    data = fetch_movielens_100k(tmp_path)
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
    serve(tiny.archive)
    everything = fetch_movielens_100k(tmp_path, min_rating=1)
    assert len(everything.train) + len(everything.test) == len(tiny.ratings)
    best = fetch_movielens_100k(tmp_path, min_rating=5)
    assert len(best.train) + len(best.test) == sum(row[2] == 5 for row in tiny.ratings)
    with pytest.raises(ValueError, match="min_rating must be a number from 1 to 5, got 6"):
        fetch_movielens_100k(tmp_path, min_rating=6)
    with pytest.raises(TypeError, match="min_rating must be a number from 1 to 5, got '4'"):
        fetch_movielens_100k(tmp_path, min_rating="4")


# ---------------------------------------------------------------- where it comes from


def test_the_second_load_needs_no_network(tiny, serve, tmp_path, capsys):
    serve(tiny.archive)
    fetch_movielens_100k(tmp_path / "new" / "folder", verbose=True)
    assert capsys.readouterr().out.count("fetching") == 1
    _sources.ARCHIVE_URL = "http://127.0.0.1:9/ml-100k.zip"
    check_tiny(fetch_movielens_100k(tmp_path / "new" / "folder", verbose=True), tiny)
    assert capsys.readouterr().out == ""
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == [CACHE]


def test_the_wheel_when_the_archive_is_out_of_reach(tiny, monkeypatch, tmp_path, capsys):
    set_pip(monkeypatch, tiny.wheel)
    check_tiny(fetch_movielens_100k(str(tmp_path)), tiny)
    assert capsys.readouterr().out == "", "silent unless asked"
    assert (tmp_path / CACHE).is_file()


def test_an_archive_put_there_by_hand(tiny, tmp_path):
    (tmp_path / "ml-100k.zip").write_bytes(tiny.archive)
    check_tiny(fetch_movielens_100k(tmp_path), tiny)


def test_the_folder_is_argument_then_variable_then_user_cache(tiny, monkeypatch, tmp_path):
    set_pip(monkeypatch, tiny.wheel)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetch_movielens_100k()
    assert (tmp_path / "cache" / "tripletrec" / CACHE).is_file()
    monkeypatch.setenv("TRIPLETREC_DATA", str(tmp_path / "variable"))
    fetch_movielens_100k()
    assert (tmp_path / "variable" / CACHE).is_file()
    fetch_movielens_100k(tmp_path / "argument")
    assert (tmp_path / "argument" / CACHE).is_file()
    with pytest.raises(ValueError, match="data_home must be None or the path of a folder"):
        fetch_movielens_100k("")


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


# ---------------------------------------------------------------- accidents


def damage(kind, content):
    middle = len(content) // 2
    return {
        "empty": b"",
        "half": content[:middle],
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"\0",
        "text": b"<html>Please log in to the network</html>",
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "half", "one bit", "longer", "text"])
def test_a_corrupted_cache_file_is_fetched_again(tiny, monkeypatch, tmp_path, kind):
    set_pip(monkeypatch, tiny.wheel)
    fetch_movielens_100k(tmp_path)
    good = (tmp_path / CACHE).read_bytes()
    (tmp_path / CACHE).write_bytes(damage(kind, good))
    check_tiny(fetch_movielens_100k(tmp_path), tiny)
    set_pip(monkeypatch, None)
    check_tiny(fetch_movielens_100k(tmp_path), tiny)


def test_a_corrupted_cache_file_and_no_network(tiny, tmp_path):
    (tmp_path / CACHE).write_bytes(b"nonsense")
    with pytest.raises(OSError, match="cache file .*: ValueError: damaged, thrown away"):
        fetch_movielens_100k(tmp_path)
    assert not (tmp_path / CACHE).exists()


def test_a_whole_cache_file_of_other_data_is_refused(tiny, monkeypatch, tmp_path):
    tables = _sources.read_archive(tiny.archive)
    tables.ratings[0, 2] = 6 - tables.ratings[0, 2]
    tables.ratings[1, 2] = tables.ratings[1, 2] % 5 + 1
    (tmp_path / CACHE).write_bytes(movielens._to_bytes(tables))
    with pytest.raises(OSError, match="thrown away .ValueError: not MovieLens-100K: .*expected"):
        fetch_movielens_100k(tmp_path)


@pytest.mark.parametrize("kind", ["empty", "half", "one bit", "longer", "text"])
def test_a_damaged_download_is_not_used(tiny, serve, monkeypatch, tmp_path, kind):
    log = []
    set_pip(monkeypatch, tiny.wheel, log)
    serve(damage(kind, tiny.archive))
    check_tiny(fetch_movielens_100k(tmp_path), tiny)
    assert log == ["pip"]
    set_pip(monkeypatch, None)
    with pytest.raises(OSError, match="official archive .*wrong checksum: .* bytes with MD5"):
        fetch_movielens_100k(tmp_path / "other")


def test_a_connection_that_breaks_off(tiny, serve, tmp_path):
    serve(tiny.archive[:200], length=len(tiny.archive))
    with pytest.raises(OSError, match="official archive .*(IncompleteRead|wrong checksum)"):
        fetch_movielens_100k(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_says_no(tiny, serve, tmp_path):
    serve(b"gone", status=404)
    with pytest.raises(OSError, match="official archive .*HTTPError: HTTP Error 404"):
        fetch_movielens_100k(tmp_path)


def test_a_server_that_hangs(tiny, serve, monkeypatch, tmp_path):
    released = threading.Event()
    monkeypatch.setattr(_sources, "CONNECT_SECONDS", 0.2)
    serve(tiny.archive[:100], length=len(tiny.archive), hang=released)
    with pytest.raises(OSError, match="official archive .*timed out"):
        fetch_movielens_100k(tmp_path)
    released.set()


def test_a_server_that_trickles(tiny, serve, monkeypatch, tmp_path):
    monkeypatch.setattr(_sources, "DOWNLOAD_SECONDS", 0.2)
    serve(tiny.archive, pause=0.05)
    started = time.monotonic()
    with pytest.raises(OSError, match="official archive .*TimeoutError: not complete after 0 s"):
        fetch_movielens_100k(tmp_path)
    assert time.monotonic() - started < 10


def test_a_server_that_never_ends(tiny, serve, monkeypatch, tmp_path):
    monkeypatch.setattr(_sources, "ARCHIVE_MAX_BYTES", 100)
    serve(tiny.archive)
    with pytest.raises(OSError, match="longer than 100 bytes"):
        fetch_movielens_100k(tmp_path)


def test_a_damaged_archive_put_by_hand_is_left_there(tiny, monkeypatch, tmp_path):
    (tmp_path / "ml-100k.zip").write_bytes(tiny.archive[:-1])
    with pytest.raises(OSError, match=r"archive .*ml-100k.zip: ValueError: wrong checksum"):
        fetch_movielens_100k(tmp_path)
    assert (tmp_path / "ml-100k.zip").is_file()


def test_a_wheel_with_other_contents(tiny, monkeypatch, tmp_path):
    members = dict(tiny.members)
    members["ml-100k.inter"] += b"1\t1\t5\t1\n"
    wheel = zipped({_sources.WHEEL_FOLDER + name: m for name, m in members.items()})
    for content, message in (
        (wheel, "wrong checksum: ml-100k.inter has SHA-256"),
        (wheel[:-30], "BadZipFile"),
        (zipped({"other": b""}), "no item named"),
    ):
        set_pip(monkeypatch, content)
        with pytest.raises(OSError, match=f"wheel recbole==1.2.1, with pip: .*{message}"):
            fetch_movielens_100k(tmp_path)


def test_pip_that_hangs_or_is_absent(tiny, monkeypatch, tmp_path):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(_sources.subprocess, "run", hang)
    with pytest.raises(OSError, match="with pip: TimeoutExpired"):
        fetch_movielens_100k(tmp_path)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(OSError, match="cannot start pip"):
        fetch_movielens_100k(tmp_path)


def test_no_source_at_all(tiny, tmp_path):
    with pytest.raises(OSError) as caught:
        fetch_movielens_100k(tmp_path)
    said = str(caught.value)
    for part in (
        "could not be fetched",
        f"the cache file {tmp_path / CACHE}: not there",
        f"the archive {tmp_path / 'ml-100k.zip'}: not there",
        "the official archive http://127.0.0.1:9/ml-100k.zip: URLError",
        "pip download recbole==1.2.1 failed: ERROR: No matching dist",
        f"put it, as it is, at {tmp_path / 'ml-100k.zip'}",
        "TRIPLETREC_DATA",
    ):
        assert part in said
    assert list(tmp_path.iterdir()) == []


def test_a_cache_folder_that_cannot_be_written(tiny, monkeypatch, tmp_path):
    set_pip(monkeypatch, tiny.wheel)
    (tmp_path / "file").write_text("in the folder's place")
    with pytest.warns(UserWarning, match="cannot be kept in .*file.*set data_home") as caught:
        data = fetch_movielens_100k(tmp_path / "file")
    check_tiny(data, tiny)
    assert caught[0].filename == __file__, "the warning points at the caller's line"
    assert (tmp_path / "file").read_text() == "in the folder's place"


def test_a_full_disk(tiny, monkeypatch, tmp_path):
    set_pip(monkeypatch, tiny.wheel)

    def write_some(path, content, write=Path.write_bytes):
        if path.parent != tmp_path:
            return write(path, content)
        write(path, content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_some)
    with pytest.warns(UserWarning, match="cannot be kept .*No space left on device"):
        check_tiny(fetch_movielens_100k(tmp_path), tiny)
    assert list(tmp_path.iterdir()) == [], "no half file is left"


def test_a_disk_too_full_for_pip(tiny, monkeypatch, tmp_path):
    def no_folder(**options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_sources.tempfile, "TemporaryDirectory", no_folder)
    with pytest.raises(OSError, match="with pip: OSError: .*No space left"):
        fetch_movielens_100k(tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tiny, monkeypatch, tmp_path):
    set_pip(monkeypatch, tiny.wheel)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(movielens.os, "replace", interrupt)
        fetch_movielens_100k(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_many_threads_at_once(tiny, monkeypatch, tmp_path):
    set_pip(monkeypatch, tiny.wheel)
    start, results = threading.Barrier(6), []

    def work():
        start.wait()
        results.append(fetch_movielens_100k(tmp_path))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for data in results:
        check_tiny(data, tiny)
    assert [file.name for file in tmp_path.iterdir()] == [CACHE]


def test_another_process_writes_while_this_one_reads(tiny, tmp_path):
    tables = _sources.read_archive(tiny.archive)
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


def test_importing_the_data_sets_is_light():
    script = (
        "import sys, tripletrec.datasets; print({'pandas', 'scipy', 'numba'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    folder = Path(__file__).parents[2]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


# ---------------------------------------------------------------- the real data


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens")
    try:
        return fetch_movielens_100k(folder), folder
    except OSError as error:
        if "wrong checksum" in str(error) or "not MovieLens" in str(error):
            raise
        pytest.skip(f"no source of MovieLens-100K can be reached from here: {error}")


@pytest.mark.network
def test_the_real_data(real):
    data, _ = real
    assert len(data.ratings) == 100_000
    assert (len(data.train), len(data.test)) == (49_906, 5_469)
    assert data.train.shape == data.test.shape == (944, 1683)
    train = data.ratings[data.ratings.split == "train"].sort_values(["user", "item"])
    assert train.iloc[:3, :3].values.tolist() == [[1, 1, 5], [1, 2, 3], [1, 3, 4]]
    assert len(train) == 90_570
    assert round(train.rating.mean(), 6) == 3.523827
    assert data.train.indptr[1] == 0 and 0 not in data.train.indices
    assert data.user_features.shape == (943, 4) and data.item_features.shape == (1682, 20)
    assert data.item_features.title[1] == "Toy Story (1995)"
    assert data.item_features.Drama.sum() == 725


@pytest.mark.network
def test_the_real_data_from_the_cache(real, monkeypatch):
    data, folder = real
    monkeypatch.setattr(_sources, "download_archive", None)
    monkeypatch.setattr(_sources, "download_wheel", None)
    again = fetch_movielens_100k(folder, min_rating=5)
    assert again.ratings.equals(data.ratings)
    assert len(again.train) + len(again.test) == (data.ratings.rating == 5).sum()


# ---------------------------------------------------------------- synthetic interactions


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(0, 1),
    st.floats(0, 4) | st.floats(0, 1e300),
    st.floats(0, 4) | st.floats(0, 1e300),
    st.floats(0, 50),
    st.integers(0, 2**40),
)
def test_exactly_as_many_distinct_pairs(n_users, n_items, share, user, item, signal, seed):
    n_interactions = max(1, round(share * n_users * n_items))
    data = make_interactions(
        n_users,
        n_items,
        n_interactions,
        n_factors=3,
        user_exponent=user,
        item_exponent=item,
        signal=signal,
        random_state=seed,
    )
    assert data.shape == (n_users, n_items) and len(data) == n_interactions
    degrees = np.diff(data.indptr)
    keys = data.rows.astype(np.int64) * n_items + data.indices
    assert (np.diff(keys) > 0).all() and set(data.values) == {1.0}
    assert degrees.max() <= n_items
    if n_interactions >= n_users:
        assert degrees.min() >= 1


def test_same_seed_same_interactions():
    one, two, other = (make_interactions(random_state=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.indices, two.indices)
    assert not np.array_equal(one.indices, other.indices)


def test_chunks_do_not_change_the_shape(monkeypatch):
    from tripletrec.datasets import synthetic

    monkeypatch.setattr(synthetic, "_CHUNK", 70)
    data = make_interactions(90, 60, 1500, random_state=0)
    assert len(data) == 1500 and (np.diff(data.indptr) > 0).all()


def test_exponents_make_the_head_heavier():
    def top_share(counts):
        return np.sort(counts)[-len(counts) // 10 :].sum() / counts.sum()

    flat = make_interactions(user_exponent=0, item_exponent=0, random_state=0)
    steep = make_interactions(user_exponent=1, item_exponent=1, random_state=0)
    for counts in (lambda data: np.diff(data.indptr), lambda data: np.diff(data.T.indptr)):
        assert top_share(counts(steep)) > 1.5 * top_share(counts(flat))
    assert np.ptp(np.diff(flat.indptr)) == 0


@pytest.mark.parametrize("n_interactions", [3_000, 30_000])  # by proposals, and whole rows
def test_planted_taste_can_be_seen(n_interactions):
    data, users, items = make_interactions(
        300, 200, n_interactions, signal=5.0, return_factors=True, random_state=1
    )
    assert users.shape == (300, 8) and items.shape == (200, 8) and users.dtype == np.float32
    scores = users @ items.T
    liked = scores[data.rows, data.indices]
    assert liked.mean() > 0.3 and abs(scores.mean()) < 0.2
    none, users, items = make_interactions(
        300, 200, n_interactions, signal=0.0, return_factors=True, random_state=1
    )
    assert abs((users @ items.T)[none.rows, none.indices].mean()) < 0.2


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            (2, 3, 7),
            {},
            ValueError,
            r"n_interactions must be at most n_users \* n_items = 6, got 7",
        ),
        ((0, 3, 1), {}, ValueError, "n_users must be an integer >= 1, got 0"),
        ((2, 3, 0), {}, ValueError, "n_interactions must be an integer >= 1, got 0"),
        ((2, 3.5, 1), {}, TypeError, "n_items must be an integer"),
        ((2, 3, 1), {"n_factors": 0}, ValueError, "n_factors must be"),
        ((2, 3, 1), {"signal": -1}, ValueError, "signal must be a finite number >= 0"),
        ((2, 3, 1), {"user_exponent": np.nan}, ValueError, "user_exponent must be"),
        ((2, 3, 1), {"item_exponent": "x"}, TypeError, "item_exponent must be"),
        ((2, 3, 1), {"random_state": "x"}, TypeError, "random_state must be"),
        ((2, 3, 1), {"return_factors": 1}, TypeError, "return_factors must be True or False"),
    ],
)
def test_bad_requests(arguments, options, error, message):
    with pytest.raises(error, match=message):
        make_interactions(*arguments, **options)
