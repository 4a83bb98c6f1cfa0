"""Parts that choose hard negatives, the package's own and a user's, in every kind of model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive
import tripletrec as tr
from contracts.support import assert_same
from tiers import quick
from tripletrec import part, sampling
from tripletrec.sampling import hard


@part
def mine(score, best, positive_score):
    """Tell whether a candidate scores higher than the one taken so far: `dynamic` by another name."""
    return score > best


@part
def easiest(score, best, positive_score):
    return score < best


PARTS = {"hardest": hard.hardest, "semi_hard": hard.semi_hard, "easiest": easiest}
KINDS = [tr.MatrixFactorization, tr.MLPMatcher, tr.TwoTower]
# Of a model that knows nothing and learns nothing.
STILL = {"loss": "bpr", "n_epochs": 1, "learning_rate": 1e-9, "init_scale": 1.0, "random_state": 1}


def own(choose, n_candidates=8):
    return sampling.Sampler("mine", True, n_candidates=n_candidates, choose=choose)


@pytest.mark.parametrize("name", PARTS)
@given(scores=st.lists(st.integers(-4, 4), min_size=1, max_size=6), positive=st.integers(-4, 4))
def test_one_after_the_other_leaves_what_all_at_once_would(name, scores, positive):
    taken = 0
    for c in range(1, len(scores)):
        if PARTS[name](scores[c], scores[taken], positive):
            taken = c
    assert taken == naive.HARD[name](scores, positive)


def still(kind, sampler, data):
    model = kind(6, sampler=sampler, **STILL)
    if kind is tr.MLPMatcher:
        model.set_params(dropout=0.0)
    return model.fit(data)


@pytest.mark.parametrize("kind", quick(KINDS, *KINDS[1:]))
def test_negatives_are_as_hard_as_their_choice(kind, small):
    samplers = (sampling.UNSEEN, sampling.dynamic(8), sampling.semi_hard(8), own(easiest))
    right = [still(kind, each, small).history_[0]["train_auc"] for each in samplers]
    assert 0.3 < right[0] < 0.7  # chance, but scores of a start may go with popularity
    assert right[1] < 0.25  # the positive must be the best of nine
    assert right[2] > 0.75  # the positive must not be the worst of nine
    assert right[3] > 0.75


@pytest.mark.parametrize("kind", quick(KINDS, *KINDS[1:]))
def test_a_choice_of_ones_own_is_as_good_as_a_built_in_one(kind, small):
    settings = {"n_epochs": 2, "random_state": 3}
    built_in = kind(6, sampler=sampling.dynamic(8), **settings).fit(small)
    assert_same(kind(6, sampler=own(mine), **settings).fit(small), built_in)


@pytest.mark.parametrize("kind", quick(KINDS, *KINDS[1:]))
def test_one_candidate_is_as_none(kind, small):
    plain = kind(6, loss="bpr", n_epochs=2, sampler="unseen").fit(small)
    model = kind(6, n_epochs=2, sampler=own(easiest, 1)).fit(small)
    pairs = np.arange(small.n_users), np.arange(small.n_users) % small.n_items
    np.testing.assert_allclose(model.predict(*pairs), plain.predict(*pairs), rtol=1e-4, atol=1e-6)


@pytest.mark.thorough
def test_a_choice_of_ones_own_is_the_same_at_any_number_of_threads():
    """On data that two threads share."""
    data = tr.datasets.make_interactions(300, 700, 70_000, random_state=2)
    model = tr.MatrixFactorization(6, sampler=own(easiest), n_epochs=2)
    one, two = (model.set_params(n_jobs=n).fit(data).user_factors_ for n in (1, 2))
    np.testing.assert_array_equal(one, two)


# -------------------------------------------------------------------- saved


@pytest.fixture(scope="module")
def fitted(small):
    return tr.MatrixFactorization(6, n_epochs=1).fit(small)


@pytest.mark.parametrize("sampler", [*(make() for make in sampling.HARD_SAMPLERS.values()),
                                     sampling.dynamic(3), sampling.semi_hard(5)])  # fmt: skip
def test_samplers_that_choose_are_saved(sampler, fitted, tmp_path):
    fitted.set_params(sampler=sampler).save(tmp_path / "model")
    assert tr.load(tmp_path / "model").sampler == sampler


def test_one_of_ones_own_is_saved_by_its_name(fitted, tmp_path):
    fitted.set_params(sampler=own(mine)).save(tmp_path / "model")
    assert tr.load(tmp_path / "model").sampler == "mine"


@pytest.mark.parametrize(
    "sampler",
    [
        sampling.UNSEEN._replace(n_candidates=3, choose=mine),
        sampling.dynamic()._replace(choose=mine),
        sampling.dynamic()._replace(n_candidates=1, choose=None),
    ],
)
def test_one_of_ones_own_is_not_saved_under_the_name_of_another(sampler, fitted, tmp_path):
    fitted.set_params(sampler=sampler)
    with pytest.raises(ValueError, match=f"cannot be saved under the name '{sampler.name}'"):
        fitted.save(tmp_path / "model")
