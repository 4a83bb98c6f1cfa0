"""A warning names the line of the user's code, however deep in the package it is issued."""

import warnings

import numpy as np
import pytest

import tripletrec as tr
from tripletrec._runtime.messages import (
    said_by,
    shorten,
    shown,
    shown_names,
    warn_of_all,
    warn_user,
    warnings_of,
)


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


class Broken:
    def __repr__(self):
        raise RuntimeError


def test_values_are_shown_in_one_short_line():
    assert shown("a\n b") == r"'a\n b'" and shown(np.arange(2)) == "array([0, 1])"
    assert shown(Broken()) == "<Broken>" and shown(10**5000) == "<int>"
    assert shorten(" two\n lines ") == "two lines" and len(shorten("long" * 100)) <= 160
    long = shown("x" * 10**6)
    assert len(long) < 80 and long.startswith("'xxx") and long.endswith("xxx'")


def test_what_just_fits_is_shown_whole():
    assert shorten("x" * 160) == "x" * 160 and shown("x" * 78) == repr("x" * 78)
    assert shorten("a" * 90 + "z" * 71) == "a" * 80 + "..." + "z" * 40


def test_names_are_shown_with_commas():
    assert shown_names(["a", 2]) == "'a', 2" and shown_names([]) == ""
    assert shown_names(f"column {n}" for n in range(99)).endswith("'column 98'")


def test_errors_are_named_in_one_short_line():
    assert said_by(KeyError("a")) == "KeyError: 'a'" and said_by(TypeError()) == "TypeError: "
    assert "\n" not in said_by(ValueError("a\nb")) and len(said_by(ValueError("x" * 999))) < 180


def test_warnings_of_several_are_one():
    said = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, n in (("a", 3), ("b", 3), ("c", 41)):
            with warnings_of(name, said):
                warn_user(f"{n} lost")
    with pytest.raises(ZeroDivisionError), warnings_of("d", said):
        1 // 0  # noqa: B018
    with pytest.warns(UserWarning) as found:
        warn_of_all(said)
        warn_user("alone")
    assert [str(each.message) for each in found] == ["a, b: 3 lost; c: 41 lost", "alone"]
    assert {each.filename for each in found} == {__file__}
