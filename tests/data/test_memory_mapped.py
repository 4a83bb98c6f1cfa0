"""Folders of memory-mapped interactions: opened as they were written, used by everything, and checked."""

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

import tripletrec as tr
from data.equality import same
from tiers import quick
from tripletrec._runtime.leftovers import temporary_beside
from tripletrec.data.interactions import Interactions
from tripletrec.data.memory_mapped import is_memory_map


@pytest.fixture(scope="module")
def data():
    frame = {"user": [f"u{each % 50}" for each in range(400)], "item": np.arange(400) ** 2 % 41}
    return Interactions.from_frame(frame, duplicates="max")


@pytest.fixture(scope="module")
def mapped(data, tmp_path_factory):
    return data.to_memory_map(tmp_path_factory.mktemp("maps") / "map")


@pytest.mark.parametrize(
    "ids",
    [None, [3, 1], ["b", "a\0"], np.array(["b", "a" * 90_000]), [b"b", 2.5], np.array([1.5, 2]),
     np.array(["2024-01-01", "2024-01-02"], "M8[D]"), np.array([2**64 - 1, 0], np.uint64)],
    ids=lambda ids: str(ids)[:20],
)  # fmt: skip
@pytest.mark.parametrize(
    "times", quick([None, [1, 2, 3], [1.5, 2, 3], ["2024-01-01"] * 3], [1.5, 2, 3])
)
def test_everything_comes_back(tmp_path, ids, times):
    times = np.array(times, "M8[s]") if times and isinstance(times[0], str) else times
    matrix = [[0, 2, 0.5], [0, 0, 1]]
    data = Interactions(np.array(matrix), user_ids=ids, timestamps=times)
    same(data.to_memory_map(tmp_path / "map"), data)
    data = data.T
    same(data.to_memory_map(tmp_path / "map"), data)  # takes the place of the first


def test_no_interactions(tmp_path, data):
    nothing = Interactions.empty(data)
    same(nothing.to_memory_map(tmp_path / "map"), nothing)
    nothing = Interactions.from_arrays([], [], shape=(1, 1), timestamps=[])
    same(nothing.to_memory_map(tmp_path / "map"), nothing)


def test_where_it_is(tmp_path, mapped, data):
    folder = mapped.memory_map
    assert is_memory_map(folder) and data.memory_map is None
    again = Interactions.read(f"{folder}/")
    assert again.memory_map == folder and repr(again) == repr(data)
    for part in (mapped[:10], mapped.T, Interactions.empty(mapped), pickle.loads(pickle.dumps(mapped)),
                 copy.deepcopy(mapped), mapped.filter(min_per_user=8)):  # fmt: skip
        assert part.memory_map is None
    same(pickle.loads(pickle.dumps(mapped)), data)
    with pytest.raises(AttributeError):
        mapped.memory_map = None


def test_arrays_stay_in_the_files(tmp_path, mapped):
    for name in ("indptr", "indices"):
        array = getattr(mapped, name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        base = array
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap) or type(base).__name__ == "mmap"
    ones = mapped.to_memory_map(tmp_path / "map")
    assert ones.values.strides == (0,) and not (tmp_path / "map" / "values.npy").exists()
    assert not ones.values.flags.writeable


def test_everything_works_with_it(mapped, data):
    model = tr.MatrixFactorization(n_factors=4, n_epochs=2, random_state=0)
    learnt = [clone(model).fit(each, sample_weight="values") for each in (data, mapped)]
    assert (learnt[0].user_factors_ == learnt[1].user_factors_).all()
    for one, other in zip(*(each.recommend(k=3) for each in learnt), strict=True):
        np.testing.assert_array_equal(one, other)
    assert tr.full_auc(learnt[1], mapped, exclude=None) == tr.full_auc(
        learnt[0], data, exclude=None
    )
    assert mapped.describe().equals(data.describe())
    assert mapped.to_frame().equals(data.to_frame())
    assert (mapped.tocsr() != data.tocsr()).nnz == 0
    cuts = [tr.splits.train_test_split(each, random_state=0) for each in (mapped, data)]
    for one, other in zip(*cuts, strict=True):
        same(one, other)
    assert mapped.user_rows("u7") == data.user_rows("u7")
    assert tr.Popularity().fit(mapped).recommend(["u7"], k=2)[0].shape == (1, 2)
    assert tr.EASE().fit(mapped).recommend(["u7"], k=2)[0].shape == (1, 2)


def test_other_arguments_are_refused(mapped):
    folder = mapped.memory_map
    for options in (
        {"user": "uid"},
        {"timestamp": "t"},
        {"value": "v"},
        {"memory_map": folder},
        {"duplicates": "last"},
    ):
        (name,) = options
        with pytest.raises(ValueError, match=f"is a memory map, .*: give no {name}, got"):
            Interactions.read(folder, **options)


def test_like_must_be_the_same(mapped, data):
    assert len(Interactions.read(mapped.memory_map, like=data)) == len(data)
    with pytest.raises(
        ValueError, match="the memory map '.*' must have the 2 users and 2 items of"
    ):
        Interactions.read(mapped.memory_map, like=Interactions(np.eye(2)))


@pytest.mark.skipif(sys.platform == "win32", reason="limits are those of POSIX")
def test_a_full_disk(tmp_path, data):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        with pytest.raises(OSError, match="cannot write the memory map '.*map': File too large"):
            data.to_memory_map(tmp_path / "map")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(tmp_path.iterdir())


