"""Samplers of negatives, re-exported from `samplers`; how they draw is in `draw`, what is hard in `hard`."""

from tripletrec.sampling.samplers import (
    HARD_SAMPLERS,
    SAMPLERS,
    UNIFORM,
    UNSEEN,
    Sampler,
    dynamic,
    explicit,
    graded,
    nearest,
    popularity,
    semi_hard,
)

__all__ = [
    "HARD_SAMPLERS",
    "SAMPLERS",
    "UNIFORM",
    "UNSEEN",
    "Sampler",
    "dynamic",
    "explicit",
    "graded",
    "nearest",
    "popularity",
    "semi_hard",
]
