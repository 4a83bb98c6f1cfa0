"""Parts are printed as the code that makes them."""

import re

import numpy as np
import pytest

import tripletrec as tr
from tripletrec import losses, optimizers, rates, sampling, scorers

BUILT_IN = [
    make()
    for known in (
        losses.LOSSES, losses.SEARCHING_LOSSES, losses.LIST_LOSSES, optimizers.OPTIMIZERS,
        scorers.SCORERS, sampling.SAMPLERS, sampling.HARD_SAMPLERS, rates.SCHEDULES,
    )
    for make in known.values()
]  # fmt: skip


@pytest.mark.parametrize("part", BUILT_IN, ids=repr)
def test_what_is_printed_can_be_pasted_back(part):
    assert " at 0x" not in repr(part)
    assert eval(repr(part), vars(tr) | {"losses": losses}) == part


def test_with_other_arguments(rng):
    share, number = float(rng.uniform(0.01, 0.99)), float(rng.uniform(0.01, 9))
    for make, arguments in (
        (losses.hinge, (number,)),
        (losses.softmax, (number,)),
        (losses.bsl, (number, float(rng.uniform(0.01, 9)))),
        (losses.ccl, (share, number)),
        (optimizers.adagrad, (number,)),
        (optimizers.adam, (share, share, number)),
        (sampling.popularity, (number,)),
        (sampling.explicit, (share,)),
        (sampling.dynamic, (3,)),
        (rates.cosine, (share,)),
    ):
        part = make(*arguments)
        text = repr(part)
        assert text.startswith(f"{make.__module__.split('.')[1]}.{part.name}("), text
        found = [float(each) for each in re.findall(r"=([^,)]+)", text)]
        np.testing.assert_allclose(found, arguments, rtol=1e-9)


@pytest.mark.parametrize("name", ["mine", "bpr", None, [3]], ids=str)
def test_those_of_a_user_have_a_name_and_no_address(name):
    loss = losses.Loss(name, lambda x, parameters: x, lambda x, parameters: 1.0)
    assert repr(loss) == f"<Loss {name!r}>"
    assert repr(tr.MatrixFactorization(loss=loss)) == f"MatrixFactorization(loss=<Loss {name!r}>)"
