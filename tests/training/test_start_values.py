"""Start values: equal to a naive twin, normal for any seed, functions of seed, table, row and place alone."""

import math

import numpy as np
import pytest
from scipy import stats

import naive_start
from tripletrec.training.start_values import ITEMS, USERS, _draw_first, start_rows


def drawn(rows, n_factors, *, seed=0, table=USERS, scale=1.0, n_numbers=1):
    width = -(-n_factors // 16) * 16
    into = np.full((len(rows), n_numbers, width), np.nan, np.float32)
    start_rows(np.asarray(rows), into, n_factors, scale=scale, seed=seed, table=table)
    assert not into[:, 0, n_factors:].any() and np.isnan(into[:, 1:]).all()
    return into[:, 0, :n_factors]


@pytest.fixture
def seed(rng):
    return int(rng.integers(2**62))


@pytest.mark.parametrize("n_factors", [1, 5, 16, 50])
@pytest.mark.parametrize("table", [USERS, ITEMS])
def test_same_bits_as_a_naive_twin(n_factors, table, seed, rng):
    rows = [*range(20), *rng.integers(2**40, size=20)]
    found = drawn(rows, n_factors, seed=seed, table=table, scale=0.3)
    expected = [naive_start.row(int(r), n_factors, seed, table) for r in rows]
    np.testing.assert_array_equal(found, np.float32(0.3) * np.array(expected, np.float32))
    exact = [naive_start.row(int(r), n_factors, seed, table, naive_start.exact_pair) for r in rows]
    # 1e-6 of a length of at most 6.6, and the rounding of u: where the length is 0, of its square.
    np.testing.assert_allclose(found, 0.3 * np.array(exact), rtol=0, atol=0.3 * 3e-4)
    assert np.median(abs(found - 0.3 * np.array(exact))) < 0.3 * 1e-6


@pytest.mark.parametrize("n_factors", [5, 16, 50])
def test_numpy_draws_what_the_loop_does(n_factors, seed):
    n_rows = 6_000 if n_factors == 50 else 20_000  # more than what NumPy draws in a process
    by_loop = drawn(range(n_rows), n_factors, seed=seed, scale=0.3)
    key = np.random.SeedSequence(seed, spawn_key=(USERS,)).generate_state(1, np.uint64)
    table = np.empty((n_rows, 16 * -(-n_factors // 16)), np.float32)
    _draw_first(np.arange(n_rows), key, np.float32(0.3), table)
    np.testing.assert_array_equal(table[:, :n_factors], by_loop)


def test_the_ends_of_a_pair():
    """Words as they come once in four billion: never 0, never out of bounds, near to what is exact."""
    for a in (0, 1, 2, 2**32 - 1, 2**32 - 200, 2**31, 0xB504F333, 0xB504F334):
        for b in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
            found = naive_start.pair(a, b)
            exact = naive_start.exact_pair(a, b)
            np.testing.assert_allclose(found, exact, rtol=0, atol=3e-4, err_msg=f"{a} {b}")
            assert 0 < math.hypot(*found) < 6.56, (a, b)


def test_normal_for_any_seed(seed):
    # Smallest p-value 1e-7: fails by chance once in a million runs.
    for table in (USERS, ITEMS):
        values = drawn(range(40_000), 16, seed=seed, table=table).astype(np.float64).ravel()
        n = len(values)
        assert stats.kstest(values, "norm").pvalue > 1e-7
        for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            assert abs(np.mean(values**power) - mean) < 6 * math.sqrt(variance / n)
        for beyond in (3, 4, 4.5):
            expected = 2 * n * stats.norm.sf(beyond)
            count = np.count_nonzero(abs(values) > beyond)
            assert stats.poisson.sf(count - 1, expected) > 1e-7
            assert stats.poisson.cdf(count, expected) > 1e-7


def test_neighbours_are_independent(seed):
    """Of columns, rows, tables and seeds: no correlation of values, signs or squares."""
    users, items = (drawn(range(8_001), 16, seed=seed, table=t) for t in (USERS, ITEMS))
    other = drawn(range(8_001), 16, seed=seed + 1)
    joined = np.hstack([users[:-1], users[1:], items[:-1], other[:-1]])
    columns = np.hstack([joined, joined**2, np.sign(joined)])
    columns = (columns - columns.mean(0)) / columns.std(0)
    found = columns.T @ columns / math.sqrt(len(columns))
    same = np.subtract.outer(*[np.arange(len(found))] * 2) % joined.shape[1] == 0
    assert abs(found[~same]).max() < 7  # 18,000 of about standard normal numbers


def test_values_are_functions_of_seed_table_row_and_place(seed):
    whole = drawn(range(50), 70, seed=seed)
    rows = [31, 4, 4, 49, 0]
    np.testing.assert_array_equal(drawn(rows, 7, seed=seed, n_numbers=3), whole[rows, :7])
    assert len(np.unique(abs(whole))) > 0.999 * whole.size
    for others in (
        drawn(range(50), 70, seed=seed, table=ITEMS),
        drawn(range(50), 70, seed=seed + 1),
    ):
        assert not (others == whole).any()
    assert drawn([], 7).shape == (0, 7)


@pytest.mark.parametrize(
    ("shape", "n_rows", "n_factors"),
    [((3, 1, 16), 2, 4), ((3, 1, 16), 3, 17), ((3, 1, 15), 3, 4), ((3, 0, 16), 3, 4)],
)
def test_shapes_that_do_not_fit_are_refused(shape, n_rows, n_factors):
    with pytest.raises(
        ValueError, match=rf"start values of {n_rows} rows of {n_factors} factors do not"
    ):
        start_rows(
            np.arange(n_rows), np.zeros(shape, np.float32), n_factors, scale=1, seed=0, table=USERS
        )
