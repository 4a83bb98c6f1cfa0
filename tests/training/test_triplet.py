"""Triplet training: what an epoch visits, draws and reports, the same whoever runs it."""

import itertools
import threading

import hypothesis
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st
from scipy.stats import chisquare

import naive
import tripletrec as tr
from contracts.support import interactions
from tiers import examples, quick, quick_rows
from training.fits import (
    CHOOSING,
    COVERING,
    QUICK,
    QUICK_CHOOSING,
    SHARED,
    assert_same_tables,
    negatives_of,
    run,
    start,
    weights_of,
)
from tripletrec import optimizers, sampling
from tripletrec._runtime.threads import SerialExecutor
from tripletrec.training.strata import LIMITS
from tripletrec.training.triplet import count_items


@pytest.fixture(scope="module")
def blocks():
    """Enough interactions for several blocks of users and of items."""
    return interactions(40, 300, 2500)


class Visit:
    """All that the training loop is given in one epoch, in place of learning from it."""

    def __init__(self, data, *, epoch=1, **options):
        self.training = start(data, **options)
        self.rows, self.stratum, self.weights, self.groups = [], [], [], []
        self.start = [each.copy() for each in self.training.factors]
        self.training.loop = self.training.loop._replace(kernel=self.note)
        run(self.training, [epoch])
        order = np.argsort(self.stratum, kind="stable")
        self.rows = np.array(self.rows)[order]
        self.stratum = np.array(self.stratum)[order]
        self.groups = [self.groups[place] for place in order]
        self.weights = np.array(self.weights)[order] if options.get("weights") is not None else None

    def note(self, first, last, bounds, triplets, n_negatives, group, users, items, *rest):
        # Lists, for single elements of arrays are slow.
        pairs, negatives, weights, row_at = (each.tolist() for each in (*triplets[:3], items[1]))
        bounds = (bounds - bounds[first]).tolist()
        m = max(1, self.training.loop.n_drawn // n_negatives)
        for s in range(first, last):
            for begin in range(bounds[s], bounds[s + 1], group):
                for c in range(n_negatives):
                    for t in range(begin, min(begin + group, bounds[s + 1])):
                        place = (t * n_negatives + c) * m
                        drawn = [row_at[j] if j >= 0 else j for j in negatives[place : place + m]]
                        self.rows.append((pairs[t][0], row_at[pairs[t][1]], *drawn))
                        self.stratum.append(s)
                        self.groups.append((s, begin, c))
                        self.weights.append(weights[t] if len(weights) else 1.0)

    @property
    def pairs(self):
        return sorted(map(tuple, self.rows[:, :2].tolist()))


def pairs_of(data, times=1):
    return sorted(list(zip(data.rows.tolist(), data.indices.tolist(), strict=True)) * times)


def known(data):
    return data.tocsr().toarray() > 0


# -------------------------------------------------------------------- what an epoch visits


@pytest.mark.parametrize("n_negatives", quick([1, 3], 3))
@pytest.mark.parametrize("sampler", ["uniform", "unseen", "popularity"])
def test_every_positive_is_visited_once_for_each_negative(sampler, n_negatives, blocks):
    visit = Visit(blocks, sampler=sampler, n_negatives=n_negatives, random_state=None)
    assert visit.training.epoch_layout.strata.n_user_blocks > 1
    assert visit.pairs == pairs_of(blocks, n_negatives)


@pytest.mark.parametrize("n_negatives", [1, 3])
def test_every_positive_is_visited_with_given_negatives(n_negatives, blocks):
    given = negatives_of(blocks)
    visit = Visit(blocks, given=given, n_negatives=n_negatives, random_state=None)
    assert visit.training.epoch_layout.strata.n_user_blocks > 1
    assert visit.pairs == pairs_of(blocks, n_negatives)
    drawn = known(given)[visit.rows[:, 0], visit.rows[:, 2]]
    has_given = np.diff(given.indptr)[visit.rows[:, 0]] > 0
    n, rate = has_given.sum(), drawn[has_given].mean()
    # Half of the draws, and the 2 % of the others that meet one; 6 standard deviations.
    assert abs(rate - 0.51) < 6 * 0.5 / np.sqrt(n) + 0.01


@pytest.mark.parametrize("n_negatives", [1, 2])
def test_graded_negatives_are_own_items_of_a_lower_value(n_negatives, blocks):
    """The naive twin of what may be drawn; how often, and the same at any number of threads."""
    values = np.random.default_rng(5).integers(1, 4, blocks.nnz).astype(np.float32)
    data = tr.Interactions.from_arrays(
        blocks.rows, blocks.indices, values, shape=blocks.space.shape
    )
    params = {"sampler": sampling.graded(0.5), "n_negatives": n_negatives, "random_state": 3}
    one, four = (Visit(data, n_jobs=n_jobs, **params) for n_jobs in (1, 4))
    np.testing.assert_array_equal(one.rows, four.rows)
    assert one.training.epoch_layout.strata.n_user_blocks > 1
    assert one.pairs == pairs_of(data, n_negatives)
    value = data.tocsr().toarray()
    u, i, j = one.rows.T
    own = value[u, j] > 0
    assert (value[u, j] < value[u, i])[own].all()
    has_lower = np.array(
        [(value[a][value[a] > 0] < value[a, b]).any() for a, b in zip(u, i, strict=True)]
    )
    assert not own[~has_lower].any()
    assert abs(own[has_lower].mean() - 0.5) < 6 * 0.5 / np.sqrt(has_lower.sum())
    assert len({tuple(row) for row in one.rows[own].tolist()}) > 0.3 * own.sum()
    learnt = [start(data, n_jobs=n_jobs, **params) for n_jobs in (1, 4)]
    assert run(learnt[0]) == run(learnt[1])
    assert_same_tables(*learnt)


@pytest.mark.parametrize("given", [False, True])
def test_codes_of_eight_bytes_make_no_difference(given, blocks):
    """Users and items that four bytes cannot tell apart are too many for a test."""
    given = negatives_of(blocks) if given else None
    visits = []
    for n_bytes, limits in ((4, SHARED), (8, SHARED._replace(narrow_bits=0))):
        visits.append(Visit(blocks, given=given, random_state=0, limits=limits))
        assert visits[-1].training.epoch(1).contents.stored.codes.itemsize == n_bytes
    np.testing.assert_array_equal(visits[0].rows, visits[1].rows)


def test_a_count_in_pieces_is_a_count(rng):
    items = rng.integers(0, 9, 40).astype(np.int32)
    np.testing.assert_array_equal(count_items(items, 12, 7), np.bincount(items, minlength=12))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sampler", ["unseen", "popularity"])
def test_known_positives_are_never_drawn(sampler, given):
    # Half of all pairs are positives: uniform draws would meet hundreds.
    data = interactions(40, 140, 2800)
    negatives = negatives_of(data) if given else None
    visit = Visit(data, sampler=sampler, given=negatives, n_negatives=2, random_state=None)
    assert not known(data)[visit.rows[:, 0], visit.rows[:, 2]].any()
    assert (visit.rows[:, 2] >= 0).all()


@pytest.mark.parametrize("n_negatives", quick([1, 2], 2))
def test_candidates_of_hard_negatives(n_negatives):
    """They are unseen items of the positive's own block, so that no other thread touches them."""
    data = interactions(40, 140, 2800)
    params = {"sampler": sampling.dynamic(3), "n_negatives": n_negatives, "random_state": None}
    visit = Visit(data, **params)
    assert visit.pairs == pairs_of(data, n_negatives)
    block_of = visit.training.epoch_layout.strata.item_block[visit.stratum]
    assert len(set(block_of)) > 1 and visit.rows.shape[1] == 5
    blocks, is_known = {}, known(data)
    for row, block in zip(visit.rows.tolist(), block_of, strict=True):
        assert not is_known[row[0], row[2:]].any()
        for item in row[1:]:
            assert blocks.setdefault(item, block) == block
    params["random_state"] = 0
    alone, four = (Visit(data, n_jobs=n_jobs, **params) for n_jobs in (1, 4))
    np.testing.assert_array_equal(alone.rows, four.rows)


def test_uniform_draws_known_positives_too():
    data = interactions(40, 140, 2800)
    visit = Visit(data, sampler="uniform", random_state=None)
    rate = known(data)[visit.rows[:, 0], visit.rows[:, 2]].mean()
    assert abs(rate - 0.5) < 6 * 0.5 / np.sqrt(len(visit.rows))


def test_negatives_are_uniform_over_epochs():
    """Blocks are fresh in every other epoch, so that any item may be the negative of any positive."""
    data = interactions(12, 256, 600)
    counts = np.zeros(256)
    blocks = 0
    for epoch in range(1, 61, 2):
        visit = Visit(data, sampler="uniform", epoch=epoch, random_state=None)
        blocks = max(blocks, visit.training.epoch_layout.strata.n_item_blocks)
        counts += np.bincount(visit.rows[:, 2], minlength=256)
    assert blocks > 1
    assert chisquare(counts).pvalue > 1e-9


def test_a_user_with_all_items_of_a_block_draws_nothing_there():
    dense = np.zeros((40, 300))
    dense[0] = 1
    dense[1:, :60] = 1
    data = tr.Interactions(dense)
    visit = Visit(data)
    assert ((visit.rows[:, 2] < 0) == (visit.rows[:, 0] == 0)).all()
    record = run(start(data), [1])[0]
    assert record["n_skipped"] == 300
    assert record["n_triplets"] == data.nnz - 300


@pytest.mark.parametrize("given", [False, True])
def test_strata_of_a_round_share_no_user_and_no_item(given, blocks):
    negatives = negatives_of(blocks) if given else None
    visit = Visit(blocks, given=negatives, n_negatives=2, random_state=None)
    most = visit.training.epoch_layout.strata.starts.size
    assert most > 1
    cut = visit.training.epoch_layout.strata.runs
    for runs in (*cut(most, most), *cut(most, 1), *cut(most // 4, most)):
        users, items = {}, {}
        for number, (first, last) in enumerate(runs):
            for u, i, j in visit.rows[(visit.stratum >= first) & (visit.stratum < last)].tolist():
                assert users.setdefault(u, number) == number
                assert items.setdefault(i, number) == number
                assert items.setdefault(j, number) == number


@pytest.mark.parametrize("given", [False, True])
def test_triplets_are_the_same_at_any_number_of_threads(given, blocks):
    negatives = negatives_of(blocks) if given else None
    alone, four = (Visit(blocks, given=negatives, n_jobs=n_jobs) for n_jobs in (1, 4))
    np.testing.assert_array_equal(alone.rows, four.rows)
    np.testing.assert_array_equal(alone.stratum, four.stratum)


def test_weights_stay_with_their_positives(blocks):
    weights = weights_of(blocks)
    table = sp.csr_matrix((weights, blocks.indices, blocks.indptr), blocks.space.shape).toarray()
    for given in (None, negatives_of(blocks)):
        visit = Visit(blocks, weights=weights, given=given, n_negatives=2, random_state=None)
        np.testing.assert_array_equal(visit.weights, table[visit.rows[:, 0], visit.rows[:, 1]])


def test_epochs_and_seeds_differ_in_order_partition_and_draws(blocks):
    visits = [Visit(blocks, epoch=e, random_state=s) for e, s in ((1, 0), (2, 0), (1, 1))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (visits[one].rows[:, 0] != visits[other].rows[:, 0]).mean() > 0.5
        assert (visits[one].rows[:, 2] != visits[other].rows[:, 2]).mean() > 0.5


def test_order_within_a_stratum_is_random(blocks):
    """Over many epochs, the first place of all is taken by many different users of its block."""
    visits = [Visit(blocks, epoch=e, random_state=0) for e in range(1, 31)]
    n_users = int(visits[0].training.part.users.bounds[1])
    assert n_users > 5
    assert len({visit.rows[0][0] for visit in visits}) > n_users // 2


@pytest.mark.parametrize(
    ("given", "weighted"),
    quick_rows(itertools.product((False, True), repeat=2), (True, True)),
)
def test_an_epoch_equals_its_naive_twin(given, weighted, blocks):
    """From the triplets on: order, weights and tables of the whole path, not of a stratum only."""
    params = {
        "learning_rate": 0.05, "n_negatives": 2, "init_scale": 0.1, "optimizer": "adagrad",
        "user_l2": 0.02, "item_l2": 0.01, "negative_l2": 0.03, "bias_l2": 0.004,
    }  # fmt: skip
    data = {
        "weights": weights_of(blocks) if weighted else None,
        "given": negatives_of(blocks) if given else None,
    }
    visit = Visit(blocks, **data, **params)
    *expected, loss = naive.learn(
        visit.rows, visit.weights if weighted else np.ones(len(visit.rows)), *visit.start,
        "bpr", "dot", "adagrad", 0.05, (0.02, 0.01, 0.03, 0.004), groups=visit.groups,
    )  # fmt: skip
    training = start(blocks, **data, **params)
    record = run(training, [1])[0]
    for ours, theirs in zip(training.factors, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    mass = visit.weights.sum() if weighted else len(visit.rows)
    assert record["loss"] == pytest.approx(loss / mass, rel=1e-3)


@pytest.mark.parametrize("weighted", quick([False, True], True))
@pytest.mark.parametrize("sampler", [sampling.dynamic(3), sampling.semi_hard(3)])
def test_an_epoch_chooses_as_its_naive_twin(sampler, weighted, blocks):
    """With steps too small to matter: which candidates meet which positives and weights."""
    params = {"sampler": sampler, "n_negatives": 2, "init_scale": 0.7, "learning_rate": 1e-9}
    weights = weights_of(blocks) if weighted else None
    visit = Visit(blocks, weights=weights, **params)
    U, V, _ = visit.start
    losses = []
    for u, i, *candidates in visit.rows:
        scores = V.astype(float) @ U[u]
        j = naive.hard_negative(candidates, i, scores, naive.HARD[sampler.choose.__name__])
        losses.append(naive.LOSSES["bpr"](scores[i] - scores[j])[0])
    record = run(start(blocks, weights=weights, **params), [1])[0]
    # Where two scores are as good as equal, the twin may choose the other one.
    expected = np.average(losses, weights=visit.weights)
    assert record["loss"] == pytest.approx(expected, rel=2e-3)


@examples(60)
@hypothesis.given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 40),
    density=st.floats(0.0, 1.0),
    sampler=st.sampled_from([*sampling.SAMPLERS, sampling.dynamic(3), sampling.semi_hard(3)]),
    n_negatives=st.integers(1, 3),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_data_in_many_small_blocks(
    n_users, n_items, density, sampler, n_negatives, weighted, seed
):
    """Blocks of single items, strata without triplets, users who like all or nothing."""
    rng = np.random.default_rng(seed)
    liked = rng.random((n_users, n_items)) < density
    liked[rng.integers(n_users), rng.integers(n_items)] = True
    others = ~liked & (rng.random(liked.shape) < 0.5)
    options = {"sampler": sampler, "n_negatives": n_negatives}
    if sampler == "explicit":
        if not others.any():
            return
        options["given"] = tr.Interactions(others)
    data = tr.Interactions(liked)
    if weighted:
        options["weights"] = rng.uniform(0.1, 2, data.nnz).astype(np.float32)
    limits = SHARED._replace(least_items=1, least_triplets=1)
    trainings = [start(data, n_jobs=n_jobs, limits=limits, **options) for n_jobs in (1, 3)]
    records, others = (run(each, (1, 2)) for each in trainings)
    assert records == others
    assert_same_tables(*trainings)
    for record in records:
        assert record["n_triplets"] + record["n_skipped"] == n_negatives * data.nnz
    if sampler == "explicit":
        # A share comes from the given negatives, and the rest from all items.
        full = n_negatives * liked.sum(1)[liked.all(1)].sum()
        assert records[0]["n_skipped"] == full
    assert np.isfinite(trainings[0].factors.user_factors).all()


@pytest.mark.parametrize("sampler", quick(["unseen", sampling.dynamic(3)], "unseen"))
def test_prefetching_changes_the_speed_only(sampler, blocks):
    for n_negatives in (1, 2):
        near, far = (
            start(blocks, n_negatives=n_negatives, sampler=sampler, limits=limits)
            for limits in (SHARED, SHARED._replace(cache_bytes=0))
        )
        assert run(near) == run(far)
        assert_same_tables(near, far)


# -------------------------------------------------------------------- the same whoever runs it


@pytest.mark.parametrize("names", quick(COVERING, *QUICK), ids="-".join)
def test_every_part_is_the_same_at_any_number_of_threads(names, blocks):
    loss, scorer, optimizer = names
    samplers = [each for each in sampling.SAMPLERS if each != "graded"]  # which needs values
    for sampler, n_negatives in zip(samplers, (1, 2, 3, 2), strict=True):
        trainings = [
            start(
                blocks, loss=loss, scorer=scorer, optimizer=optimizer, sampler=sampler, n_jobs=n_jobs,
                n_negatives=n_negatives, learning_rate=0.02,
                given=negatives_of(blocks) if sampler == "explicit" else None,
            )
            for n_jobs in (1, 2, 4)
        ]  # fmt: skip
        most = 2 if sampler == "explicit" else 4
        assert [each.executor.n_jobs for each in trainings] == [1, 2, most]
        records = [run(each, (1, 2)) for each in trainings]
        assert records[1] == records[0] and records[2] == records[0]
        assert_same_tables(trainings[1], trainings[0])
        assert_same_tables(trainings[2], trainings[0])
        assert all(np.isfinite(each).all() for each in trainings[0].factors)
        record = records[0][-1]
        assert record["n_triplets"] + record["n_skipped"] == blocks.nnz * n_negatives


@pytest.mark.parametrize(("choice", "names"), quick_rows(CHOOSING, *QUICK_CHOOSING), ids=str)
def test_hard_negatives_are_the_same_at_any_number_of_threads(choice, names, blocks):
    make_sampler = {"hardest": sampling.dynamic, "semi_hard": sampling.semi_hard}[choice]
    params = dict(zip(("loss", "scorer", "optimizer"), names, strict=True))
    trainings = [
        start(
            blocks, weights=weights_of(blocks), sampler=make_sampler(3), n_negatives=2, n_jobs=n_jobs,
            learning_rate=0.02, **params,
        )
        for n_jobs in (1, 2, 4)
    ]  # fmt: skip
    records = [run(each, (1, 2)) for each in trainings]
    assert records[1] == records[0] and records[2] == records[0]
    assert_same_tables(trainings[1], trainings[0])
    assert_same_tables(trainings[2], trainings[0])
    assert all(np.isfinite(each).all() for each in trainings[0].factors)


@pytest.mark.parametrize("given", [False, True])
def test_tasks_of_a_round_may_run_in_any_order(given, blocks, rng):
    negatives = negatives_of(blocks) if given else None
    sizes = []

    def permuted(arguments):
        sizes.append(len(arguments))
        return [arguments[place] for place in rng.permutation(len(arguments))]

    plain = start(blocks, given=negatives, optimizer="adam")
    other = start(blocks, given=negatives, optimizer="adam", n_jobs=4)
    other.executor = SerialExecutor(permuted)
    assert run(plain) == run(other)
    # Four blocks of items; given negatives lie in pairs of them.
    assert max(sizes) == (2 if given else 4)
    assert_same_tables(plain, other)


# -------------------------------------------------------------------- continuing


@pytest.mark.parametrize("optimizer", optimizers.OPTIMIZERS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("former", quick([2, 3], 3))
def test_training_may_begin_at_any_epoch(former, given, optimizer, blocks):
    """Also between the two epochs of a partition."""
    options = {
        "given": negatives_of(blocks) if given else None, "optimizer": optimizer, "n_epochs": 5,
        "schedule": "linear", "weights": weights_of(blocks), "n_jobs": 2,
    }  # fmt: skip
    whole, first = start(blocks, **options), start(blocks, **options)
    expected = run(whole, range(1, 6))
    records = run(first, range(1, former + 1))
    second = start(blocks, **options)
    second.restore(first.state())
    assert records + run(second, range(former + 1, 6)) == expected
    assert_same_tables(second, whole)


def test_the_rate_of_an_epoch_is_that_at_its_middle(blocks):
    """Here 0.04 in the first of two and nothing in the second."""
    shape = {0.25: 2.0, 0.75: 0.0}
    schedule = tr.rates.Schedule("mine", lambda done: shape.get(done, 9.0))
    found = start(blocks, n_epochs=2, learning_rate=0.02, schedule=schedule)
    run(found, [1, 2])
    expected = start(blocks, n_epochs=1, learning_rate=0.04)
    run(expected, [1])
    np.testing.assert_array_equal(found.settle().users[:, 0], expected.settle().users[:, 0])
    np.testing.assert_array_equal(found.settle().items[:, 0], expected.settle().items[:, 0])


def test_no_two_of_many_epochs_draw_alike(blocks):
    layout = start(blocks).epoch_layout
    streams = [layout.streams(number) for number in (*range(150), 0, 149)]
    assert streams[-2:] == [streams[0], streams[149]]
    assert len({each for stream in streams for each in map(int, stream)}) == 5 * 150


# -------------------------------------------------------------------- records, threads


def test_records(blocks):
    records = run(start(blocks, n_negatives=2, learning_rate=0.2), range(1, 5))
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    for record in records:
        assert set(record) == {"epoch", "loss", "train_auc", "n_triplets", "n_skipped"}
        assert record["n_triplets"] == 2 * blocks.nnz and record["n_skipped"] == 0
        assert 0 <= record["train_auc"] <= 1 and record["loss"] > 0
        assert {type(each) for each in record.values()} <= {int, float}
    assert records[-1]["loss"] < records[0]["loss"]
    assert records[-1]["train_auc"] > 0.6
    assert start(blocks).run_epoch(1)["seconds"] > 0


def test_rounds_too_short_to_share_are_run_by_one_thread(blocks):
    shared, alone = (
        start(blocks, n_jobs=3, limits=LIMITS._replace(least_run=n)) for n in (1, 10**6)
    )
    assert [each.executor.n_jobs for each in (shared, alone)] == [3, 1]
    assert run(shared) == run(alone)
    assert_same_tables(shared, alone)


def test_no_thread_outlives_a_training(blocks):
    def threads():
        return [each for each in threading.enumerate() if each.name.startswith("tripletrec")]

    training = start(blocks, n_jobs=3)
    with training.threads():
        training.run_epoch(1)
        assert threads()
    assert not threads()


def test_a_list_loss_is_refused(blocks):
    with pytest.raises(TypeError, match="loss 'softmax' is not one of triplets"):
        start(blocks, loss="softmax")


def test_a_cancelled_epoch_ends(blocks):
    training = start(blocks)
    training.cancelled = True
    with pytest.raises(KeyboardInterrupt):
        training.run_epoch(1)
