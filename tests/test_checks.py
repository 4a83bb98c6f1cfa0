"""Parameters: what is taken, what is refused, and in which words."""

import math
from functools import partial

import numpy as np
import pytest

import tripletrec as tr
from tripletrec._checks import (
    check_choice,
    check_count,
    check_cutoffs,
    check_flag,
    check_n_jobs,
    check_non_negative,
    check_positive,
    check_random_state,
    check_share,
)
from tripletrec._runtime.cores import available_cores


@pytest.mark.parametrize(
    ("check", "taken"),
    [
        (check_positive, [1, 0.5, np.float32(2), np.int64(3)]),
        (check_non_negative, [0, 1e300]),
        (check_share, [0.5, np.float64(0.999)]),
        (partial(check_share, closed="left"), [0, np.float32(0.5)]),
        (partial(check_share, closed=True), [0, 1]),
    ],
)
def test_numbers_become_floats(check, taken):
    for value in taken:
        assert check(value, "x") == float(value) and type(check(value, "x")) is float


@pytest.mark.parametrize(
    ("check", "value", "error", "message"),
    [
        (check_positive, 0, ValueError, "x must be a finite number > 0, got 0"),
        (check_positive, math.inf, ValueError, "x must be a finite number > 0, got inf"),
        (check_positive, 1e-40, ValueError, "x must be at least 1.2e-38, got 1e-40"),
        (check_positive, True, TypeError, "x must be a finite number > 0, got True"),
        (check_non_negative, -1, ValueError, "x must be a finite number >= 0, got -1"),
        (check_non_negative, math.nan, ValueError, "x must be a finite number >= 0, got nan"),
        (check_share, 1.0, ValueError, r"x must be a number between 0 and 1 \(both excluded\), got 1.0"),
        (check_share, "1", TypeError, r"x must be a number between 0 and 1 .*, got '1'"),
        (partial(check_share, closed="left"), 1.0, ValueError, r"x must be a number from 0 to 1 \(1 exc"),
        (partial(check_share, closed=True), 1.1, ValueError, "x must be a number from 0 to 1, got 1.1"),
        (check_count, 0, ValueError, "x must be an integer >= 1, got 0"),
        (check_count, 2.0, TypeError, "x must be an integer >= 1, got 2.0"),
        (check_positive, np.timedelta64(8, "ns"), TypeError, "x must be a finite .* got .*timedelta64"),
        (check_count, np.timedelta64(8, "s"), TypeError, "x must be an integer >= 1, got .*timedelta64"),
        (check_flag, 1, TypeError, "x must be True or False, got 1"),
    ],
)  # fmt: skip
def test_what_is_refused(check, value, error, message):
    with pytest.raises(error, match=message):
        check(value, "x")


def test_a_share_may_be_closed():
    assert [check_share(each, "x", closed=True) for each in (0, 1)] == [0.0, 1.0]
    with pytest.raises(ValueError, match=r"x must be a number from 0 to 1, got 1.1"):
        check_share(1.1, "x", closed=True)


def test_flags_and_cutoffs():
    assert check_flag(np.bool_(True), "x") is check_flag(np.array(True), "x") is True
    assert check_cutoffs(3) == (3,) and check_cutoffs(np.array([2, 5])) == (2, 5)


def test_n_jobs():
    n_cores = available_cores()
    assert check_n_jobs(None, work=1e3) == 1, "a second thread is not worth it"
    assert check_n_jobs(None, work=1e12) == check_n_jobs(None) == check_n_jobs(-1) == n_cores
    assert check_n_jobs(-10_000) == 1 and check_n_jobs(np.int64(7)) == 7
    for wrong, error in ((0, ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"n_jobs must be None or .* other than 0, got {wrong}"):
            check_n_jobs(wrong)
    with pytest.raises(TypeError, match="n_jobs must be None or an integer .*timedelta64"):
        check_n_jobs(np.timedelta64(1, "s"))


def test_random_states():
    assert check_random_state(5) == 5
    generators = [np.random.default_rng(0), np.random.RandomState(0)]
    for generator in generators:
        one, two = check_random_state(generator), check_random_state(generator)
        assert one != two, "a generator advances"
        assert 0 <= one < 2**63
    assert check_random_state(None) != check_random_state(None)
    with pytest.raises(ValueError, match=r"random_state must be from 0 to 2\*\*63 - 1, got -1"):
        check_random_state(-1)
    with pytest.raises(TypeError, match="random_state must be None, an integer, .* got 'x'"):
        check_random_state("x")


@pytest.mark.parametrize("value", ["c", 3, ["a"], np.array(["a", "b"]), None, True])
def test_a_choice_is_one_of_a_few_names(value):
    check_choice("a", "way", "a", "b")
    check_choice(None, "way", "a", None)
    with pytest.raises(ValueError, match=r"way must be 'a', 'd' or 'b', got "):
        check_choice(value, "way", "a", "d", "b")


def test_names_of_parts_read_well():
    with pytest.raises(ValueError, match="optimizer must be one of .* or an Optimizer, got 'x'"):
        tr.MatrixFactorization(optimizer="x").fit(np.eye(2))
