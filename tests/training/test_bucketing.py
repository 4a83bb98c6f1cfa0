"""Preparing an epoch: buckets, the order of a stratum's triplets, its negatives."""

import numpy as np
import pytest

import naive
import tripletrec as tr
from contracts.support import interactions
from tripletrec import sampling
from tripletrec.sampling.draw import NONE_LEFT, ItemsOfUsers, Pool, RowNumbers
from tripletrec.training.bucketing import (
    Buckets,
    GivenNegatives,
    Stored,
    UserPositives,
    bucket,
    bucket_first,
    draw_negatives,
    shuffle_strata,
)
from tripletrec.training.dealing import deal
from tripletrec.training.strata import codes_of, drawn_strata, given_strata
from tripletrec.training.triplet_records import Triplets

# -------------------------------------------------------------------- buckets


class Bucketed:
    """Interactions in buckets, each with a weight that tells which one it is."""

    def __init__(self, data, n_negatives=0, n_tasks=1, weighted=True, by_numpy=False):
        """Bucket `data`; with `n_negatives` from given ones, which here are half of them."""
        self.strata = (given_strata if n_negatives else drawn_strata)(4)
        self.codes = codes_of(self.strata, *data.space.shape)
        self.users = deal(np.arange(data.n_users, dtype=np.int32), self.strata.n_user_blocks, 3)
        self.items = deal(np.arange(data.n_items, dtype=np.int32), self.strata.n_item_blocks, 4)
        n_stored = data.nnz * max(1, n_negatives)
        self.stored = Stored(
            np.zeros(n_stored, self.codes.dtype),
            np.zeros(n_stored if n_negatives else 0, np.int32),
            np.zeros(n_stored if weighted else 0, np.float32),
        )
        weights, others = np.arange(data.nnz, dtype=np.float32), (data.indices + 1) % data.n_items
        weights = weights if weighted else weights[:0]
        for array in (weights, others):
            array.flags.writeable = (
                False  # as in a fit, for whose types the kernel is compiled anyhow
            )
        positives = UserPositives(data.indptr, data.indices, weights, data.indptr[:-1])
        given = None
        if n_negatives:
            own = ItemsOfUsers(data.indptr, others)
            pool = Pool(self.items.order, None)
            given = GivenNegatives(np.uint64(5), own, None, 0.5, pool, False, n_negatives)
        n_strata = len(self.strata.item_block)
        sizes = np.zeros((self.strata.n_user_blocks, n_strata), np.int64)
        self.starts = np.zeros(n_strata + 1, np.int64)
        for place in (False, True):
            step = self.strata.n_user_blocks // n_tasks
            for first in range(0, self.strata.n_user_blocks, step):
                blocks = first, first + step, self.users, self.items, positives
                rest = self.strata.stratum, self.codes[:2], place, self.starts, sizes, self.stored
                bucket_first(*blocks, *rest) if by_numpy else bucket(*blocks, given, *rest)
            self.sizes = sizes.copy()
            if not place:
                np.cumsum(sizes.sum(0), out=self.starts[1:])
                sizes[:] = 0

    def decoded(self):
        """User, positive, stratum, weight of each stored triplet, and its negative if there are any."""
        s = np.repeat(np.arange(len(self.strata.item_block)), np.diff(self.starts))
        places, items = np.divmod(self.stored.codes.astype(np.int64), 1 << self.codes.item_bits)
        if not self.strata.has_pairs:
            items += self.strata.item_block[s].astype(np.int64) << self.codes.place_bits
        item_at = np.argsort(self.items.position_of)
        positions = np.sort(self.items.position_of)
        users = self.users.order[self.users.bounds[self.strata.user_block[s]] + places]
        columns = [users, item_at[np.searchsorted(positions, items)], s, self.stored.weights]
        if len(self.stored.negatives):
            columns.append(item_at[np.searchsorted(positions, self.stored.negatives)])
        return columns


@pytest.fixture(scope="module")
def data():
    return interactions(40, 60, 500)


