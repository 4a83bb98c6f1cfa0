"""What of its parts tells one fit from another; data are in the tests of checkpoints."""

import tripletrec as tr
from tripletrec.losses import Loss
from tripletrec.models.fingerprints import difference, fingerprint


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
