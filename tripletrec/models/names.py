"""The names of built-in parts, for type checkers and editors; the parts are in their rooms."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "FactorLossName",
    "FactorSamplerName",
    "FeatureSamplerName",
    "LossName",
    "OptimizerName",
    "PresetName",
    "SamplerName",
    "ScheduleName",
    "ScorerName",
    "TripletLossName",
]

TripletLossName: TypeAlias = Literal["bpr", "sigmoid", "hinge"]
LossName: TypeAlias = Literal[TripletLossName, "softmax", "bsl", "ccl"]
FactorLossName: TypeAlias = Literal[LossName, "warp", "k-os warp"]
ScorerName: TypeAlias = Literal["dot", "cosine"]
OptimizerName: TypeAlias = Literal["sgd", "adagrad", "adam"]
SamplerName: TypeAlias = Literal[
    "uniform", "unseen", "popularity", "explicit", "dynamic", "semi_hard"
]
FactorSamplerName: TypeAlias = Literal[SamplerName, "graded"]
FeatureSamplerName: TypeAlias = Literal[SamplerName, "nearest"]
ScheduleName: TypeAlias = Literal["constant", "linear", "cosine"]
PresetName: TypeAlias = Literal["bpr", "softmax"]
