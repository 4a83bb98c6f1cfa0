"""Which cases of a test are quick, and how many examples; the others are run with ``--thorough``.

A quick test checks each thing once. What checks it in more combinations, with more seeds or in further
processes is thorough: see "Tests" in CONTRIBUTING.md.
"""

import hypothesis
import pytest

__all__ = ["examples", "quick", "quick_rows"]


def quick(cases, *chosen):
    """Return all cases, one value each; those not chosen are thorough."""
    return [
        each if each in chosen else pytest.param(each, marks=pytest.mark.thorough) for each in cases
    ]


def quick_rows(cases, *chosen):
    """Return all cases, a value for each name of the parametrisation; those not chosen are thorough."""
    return [
        each if each in chosen else pytest.param(*each, marks=pytest.mark.thorough)
        for each in cases
    ]


def examples(n):
    """Let Hypothesis try n examples when thorough, otherwise a share of them as of its own number."""
    share = hypothesis.settings.default.max_examples / 100
    return hypothesis.settings(max_examples=max(5, round(n * share)))
