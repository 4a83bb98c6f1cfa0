"""TwoTower: the contract, features, unseen users and items, what it learns."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from contract import EstimatorContract, assert_same, interactions, pairs

import tripletrec as tr

__all__ = ["pairs"]  # the contract's fixture


def make(**overrides):
    return tr.TwoTower(**{"n_factors": 6, "n_epochs": 3, **overrides})


class TestContract(EstimatorContract):
    def make(self, **overrides):
        return make(**overrides)


class TestContractWithLayers(EstimatorContract):
    learns_checkerboard = False

    def make(self, **overrides):
        settings = {"user_layers": (5, 4), "item_layers": (4,), "normalize": True, "dropout": 0.2}
        return make(**{**settings, **overrides})
