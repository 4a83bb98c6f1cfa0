"""The trainer: what an epoch visits and draws, and what is left when training is stopped."""

import signal
import sys
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
from contracts.support import assert_same, digest, interactions, learnt, run_python
from tripletrec import sampling
from tripletrec._runtime.threads import UninterruptedThread
from tripletrec.training import loop as epochs
from tripletrec.training import strata as schedule
from tripletrec.training import triplet as trainer
from tripletrec.training.triplet import Training

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})


def after(n_epochs, data, *, of=3, validation=None, **params):
    """Return a model that was told to stop after `n_epochs` of a training of more."""
    stop = {"callbacks": lambda model, record: record["epoch"] == n_epochs}
    return make(n_epochs=of, **params).fit(data, validation=validation, **stop)


@pytest.fixture(scope="module")
def blocks():
    """Enough interactions for several blocks of users and of items."""
    return interactions(40, 300, 2500)


@pytest.fixture(scope="module")
def split():
    data = tr.datasets.make_interactions(50, 60, 900, random_state=4)
    return tr.splits.train_test_split(data, 0.2, random_state=0)


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


# -------------------------------------------------------------------- records, progress, callbacks


def test_epochs_that_nobody_watches_run_some_at_a_time(blocks, monkeypatch):
    calls, run = [], epochs._Course.run
    monkeypatch.setattr(epochs._Course, "run", lambda self, n: calls.append(n) or run(self, n))
    expected = make(n_epochs=5).fit(blocks, callbacks=lambda model, record: None)
    assert calls == [1, 2, 3, 4, 5]
    calls.clear()
    monkeypatch.setattr(epochs, "_MOMENT", 60.0)
    assert_same(make(n_epochs=5).fit(blocks), expected)
    assert calls == [5]
    monkeypatch.setattr(epochs, "_MOMENT", 0.0)
    assert_same(make(n_epochs=5).fit(blocks), expected)
    assert calls == [5] * 6


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


@pytest.mark.parametrize("validated", [False, True])
def test_progress_goes_to_standard_error(validated, split, capfd):
    train, test = split
    make(verbose=0).fit(train, validation=test if validated else None)
    assert capfd.readouterr() == ("", "")
    make(verbose=1).fit(train, validation=test if validated else None)
    out, err = capfd.readouterr()
    assert out == ""
    assert "3/3" in err and "loss" in err
    assert ("validation_auc" in err) == validated


def test_callbacks_see_a_usable_model_after_every_epoch(split):
    train, test = split
    seen = []

    def look(model, record):
        assert model.recommend(0, k=3, exclude=train)[0].shape == (3,)
        assert model.n_features_in_ == train.n_items
        seen.append((record["epoch"], model.score(test), model.user_factors_.copy()))

    model = make(n_epochs=3)
    assert model.fit(train, callbacks=look) is model
    assert [epoch for epoch, *_ in seen] == [1, 2, 3]
    for n_epochs, score, factors in seen:
        expected = after(n_epochs, train)
        assert score == expected.score(test)
        np.testing.assert_array_equal(factors, expected.user_factors_)
    assert_same(model, make(n_epochs=3).fit(train))


def test_a_callback_that_answers_true_stops(split):
    calls = []
    stopped = after(2, split[0], of=9)
    assert len(stopped.history_) == stopped.best_epoch_ == 2
    for callbacks in (
        lambda model, record: record["epoch"] == 2,
        [lambda model, record: calls.append(record["epoch"]), lambda model, r: r["epoch"] == 2],
        (lambda model, record: record["epoch"] == 2, lambda model, r: calls.append(r["epoch"])),
    ):
        stopped = make(n_epochs=9).fit(split[0], callbacks=callbacks)
        assert_same(stopped, after(2, split[0], of=9))
    assert calls == [1, 2, 1, 2]
    for answer in (None, False, "yes", 1):
        model = make().fit(split[0], callbacks=lambda model, record, answer=answer: answer)
        assert len(model.history_) == 3


def test_what_a_callback_notes_is_kept(split):
    def note(model, record):
        record["note"] = record["epoch"] ** 2

    model = make().fit(split[0], callbacks=note)
    assert [record["note"] for record in model.history_] == [1, 4, 9]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("fitted", [False, True])
def test_an_error_in_a_callback_leaves_the_model_as_it_was(fitted, n_jobs, split):
    class MyError(Exception):
        pass

    def fail(model, record):
        if record["epoch"] == 2:
            raise MyError("of my own")

    model = make(n_jobs=n_jobs, random_state=3)
    if fitted:
        model.fit(split[1])
    before = learnt(model)
    with pytest.raises(MyError, match="of my own"):
        model.fit(split[0], callbacks=fail)
    assert learnt(model) == before
    assert hasattr(model, "n_users_") == fitted


