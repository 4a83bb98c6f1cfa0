"""What digests of functions tell apart, and what they leave undecided."""

import copy
import enum
import functools
import importlib
import itertools
import math
import operator
import pkgutil
import textwrap
import types
from typing import NamedTuple

import numba
import numpy as np
import pytest

import tripletrec
from tripletrec._runtime.digests import (
    PART_MARK,
    UndecidableError,
    digest_content,
    digest_function,
    note_compiled,
    reached_parts,
)
from tripletrec._runtime.jit import part


class Pair(NamedTuple):
    a: object
    b: object


def function_of(value):
    return lambda x: (value, x)


def same(first, second):
    return digest_function(function_of(first)) == digest_function(function_of(second))


@pytest.mark.parametrize(
    "values",
    [
        [1, 1.0, True, np.float32(1), np.float64(1), np.int32(1), 1 + 0j, "1", b"1", (1,)],
        [0.0, -0.0, np.float32(0.0), np.float32(-0.0), None, False, "", ()],
        [(1, (2, 3)), ((1, 2), 3), (1, 2, 3), (1, 2, (3,)), Pair(1, (2, 3))],
        [math.nan, math.inf, -math.inf, "nan"],
        [frozenset({1, 2}), frozenset({1, 3}), (1, 2), frozenset()],
        [
            np.zeros(4),
            np.zeros(5),
            np.zeros((2, 2)),
            np.zeros(4, np.float32),
            np.zeros(4, np.int64),
        ],
        [np.eye(2), np.asfortranarray(np.eye(2)), np.eye(2).ravel()],
        [np.float32, np.float64, float, np.dtype(np.float32), numba.float32, Pair],
        [math.exp, math.log, np.exp, np.log, np.dot, len, max, operator.add, operator.sub],
        [range(3), range(4), slice(3), slice(4), slice(0, 3)],
    ],
)
def test_values_that_differ_have_digests_that_differ(values):
    for first, second in itertools.combinations(values, 2):
        assert not same(first, second), (first, second)
    for value in values:
        assert same(value, copy.copy(value))


def texts_that_differ():
    yield from (
        "def f(x): return x", "def f(y): return y", "def f(x, y=1): return x",
        "def f(x, y=2): return x", "def f(x, *, y=2): return x", "def f(x, *, y=3): return x",
        "def f(x): return x + 1", "def f(x): return x + 2", "def f(x): return x - 1",
        "def f(x): return x + 1.0", "def f(x): return x + True", "def f(x): return sum(x)",
        "def f(x): return (lambda y: y + 1)(x)", "def f(x): return (lambda y: y + 2)(x)",
        "def f(x): return a", "def f(x): return b", "def f(x): return math.exp(x)",
        "def f(x): return math.log(x)", "def f(x): return m.exp(x)",
    )  # fmt: skip


def defined(text, **namespace):
    exec(text, namespace)
    return namespace["f"]


def test_functions_that_differ_have_digests_that_differ():
    values = {"a": 1, "b": 2, "math": math, "m": np}
    digests = [digest_function(defined(text, **values)) for text in texts_that_differ()]
    assert len(set(digests)) == len(digests)


def outside(S):
    """What functions may read, all from one value."""
    settings, package = types.ModuleType("settings"), types.ModuleType("package")
    helpers = types.ModuleType("helpers")
    settings.S, package.settings = S, settings
    helpers.helper = parts("@part\ndef helper(x): return S + x", S=S)["helper"]
    values = {"settings": settings, "package": package, "helpers": helpers, "Pair": Pair, "S": S}
    return values | {"PAIR": Pair(1, S), "NESTED": (0, (1, S)), "ARRAY": np.array([0.0, S])}


@pytest.mark.parametrize(
    "text",
    [
        "return S",
        "return settings.S",
        "return package.settings.S",
        "return helpers.helper(x)",
        "return PAIR.b",
        "return NESTED[1][1]",
        "return ARRAY[1]",
        "return Pair(x, S).b",
        "return (lambda y: y + S)(x)",
        "return [y + S for y in range(3)]",
        "def inside(y): return settings.S * y\n  return inside(x)",
        "S = 3; return settings.S + S",
    ],
)
def test_values_read_from_outside_matter(text):
    text = f"def f(x):\n  {text}"
    first, again, other = (digest_function(defined(text, **outside(S))) for S in (1.5, 1.5, 2.5))
    assert first == again != other


