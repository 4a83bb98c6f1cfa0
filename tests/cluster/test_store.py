"""What the folder of a fit holds, written and read again."""

import uuid

import numpy as np
import pytest

from cluster.fits import DATA, GIVEN, WEIGHTS
from tripletrec.cluster import store
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sources import InteractionsSource
from tripletrec.cluster.store import Axis, Committed, ItemGroup
from tripletrec.training.dealing import deal
from tripletrec.training.user_parts import cut_part


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.mark.parametrize(
    "ids",
    [None, np.array(["a", "bb"]), np.array([uuid.UUID(int=3), 5], object), np.array([7, 3])],
    ids=["none", "texts", "mixed", "numbers"],
)
def test_users_and_items(ids, folder):
    store.write_axis(folder, "user", Axis(ids, np.array([3, 0])))
    found = store.read_axis(folder, "user")
    assert found.counts.tolist() == [3, 0]
    assert (found.ids is None) == (ids is None)
    if ids is not None:
        assert found.ids.tolist() == ids.tolist() and found.ids.dtype == ids.dtype


@pytest.mark.parametrize("graded", [False, True])
def test_blocks_are_the_parts_of_all_users(graded, folder, rng):
    users = deal(rng.permutation(DATA.n_users).astype(np.int32), 4, np.uint64(3))
    for first, last in zip(users.bounds[:-1], users.bounds[1:], strict=True):
        users.order[first:last].sort()
    given = None if graded else GIVEN
    source = InteractionsSource(DATA, WEIGHTS, given)
    source.write_blocks(folder, users, graded=graded)
    for first, last in ((0, 4), (2, 4), (1, 2)):
        part = store.read_part(folder, first, last)
        assert part.block == first
        own = users.order[users.bounds[first] : users.bounds[last]]
        np.testing.assert_array_equal(part.numbers.users, own)
        np.testing.assert_array_equal(
            part.users.bounds, users.bounds[first : last + 1] - users.bounds[first]
        )
        for place, user in enumerate(own):
            mine = slice(*part.positives.indptr[place : place + 2])
            theirs = slice(*DATA.indptr[user : user + 2])
            assert part.positives.numbers[place] == theirs.start
            np.testing.assert_array_equal(part.positives.indices[mine], DATA.indices[theirs])
            np.testing.assert_array_equal(part.positives.weights[mine], WEIGHTS[theirs])
            if not graded:
                mine = slice(*part.given.indptr[place : place + 2])
                theirs = slice(*GIVEN.indptr[user : user + 2])
                np.testing.assert_array_equal(part.given.indices[mine], GIVEN.indices[theirs])
        assert (part.n_lower is not None) == graded
        assert store.read_positives(folder, first)[2] is None


def test_a_block_that_does_not_say_whose_it_is(folder):
    users = deal(np.arange(DATA.n_users, dtype=np.int32), 1, np.uint64(3))
    source = InteractionsSource(DATA)
    source.write_blocks(folder, users, graded=False)
    part = store.read_part(folder, 0, 1)
    with pytest.raises(ValueError, match="which users it has"):
        store.write_block(folder, 0, part._replace(numbers=None))
    values = np.arange(DATA.nnz, dtype=np.float32)
    store.write_block(folder, 0, cut_part(part, 0, 1), values)
    np.testing.assert_array_equal(store.read_positives(folder, 0)[2], values)


def test_epochs_count_when_they_are_committed(folder):
    assert store.last_epoch(folder) == Committed(0, [], 0)
    rows = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    items = ItemGroup(np.array([5], np.int32), rows, rows[:, :, 0], rows[:, 0, :1])
    for number in (1, 2, 10):
        store.write_user_rows(folder, number, 0, number * rows, rows[:, 0, :1])
        store.write_items(folder, number, 0, items)
    store.commit_epoch(folder, committed := Committed(2, [{"epoch": 1}, {"epoch": 2}], 1))
    assert store.last_epoch(folder) == committed
    assert folder.names("epochs") == ["00002"]
    found, _ = store.read_user_rows(folder, 2, 0)
    np.testing.assert_array_equal(found, 2 * rows)
    for mine, theirs in zip(store.read_items(folder, 2, 0), items, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_meta(folder, tmp_path):
    assert store.read_meta(folder) is None
    store.write_meta(folder, {"of": 3})
    assert store.read_meta(folder) == {"of": 3}
    folder.write_json("meta.json", {"format": 0})
    with pytest.raises(ValueError, match="is of another version$"):
        store.read_meta(folder)
    store.clear(folder)
    assert store.read_meta(folder) is None
    (tmp_path / "mine").write_text("")
    with pytest.raises(
        ValueError, match="^checkpoint must be a new or empty folder, .* which has 'mine'$"
    ):
        store.read_meta(folder)
    store.clear(folder)
    assert (tmp_path / "mine").exists()
