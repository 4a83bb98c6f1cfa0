"""What of its parts tells one fit from another; data are in the tests of checkpoints."""

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.losses import Loss
from tripletrec.models.fingerprints import difference, digest_data, fingerprint


@tr.part
def slope(x, parameters):
    return -1.0


def fingerprint_of(value, parameters=()):
    model = tr.MatrixFactorization(4, loss=Loss("own", value, slope, parameters=parameters))
    return fingerprint(model, model._plan())


def undecided(margin):
    """A part that reads a list, whose digest kernels do without."""
    numbers = [margin]

    @tr.part
    def value(x, parameters):
        return numbers[0] - x

    return value


def test_numbers_of_a_part_count():
    one, two = fingerprint_of(slope, (1.0,)), fingerprint_of(slope, (2.0,))
    assert difference(one, one) is None
    assert difference(one, two).startswith("loss is Loss(name='own', parameters=(1")


def test_what_a_part_reads_counts_where_it_has_no_digest_for_kernels():
    one, two = fingerprint_of(undecided(1.0)), fingerprint_of(undecided(2.0))
    assert difference(one, two) == "the code of the loss has changed"
    assert difference(one, fingerprint_of(undecided(1.0))) is None


@pytest.mark.parametrize("changed", [{"values": [1.0, 3.0]}, {"timestamps": [4, 6]}])
def test_whole_data_are_values_and_times_too(changed):
    given = {"values": [1.0, 2.0], "timestamps": np.array([4, 5])}
    one, two = (
        tr.Interactions.from_arrays([0, 1], [1, 0], **each) for each in (given, given | changed)
    )
    assert digest_data(one) == digest_data(two)
    assert digest_data(one, whole=True) != digest_data(two, whole=True)
