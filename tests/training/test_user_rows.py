"""The rows of users by blocks, in memory and on a disk, and what is put together of them in their order."""

import numpy as np
import pytest

from tripletrec._runtime.folders import NotEnoughDiskError
from tripletrec._runtime.scratch import ScratchFolder
from tripletrec.optimizers import adam
from tripletrec.training.block_order import BlockOrder
from tripletrec.training.tables import FactorTables
from tripletrec.training.user_rows import UserTable

N, N_PARTS, N_FACTORS = 23, 4, 5


@pytest.fixture
def order(rng):
    rows = rng.permutation(N).astype(np.int32)
    bounds = np.array([0, 3, 6, 9, 12, 15, 18, 20, N])
    for a, b in zip(bounds[:-1], bounds[1:], strict=True):
        rows[a:b].sort()
    return BlockOrder(rows, bounds)


def table_of(order, n_resident, folder):
    return UserTable(
        ScratchFolder(folder), order, order.bounds[::2], n_resident, N_FACTORS, adam(), at_once=7
    )


def all_of(table):
    return table.collect(
        lambda each: {"rows": each.users.copy(), "counts": each.user_step_counts.copy()}
    )


@pytest.mark.parametrize("n_resident", [1, 2, N_PARTS])
def test_users_begin_as_in_tables_and_without_positives_at_zero(n_resident, order, tmp_path):
    positives = np.arange(N) % 3
    table = table_of(order, n_resident, tmp_path)
    table.start(positives, 0.1, 5)
    expected = FactorTables.start(N, 0, N_FACTORS, adam(), scale=0.1, seed=5)
    expected.users[order.rows[positives == 0], 0] = 0.0
    found = all_of(table)
    np.testing.assert_array_equal(found["rows"], expected.users)
    np.testing.assert_array_equal(found["counts"], expected.user_step_counts)


@pytest.mark.parametrize("n_resident", [1, 2, N_PARTS])
def test_what_is_changed_in_a_part_or_in_order_is_kept(n_resident, order, tmp_path, rng):
    table = table_of(order, n_resident, tmp_path)
    table.start(np.ones(N, int), 0.1, 5)
    expected = all_of(table)
    bounds = order.bounds[::2]
    for turn in range(30):
        part = int(rng.integers(N_PARTS))
        busy = None if n_resident == 1 else int(rng.integers(N_PARTS))
        users = order.rows[bounds[part] : bounds[part + 1]]
        rows = table.rows(part, busy)
        np.testing.assert_array_equal(rows.table, expected["rows"][users].reshape(-1))
        rows.table[:] += turn
        rows.step_counts[:] += 1
        expected["rows"][users] += turn
        expected["counts"][users] += 1
        if turn % 10 == 9:
            for first, tables in table.in_order(change=True):
                tables.users *= 2
                tables.user_step_counts += first
            expected["rows"] *= 2
            expected["counts"] += (np.arange(N) // 7 * 7)[:, None]
    found = all_of(table)
    for name, each in expected.items():
        np.testing.assert_array_equal(found[name], each)


def test_what_memory_does_not_hold_lies_on_the_disk(order, tmp_path, monkeypatch):
    table = table_of(order, 2, tmp_path)
    table.start(np.ones(N, int), 0.1, 5)
    in_memory = all_of(table)
    assert all(each.flags.writeable for each in in_memory.values())
    monkeypatch.setenv("TRIPLETREC_MEMORY", str(2 * in_memory["rows"].nbytes))
    half = all_of(table)
    assert half["rows"].flags.writeable and not half["counts"].flags.writeable
    monkeypatch.setenv("TRIPLETREC_MEMORY", "1")
    on_disk = all_of(table)
    del table
    for name, each in in_memory.items():
        assert not on_disk[name].flags.writeable
        np.testing.assert_array_equal(on_disk[name], each)
        np.testing.assert_array_equal(half[name], each)


def test_a_full_disk_is_told(order, tmp_path, monkeypatch):
    table = table_of(order, N_PARTS, tmp_path)
    monkeypatch.setenv("TRIPLETREC_MEMORY", "1")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("", (), {"free": 100}))
    with pytest.raises(NotEnoughDiskError, match="and 100 are free"):
        all_of(table)
