"""The names that type checkers know are those of the built-in parts, and what the models take."""

from typing import get_args, get_type_hints

import pytest

import tripletrec as tr
from tripletrec import losses, optimizers, rates, sampling, scorers
from tripletrec.models import companions, mlp_plans, names, tower_plans


def test_they_are_the_names_of_the_parts():
    for alias, known in (
        (names.TripletLossName, losses.LOSSES),
        (names.LossName, {**losses.LOSSES, **losses.LIST_LOSSES}),
        (
            names.FactorLossName,
            {**losses.LOSSES, **losses.LIST_LOSSES, **losses.SEARCHING_LOSSES},
        ),
        (names.ScorerName, scorers.SCORERS),
        (names.OptimizerName, optimizers.OPTIMIZERS),
        (names.ScheduleName, rates.SCHEDULES),
    ):
        assert get_args(alias) == tuple(known)
    everywhere = set(get_args(names.SamplerName))
    assert everywhere | {"nearest", "graded"} == {*sampling.SAMPLERS, *sampling.HARD_SAMPLERS}
    assert set(get_args(names.FeatureSamplerName)) == everywhere | {"nearest"}
    assert set(get_args(names.FactorSamplerName)) == everywhere | {"graded"}


# What has no number of its own takes, as the docstrings say, that of "adagrad".
OF_ADAGRAD = {tr.TwoTower: {"sgd"}, tr.MLPMatcher: set(), tr.MatrixFactorization: set()}


def test_every_loss_and_optimizer_has_numbers_of_its_own_or_is_known_to_have_none():
    every = {**losses.LOSSES, **losses.SEARCHING_LOSSES, **losses.LIST_LOSSES}
    assert companions.COMPANIONS.keys() == every.keys()
    assert mlp_plans.RATES.keys() == losses.LOSSES.keys()
    rates_of = {
        tr.MatrixFactorization: [row["learning_rate"] for row in companions.COMPANIONS.values()],
        tr.MLPMatcher: mlp_plans.RATES.values(),
        tr.TwoTower: tower_plans.BY_LOSS["learning_rate"],
    }
    for kind, tables in rates_of.items():
        for each in tables:
            assert each.keys() | OF_ADAGRAD[kind] == optimizers.OPTIMIZERS.keys(), kind


@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.TwoTower, tr.MLPMatcher])
def test_signatures_name_them(kind):
    hints = get_type_hints(kind.__init__)
    for name in ("loss", "optimizer", "sampler", "schedule"):
        default = getattr(kind(), name)
        assert default in (None, *get_args(get_args(hints[name])[0])), name
