"""MatrixFactorization: the contract, and what is its own."""

import pytest
from contract import *  # noqa: F403
from contract import EstimatorContract

import tripletrec as tr


class TestContract(EstimatorContract):
    def make(self, **overrides):
        return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})
