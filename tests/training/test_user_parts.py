"""Parts of the users, each in arrays that hold nothing of the others, learn the bits of the whole."""

import numpy as np
import pytest

from contracts.support import interactions
from tiers import quick
from training.fits import NAMES, negatives_of, run, start, weights_of
from tripletrec import losses, optimizers, sampling
from tripletrec._runtime.jit import aligned
from tripletrec.training.stratum import learn_strata, make_workspace
from tripletrec.training.triplet_records import N_TOTALS, ItemRows, UserRows
from tripletrec.training.user_parts import bucket_part, cut_part, empty_stored, epoch_of_part

CASES = {
    "unseen": {},
    "uniform": {"sampler": "uniform", "n_negatives": 2},
    "popularity": {"sampler": "popularity"},
    "dynamic": {"sampler": sampling.dynamic(3), "n_negatives": 2},
    "dynamic, given": {"sampler": sampling.dynamic(3), "given": negatives_of},
    "weights": {"weights": weights_of},
    "k-os warp": {"loss": losses.k_os_warp(2, 3, 0.5, 4), "weights": weights_of},
    "graded": {"sampler": sampling.graded(0.5)},
    "given": {"given": negatives_of, "n_negatives": 2},
    "given, weights": {"given": negatives_of, "weights": weights_of},
}


@pytest.fixture(scope="module")
def data():
    """Half of all pairs, so that verified draws are refused, and some users' rest is listed."""
    return interactions(40, 300, 6000)


def copied(table, rows):
    """Copies of some rows of a table, as one flat array on whole cache lines."""
    own = aligned(len(rows) * table[0].size)
    own[:] = table[rows].reshape(-1)
    return own


class Apart:
    """Parts of the users of a training that has not run, and what it has learnt so far, of items by row."""

    def __init__(self, training, n_parts):
        self.epoch_layout, self.tables = training.epoch_layout, training.tables
        self.loop = self.epoch_layout.build_loop(prefetch_rows=False)
        self.parts = [cut_part(training.part, a, n_parts) for a in range(n_parts)]
        self.rounds = self.epoch_layout.strata.tiles(n_parts)
        users, counts = self.tables.users, self.tables.user_step_counts
        self.users = [
            UserRows(copied(users, part.numbers.users), counts[part.numbers.users])
            for part in self.parts
        ]

    def run_epoch(self, number, rng):
        """Run an epoch, the tiles of a round in any order; return its totals."""
        deal = self.epoch_layout.deal_items(self.epoch_layout.first_of_partition(number))
        totals = np.zeros((len(self.epoch_layout.strata.item_block), N_TOTALS))
        stored = [empty_stored(self.epoch_layout, part) for part in self.parts]
        starts = [
            bucket_part(self.epoch_layout, deal, *each)
            for each in zip(self.parts, stored, strict=True)
        ]
        for tiles in self.rounds:
            for place in rng.permutation(len(tiles)):
                tile = tiles[place]
                self.learn(number, deal, tile, starts[tile.part], stored[tile.part], totals)
        return totals.sum(0)

    def learn(self, number, deal, tile, starts, stored, totals):
        """Learn a tile of rows that are copied, and copied back."""
        part, tables = self.parts[tile.part], self.tables
        positions = self.epoch_layout.positions_of(tile.item_blocks, deal)
        rows = deal.row_at[positions]
        row_at = np.zeros_like(deal.row_at)
        row_at[positions] = np.arange(len(rows))
        by_position = []
        for table in (tables.biases.reshape(len(tables.biases), -1), tables.item_step_counts):
            by_position.append(np.full((len(row_at), table.shape[1]), np.nan, np.float32))
            by_position[-1][positions] = table[rows]
        biases, step_counts = by_position
        items = ItemRows(copied(tables.items, rows), row_at, biases.reshape(-1), step_counts)
        bounds = starts[tile.first : tile.last + 1]
        epoch = epoch_of_part(
            self.epoch_layout,
            number,
            deal,
            part,
            (tile.first, bounds),
            stored,
            (self.users[tile.part], items),
        )
        longest, n = int(np.diff(bounds).max()), tile.last - tile.first
        workspace = make_workspace(self.loop, longest, weighted=len(stored.weights) > 0)
        for s in range(n):
            own = totals[tile.first : tile.last]
            learn_strata(s, s + 1, self.loop, epoch, workspace, own)
        tables.items[rows] = items.table.reshape(len(rows), *tables.items.shape[1:])
        tables.biases[rows] = biases[positions].reshape(len(rows), *tables.biases.shape[1:])
        tables.item_step_counts[rows] = step_counts[positions]

    def state(self):
        """What is learnt, by name."""
        for part, (table, step_counts) in zip(self.parts, self.users, strict=True):
            own = part.numbers.users
            self.tables.users[own] = table.reshape(len(own), *self.tables.users.shape[1:])
            self.tables.user_step_counts[own] = step_counts
        return self.tables.state()


SOME = ("uniform", "dynamic, given", "k-os warp", "graded", "given, weights")


@pytest.mark.parametrize("optimizer", quick(optimizers.OPTIMIZERS, "adagrad"))
@pytest.mark.parametrize("case", quick(CASES, *SOME))
def test_parts_learn_the_bits_of_the_whole(case, optimizer, data, rng):
    options = {
        name: each(data) if name in ("weights", "given") else each
        for name, each in CASES[case].items()
    }
    whole, other = (start(data, optimizer=optimizer, n_jobs=99, **options) for _ in range(2))
    n_user_blocks = whole.epoch_layout.strata.n_user_blocks
    assert n_user_blocks > 1
    apart = Apart(other, n_user_blocks if whole.epoch_layout.stores_negatives else 2)
    for number in (1, 2, 3):
        record = run(whole, [number])[0]
        loss, right, mass, count, _ = apart.run_epoch(number, rng)
        assert record["n_triplets"] == count
        assert record["loss"] == pytest.approx(loss / mass, rel=1e-12)
        assert record["train_auc"] == pytest.approx(right / mass, rel=1e-12)
        expected, found = whole.state(), apart.state()
        for name in NAMES:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_a_part_holds_nothing_of_the_others(data):
    training = start(data, n_jobs=99, optimizer="adam")
    whole, n_parts = training.part, training.epoch_layout.strata.n_user_blocks // 2
    parts = [cut_part(whole, a, n_parts) for a in range(n_parts)]
    arrays = [[*part.users, *part.positives, *part.numbers[:1]] for part in parts]
    assert sum(len(part.positives.indices) for part in parts) == data.nnz
    users = np.concatenate([part.numbers.users for part in parts])
    assert sorted(users.tolist()) == list(range(data.n_users))
    all_of_it = [*whole.users, *whole.positives]
    assert not any(
        np.shares_memory(a, b) for own in arrays for a in own for b in all_of_it if len(a)
    )
    for part in parts:
        for place, user in enumerate(part.numbers.users):
            own = slice(*part.positives.indptr[place : place + 2])
            theirs = slice(*data.indptr[user : user + 2])
            assert part.positives.numbers[place] == theirs.start
            np.testing.assert_array_equal(part.positives.indices[own], data.indices[theirs])
