"""The trainer: what an epoch visits, draws and reports, at any number of threads."""

import threading
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st
from scipy.stats import chisquare

import naive
import tripletrec as tr
from contracts.support import assert_same, digest, interactions
from tripletrec import sampling
from tripletrec.training import strata as schedule
from tripletrec.training import triplet as trainer
from tripletrec.training.triplet import Training

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})


@pytest.fixture(scope="module")
def blocks():
    """Enough interactions for several blocks of users and of items."""
    return interactions(40, 300, 2500)


def negatives_of(data, share=0.02):
    others = np.random.default_rng(2).random(data.shape) < share
    return tr.Interactions(others & ~data.tocsr().toarray().astype(bool))


class Visit:
    """All that the training loop is given in one epoch, in place of learning from it."""

    def __init__(self, data, *, weights=None, given=None, n_jobs=1, epoch=1, **params):
        plan = make(**params)._plan()
        if given is not None:
            plan = replace(plan, sampler=sampling.explicit(plan.sampler.share or 0.5))
        self.training = Training(plan, data, weights, given, n_jobs)
        self.rows, self.stratum, self.weights, self.groups = [], [], [], []
        self.start = [each.copy() for each in self.training.factors]
        self.training._epoch = self.note
        with self.training.threads():
            self.training.run_epoch(epoch)
        order = np.argsort(self.stratum, kind="stable")
        self.rows = np.array(self.rows)[order]
        self.stratum = np.array(self.stratum)[order]
        self.groups = [self.groups[place] for place in order]
        self.weights = np.array(self.weights)[order] if weights is not None else None

    def note(self, first, last, bounds, triplets, n_negatives, group, *rest):
        pairs, negatives, weights = triplets
        m, bounds = self.training._n_candidates, bounds - bounds[first]
        items = self.training._prepared.items
        for s in range(first, last):
            for start in range(bounds[s], bounds[s + 1], group):
                for c in range(n_negatives):
                    for t in range(start, min(start + group, bounds[s + 1])):
                        place = (t * n_negatives + c) * m
                        drawn = [items[j] if j >= 0 else j for j in negatives[place : place + m]]
                        self.rows.append((pairs[t, 0], items[pairs[t, 1]], *drawn))
                        self.stratum.append(s)
                        self.groups.append((s, start, c))
                        self.weights.append(weights[t] if len(weights) else 1.0)

    @property
    def pairs(self):
        return sorted(map(tuple, self.rows[:, :2].tolist()))


def pairs_of(data, times=1):
    return sorted(list(zip(data.rows.tolist(), data.indices.tolist(), strict=True)) * times)


def known(data):
    return data.tocsr().toarray() > 0


# -------------------------------------------------------------------- what an epoch visits


@pytest.mark.parametrize("n_negatives", [1, 3])
@pytest.mark.parametrize("sampler", ["uniform", "unseen", "popularity"])
def test_every_positive_is_visited_once_for_each_negative(sampler, n_negatives, blocks):
    visit = Visit(blocks, sampler=sampler, n_negatives=n_negatives, random_state=None)
    assert visit.training.schedule.n_user_blocks > 1
    assert visit.pairs == pairs_of(blocks, n_negatives)


@pytest.mark.parametrize("n_negatives", [1, 3])
def test_every_positive_is_visited_with_given_negatives(n_negatives, blocks):
    given = negatives_of(blocks)
    visit = Visit(blocks, given=given, n_negatives=n_negatives, random_state=None)
    assert visit.training.schedule.n_user_blocks > 1
    assert visit.pairs == pairs_of(blocks, n_negatives)
    drawn = known(given)[visit.rows[:, 0], visit.rows[:, 2]]
    has_given = np.diff(given.indptr)[visit.rows[:, 0]] > 0
    n, rate = has_given.sum(), drawn[has_given].mean()
    # Half of the draws, and the 2 % of the others that meet one; 6 standard deviations.
    assert abs(rate - 0.51) < 6 * 0.5 / np.sqrt(n) + 0.01


@pytest.mark.parametrize("given", [False, True])
def test_codes_of_eight_bytes_make_no_difference(given, blocks, monkeypatch):
    """Users and items that four bytes cannot tell apart are too many for a test."""
    given = negatives_of(blocks) if given else None
    four = Visit(blocks, given=given, random_state=0)
    assert four.training._stored[0].itemsize == 4
    of = trainer.codes_of
    monkeypatch.setattr(trainer, "codes_of", lambda *a: of(*a)._replace(dtype=np.uint64))
    eight = Visit(blocks, given=given, random_state=0)
    assert eight.training._stored[0].itemsize == 8
    np.testing.assert_array_equal(four.rows, eight.rows)