def damages(folder):
    """Change a folder in all kinds of ways; after each, it is what the message says."""
    about = json.loads((folder / "interactions.json").read_text())

    def say(**changes):
        (folder / "interactions.json").write_text(json.dumps({**about, **changes}))

    yield "interactions.json does not say of which format", lambda: say(format=None)
    yield "is of the format 99, which a newer version", lambda: say(format=99)
    yield "n_users must be a number >= 0, got -1", lambda: say(n_users=-1)
    yield "n_items must be a number >= 0, got None", lambda: say(n_items=None)
    yield "item_ids must have 7 ids", lambda: say(n_items=7)
    yield "indices must be one of 3 numbers", lambda: say(n_interactions=3)
    yield "user_ids is None, which are no ids", lambda: say(user_ids=None)
    yield "names arrays that are not known", lambda: say(bytes={"../secret": 1})
    yield "FileNotFoundError", lambda: (folder / "indices.npy").unlink()
    for text in ("", "[]", "{", '{"format": 1}', "\udcff"):
        content = text.encode("utf-8", "surrogateescape")
        yield "", lambda c=content: (folder / "interactions.json").write_bytes(c)
    for name in ("indptr", "indices", "user_ids", "item_ids"):
        path = folder / f"{name}.npy"
        whole = path.read_bytes()
        yield f"{name}.npy has [0-9]+ bytes, and had", lambda p=path, w=whole: p.write_bytes(w[:-1])
        yield f"{name}.npy has 0 bytes, and had", lambda p=path: p.write_bytes(b"")
        yield "", lambda p=path, w=whole: p.write_bytes(b"\xff" * len(w))
    indices = folder / "indices.npy"
    kind = "{'descr': '<i4', 'fortran_order': False, 'shape': "
    for text in ("", kind + "(", kind + f"({10**30},)}}", "-" * 9000 + "1", "  a\n b"):
        header = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()
        for content in (header, b"", b"PK\3\4"):
            sizes = {"bytes": {**about["bytes"], "indices": len(content)}}
            yield (
                "indices.npy is no array: ",
                lambda c=content, s=sizes: (indices.write_bytes(c), say(**s)),
            )
    path = folder / "indptr.npy"
    whole = path.read_bytes()
    yield (
        "indptr must start at 0 and never decrease",
        lambda: path.write_bytes(whole[:-16] + b"\x7f" * 8 + whole[-8:]),
    )
    yield "indptr ends at", lambda: path.write_bytes(whole[:-8] + whole[-16:-8])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("name", ["interactions.json", "indices.npy"])
def test_nothing_waits_for_a_fifo(tmp_path, mapped, name):
    folder = tmp_path / "map"
    shutil.copytree(mapped.memory_map, folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match="map' is damaged: OSError: .*a FIFO, not a regular file"):
        Interactions.read(folder)


def test_damaged_folders_get_one_sentence(tmp_path, mapped):
    folder = tmp_path / "map"
    shutil.copytree(mapped.memory_map, folder)
    for message, damage in damages(folder):
        shutil.rmtree(folder)
        shutil.copytree(mapped.memory_map, folder)
        damage()
        with pytest.raises(ValueError, match=f"^the memory map '.*map' is damaged: .*{message}"):
            Interactions.read(folder)


def test_indices_that_were_changed_are_never_followed(tmp_path, mapped):
    folder = tmp_path / "map"
    shutil.copytree(mapped.memory_map, folder)
    path = folder / "indices.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"\xff" * 4)
    changed = Interactions.read(folder)
    for use in (
        tr.Popularity().fit,
        tr.MatrixFactorization(n_epochs=1, n_factors=2).fit,
        Interactions.describe,
        Interactions._repr_html_,
        Interactions.to_frame,
        Interactions.tocsr,
        Interactions.transpose,
        Interactions.filter,
        lambda data: data[1:],  # a part has indices of its own: nobody would ask again
        lambda data: data.iloc[1:],
    ):
        with pytest.raises(ValueError, match="shares its indices with a matrix or a file that was"):
            use(changed)


def test_what_else_lies_there_stays(tmp_path, mapped, data):
    folder = tmp_path / "map"
    shutil.copytree(mapped.memory_map, folder)
    (folder / "notes.txt").write_text("mine")
    assert len(Interactions.read(folder)) == len(data)
    with pytest.raises(ValueError, match="folder must be a new or an empty folder, got .*map'"):
        data.to_memory_map(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def test_opening_is_light(mapped):
    code = f"""if 1:
        import sys
        from tripletrec import Interactions
        Interactions.read({str(mapped.memory_map)!r})
        print(*sys.modules)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "scipy", "pyarrow", "numba", "sklearn"} & set(done.stdout.split())


def other(data):
    """Interactions of the same shape and number, and so files of the same sizes."""
    return Interactions(data.tocsr()[::-1], user_ids=data.user_ids, item_ids=data.item_ids)


@pytest.mark.parametrize("name", ["interactions.json", "indptr.npy", "user_ids.npy"])
def test_all_is_of_one_state_while_the_folder_is_replaced(name, tmp_path, data, monkeypatch):
    new, opened, done = other(data), os.open, []
    data.to_memory_map(tmp_path / "map")

    def replacing_before(path, *arguments, **options):
        if Path(path).name == name and not done:
            done.append(name)
            new.to_memory_map(tmp_path / "map")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", replacing_before)
    found = Interactions.read(tmp_path / "map")
    assert done
    same(found, new)


def test_a_folder_that_has_made_way_for_a_moment(tmp_path, data, monkeypatch):
    data.to_memory_map(tmp_path / "map")
    away = temporary_beside(tmp_path / "map")
    (tmp_path / "map").rename(away)
    monkeypatch.setattr(time, "sleep", lambda seconds: away.rename(tmp_path / "map"))
    same(Interactions.read(tmp_path / "map"), data)
    shutil.rmtree(tmp_path / "map")
    with pytest.raises(FileNotFoundError, match="map"):
        Interactions.read(tmp_path / "map")
