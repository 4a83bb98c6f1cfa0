"""The names that type checkers know are those of the built-in parts, and what the models take."""

from typing import get_args, get_type_hints

import pytest

import tripletrec as tr
from tripletrec import losses, optimizers, rates, sampling, scorers
from tripletrec.models import names


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


@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.TwoTower, tr.MLPMatcher])
def test_signatures_name_them(kind):
    hints = get_type_hints(kind.__init__)
    for name in ("loss", "optimizer", "sampler", "schedule"):
        default = getattr(kind(), name)
        assert default in (None, *get_args(get_args(hints[name])[0])), name