# -------------------------------------------------------------------- validation, early stopping


@pytest.mark.parametrize("metric", ["auc", "mrr", "ndcg@5", "hit_rate@20"])
def test_validation_metric_is_that_of_evaluate(metric, split):
    train, test = split
    model = make(validation_metric=metric).fit(train, validation=test)
    for record in model.history_:
        expected = after(record["epoch"], train)
        k = int(metric.partition("@")[2] or 1)
        value = tr.evaluate(expected, test, train, k=k).mean[metric]
        assert record[f"validation_{metric}"] == value
    assert model.best_epoch_ == 3


def test_validation_changes_nothing_learnt(split):
    train, test = split
    model, plain = make().fit(train, validation=test), make().fit(train)
    np.testing.assert_array_equal(model.user_factors_, plain.user_factors_)
    for given in (test.tocsr(), sp.csc_array(test.tocsr()), test.tocsr().toarray()):
        assert_same(make().fit(train, validation=given), model)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_early_stopping_keeps_the_best_epoch(n_jobs, split):
    train, test = split
    # Steps this large overfit soon: the best epoch comes early.
    params = {"learning_rate": 0.5, "user_l2": 0.0, "item_l2": 0.0, "n_jobs": n_jobs}
    for patience in (1, 3):
        model = make(n_epochs=60, early_stopping=patience, **params).fit(train, validation=test)
        values = [record["validation_auc"] for record in model.history_]
        best = model.best_epoch_
        assert values[best - 1] == max(values)
        assert values.index(max(values)) == best - 1
        assert len(values) == min(60, best + patience)
        expected = after(best, train, of=60, **params)
        np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)
        np.testing.assert_array_equal(model.item_factors_, expected.item_factors_)
        np.testing.assert_array_equal(model.item_biases_, expected.item_biases_)
        assert model.score(test, exclude=train) == pytest.approx(max(values))


def test_early_stopping_that_does_not_stop(split):
    train, test = split
    model = make(n_epochs=4, early_stopping=100).fit(train, validation=test)
    values = [record["validation_auc"] for record in model.history_]
    assert len(values) == 4
    assert model.best_epoch_ == 1 + int(np.argmax(values))


# -------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("epoch", [2, 5])
def test_ctrl_c_leaves_the_last_whole_epoch(epoch, n_jobs, split):
    def press(model, record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    model = make(n_epochs=50, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0], callbacks=press)
    assert len(model.history_) in (epoch - 1, epoch)
    assert model.best_epoch_ == len(model.history_)
    assert_same(model, after(len(model.history_), split[0], of=50))


@pytest.mark.parametrize("fitted", [False, True])
def test_ctrl_c_before_the_end_of_the_first_epoch(fitted, split, monkeypatch):
    """What a second Ctrl-C does: the epoch under way is given up."""
    model = make()
    if fitted:
        model.fit(split[1])
    before = learnt(model)

    def press(self, number):
        self.cancelled = True
        return run_epoch(self, number)

    run_epoch = Training.run_epoch
    monkeypatch.setattr(Training, "run_epoch", press)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert learnt(model) == before


@pytest.mark.parametrize("n_epochs", [3, 9])
def test_factors_that_are_not_finite_are_never_handed_over(n_epochs, split, monkeypatch):
    """At the end and after Ctrl-C: the loss of an epoch does not tell what its last steps did."""

    def spoil(self, number):
        record = run_epoch(self, number)
        if number == 3:
            self.tables.items[0, 0, 0] = np.inf
        return record

    def press(self, call):
        run(self, call)
        if call.func.__self__.n_begun == 3:
            raise KeyboardInterrupt

    run_epoch, run = Training.run_epoch, UninterruptedThread.run
    monkeypatch.setattr(Training, "run_epoch", spoil)
    monkeypatch.setattr(UninterruptedThread, "run", press)
    monkeypatch.setattr(epochs, "_MOMENT", 0.0)
    with pytest.raises(FloatingPointError, match="training diverged in epoch 3"):
        make(n_epochs=n_epochs).fit(split[0])


