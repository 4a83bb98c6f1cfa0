"""Indexes of other libraries: their lists beside exact ones, and their files."""

import os
import signal
import threading

import numpy as np
import pytest

import tripletrec as tr
from contracts.vectors import KINDS, LIBRARIES, neighbours
from tiers import quick


@pytest.fixture(scope="module")
def shop():
    return tr.datasets.make_interactions(200, 1000, 6_000, random_state=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", quick(["bpr", "softmax"], "softmax"))
def test_lists_are_nearly_those_of_all_items(shop, kind, preset):
    pytest.importorskip(LIBRARIES[kind], reason=f"needs {kind}")
    model = tr.MatrixFactorization.preset(preset, n_factors=16, n_epochs=2).fit(shop)
    exact, _ = model.recommend(np.arange(200), k=20, exclude=None)
    found = neighbours(model.to_index(kind), kind, model.user_vectors(), 20)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
    assert np.mean(shared) / 20 >= 0.95


def test_a_saved_index_answers_the_same(shop, tmp_path):
    usearch = pytest.importorskip("usearch.index", reason="needs usearch")
    model = tr.MatrixFactorization(16, n_epochs=2).fit(shop)
    path = tmp_path / "items.usearch"
    path.write_bytes(b"an older one")
    index = model.to_index("usearch", path)
    again = usearch.Index.restore(str(path))
    vectors = model.user_vectors(range(20))
    np.testing.assert_array_equal(again.search(vectors, 5).keys, index.search(vectors, 5).keys)
    with pytest.raises(OSError, match="cannot write an index to"):
        model.to_index("usearch", tmp_path / "no such folder" / "items.usearch")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_cannot_be_written_whole_is_none(shop, kind, tmp_path):
    resource = pytest.importorskip("resource", reason="needs limits of Unix")
    pytest.importorskip(LIBRARIES[kind], reason=f"needs {kind}")
    model, path = tr.MatrixFactorization(4, n_epochs=1).fit(shop), tmp_path / "items.index"
    path.write_bytes(b"an older one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError, match="cannot write an index to .*items.index: "):
            model.to_index(kind, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"an older one" and len(list(tmp_path.iterdir())) == 1


def test_numbers_are_those_of_the_index(shop):
    pytest.importorskip("usearch.index", reason="needs usearch")
    model = tr.MatrixFactorization(4, n_epochs=1).fit(shop)
    index = model.to_index("usearch", n_neighbors=7, depth=50)
    found = index.connectivity, index.expansion_add, index.expansion_search
    assert found == (7, 50, 50)


@pytest.mark.parametrize("name", ["n_neighbors", "depth"])
def test_numbers_are_checked(shop, name):
    model = tr.MatrixFactorization(4, n_epochs=1).fit(shop)
    with pytest.raises((ValueError, TypeError), match=name):
        model.to_index("usearch", **{name: 0})


@pytest.mark.thorough  # many items
@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_is_one(monkeypatch):
    usearch = pytest.importorskip("usearch.index", reason="needs usearch")
    data = tr.datasets.make_interactions(200, 20_000, 6_000, random_state=0)
    model, add = tr.MatrixFactorization(16, n_epochs=1).fit(data), usearch.Index.add

    def interrupted(self, keys, vectors, **options):
        interrupt = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        try:
            return add(self, keys, vectors, **options)
        finally:
            interrupt.join()  # comes late where an index is made in less time

    monkeypatch.setattr(usearch.Index, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.to_index("usearch")
