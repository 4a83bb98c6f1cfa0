"""Layouts of a fit from the disk: the one that reads least of those that fit, and what it takes."""

import pytest

from contracts.support import interactions
from training.fits import negatives_of, plan_of
from tripletrec import sampling
from tripletrec._runtime.memory import NotEnoughMemoryError
from tripletrec.training.disk_layout import DiskLayout, FitSize, choose_layout, part_counts
from tripletrec.training.strata import drawn_strata, given_strata

SIZE = FitSize(2_000_000, 500_000, 2, 512, 608, 256, 400_000_000, 400_000_000)
COUNTS = [1, 2, 4, 8, 16, 32, 64]


def test_the_more_memory_the_less_is_read():
    chosen = [choose_layout(SIZE, COUNTS, int(n * 1e9)) for n in (9, 3, 2, 1.5, 1)]
    assert chosen[0] == DiskLayout(1, 1)
    assert chosen[2].has_all_rows and chosen[2].n_parts > 2
    assert not chosen[-1].has_all_rows
    memory = [SIZE.memory(each) for each in chosen]
    assert memory == sorted(memory, reverse=True)
    assert choose_layout(SIZE, COUNTS, None) == DiskLayout(1, 1)
    assert SIZE.disk(chosen[-1]) - SIZE.disk(chosen[0]) == SIZE.user * SIZE.n_users


def test_what_fits_in_no_way_is_refused(monkeypatch):
    monkeypatch.setenv("TRIPLETREC_MEMORY", "3e8")
    with pytest.raises(
        NotEnoughMemoryError, match="^a fit of 2,000,000 users and 500,000 items, 1 of 2"
    ):
        choose_layout(SIZE, [1, 2], 300_000_000)


def test_strata_say_into_how_many_parts_they_can_be_cut():
    assert part_counts(drawn_strata(8)) == [1, 2, 4, 8]
    assert part_counts(drawn_strata(1)) == [1]
    assert part_counts(given_strata(8)) == [1, 4]


def test_sizes_know_what_is_stored():
    data = interactions(40, 300, 600)
    given = negatives_of(data)

    def size(given=None, weighted=False, **params):
        plan = plan_of(given, **params)
        return FitSize.of(plan, data, given, weighted=weighted, n_jobs=1)

    plain, n = size(), data.nnz
    assert (plain.interactions, plain.triplets) == (4 * n, 4 * n)
    weighted = size(weighted=True)
    assert (weighted.interactions, weighted.triplets) == (8 * n, 8 * n)
    explicit = size(given, n_negatives=2)
    assert explicit.interactions == 4 * n + 4 * given.nnz
    assert explicit.triplets == 2 * 8 * n
    graded = size(sampler=sampling.graded(0.5))
    assert (graded.interactions, graded.triplets) == (12 * n, 8 * n)
    assert size(optimizer="adam").user > plain.user
