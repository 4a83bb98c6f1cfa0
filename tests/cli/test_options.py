"""Numbers as options take them: what is allowed, and the rule that is told."""

from argparse import ArgumentTypeError

import pytest

from tripletrec.cli import options


@pytest.mark.parametrize(
    ("parse", "allowed", "others", "rule"),
    [
        (options.count, {"1": 1, "10": 10}, ["0", "-1", "1.5", "x", ""], "an integer >= 1"),
        (options.seed, {"0": 0, "9223372036854775807": 2**63 - 1}, ["-1", "9223372036854775808", "1.0"],
         "from 0 to 2**63 - 1"),
        (options.positive, {"1e-9": 1e-9, "0.5": 0.5, "1e9": 1e9}, ["0", "-1", "inf", "nan", "x"],
         "a finite number > 0"),
        (options.share, {"0": 0.0, "0.5": 0.5, "1": 1.0}, ["-0.1", "1.1", "nan"],
         "a number from 0 to 1"),
    ],
    ids=["count", "seed", "positive", "share"],
)  # fmt: skip
def test_numbers(parse, allowed, others, rule):
    assert {text: parse(text) for text in allowed} == allowed
    for text in others:
        with pytest.raises(ArgumentTypeError) as caught:
            parse(text)
        assert str(caught.value) == f"must be {rule}, got {text!r}"
