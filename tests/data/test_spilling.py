"""Interactions laid down by runs of users, and taken up again."""

import numpy as np
import pytest

from tripletrec.data.spilling import Spill, record_type

DATES = np.dtype("M8[ns]")


@pytest.mark.parametrize("types", [(None, None), (np.dtype(bool), DATES), (np.dtype("f8"), None)])
def test_all_come_back_by_users_in_their_order(tmp_path, rng, types):
    n_users, n = int(rng.integers(1, 20)), int(rng.integers(0, 200))
    users = rng.integers(n_users, size=n).astype(np.int32)
    items = np.arange(n, dtype=np.int32)
    extra = [None if kind is None else rng.integers(9, size=n).astype(kind) for kind in types]
    path, n_at_once = tmp_path / "spill", int(rng.integers(1, 60))
    counts = np.bincount(users, minlength=n_users)
    with Spill(path, counts, *types, n_at_once) as spill:
        for some in np.array_split(np.arange(n), rng.integers(1, 6)):
            given = (None if each is None else each[some] for each in (users, items, *extra))
            spill.add(*given)
        spill.check_full()
        assert path.stat().st_size <= record_type(*types).itemsize * n
        runs = list(spill.runs())
        assert path.stat().st_size == 0
    assert [each.first for each in runs] == [0, *(each.last for each in runs[:-1])]
    assert runs[-1].last == n_users
    # Within a run they are in their order, whoever's they are.
    for run in runs:
        mine = (users >= run.first) & (users < run.last)
        for found, whole in zip(run[2:], (users, items, *extra), strict=True):
            if whole is None:
                assert found is None
            else:
                np.testing.assert_array_equal(found, whole[mine])
                assert found.dtype == whole.dtype
    assert all(len(each.users) < n_at_once + counts.max() for each in runs)


def test_more_or_less_than_was_said(tmp_path):
    one = np.zeros(1, np.int32)
    with Spill(tmp_path / "a", np.array([1, 1]), None, None, 1) as spill:
        spill.add(one, one, None, None)
        with pytest.raises(ValueError, match="a user has fewer interactions than were counted"):
            spill.check_full()
        with pytest.raises(ValueError, match="a user has more interactions than were counted"):
            spill.add(one, one, None, None)
