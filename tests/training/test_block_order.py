"""Users and interactions by user blocks on a disk: each part is what `cut_part` cuts of the whole."""

import numpy as np
import pytest

from contracts.support import interactions
from training.fits import negatives_of, start, weights_of
from tripletrec import sampling
from tripletrec._runtime.scratch import ScratchFolder
from tripletrec.training.block_order import BlockOrder, PartsOnDisk
from tripletrec.training.user_parts import cut_part


@pytest.fixture(scope="module")
def data():
    return interactions(40, 300, 3000)


def assert_equal_parts(found, expected, *, only_known=False):
    assert found.block == expected.block
    np.testing.assert_array_equal(found.numbers.users, expected.numbers.users)
    np.testing.assert_array_equal(found.users.bounds, expected.users.bounds)
    pairs = [(found.positives[k], expected.positives[k]) for k in (0, 1)]
    if not only_known:
        pairs.append((found.positives.weights, expected.positives.weights))
        assert (found.given is None) == (expected.given is None)
        if expected.given is not None:
            pairs.append((found.positives.numbers, expected.positives.numbers))
            pairs += zip(found.given, expected.given, strict=True)
        assert (found.n_lower is None) == (expected.n_lower is None)
        if expected.n_lower is not None:
            pairs.append((found.n_lower, expected.n_lower))
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.flags.writeable == theirs.flags.writeable


@pytest.mark.parametrize("kind", ["plain", "weights", "given", "graded"])
def test_parts_are_those_of_the_whole(kind, data, tmp_path, rng):
    options = {
        "plain": {},
        "weights": {"weights": weights_of(data)},
        "given": {"given": negatives_of(data)},
        "graded": {"sampler": sampling.graded(0.5)},
    }[kind]
    training = start(data, **options)
    whole, n_parts = training.part, training.epoch_layout.strata.n_user_blocks
    order = BlockOrder(*whole.users[:2])
    at_once = int(rng.integers(1, 400))
    parts = PartsOnDisk(
        ScratchFolder(tmp_path), order, n_parts, data, options.get("weights"), options.get("given"),
        graded=kind == "graded", at_once=at_once,
    )  # fmt: skip
    buffers, expected = parts.buffers(), [cut_part(whole, a, n_parts) for a in range(n_parts)]
    assert parts.most() == max(len(each.positives.indices) for each in expected)
    first = 0
    for a in rng.permutation(n_parts).tolist():
        assert_equal_parts(parts.read(a, buffers), expected[a])
        assert_equal_parts(parts.known(a), expected[a], only_known=True)
    for a in range(n_parts):
        assert parts.first_of(a) == first
        first += len(expected[a].positives.indices)


def test_runs_of_rows_are_in_each_block_where_they_are(rng):
    bounds = np.array([0, 4, 4, 7, 12])
    rows = rng.permutation(12).astype(np.int32)
    for a, b in zip(bounds[:-1], bounds[1:], strict=True):
        rows[a:b].sort()
    order = BlockOrder(rows, bounds)
    first, last = np.sort(rng.choice(13, 2, replace=False)).tolist()
    found = [rows[a:b] for a, b in order.runs(first, last)]
    assert sorted(np.concatenate(found).tolist()) == list(range(first, last))
    assert all((np.diff(each) > 0).all() for each in found)
