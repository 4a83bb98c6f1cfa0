"""A user's parts. Each differs from version to version: in its text (a test replaces 2.5) or by a value."""

import json
import math
import os

import numpy as np
import settings
from engine import measure
from helpers import helper, jitted, overloaded, registered, vectorized
from toolbox import Weights

from tripletrec import part
from tripletrec._runtime.digests import digest_function

S = np.float32(os.environ["S"])
TABLE, WEIGHTS = np.array([0.0, S]), Weights(S, 2.5)


@part
def own_text(x):
    return x * 2.5 - 2.0


@part
def helper_of_another_file(x):
    return helper(x) + 1.0


@part
def global_value(x):
    return x * S


@part
def attribute_of_a_module(x):
    return x * settings.S


@part
def default_argument(x, factor=S):
    return x * factor


@part
def named_tuple(x):
    return x * WEIGHTS.a + WEIGHTS.b


@part
def array(x):
    return x * TABLE[1]


def closure(factor):
    @part
    def times(x):
        return x * factor

    return times


cell = "@part\ndef in_cell(x):\n    return x * 2.5"
exec(compile(cell, "<ipython-input-3-0123456789ab>", "exec"), globals())
namespace = {"part": part, "S": S}
exec("@part\ndef executed(x):\n    return x * S - 3.0", namespace)

KEPT = (
    own_text, helper_of_another_file, global_value, attribute_of_a_module, default_argument, named_tuple,
    array, globals()["in_cell"], namespace["executed"],
)  # fmt: skip


@part
def of_njit(x):
    return jitted(x)


@part
def of_vectorize(x):
    return vectorized(x)


@part
def of_register_jitable(x):
    return registered(x)


@part
def of_overload(x):
    return overloaded(x)


@part
def of_overloaded_method(x):
    return x.times_version()


@part
def of_overloaded_library(x):
    return x * math.perm(3, 3)


NOT_KEPT = {
    of_njit: None, of_vectorize: None, of_register_jitable: None, of_overload: None,
    of_overloaded_method: 3 * 2.5, of_overloaded_library: 3 * 6 * 2.5,
}  # fmt: skip


@part
def constants(x):
    return x in {"a", "b", "c", "d", (1, "e"), -0.0}


def kept():
    measured = {each.__name__: measure(each) for each in KEPT}
    measured["closure"], measured["other closure"] = measure(closure(S)), measure(closure(S + 10))
    measured["lambda"] = measure(part(lambda x: x * 2.5 - 1))
    return measured


def not_kept():
    return {each.__name__: measure(each, expected) for each, expected in NOT_KEPT.items()}


if __name__ == "__main__":
    report = {"kept": kept(), "digest": digest_function(constants).hex()}
    if "ONLY_KEPT" not in os.environ:
        report["not kept"] = not_kept()
    print(json.dumps(report))
