"""partial_fit: its contract for each model, what is learnt from, features; ids are in `data/test_merging`."""

import pytest

import tripletrec as tr
from contracts.continuing import ContinuingContract

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


class TestFactorization(ContinuingContract):
    def make(self, **overrides):
        return tr.MatrixFactorization(**{"n_factors": 8, "n_epochs": 4, **overrides})


class TestListLoss(ContinuingContract):
    takes_negatives = False

    def make(self, **overrides):
        settings = {"n_factors": 8, "n_epochs": 4, **overrides}
        return tr.MatrixFactorization.preset("softmax", **settings)


class TestTwoTower(ContinuingContract):
    def make(self, **overrides):
        settings = {"n_factors": 6, "user_layers": 5, "item_layers": 5, "n_epochs": 4}
        return tr.TwoTower(**{**settings, **overrides})


class TestMLPMatcher(ContinuingContract):
    def make(self, **overrides):
        settings = {"n_user_factors": 4, "n_item_factors": 6, "hidden": (8,), "n_epochs": 4}
        return tr.MLPMatcher(**{**settings, **overrides})