def test_every_positive_is_in_the_bucket_of_its_blocks(data):
    bucketed = Bucketed(data)
    users, items, s, weights = bucketed.decoded()
    stratum = bucketed.strata.stratum[:, :, 0]
    blocks = bucketed.users.block_of[users], bucketed.items.block_of[items]
    np.testing.assert_array_equal(stratum[blocks], s)
    e = weights.astype(int)
    assert sorted(e) == list(range(data.nnz))
    np.testing.assert_array_equal(data.rows[e], users)
    np.testing.assert_array_equal(data.indices[e], items)


@pytest.mark.parametrize("n_negatives", [1, 3])
def test_triplets_of_given_negatives_are_in_the_bucket_of_their_blocks(data, n_negatives):
    bucketed = Bucketed(data, n_negatives)
    users, items, s, weights, negatives = bucketed.decoded()
    blocks = (bucketed.users.block_of[users], *(
        bucketed.items.block_of[each] for each in (items, negatives)
    ))  # fmt: skip
    np.testing.assert_array_equal(bucketed.strata.stratum[blocks], s)
    e = weights.astype(int)
    assert sorted(e) == sorted([*range(data.nnz)] * n_negatives)
    np.testing.assert_array_equal(data.rows[e], users)
    np.testing.assert_array_equal(data.indices[e], items)


@pytest.mark.parametrize("n_negatives", [0, 2])
def test_buckets_are_the_same_in_any_number_of_tasks(data, n_negatives):
    one, two = (Bucketed(data, n_negatives, n_tasks) for n_tasks in (1, 2))
    for ours, theirs in zip(one.stored, two.stored, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(40, 60, 500), (3, 200, 90), (300, 2, 310), (5, 7, 0)])
