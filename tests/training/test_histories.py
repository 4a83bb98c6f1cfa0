"""Mixed rows after training: the own rows told from them again, and with what a training goes on."""

import numpy as np
import pytest

import tripletrec as tr
from naive_history import mixed_user
from training.fits import histories_of
from tripletrec import scorers
from tripletrec.training import histories


def plan_of(scorer, history=0.7):
    return tr.MatrixFactorization(loss="softmax", scorer=scorer, history=history)._plan()


@pytest.mark.parametrize("scorer", scorers.SCORERS)
def test_own_rows_are_told_from_mixed_ones(scorer, rng):
    plan, items = plan_of(scorer), rng.normal(size=(30, 5)).astype(np.float32)
    lists = [rng.choice(30, n, replace=False) for n in (1, 4, 9, 30)]
    past = histories.HistoryFoldIn(plan, items).learn(histories_of(lists))
    for row, each in zip(past, lists, strict=True):
        expected = mixed_user(None, items[each].astype(float), 0.7, scorer == "cosine")
        np.testing.assert_allclose(row, expected, atol=1e-6)
    own = rng.normal(size=(4, 5)).astype(np.float32)
    expected = scorers.check_scorer(scorer).rows(own)
    mixed = histories.mix(own, past, plan)
    np.testing.assert_allclose(mixed, 0.3 * expected + 0.7 * past, atol=1e-6)
    found = histories.own_rows(mixed, past, plan)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(histories.own_rows(past, past, plan), past, atol=1e-5)
    alone = histories.own_rows(past, past, plan_of(scorer, 1.0))
    assert alone.shape == past.shape and not alone.any()


def test_the_nearest_mix_of_a_row(rng):
    plan = plan_of("cosine")
    past, own = (scorers.normalize_rows(rng.normal(size=(9, 5)))[0] for _ in range(2))
    mixed = histories.mix(own.astype(np.float32), past.astype(np.float32), plan)
    lengths = rng.uniform(0.1, 9.0, (9, 1)).astype(np.float32)
    found = histories.nearest_mix(lengths * mixed, past.astype(np.float32), plan)
    # The same directions, by own rows of length one; they may be others where two lead there.
    np.testing.assert_allclose(
        scorers.normalize_rows(found)[0], scorers.normalize_rows(mixed)[0], atol=2e-3
    )
    for rows in (
        found,
        histories.nearest_mix(own.astype(np.float32), past.astype(np.float32), plan),
    ):
        own_part = (rows - 0.7 * past) / 0.3
        np.testing.assert_allclose(np.linalg.norm(own_part, axis=1), 1.0, atol=1e-4)
    nothing = np.zeros((9, 5), np.float32)
    assert not histories.nearest_mix(nothing, nothing, plan).any()
    assert histories.nearest_mix(mixed, past, plan_of("dot")) is mixed


def test_training_goes_on_with_rows_of_the_lengths_they_had(rng):
    plan, past = plan_of("cosine"), scorers.normalize_rows(rng.normal(size=(5, 3)))[0]
    own = scorers.normalize_rows(rng.normal(size=(4, 3)))[0].astype(np.float32)
    own[2] = 0  # nothing was known of this user
    others = np.full((7, 1), 0.25, np.float32)
    lengths = np.array([[0.5], [0.1], [0.0]], np.float32)  # the fourth was added later
    rows = histories.begin_own_rows(own, past.astype(np.float32), lengths, others, plan)
    found = histories.lengths_of(rows)[:, 0]
    np.testing.assert_allclose(found, [0.5, 0.1, 0.3, 0.3, 0.3], rtol=1e-5)
    directions = np.concatenate([own[:2], past[2:3], own[3:], past[4:]])
    np.testing.assert_allclose(rows / found[:, None], directions, atol=1e-6)
    unknown = histories.begin_own_rows(own, past.astype(np.float32), None, others, plan)
    np.testing.assert_allclose(histories.lengths_of(unknown), 0.25, rtol=1e-5)
    dot = histories.begin_own_rows(own, past.astype(np.float32), None, others, plan_of("dot"))
    np.testing.assert_array_equal(dot[:2], own[:2])