def test_a_count_in_pieces_is_a_count(monkeypatch):
    monkeypatch.setattr(trainer, "_COUNTED_AT_ONCE", 7)
    items = np.random.default_rng().integers(0, 9, 40).astype(np.int32)
    np.testing.assert_array_equal(trainer._counts(items, 12), np.bincount(items, minlength=12))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sampler", ["unseen", "popularity"])
def test_known_positives_are_never_drawn(sampler, given):
    # Half of all pairs are positives: uniform draws would meet hundreds.
    data = interactions(40, 140, 2800)
    negatives = negatives_of(data) if given else None
    visit = Visit(data, sampler=sampler, given=negatives, n_negatives=2, random_state=None)
    assert not known(data)[visit.rows[:, 0], visit.rows[:, 2]].any()
    assert (visit.rows[:, 2] >= 0).all()


@pytest.mark.parametrize("n_negatives", [1, 2])
def test_candidates_of_hard_negatives(n_negatives):
    """They are unseen items of the positive's own block, so that no other thread touches them."""
    data = interactions(40, 140, 2800)
    params = {"sampler": sampling.dynamic(3), "n_negatives": n_negatives, "random_state": None}
    visit = Visit(data, **params)
    assert visit.pairs == pairs_of(data, n_negatives)
    block_of = visit.training.schedule.item_block[visit.stratum]
    assert len(set(block_of)) > 1 and visit.rows.shape[1] == 5
    blocks = {}
    for row, block in zip(visit.rows.tolist(), block_of, strict=True):
        assert not known(data)[row[0], row[2:]].any()
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
        blocks = max(blocks, visit.training.schedule.n_item_blocks)
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
    record = make(n_epochs=1).fit(data).history_[0]
    assert record["n_skipped"] == 300
    assert record["n_triplets"] == data.nnz - 300


@pytest.mark.parametrize("given", [False, True])
def test_strata_of_a_round_share_no_user_and_no_item(given, blocks):
    negatives = negatives_of(blocks) if given else None
    visit = Visit(blocks, given=negatives, n_negatives=2, random_state=None)
    most = visit.training.schedule.starts.size
    assert most > 1
    cut = visit.training.schedule.runs
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
    weights = np.random.default_rng().random(blocks.nnz).astype(np.float32)
    table = sp.csr_matrix((weights, blocks.indices, blocks.indptr), blocks.shape).toarray()
    for given in (None, negatives_of(blocks)):
        visit = Visit(blocks, weights=weights, given=given, n_negatives=2, random_state=None)
        np.testing.assert_array_equal(visit.weights, table[visit.rows[:, 0], visit.rows[:, 1]])


def test_epochs_and_seeds_differ_in_order_partition_and_draws(blocks):
    visits = [Visit(blocks, epoch=e, random_state=s) for e, s in ((1, 0), (2, 0), (1, 1))]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (visits[one].rows[:, 0] != visits[other].rows[:, 0]).mean() > 0.5
        assert (visits[one].rows[:, 2] != visits[other].rows[:, 2]).mean() > 0.5