def test_numpy_fills_the_buckets_as_the_loop_does(shape, weighted):
    data = interactions(*shape)
    loop, numpy = (Bucketed(data, 0, 2, weighted, by_numpy) for by_numpy in (False, True))
    for ours, theirs in zip(
        (*loop.stored, loop.sizes, loop.starts), (*numpy.stored, numpy.sizes, numpy.starts), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(ours, theirs)


# -------------------------------------------------------------------- order and negatives


def prepared(data, *, verified=True, n_negatives=1, alpha=0.0, filter_words=2**10):
    """Return the triplets of all strata as the loop gets them, and their strata."""
    bucketed = Bucketed(data)
    strata, bits, n = bucketed.strata, bucketed.codes.place_bits, data.nnz
    first = strata.item_block.astype(np.int64) << bits
    buckets = Buckets(
        np.arange(len(strata.item_block)), bucketed.starts, strata.user_block,
        bucketed.users.order, bucketed.users.bounds, first,
        first + np.diff(bucketed.items.bounds)[strata.item_block],
    )  # fmt: skip
    row_at = np.zeros(strata.n_item_blocks << bits, np.int32)
    row_at[bucketed.items.position_of] = np.arange(data.n_items)
    triplets = Triplets(
        np.zeros((n, 2), np.int32), np.zeros(n * n_negatives, np.int32), np.zeros(n, np.float32)
    )
    counts = np.bincount(data.indices, minlength=data.n_items)
    pool = Pool(row_at, sampling.popularity(alpha).cumulative(counts[row_at]))
    known, places = ItemsOfUsers(data.indptr, data.indices), np.zeros(n * n_negatives, np.int64)
    last = len(strata.item_block)
    shuffle_strata(
        0, last, np.uint64(1), tuple(buckets), tuple(bucketed.stored), bits, places, tuple(triplets)
    )
    draw_negatives(
        0, last, np.uint64(2), tuple(buckets), tuple(known), tuple(pool), verified, n_negatives,
        tuple(triplets), np.zeros(filter_words, np.uint64), places, None,
    )  # fmt: skip
    users, positives = triplets.pairs.T
    negatives = row_at[triplets.negatives.reshape(n, n_negatives)]
    return bucketed, users, row_at[positives], negatives, triplets.weights.astype(int)


def test_shuffling_keeps_strata_and_weights(data):
    bucketed, users, items, _, e = prepared(data)
    np.testing.assert_array_equal(data.rows[e], users)
    np.testing.assert_array_equal(data.indices[e], items)
    stored = bucketed.stored.weights.astype(int)
    moved = 0
    for a, b in zip(bucketed.starts[:-1], bucketed.starts[1:], strict=True):
        assert sorted(e[a:b]) == sorted(stored[a:b])
        moved += (e[a:b] != stored[a:b]).sum()
    assert moved > 0.8 * data.nnz


@pytest.mark.parametrize("filter_words", [2**10, 0], ids=["filter", "bisection"])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("n_negatives", [1, 3])
def test_negatives_are_unseen_items_of_the_block(data, n_negatives, alpha, filter_words):
    bucketed, users, items, negatives, _ = prepared(
        data, n_negatives=n_negatives, alpha=alpha, filter_words=filter_words
    )
    block_of = bucketed.items.block_of
    assert (block_of[negatives] == block_of[items][:, None]).all()
    assert not (data.tocsr().toarray() > 0)[users[:, None], negatives].any()


def test_unverified_negatives_may_be_known(data):
    _, users, _, negatives, _ = prepared(data, verified=False, n_negatives=3)
    assert (data.tocsr().toarray() > 0)[users[:, None], negatives].any()


@pytest.mark.parametrize("n_full", [1, 40], ids=["few", "more than the block has items"])
def test_who_has_the_whole_block_has_no_negative_and_the_others_have_theirs(n_full):
    liked = np.ones((n_full + 2, 30), bool)
    liked[0, ::3] = liked[1, 4] = False
    data, n_each = tr.Interactions(liked), 3
    buckets = Buckets(
        np.zeros(1, np.int64), np.array([0, data.nnz]), np.zeros(1, np.int32),
        np.arange(len(liked), dtype=np.int32), np.array([0, len(liked)]), np.zeros(1, np.int64),
        np.array([30]),
    )  # fmt: skip
    pairs = np.column_stack([data.rows, data.indices]).astype(np.int32)
    pairs = pairs[np.random.default_rng(0).permutation(data.nnz)]
    triplets = Triplets(pairs, np.zeros(n_each * data.nnz, np.int32), np.empty(0, np.float32))
    pool = Pool(np.arange(30, dtype=np.int32), None)
    draw_negatives(
        0, 1, np.uint64(2), tuple(buckets), (data.indptr, data.indices), tuple(pool), True, n_each,
        tuple(triplets), np.zeros(0, np.uint64), np.zeros(n_each * data.nnz, np.int64), None,
    )  # fmt: skip
    key = naive.derive(2, 0)
    for t, (user, drawn) in enumerate(
        zip(pairs[:, 0], triplets.negatives.reshape(-1, n_each), strict=True)
    ):
        for c in range(n_each):
            number = t * n_each + c
            left = np.flatnonzero(~liked[user])
            assert drawn[c] in (left if len(left) else [NONE_LEFT])
            first = naive.below(key, number, 30)
            assert drawn[c] == first or first not in left


def test_row_numbers_of_all_rows_change_nothing():
    """A part of the data that is all of it: the same filter, so the same redraws."""
    data = interactions(30, 10, 200)
    buckets = Buckets(
        np.zeros(1, np.int64), np.array([0, data.nnz]), np.zeros(1, np.int32),
        np.arange(30, dtype=np.int32), np.array([0, 30]), np.zeros(1, np.int64), np.array([10]),
    )  # fmt: skip
    pairs = np.column_stack([data.rows, data.indices]).astype(np.int32)
    drawn = []
    for numbers in (None, RowNumbers(np.arange(30, dtype=np.int32), 0)):
        triplets = Triplets(pairs, np.zeros(data.nnz, np.int32), np.empty(0, np.float32))
        draw_negatives(
            0, 1, np.uint64(2), tuple(buckets), (data.indptr, data.indices),
            (np.arange(10, dtype=np.int32), None), True, 1, tuple(triplets),
            np.zeros(2**10, np.uint64), np.zeros(data.nnz, np.int64), numbers,
        )  # fmt: skip
        drawn.append(triplets.negatives)
    np.testing.assert_array_equal(*drawn)