def test_closures_and_defaults_matter():
    def closure(value):
        return lambda x: x + value

    def default(value):
        def f(x, y=value, *, z=0):
            return x + y + z

        return f

    for function in (closure, default):
        first, again, other = (digest_function(function(value)) for value in (1.5, 1.5, 2.5))
        assert first == again != other


def test_names_and_places_of_functions_do_not_matter():
    first = defined("def f(x): return a + x", a=2)
    second = defined("\n\n\ndef g(x): return a + x\nf = g", a=2, b=3)
    assert digest_function(first) == digest_function(second)


def test_the_order_of_a_set_does_not_matter():
    numbers = [2**k for k in range(20)]
    assert same(frozenset(numbers), frozenset(numbers[::-1]))


class Colour(enum.Enum):
    RED = 1


class Plain:
    value = 1


class Masked(np.ndarray):
    pass


def undecided():
    @numba.njit
    def compiled(x):
        return x

    @numba.vectorize
    def vectorized(x):
        return x

    def not_a_part(x):
        return x

    yield from (compiled, vectorized, not_a_part, functools.wraps(np.sum)(not_a_part))
    yield from (functools.partial(len), Plain, Plain(), Plain().__init__, Colour, Colour.RED)
    yield from ([1], {1: 2}, {1}, bytearray(1), np.array([None]), np.zeros(2).view(Masked))
    yield from (np.ma.zeros(2), np.frompyfunc(len, 1, 1), np.vectorize(len), object(), iter([]))
    yield (1, [2])
    yield Pair(1, [2])


@pytest.mark.parametrize("value", list(undecided()), ids=lambda value: type(value).__name__)
def test_what_may_change_unseen_is_not_decided(value):
    with pytest.raises(UndecidableError):
        digest_function(function_of(value))
    module = types.ModuleType("settings")
    module.value = value
    with pytest.raises(UndecidableError):
        digest_function(defined("def f(x): return settings.value", settings=module))


def parts(text, **values):
    namespace = {"part": part, **values}
    exec(text, namespace)
    return namespace


CIRCLE = """
@part
def f(x): return g(x) + g(1)
@part
def g(x): return h(x)
@part
def h(x): return f(x) + 2
"""


def test_parts_that_call_each_other_end():
    found = parts(CIRCLE)
    digests = [digest_function(found[name]) for name in "fgh"]
    assert len(set(digests)) == 3
    again = parts(CIRCLE)
    assert [digest_function(again[name]) for name in "fgh"] == digests
    edited = parts(CIRCLE.replace("+ 2", "+ 3"))
    assert not {digest_function(edited[name]) for name in "fgh"} & set(digests)


def test_a_part_named_like_an_attribute_of_its_argument():
    digest_function(parts("@part\ndef bounds(plan): return plan.bounds[0]")["bounds"])


ONE_AND_TWO = """
@part
def one(x): return 1
@part
def two(x): return 2
@part
def f(x): return {}
"""


def test_which_part_is_called_where_matters():
    texts = ("one(x) - two(x)", "two(x) - one(x)", "one(x) - one(x)", "two(x) - two(x)")
    digests = {digest_function(parts(ONE_AND_TWO.format(text))["f"]) for text in texts}
    assert len(digests) == 4
    swapped = ONE_AND_TWO.replace("return 1", "return 0").replace("return 2", "return 1")
    swapped = swapped.replace("return 0", "return 2")
    for text in texts:
        assert digest_function(parts(swapped.format(text))["f"]) not in digests


def test_a_part_compiled_from_other_values_is_not_decided():
    namespace = parts("@part\ndef f(x): return S * x\n@part\ndef g(x): return f(x)", S=1)
    f = namespace["f"]
    caller = defined("def f(x): return g(x)", g=namespace["g"])
    before = digest_function(caller)
    note_compiled(f)
    assert digest_function(caller) == before
    namespace["S"] = 2
    with pytest.raises(UndecidableError, match="f was compiled when it read other values"):
        digest_function(caller)
    namespace["S"] = 1
    assert digest_function(caller) == before
    namespace["S"] = 2
    note_compiled(f)  # for other types, say
    for S in (1, 2):
        namespace["S"] = S
        with pytest.raises(UndecidableError, match="f was compiled"):
            digest_function(caller)


