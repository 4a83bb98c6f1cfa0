"""A warning names the line of the user's code, however deep in the package it is issued."""

import warnings

import pytest

import tripletrec as tr
from tripletrec._runtime.user_warning import warn_user


def test_it_names_the_line_of_the_caller_outside_the_package():
    with pytest.warns(UserWarning, match="^look here$") as found:
        warn_user("look here")
    assert found[0].filename == __file__


def test_also_from_deep_inside():
    pairs = [(1, 2), (1, 3), (2, 3)]
    for call in (
        lambda: tr.Interactions(pairs),
        lambda: tr.MatrixFactorization(n_factors=4, n_epochs=1).fit(pairs),
    ):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert [each.filename for each in found if "pairs" in str(each.message)] == [__file__]
