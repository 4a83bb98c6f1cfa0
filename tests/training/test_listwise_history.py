"""Users who are mixes of a row and their history: the naive twin, what is left out, threads, epochs."""

import itertools

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import interactions
from naive_history import HistoryTwin, mixed_user
from tiers import quick_rows
from training.fits import LIST_LOSSES, NAMES, covering, few_likes, latest_importance
from tripletrec import losses, scorers
from tripletrec.training.listwise import ListwiseTraining, PieceSizes
from tripletrec.training.plan import Factors


def training_of(
    data, weights=None, n_negatives=None, *, batch_size=3, dropout=0.0, n_jobs=1, **params
):  # fmt: skip
    model = tr.MatrixFactorization(
        **{
            "n_factors": 3, "n_epochs": 2, "loss": "softmax", "optimizer": "adagrad",
            "learning_rate": 0.01, "user_l2": 0.03, "item_l2": 0.02, "negative_l2": 0.01,
            "bias_l2": 0.05, "init_scale": 0.5, "schedule": "constant", "history": 0.6, **params,
        }
    )  # fmt: skip
    return ListwiseTraining(
        model._plan(), data, weights, n_negatives, batch_size, dropout, n_jobs,
        sizes=PieceSizes(scores=8, least=4),
    )  # fmt: skip


def bits(training):
    return {name: getattr(training.tables, name).tobytes() for name in NAMES}


def twin_of(training, data, weights):
    matrix = data.tocsr()
    liked = [matrix[u].indices.tolist() for u in range(data.n_users)]
    each = np.ones(data.nnz) if weights is None else weights.astype(np.float64)
    U, V, b = training.tables.factors
    return HistoryTwin(
        training.plan.history, training.plan, (U, V, b[:, None]), liked,
        [each[a:b] for a, b in itertools.pairwise(data.indptr)],
    )  # fmt: skip


def train_both(training, twin, n_epochs=2):
    """Train both on the same batches, candidates and thinned histories; compare the loss of each batch."""
    learn, importance = training.learn_from, latest_importance(training)

    def learn_from(users, keys, rate):
        value = learn(users, keys, rate)
        positives, slots, *_, histories, _ = training._batch
        twin.kept, twin.alone = {}, set()
        for r, u in enumerate(users.tolist()):
            places = np.arange(positives.bounds[r], positives.bounds[r + 1])
            left = places[histories.weights[places] > 0]
            twin.kept[u] = slots.items[positives.slots[left]].tolist()
            if histories.history_shares[r] == 1.0:
                twin.alone.add(u)
        expected = twin.learn_from(users.tolist(), importance)
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-4)
        return value

    training.learn_from = learn_from
    for number in range(1, n_epochs + 1):
        training.run_epoch(number)


@pytest.mark.parametrize(
    ("loss", "scorer", "n_negatives", "mix"),
    quick_rows(
        covering(LIST_LOSSES, scorers.SCORERS, (None, 5), ((0.6, 0.0), (0.8, 0.5))),
        ("softmax", "cosine", None, (0.8, 0.5)),
        ("bsl", "dot", 5, (0.6, 0.0)),
    ),
)
def test_against_the_twin(loss, scorer, n_negatives, mix, rng):
    share, history_dropout = mix
    data = few_likes(rng)
    weights = rng.uniform(0.5, 2.0, data.nnz).astype(np.float32)
    training = training_of(
        data, weights, n_negatives, loss=LIST_LOSSES[loss], scorer=scorer,
        history=share, history_dropout=history_dropout,
    )  # fmt: skip
    twin = twin_of(training, data, weights)
    train_both(training, twin)
    for mine, theirs in zip(training.tables.factors[:2], twin.factors()[:2], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(
        training.tables.factors[2], twin.factors()[2][:, 0], rtol=2e-3, atol=2e-4
    )


def test_histories_are_thinned_and_some_users_are_their_history_alone():
    data = interactions(300, 90, 3000)
    training = training_of(data, batch_size=300, history_dropout=0.3)
    training.run_epoch(1)
    first = training._batch.histories.weights[: data.nnz].copy()
    alone = np.mean(training._batch.histories.history_shares == 1.0)
    assert 0.64 < np.mean(first > 0) < 0.76 and 0.04 < alone < 0.18
    training.run_epoch(2)
    assert (training._batch.histories.weights[: data.nnz] != first).any()


@pytest.mark.parametrize("n_negatives", [None, 37], ids=["all", "some"])
def test_same_bits_at_any_number_of_threads(n_negatives):
    data = interactions(40, 90, 700)
    found = []
    for n_jobs in (1, 3):
        training = training_of(data, None, n_negatives, batch_size=7, n_jobs=n_jobs, dropout=0.2)
        with training.threads():
            found.append(
                ([training.run_epoch(n)["loss"] for n in (1, 2)], bits(training),
                 training.factors.user_factors.tobytes())
            )  # fmt: skip
    assert found[0] == found[1]


def test_an_epoch_depends_on_its_tables_and_number_alone():
    data = interactions(12, 20, 60)
    at_once, begun = (training_of(data, n_epochs=3, schedule="linear") for _ in range(2))
    expected = [at_once.run_epoch(number)["loss"] for number in (1, 2, 3)]
    found = [begun.run_epoch(1)["loss"]]
    continued = training_of(data, n_epochs=3, schedule="linear")
    continued.restore(begun.state())
    assert found + [continued.run_epoch(number)["loss"] for number in (2, 3)] == expected
    assert bits(continued) == bits(at_once)


@pytest.mark.parametrize("scorer", scorers.SCORERS)
def test_a_training_goes_on_with_the_own_rows_of_another(scorer):
    """And a user of whom nothing was known begins as a history."""
    data = interactions(12, 20, 60)
    begun, after = (training_of(data, scorer=scorer, loss=losses.softmax(0.5)) for _ in range(2))
    begun.run_epoch(1)
    U, V, b = (array.copy() for array in begun.tables.factors)
    own = scorers.normalize_rows(U)[0] if scorer == "cosine" else U.copy()
    own[4] = 0.0
    after.take_up(Factors(own, V, 0.5 * b), begun.row_state())
    past = mixed_user(None, V[data.indices[data.rows == 4]].astype(float), 0.6, scorer == "cosine")
    U[4] = past * (np.linalg.norm(U[4]) / np.linalg.norm(past) if scorer == "cosine" else 1.0)
    for found, expected in zip(after.tables.factors, (U, V, b), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scorer", scorers.SCORERS)
@pytest.mark.parametrize("history", [0.3, 1.0])
def test_users_are_mixed_with_all_of_their_history_in_the_end(scorer, history):
    matrix = interactions(12, 20, 60).tocsr().toarray()
    matrix[4] = 0
    training = training_of(tr.Interactions(matrix), scorer=scorer, history=history)
    training.run_epoch(1)
    U, V, _ = (array.astype(np.float64) for array in training.tables.factors)
    found = training.factors.user_factors
    assert not found[4].any()
    for u in np.delete(np.arange(12), 4):
        expected = mixed_user(U[u], V[np.flatnonzero(matrix[u])], history, scorer == "cosine")
        row = found[u] / (np.linalg.norm(found[u]) if scorer == "cosine" else 1.0)
        np.testing.assert_allclose(row, expected, atol=1e-6)
    released = training.release()
    np.testing.assert_array_equal(released.user_factors, found)
    np.testing.assert_array_equal(training.release().user_factors, found)
