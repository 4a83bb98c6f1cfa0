"""Digests of data: what counts, and what does not."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.data.digests import digest_data


@pytest.mark.parametrize("changed", [{"values": [1.0, 3.0]}, {"timestamps": [4, 6]}])
def test_whole_data_are_values_and_times_too(changed):
    given = {"values": [1.0, 2.0], "timestamps": np.array([4, 5])}
    one, two = (
        tr.Interactions.from_arrays([0, 1], [1, 0], **each) for each in (given, given | changed)
    )
    assert digest_data(one) == digest_data(two)
    assert digest_data(one, whole=True) != digest_data(two, whole=True)
