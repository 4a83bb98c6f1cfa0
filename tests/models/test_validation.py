"""Validation during a fit: which epochs, which users, early stopping by them."""

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import assert_same, interactions, learnt, negatives_of
from tiers import quick
from tripletrec.models.validation import epochs_between, sample_users

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")
MODELS = (tr.MatrixFactorization, tr.TwoTower, tr.MLPMatcher)


@pytest.fixture(scope="module")
def data():
    return interactions(60, 80, 900)


@pytest.fixture(scope="module")
def held_out(data):
    return tr.Interactions(negatives_of(data))


def values(model):
    return [record.get("validation_auc") for record in model.history_]


@pytest.mark.parametrize("kind", quick(MODELS, tr.MatrixFactorization))
def test_every_few_epochs_and_the_last(kind, data, held_out):
    each = kind(6, n_epochs=5).fit(data, validation=held_out)
    for every in (2, 3, 5, 9):
        model = kind(6, n_epochs=5, validate_every=every).fit(data, validation=held_out)
        expected = values(each)
        for n in range(4):
            if (n + 1) % every:
                expected[n] = None
        assert values(model) == expected
        assert "validation_auc" not in model.history_[0]
        np.testing.assert_array_equal(model.user_factors_, each.user_factors_)


def test_an_epoch_at_which_a_callback_stops_is_validated(data, held_out):
    model = tr.MatrixFactorization(6, n_epochs=9, validate_every=4)
    model.fit(data, validation=held_out, callbacks=lambda model, record: record["epoch"] == 3)
    assert [each is None for each in values(model)] == [True, True, False]


def test_only_true_ends_training_be_it_numpys(data, held_out):
    for answer, n in ((np.bool_(True), 1), (np.array(True), 1), (np.False_, 2), (1, 2), ("no", 2)):
        model = tr.MatrixFactorization(6, n_epochs=2).fit(data, callbacks=lambda *_, a=answer: a)
        assert len(model.history_) == n
    model.set_params(n_epochs=3)
    model.fit(data, callbacks=lambda model, _: tr.evaluate(model, held_out).mean["auc"] > 0.0)
    assert len(model.history_) == 1


@pytest.mark.parametrize("patience", [1, 2, 3, 7])
def test_patience_is_counted_in_epochs_and_looked_at_when_validated(patience, data, held_out):
    params = {"learning_rate": 0.5, "user_l2": 0.0, "item_l2": 0.0, "n_epochs": 40}
    model = tr.MatrixFactorization(16, **params, validate_every=3, early_stopping=patience)
    model.fit(data, validation=held_out)
    seen = {n: each for n, each in enumerate(values(model), 1) if each is not None}
    assert list(seen) == [n for n in range(1, 1 + len(model.history_)) if n % 3 == 0 or n == 40]
    best = max(seen, key=seen.get)
    assert model.best_epoch_ == best
    stopped = [n for n in seen if n - max((m for m in seen if m <= n), key=seen.get) >= patience]
    assert len(model.history_) == min([*stopped, 40])
    assert model.score(held_out, exclude=data) == pytest.approx(seen[best])


def test_a_sample_of_users(data, held_out):
    settings = {"n_factors": 6, "n_epochs": 3, "random_state": 4}
    every_one = tr.MatrixFactorization(**settings, validation_users="all")
    every_one.fit(data, validation=held_out)
    few = tr.MatrixFactorization(**settings, validation_users=10).fit(data, validation=held_out)
    again = tr.MatrixFactorization(**settings, validation_users=10, n_jobs=2)
    assert_same(again.fit(data, validation=held_out), few)
    np.testing.assert_array_equal(few.user_factors_, every_one.user_factors_)
    assert values(few) != values(every_one)
    sample = sample_users(held_out, 10, 0.0, 4)
    users = np.unique(sample.rows)
    assert len(users) == 10
    whole = held_out[np.isin(held_out.rows, users)]
    np.testing.assert_array_equal(sample.indices, whole.indices)
    assert values(few)[-1] == tr.full_auc(few, sample, data)
    for number in (None, 10_000):  # so small data are never sampled
        model = tr.MatrixFactorization(**settings, validation_users=number)
        assert values(model.fit(data, validation=held_out)) == values(every_one)


def test_how_many_users_pay():
    wide = tr.Interactions.from_arrays(
        np.arange(5000), np.zeros(5000, int), shape=(5000, 1_000_000)
    )
    narrow = tr.Interactions.from_arrays(np.arange(5000), np.arange(5000) % 10, shape=(5000, 5000))

    def n_users(held_out, most, epoch_scores):
        return len(np.unique(sample_users(held_out, most, epoch_scores, 0).rows))

    assert n_users(narrow, None, 0.0) == 5000
    assert n_users(narrow, 0, 0.0) == 250  # fewer tell too little
    assert n_users(narrow, 0, 1e8) == 1500
    assert n_users(narrow, 0, 1e12) == 5000
    assert n_users(wide, 0, 0.0) == 250
    small = tr.Interactions.from_arrays(np.arange(320), np.arange(320) % 10, shape=(320, 5000))
    assert n_users(small, 0, 0.0) == 320  # 1.6 million scores always pay
    sample = sample_users(narrow, 0, 0.0, 0)
    assert [epochs_between(sample, scores) for scores in (1.7e7, 1.6e7, 1e6, 1e9)] == [1, 2, 17, 1]
    chosen = [sample_users(narrow, 100, 0.0, seed).rows.tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"validate_every": 0}, "validate_every must be an integer >= 1, got 0"),
        ({"validate_every": 1.5}, "validate_every must be an integer >= 1, got 1.5"),
        ({"validation_users": 0}, "validation_users must be an integer >= 1, got 0"),
        ({"validation_users": "some"}, "validation_users must be None, 'all' or an integer"),
    ],
    ids=str,
)
def test_bad_values_are_refused_with_and_without_validation(kind, params, message, data, held_out):
    model = kind(6, n_epochs=1).fit(data)
    before = learnt(model)
    for options in ({}, {"validation": held_out}):
        with pytest.raises((ValueError, TypeError), match=message):
            model.set_params(**params).fit(data, **options)
    assert learnt(model) == before


def test_validation_is_rarer_where_it_costs_more():
    """As often as on a sample takes a tenth of the time; always where somebody has chosen the users."""
    data = tr.datasets.make_interactions(900, 2000, 9000, random_state=0)
    train, held_out = tr.splits.train_test_split(data, 0.3)
    settings = {"n_factors": 4, "n_epochs": 4, "sampler": "unseen"}
    auto = tr.MatrixFactorization(**settings).fit(train, validation=held_out)
    assert [("validation_auc" in each) for each in auto.history_] == [False] * 3 + [True]
    for other in ({"validate_every": 1}, {"validation_users": 20}, {"validation_users": "all"}):
        model = tr.MatrixFactorization(**settings, **other).fit(train, validation=held_out)
        assert len(values(model)) == 4
