"""Tables of factors: how they start and are released."""

import numpy as np
import pytest

from training.fits import NAMES
from tripletrec import optimizers
from tripletrec.training.plan import Factors
from tripletrec.training.tables import FactorTables

OPTIMIZERS = [make() for make in optimizers.OPTIMIZERS.values()]


def start(n_users, n_items, optimizer, n_factors=5, **options):
    return FactorTables.start(
        n_users, n_items, n_factors, optimizer, **{"scale": 0.1, "seed": 3, **options}
    )


def assert_equal(one, two):
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_start(optimizer):
    tables = start(7, 4, optimizer)
    n_state = len(optimizer.state)
    assert tables.users.shape == (7, 1 + n_state, 16)
    assert tables.items.shape == (4, 1 + n_state, 16)
    assert tables.biases.shape == (4, 1 + n_state, 1)
    assert tables.users.ctypes.data % 64 == tables.items.ctypes.data % 64 == 0
    assert (tables.users[:, 0, 5:] == 0).all() and (tables.biases[:, 0] == 0).all()
    for table in (tables.users, tables.items, tables.biases):
        for number, value in enumerate(optimizer.state, 1):
            assert (table[:, number] == np.float32(value)).all()
    for counts in (tables.user_step_counts, tables.item_step_counts):
        assert (counts == np.array(optimizer.step_counts, np.float32)).all()


def test_factors_are_normal():
    factors = start(9000, 5000, optimizers.SGD, 16, scale=0.5).factors
    for rows in factors[:2]:
        assert abs(rows.mean()) < 6 * 0.5 / np.sqrt(rows.size)
        assert abs(rows.std() - 0.5) < 6 * 0.5 / np.sqrt(2 * rows.size)


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_start_is_the_same_at_any_number_of_threads(n_jobs):
    assert_equal(
        start(9000, 5000, optimizers.SGD), start(9000, 5000, optimizers.SGD, n_jobs=n_jobs)
    )


def test_a_row_begins_alike_in_tables_of_any_size():
    small, large = start(4095, 4097, optimizers.SGD), start(8195, 4098, optimizers.SGD)
    np.testing.assert_array_equal(large.users[:4095], small.users)
    np.testing.assert_array_equal(large.items[:4097], small.items)


def test_what_is_done_beside_sees_the_tables():
    seen = []
    tables = start(3, 2, optimizers.SGD, beside=seen.append)
    assert seen == [tables]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_release_gives_arrays_of_their_own(optimizer):
    tables = start(700, 4000, optimizer)  # the state takes more than the page they may begin with
    expected = [each.copy() for each in tables.factors]
    for released in (tables.release(), tables.release()):  # as after an interrupt
        for each, wanted in zip(released, expected, strict=True):
            np.testing.assert_array_equal(each, wanted)
            assert each.flags.c_contiguous
            assert each.base is None or each.base.nbytes <= each.nbytes + 4096
    assert tables.user_step_counts.size == tables.item_step_counts.size == 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda each: each.name)
def test_rows_that_begin_with_something_take_steps_as_long_as_others(optimizer, rng):
    old, larger = start(7, 4, optimizer), start(10, 6, optimizer)
    for table in (old.users, old.items, old.biases):
        table[:, 1:] = rng.uniform(1, 2, table[:, 1:].shape)
    at_start = larger.users[:, 1:].copy()
    begun = Factors(*(np.ones(shape, np.float32) for shape in ((9, 5), (6, 5), (6,))))
    begun.user_factors[3] = 0.0  # of whom nothing was known: from zeros a cosine cannot be learnt
    row = larger.users[3, 0].copy()
    larger.take_up(begun, old.row_state())
    np.testing.assert_array_equal(larger.users[3, 0], row)
    assert (larger.users[[2, 4], 0, :5] == 1).all() and (larger.biases[:, 0] == 1).all()
    means = old.users[:, 1:, :5].mean(axis=2)
    np.testing.assert_allclose(larger.users[:7, 1:, 0], means, rtol=1e-6)
    if optimizer.step_counts:
        np.testing.assert_array_equal(larger.users[7:, 1:], at_start[7:])
    else:
        np.testing.assert_allclose(larger.users[8, 1:, 0], means.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(
            larger.biases[5, 1:, 0], old.biases[:, 1:, 0].mean(axis=0), rtol=1e-6
        )
    np.testing.assert_array_equal(larger.users[9, 1:], at_start[9])