def test_a_part_compiled_when_it_was_undecidable_stays_so():
    namespace = parts("@part\ndef f(x): return S", S=[1])
    note_compiled(namespace["f"])
    namespace["S"] = 1
    with pytest.raises(UndecidableError, match="f was compiled"):
        digest_function(defined("def f(x): return g(x)", g=namespace["f"]))


def test_modules_that_name_each_other_end():
    first, second = types.ModuleType("first"), types.ModuleType("second")
    first.second, second.first, second.S = second, first, 1
    f = defined(
        "def f(x): return first.second.S + second.first.second.S", first=first, second=second
    )
    before = digest_function(f)
    assert digest_function(f) == before
    second.S = 2
    assert digest_function(f) != before


def test_parts_are_reached_through_whatever_calls_them():
    @part
    def hidden(x):
        return x

    @numba.njit
    def compiled(x):
        return hidden(x)

    def not_a_part(x, more=(hidden,)):
        return compiled(x)

    assert reached_parts(lambda x: (not_a_part(x), [])) == [hidden]
    assert reached_parts(lambda x: x) == []


class Lazy(types.ModuleType):
    def __getattr__(self, name):
        if name == "S":
            return 3
        raise ImportError(f"no {name} here")


def test_a_module_that_makes_its_attributes_when_asked():
    lazy = Lazy("lazy")
    f = parts("@part\ndef f(x): return lazy.S + x.shape", lazy=lazy)["f"]
    assert reached_parts(f) == [f]
    note_compiled(f)
    assert digest_function(f) != digest_function(parts("@part\ndef f(x): return x", lazy=1)["f"])


def test_a_value_that_cannot_be_looked_at_is_no_error_when_compiling():
    f = parts("@part\ndef f(x): return S", S=10**10_000)["f"]  # has no text in Python
    note_compiled(f)
    assert reached_parts(f) == [f]


def modules():
    for each in pkgutil.walk_packages(tripletrec.__path__, "tripletrec."):
        yield importlib.import_module(each.name)


def test_every_part_and_kernel_of_the_package_is_decided():
    names = set()
    for module in modules():
        for name, value in vars(module).items():
            function = getattr(value, "py_func", value)
            if hasattr(function, PART_MARK) or function is not value:
                digest_function(function)
                names.add(name)
    assert {"bits", "exp_of_negative"} <= names


class Holder:
    def __init__(self, value):
        self.value = value

    def method(self):
        return self.value


def test_contents_are_told_apart_where_functions_are_undecided():
    listed = function_of([1])
    with pytest.raises(UndecidableError):
        digest_function(listed)

    def makers():
        yield from (
            function_of(each) for each in ([1], [2], {1}, {"a": 1}, {"a": 2}, Holder(1), Holder(2))
        )
        yield from (
            Holder(1).method,
            Holder(2).method,
            functools.partial(len, 1),
            functools.partial(len, 2),
        )
        yield from (
            np.array([1, "a"], object),
            np.array([1, "b"], object),
            np.ma.masked_less([1, 2], 0),
        )
        yield from (numba.njit(function_of(each)) for each in (3, 4))
        yield from (np.random.default_rng(1), np.random.default_rng(2), Holder, open, None)

    digests = [digest_content(each) for each in makers()]
    assert len(set(digests)) == len(digests)
    assert [digest_content(each) for each in makers()] == digests


def test_contents_may_hold_themselves_and_others_by_name():
    holder = Holder(None)
    holder.value = [holder, lambda: holder]
    assert digest_content(holder) == digest_content(holder)
    # Of other modules, but for parts, that they are there.
    assert digest_content(function_of(textwrap.dedent)) != digest_content(
        function_of(textwrap.fill)
    )
    assert digest_content([{3, 1, 2}]) == digest_content([{2, 3, 1}]) != digest_content([[1, 2, 3]])
