"""How well neighbours tell a left-out item: against a naive twin, and at the ends of the scale."""

import numpy as np
import pytest

import tripletrec as tr
from naive_data import percentile_ranks, rank_by_popularity
from tripletrec.models.percentile_rank import (
    BY_CHANCE,
    percentile_rank,
    popularity_rank,
    users_to_look_at,
)


def csr(rows):
    indptr = np.cumsum([0, *map(len, rows)])
    return indptr, np.array([i for row in rows for i in sorted(row)], np.int32)


@pytest.mark.parametrize("n_users", [12, 260])  # all are tested, some are
def test_equals_its_naive_twin(n_users, rng):
    rows = [set(rng.choice(15, rng.integers(0, 8), replace=False).tolist()) for _ in range(n_users)]
    indptr, indices = csr(rows)
    able = [u for u, row in enumerate(rows) if len(row) > 1]
    tested = [able[n * len(able) // min(200, len(able))] for n in range(min(200, len(able)))]
    places = np.random.Generator(np.random.PCG64(0)).integers([len(rows[u]) for u in tested])
    left_out = [indices[indptr[u] + place] for u, place in zip(tested, places, strict=True)]
    expected = np.exp(np.mean(np.log(percentile_ranks(rows, tested, left_out))))
    assert percentile_rank(indptr, indices) == pytest.approx(expected, rel=1e-9)


def test_what_neighbours_can_tell(rng):
    blocks = [set(range(5 * (u % 40), 5 * (u % 40) + 5)) for u in range(400)]
    assert percentile_rank(*csr(blocks)) == pytest.approx(0.5 / 195)  # the first of 195
    noise = [set(rng.choice(200, 5, replace=False).tolist()) for _ in range(400)]
    assert 0.1 < percentile_rank(*csr(noise)) < 0.7
    easy, hard = (
        tr.datasets.make_events(300, 200, n, random_state=0).events for n in (20_000, 2000)
    )
    ranks = [
        percentile_rank(data.indptr, data.indices)
        for data in (
            tr.Interactions.from_frame(each, user="user_id", item="item_id")
            for each in (easy, hard)
        )
    ]
    assert ranks[0] < ranks[1]


@pytest.mark.parametrize("rows", [[], [set()], [{1}, {2}], [{0, 1}, {0, 1}], [{0}, {0, 1}]])
def test_what_tells_nothing_is_chance(rows):
    assert percentile_rank(*csr(rows)) == BY_CHANCE


def test_rows_of_some_users_are_looked_at(rng):
    rows = [set(rng.choice(30, rng.integers(0, 9), replace=False).tolist()) for _ in range(90)]
    users = np.flatnonzero(rng.random(90) < 0.5)
    some = percentile_rank(*csr(rows), users)
    assert some == percentile_rank(*csr([rows[u] for u in users]))
    # Items that nobody has and users without any change nothing.
    shifted = csr([{2 * i + 5 for i in row} for u in users for row in (rows[u], set())])
    assert percentile_rank(*shifted) == some


def test_users_to_look_at():
    counts = np.array([0, 3, 1, 0, 2])
    assert users_to_look_at(counts).tolist() == [1, 2, 4]
    assert users_to_look_at(np.zeros(3, int)).tolist() == []
    many = users_to_look_at(np.ones(50_000, int))
    assert len(many) == 20_000 and (np.diff(many) >= 2).all() and many[-1] >= 49_990
    assert len(users_to_look_at(np.full(50_000, 500))) == 2000
    assert len(users_to_look_at(np.full(3, 10**7))) == 1


def test_popularity_equals_its_naive_twin(rng):
    for n_items in (2, 3, 40):
        counts = rng.integers(0, 7, n_items) * (rng.random(n_items) < 0.8)
        counts[:2] += 1
        assert popularity_rank(counts) == pytest.approx(rank_by_popularity(counts), rel=1e-9)
    assert popularity_rank(counts) == popularity_rank(np.append(counts, [0, 0])[::-1])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([], 0.5), ([0, 0], 0.5), ([7], 0.5), ([4, 4, 4], 1.0), ([10**6, 1], 1e-6), ([2, 1], 2 / 3)],
)
def test_how_much_popularity_tells(counts, expected):
    assert popularity_rank(np.array(counts, np.int64)) == pytest.approx(expected, rel=1e-4)