def test_order_within_a_stratum_is_random(blocks):
    """Over many epochs, the first place of all is taken by many different users."""
    first = {Visit(blocks, epoch=e, random_state=0).rows[0][0] for e in range(1, 31)}
    assert len(first) > 10


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_an_epoch_equals_its_naive_twin(given, weighted, blocks):
    """From the triplets on: order, weights and tables of the whole path, not of a stratum only."""
    params = {
        "learning_rate": 0.05, "n_negatives": 2, "init_scale": 0.1, "optimizer": "adagrad",
        "user_l2": 0.02, "item_l2": 0.01, "negative_l2": 0.03, "bias_l2": 0.004,
    }  # fmt: skip
    weights = np.random.default_rng(1).uniform(0.5, 2, blocks.nnz).astype(np.float32)
    negatives = negatives_of(blocks) if given else None
    visit = Visit(blocks, weights=weights if weighted else None, given=negatives, **params)
    *expected, loss = naive.learn(
        visit.rows, visit.weights if weighted else np.ones(len(visit.rows)), *visit.start,
        "bpr", "dot", "adagrad", 0.05, (0.02, 0.01, 0.03, 0.004), True, groups=visit.groups,
    )  # fmt: skip
    model = make(n_epochs=1, **params)
    model.fit(blocks, negatives=negatives, sample_weight=weights if weighted else None)
    for ours, theirs in zip(
        (model.user_factors_, model.item_factors_, model.item_biases_), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    mass = visit.weights.sum() if weighted else len(visit.rows)
    assert model.history_[0]["loss"] == pytest.approx(loss / mass, rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sampler", [sampling.dynamic(3), sampling.semi_hard(3)])
def test_an_epoch_chooses_as_its_naive_twin(sampler, weighted, blocks):
    """With steps too small to matter: which candidates meet which positives and weights."""
    params = {"sampler": sampler, "n_negatives": 2, "init_scale": 0.7, "learning_rate": 1e-9}
    weights = None
    if weighted:
        weights = np.random.default_rng(1).uniform(0.5, 2, blocks.nnz).astype(np.float32)
    visit = Visit(blocks, weights=weights, **params)
    U, V, _ = visit.start
    losses = []
    for u, i, *candidates in visit.rows:
        scores = V.astype(float) @ U[u]
        j = naive.hard_negative(candidates, i, scores, sampler.rule)
        losses.append(naive.LOSSES["bpr"](scores[i] - scores[j])[0])
    record = make(**{**params, "n_epochs": 1}).fit(blocks, sample_weight=weights).history_[0]
    # Where two scores are as good as equal, the twin may choose the other one.
    expected = np.average(losses, weights=visit.weights)
    assert record["loss"] == pytest.approx(expected, rel=2e-3)


@hypothesis.settings(
    max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 40),
    density=st.floats(0.0, 1.0),
    sampler=st.sampled_from([*sampling.SAMPLERS, "dynamic", "semi_hard"]),
    n_negatives=st.integers(1, 3),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_data_in_many_small_blocks(
    n_users, n_items, density, sampler, n_negatives, weighted, seed, monkeypatch
):
    """Blocks of single items, strata without triplets, users who like all or nothing."""
    monkeypatch.setattr(schedule, "_LEAST_ITEMS", 1)
    monkeypatch.setattr(schedule, "_LEAST_TRIPLETS", 1)
    rng = np.random.default_rng(seed)
    liked = rng.random((n_users, n_items)) < density
    liked[rng.integers(n_users), rng.integers(n_items)] = True
    others = ~liked & (rng.random(liked.shape) < 0.5)
    options = {}
    if sampler == "explicit":
        if not others.any():
            return
        options["negatives"] = others
    if weighted:
        options["sample_weight"] = rng.uniform(0.1, 2, liked.sum())
    fitted = [
        make(sampler=sampler, n_negatives=n_negatives, n_epochs=2, n_jobs=n_jobs).fit(
            liked, **options
        )
        for n_jobs in (1, 3)
    ]
    assert_same(*fitted)
    for record in fitted[0].history_:
        assert record["n_triplets"] + record["n_skipped"] == n_negatives * liked.sum()
    if sampler == "explicit":
        # A share comes from the given negatives, and the rest from the whole catalogue.
        full = n_negatives * liked.sum(1)[liked.all(1)].sum()
        assert fitted[0].history_[0]["n_skipped"] == full
    assert np.isfinite(fitted[0].user_factors_).all()


def test_prefetching_changes_the_speed_only(blocks, monkeypatch):
    expected = make().fit(blocks)
    monkeypatch.setattr(trainer, "_CACHE_BYTES", 0)
    for n_negatives in (1, 2):
        near = make(n_negatives=n_negatives)
        assert_same(near.fit(blocks), expected if n_negatives == 1 else near)
    hard = {"sampler": sampling.dynamic(3), "n_negatives": 2}
    far = make(**hard).fit(blocks)
    monkeypatch.undo()
    assert_same(far, make(**hard).fit(blocks))


# -------------------------------------------------------------------- records, threads


def test_history(blocks):
    model = make(n_epochs=4, n_negatives=2, learning_rate=0.2).fit(blocks)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3, 4]
    for record in model.history_:
        assert set(record) == {
            "epoch", "loss", "train_auc", "n_triplets", "n_skipped", "seconds",
        }  # fmt: skip
        assert record["n_triplets"] == 2 * blocks.nnz and record["n_skipped"] == 0
        assert 0 <= record["train_auc"] <= 1 and record["loss"] > 0 and record["seconds"] > 0
        assert {type(each) for each in record.values()} <= {int, float}
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]
    assert model.history_[-1]["train_auc"] > 0.6


def test_rounds_too_short_to_share_are_run_by_one_thread(blocks, monkeypatch):
    seen = []
    run = Training.run_epoch
    monkeypatch.setattr(
        Training, "run_epoch", lambda self, n: (seen.append(self.executor.n_jobs), run(self, n))[1]
    )
    shared = make(n_jobs=3).fit(blocks)
    monkeypatch.setattr(trainer, "_LEAST_RUN", 10**6)
    alone = make(n_jobs=3).fit(blocks)
    assert set(seen) == {3, 1}
    assert_same(shared, alone)


def test_no_thread_outlives_a_fit(blocks):
    make(n_jobs=3).fit(blocks)
    assert digest(make(n_jobs=3).fit(blocks)) == digest(make(n_jobs=1).fit(blocks))
    assert not [each for each in threading.enumerate() if each.name.startswith("tripletrec")]
