"""Scikit-learn's splitters and samplers count interactions, and each part keeps all users and items."""

import numpy as np
import pytest
from sklearn import model_selection as ms
from sklearn.utils import resample, shuffle

import tripletrec as tr

FOLDS = [
    ms.KFold(4),
    ms.KFold(4, shuffle=True, random_state=0),
    ms.RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    ms.ShuffleSplit(2, test_size=0.25, random_state=0),
    ms.TimeSeriesSplit(3),
    ms.PredefinedSplit(np.arange(500) % 3 - 1),
    ms.LeavePGroupsOut(1),
    ms.GroupKFold(4),
    ms.GroupShuffleSplit(2, random_state=0),
    ms.StratifiedKFold(4),
    ms.StratifiedShuffleSplit(2, random_state=0),
    ms.StratifiedGroupKFold(3),
    tr.splits.InteractionKFold(4),
    tr.splits.TimeFolds(4),
    tr.splits.TimeFolds(2, test=0.2, gap=0.1, max_train=0.3),
]


@pytest.fixture(scope="module")
def data(small):
    """With times, for the folds that need some."""
    times = np.random.default_rng(0).integers(0, 300, 500)
    return tr.Interactions(small.tocsr(), timestamps=times)


def pairs_of(data):
    return set(zip(data.rows.tolist(), data.indices.tolist(), strict=True))


def check_part(part, data):
    assert isinstance(part, tr.Interactions)
    assert part.space.shape == data.space.shape
    assert pairs_of(part) <= pairs_of(data)


@pytest.mark.parametrize("cv", FOLDS, ids=lambda cv: type(cv).__name__)
def test_folds_of_interactions(cv, data):
    labels = data.indices % 3  # anything that each interaction has
    for train, test in cv.split(data, labels, data.rows % 7):
        assert max(*train, *test) < len(data)
        parts = [data.take(train), data.iloc[test]]
        for part, positions in zip(parts, (train, test), strict=True):
            check_part(part, data)
            assert len(part) == len(positions)
            assert pairs_of(part) == pairs_of(data[positions])
        assert not pairs_of(parts[0]) & pairs_of(parts[1])


def test_groups_are_users(data):
    for train, test in ms.GroupKFold(5).split(data, groups=data.rows):
        assert not set(data[train].rows) & set(data[test].rows)


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": False}, {"stratify": True}, {"train_size": 10}]
)
def test_random_split(options, data):
    if "stratify" in options:
        options = {"stratify": data.indices % 3}
    parts = ms.train_test_split(data, test_size=0.25, random_state=0 if options else 1, **options)
    for part in parts:
        check_part(part, data)
    assert len(parts[1]) == 125 and len(parts[0]) == options.get("train_size", 375)
    assert not pairs_of(parts[0]) & pairs_of(parts[1])


def test_what_is_one_per_interaction_is_split_along(data):
    weights = data.rows * 100.0 + data.indices
    train, _, train_weights, _ = ms.train_test_split(data, weights, random_state=0)
    # Weights come in the order of the positions, interactions row by row.
    assert sorted(train_weights) == sorted(train.rows * 100.0 + train.indices)


def test_shuffle_and_resample(data):
    assert pairs_of(shuffle(data, random_state=0)) == pairs_of(data)
    part = resample(data, replace=False, n_samples=123, random_state=0)
    check_part(part, data)
    assert len(part) == 123
    bootstrap = resample(data, random_state=0)
    check_part(bootstrap, data)
    assert 250 < len(bootstrap) < 380  # what is drawn twice is there once


@pytest.mark.parametrize(
    "index", [slice(3, 9), np.arange(500) < 7, [5, 3], 4], ids=["slice", "mask", "list", "one"]
)
def test_all_ways_to_take_are_one(index, data):
    for part in (data.iloc[index], data.loc[index], data.take(np.arange(500)[index])):
        check_part(part, data)
        assert pairs_of(part) == pairs_of(data[index])
