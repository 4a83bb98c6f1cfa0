"""Parts that are none: what is said of them, and that right ones pass."""

import math

import numpy as np
import pytest

from tripletrec import part
from tripletrec._runtime.jit import CompilationError, kernel
from tripletrec._runtime.part_checks import (
    PartField,
    check_fields,
    check_name,
    check_numbers,
    explain,
    is_finite,
    once,
)

RULE = (
    "loss 'mine': value must be a function marked with tripletrec.part of (x, parameters) that returns "
    "a number"
)


def field(function, n_numbers=1, examples=((-0.5, ()), (0.5, ()))):
    examples = tuple((np.float32(x), parameters) for x, parameters in examples)
    return PartField(
        "loss 'mine'", "value", function, ("x", "parameters"), "a number", n_numbers, examples
    )


@part
def _half(x, parameters):
    return 0.5 * x


@part
def _needs_more(x, parameters, more):
    return x


@part
def _falls_short(x):
    return x


@part
def _forgets(x, parameters):
    x * 2.0


@part
def _complains(x, parameters):
    raise ValueError("no such luck")


@part
def _beyond(x, parameters):
    return parameters[3]


@part
def _sees_nothing(x, parameters):
    return no_such_name * x  # noqa: F821


@part
def _takes_roots(x, parameters):
    return math.sqrt(x)


RIGHT = [
    _half, part(lambda x, p=(): x), part(lambda *both: both[0]), part(lambda x, p: 1),
    part(lambda x, p: x > 0),
]  # fmt: skip


@pytest.mark.parametrize("function", RIGHT)
def test_what_may_be_a_part(function):
    check_fields([field(function)])


@pytest.mark.parametrize(
    ("function", "kind", "message"),
    [
        (None, TypeError, "{}, got None"),
        ("bpr", TypeError, "{}, got 'bpr'"),
        (3, TypeError, "{}, got 3"),
        (lambda x, p: x, TypeError, "{}, got <lambda>, which is not marked"),
        (math.exp, TypeError, "{}, got exp, which is not marked"),
        (_needs_more, TypeError, "{}, got _needs_more(x, parameters, more)"),
        (_falls_short, TypeError, "{}, got _falls_short(x)"),
        (_forgets, TypeError, "{}, got one that returns None"),
        (part(lambda x, p: "a"), TypeError, "{}, got one that returns 'a'"),
        (part(lambda x, p: (1.0, 2.0)), TypeError, "{}, got one that returns (1.0, 2.0)"),
        (part(lambda x, p: 1j), TypeError, "{}, got one that returns 1j"),
        (_sees_nothing, TypeError, "{}; it raised NameError: name 'no_such_name' is not defined"),
        (_complains, ValueError, "{}; it raised ValueError: no such luck"),
        (_beyond, ValueError, "{}; it raised IndexError: tuple index out of range"),
        (part(lambda x, p: math.nan), FloatingPointError, "loss 'mine' returned nan at x = -0.5: its value "
         "must be finite for finite numbers"),
        (part(lambda x, p: 1.0 / (x - 0.5)), FloatingPointError, "loss 'mine' returned inf at x = 0.5: its "
         "value must be finite for finite numbers"),
        # In Python a ValueError, but NaN when compiled, as in training.
        (_takes_roots, FloatingPointError, "loss 'mine' returned nan at x = -0.5: its value must be finite "
         "for finite numbers"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[:20],
)  # fmt: skip
def test_what_is_said_of_others(function, kind, message):
    with pytest.raises(kind) as caught:
        check_fields([field(function)])
    assert str(caught.value) == message.format(RULE)


def test_two_numbers_are_wanted():
    two = part(lambda x, parameters: (x, 1.0))
    check_fields([field(two, n_numbers=2)])
    with pytest.raises(TypeError, match="got one that returns "):
        check_fields([field(_half, n_numbers=2)])


def test_what_is_written_must_be_finite_and_within_the_array():
    @part
    def write(table, at, value):
        table[at] = value

    def check(at, value):
        arguments = (np.zeros(2, np.float32), at, value)
        names = ("table", "at", "value")
        check_fields(
            [PartField("optimizer 'mine'", "update", write, names, "nothing", 0, (arguments,))]
        )
        assert not arguments[0].any()

    check(1, 3.0)
    with pytest.raises(
        FloatingPointError, match="optimizer 'mine' wrote inf at at = 1, value = inf"
    ):
        check(1, math.inf)
    with pytest.raises(ValueError, match="it raised IndexError: index 2 is out of bounds"):
        check(2, 3.0)


def test_what_numba_cannot_compile_is_found_among_the_parts():
    secret = object()

    @part
    def keeps_a_secret(x, parameters):
        return x if secret is not None else 0.0

    @part
    def makes_a_list(x, parameters):
        return float(len([x]))

    for wrong, reason in (
        (keeps_a_secret, "secret"),
        (makes_a_list, "makes an array or another object"),
    ):
        fields = [field(_half), field(wrong)]
        check_fields(fields)  # it runs in Python

        @kernel
        def work(numbers, wrong=wrong):
            numbers[0] = wrong(numbers[0], ())

        with pytest.raises(CompilationError) as caught:
            work(np.ones(1, np.float32))
        error = explain(fields, caught.value)
        assert type(error) is TypeError
        assert str(error).startswith(f"{RULE}, but Numba cannot compile it: ")
        assert reason in str(error) and len(str(error)) < 400 and "\n" not in str(error)
        together = explain([field(_half)], caught.value)
        assert str(together).startswith("the parts cannot be compiled together: ")


def test_names_and_numbers_of_records():
    assert check_name("mine", "loss") == "loss 'mine'"
    with pytest.raises(TypeError, match="name of a loss must be a string, got 3"):
        check_name(3, "loss")
    check_numbers((), "loss 'mine'", "parameters")
    check_numbers((1, 2.5, np.float32(3)), "loss 'mine'", "parameters")
    for wrong in ([1.0], 1.0, None, ("a",), (1j,)):
        with pytest.raises(
            TypeError, match="loss 'mine': parameters must be a tuple of numbers, got"
        ):
            check_numbers(wrong, "loss 'mine'", "parameters")
    for wrong in (math.nan, math.inf, 10**400):
        with pytest.raises(ValueError, match="parameters must be a tuple of finite numbers"):
            check_numbers((wrong,), "loss 'mine'", "parameters")


def test_a_record_that_has_passed_is_not_checked_again():
    seen = []
    check = once(seen.append)
    for record in ((1, 2), (1, 2), [3], [3], (1, 2)):
        check(record)
    assert seen == [(1, 2), [3], [3]]


def test_small_things():
    assert is_finite(3) and is_finite(np.float32(0.5))
    assert not any(map(is_finite, (math.nan, -math.inf, 10**400)))