@pytest.fixture
def heeds_ctrl_c():
    """As in a shell: what a script starts in the background ignores Ctrl-C."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("validated", [False, True])
def test_ctrl_c_within_an_epoch(validated, n_jobs, split, monkeypatch):
    """The epoch is finished, though not validated, and is the last one."""
    (train, test), run_epoch, stopped = split, Training.run_epoch, threading.Event()

    def press(self, number):
        if number == 3:
            while not stopped.wait(0.5):  # Python misses one that comes just before it waits
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return run_epoch(self, number)

    def stop(self, stop=epochs._Course.stop):
        stop(self)
        stopped.set()

    monkeypatch.setattr(Training, "run_epoch", press)
    monkeypatch.setattr(epochs._Course, "stop", stop)
    model = make(n_epochs=9, n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, validation=test if validated else None)
    monkeypatch.undo()
    expected = after(3, train, of=9)
    np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)
    np.testing.assert_array_equal(model.item_factors_, expected.item_factors_)
    np.testing.assert_array_equal(model.item_biases_, expected.item_biases_)
    assert [record["epoch"] for record in model.history_] == [1, 2, 3]
    if validated:
        values = [record["validation_auc"] for record in model.history_]
        assert np.isnan(values).tolist() == [False, False, True]


def test_ctrl_c_when_the_factors_are_handed_over(split, monkeypatch):
    def press(self):
        monkeypatch.undo()
        for name in ("_stored", "_user_step_counts"):  # as far as it came
            delattr(self, name)
        raise KeyboardInterrupt

    monkeypatch.setattr(Training, "release", press)
    model = make(n_epochs=4)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0])
    assert_same(model, after(4, split[0], of=4))


def test_ctrl_c_with_early_stopping_keeps_the_best_epoch(split):
    train, test = split
    params = {"learning_rate": 0.5, "user_l2": 0.0, "item_l2": 0.0}

    def press(model, record):
        if record["epoch"] == 8:
            raise KeyboardInterrupt

    model = make(n_epochs=20, early_stopping=20, **params)
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, validation=test, callbacks=press)
    values = [record["validation_auc"] for record in model.history_]
    assert model.best_epoch_ == 1 + int(np.argmax(values))
    expected = after(model.best_epoch_, train, of=20, **params)
    np.testing.assert_array_equal(model.user_factors_, expected.user_factors_)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal of POSIX")
def test_real_signals():
    """Ctrl-C at any moment of a training with many epochs, alone and with threads."""
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training import triplet as trainer

trainer._LEAST_RUN = 0  # use all threads
data = support.interactions(40, 300, 2500)
run_epoch = trainer.Training.run_epoch
for n_jobs, delay, watched in ((1, 0.05, 0), (2, 0.05, 1), (2, 0.0713, 0), (1, 0.0317, 1)):
    started = threading.Event()

    def run(self, number):
        started.set()
        return run_epoch(self, number)

    def send():
        started.wait()
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    model = tr.MatrixFactorization(n_factors=6, n_epochs=10**6, n_jobs=n_jobs)
    trainer.Training.run_epoch = run
    try:
        model.fit(data, callbacks=(lambda model, record: None) if watched else None)
    except KeyboardInterrupt:
        n_epochs = len(model.history_)
        again = tr.MatrixFactorization(n_factors=6, n_epochs=10**6)
        again.fit(data, callbacks=lambda model, record: record["epoch"] == n_epochs)
        print("same" if support.digest(model) == support.digest(again) else "different")
    assert not [each for each in threading.enumerate() if each.name.startswith("tripletrec")]
"""
    lines = run_python(code).split("\n")
    assert [line.split()[0] for line in lines if line] == ["same"] * 4


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals of POSIX")
def test_a_second_signal_gives_the_epoch_up():
    code = """
import os, signal, threading, time
import tripletrec as tr
from contracts import support
from tripletrec.training import triplet as trainer
from tripletrec.training.triplet import Training

trainer._LEAST_RUN = 0  # use all threads
data = support.interactions(40, 300, 2500)
model = tr.MatrixFactorization(n_factors=6, n_epochs=10**6, n_jobs=2).fit(data, callbacks=lambda *_: True)
before = support.digest(model)
run_epoch = Training.run_epoch

def slow(self, number):
    while not self.cancelled:  # an epoch that is not ready when the signals come
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
    return run_epoch(self, number)

Training.run_epoch = slow
try:
    model.fit(data)
except KeyboardInterrupt:
    print(support.digest(model) == before)
for each in threading.enumerate():
    if each.name.startswith("tripletrec"):
        each.join(60)  # a third signal may have cut short the wait for it
        print(each.is_alive())
"""
    lines = run_python(code).split()
    assert lines[0] == "True" and "True" not in lines[1:]


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
    import threading

    make(n_jobs=3).fit(blocks)
    assert digest(make(n_jobs=3).fit(blocks)) == digest(make(n_jobs=1).fit(blocks))
    assert not [each for each in threading.enumerate() if each.name.startswith("tripletrec")]
