"""The kernels of list-wise training, run by it, against a twin that differentiates numerically."""

import itertools

import numpy as np
import pytest

import naive
import tripletrec as tr
from tiers import quick_rows
from training.fits import LIST_LOSSES, covering, few_likes, latest_importance
from tripletrec import scorers
from tripletrec.training.listwise import ListwiseTraining, PieceSizes

# Adam has a test of its own below.
COVERING = covering(LIST_LOSSES, scorers.SCORERS, ("sgd", "adagrad"))
QUICK = [("softmax", "cosine", "adagrad"), ("bsl", "dot", "adagrad"), ("ccl", "dot", "sgd")]


def pair(data, weights=None, n_negatives=None, *, given=None, **params):
    """Return a training in batches of three users and several pieces, and its twin."""
    model = tr.MatrixFactorization(
        **{
            "n_factors": 3, "n_epochs": 2, "optimizer": "adam", "learning_rate": 0.01,
            "user_l2": 0.03, "item_l2": 0.02, "negative_l2": 0.01, "bias_l2": 0.05, "init_scale": 0.5,
            "schedule": "constant", "history": 0.0, **params,
        }
    )  # fmt: skip
    training = ListwiseTraining(
        model._plan(), data, weights, n_negatives, 3, 0.0, 1,
        given=given, sizes=PieceSizes(scores=8, least=4),
    )  # fmt: skip
    matrix = data.tocsr()
    liked = [matrix[u].indices.tolist() for u in range(data.n_users)]
    each = np.ones(data.nnz) if weights is None else weights.astype(np.float64)
    U, V, b = training.factors
    twin = naive.ListwiseTwin(
        training.plan, (U, V, b[:, None] / training.plan.loss.temperature), liked,
        [each[a:b] for a, b in itertools.pairwise(data.indptr)],
        None if given is None else [given.tocsr()[u].indices.tolist() for u in range(data.n_users)],
    )  # fmt: skip
    return training, twin


def train_both(training, twin, n_epochs=2):
    """Train both on the same batches and candidates; compare the loss of each batch."""
    learn, importance = training.learn_from, latest_importance(training)

    def learn_from(users, keys, rate):
        value = learn(users, keys, rate)
        assert value == pytest.approx(
            twin.learn_from(users.tolist(), importance), rel=1e-4, abs=1e-4
        )
        return value

    training.learn_from = learn_from
    for number in range(1, n_epochs + 1):
        training.run_epoch(number)


def assert_close(training, twin, rtol=2e-3, atol=2e-4):
    U, V, b = training.factors
    for got, expected in zip((U, V), twin.factors(), strict=False):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)
    expected = twin.factors()[2][:, 0] * training.plan.loss.temperature
    np.testing.assert_allclose(b, expected, rtol=rtol, atol=atol)


def random_data(rng):
    data = few_likes(rng)
    return data, rng.uniform(0.5, 2.0, data.nnz).astype(np.float32)


# Of all items the sampler says no more than whether known positives are among them.
CANDIDATES = [("unseen", None), ("uniform", None), ("unseen", 5), ("uniform", 5), ("popularity", 5)]


@pytest.mark.parametrize(
    ("loss", "scorer", "optimizer", "sampler", "n_negatives"),
    quick_rows(
        [(*parts, *candidates) for candidates in CANDIDATES for parts in COVERING],
        *[(*parts, "unseen", None) for parts in QUICK[:2]],
        *[(*QUICK[2], "popularity", 5)],
    ),
)
def test_against_the_twin(loss, scorer, optimizer, sampler, n_negatives, rng):
    data, weights = random_data(rng)
    training, twin = pair(
        data, weights, n_negatives, loss=LIST_LOSSES[loss], scorer=scorer, sampler=sampler,
        optimizer=optimizer,
    )  # fmt: skip
    train_both(training, twin)
    assert_close(training, twin)


@pytest.mark.parametrize("n_negatives", [None, 5], ids=["all", "some"])
@pytest.mark.parametrize(("loss", "scorer", "optimizer"), quick_rows(COVERING, *QUICK[:1]))
def test_given_negatives_against_the_twin(loss, scorer, optimizer, n_negatives, rng):
    data, weights = random_data(rng)
    others = (data.tocsr().toarray() == 0) & (rng.random(data.space.shape) < 0.4)
    others[0] = False
    choice = {"loss": LIST_LOSSES[loss], "scorer": scorer, "optimizer": optimizer}
    training, twin = pair(
        data, weights, n_negatives, given=tr.Interactions(1.0 * others),
        sampler=tr.sampling.explicit(0.3), **choice,
    )  # fmt: skip
    train_both(training, twin)
    assert_close(training, twin)
    assert (training.candidates.most == len(others.T)) == (n_negatives is None)


def test_adam_against_the_twin():
    # Adam's first steps are of one size whatever the gradient: only where none is near zero can
    # two ways to compute it agree.
    data = tr.Interactions(np.random.default_rng(0).random((7, 11)) < 0.4)
    training, twin = pair(data, loss=LIST_LOSSES["softmax"], scorer="cosine")
    train_both(training, twin)
    assert_close(training, twin, rtol=5e-3, atol=5e-4)
