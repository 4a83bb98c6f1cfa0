"""MLPMatcher: the contract, its parameters, its scores, what it learns."""

import numpy as np
import pytest
from contract import EstimatorContract, pairs

import tripletrec as tr

__all__ = ["pairs"]  # the contract's fixture


def make(**overrides):
    settings = {"n_user_factors": 4, "n_item_factors": 6, "hidden": (8,), "n_epochs": 3}
    return tr.MLPMatcher(**{**settings, **overrides})


class TestContract(EstimatorContract):
    learns_checkerboard = False

    def make(self, **overrides):
        return make(**overrides)
