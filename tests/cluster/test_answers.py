"""Lists and metrics by many workers are those of one machine."""

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from cluster.here import Here
from contracts.support import interactions
from tiers import quick
from tripletrec.cluster.answers import evaluate_by, recommend_by


@pytest.fixture(scope="module")
def parts():
    data = interactions(50, 40, 600)
    ids = [f"u{n}" for n in range(50)]
    data = tr.Interactions(data.tocsr(), user_ids=ids)
    return tr.splits.train_test_split(data, random_state=0)


@pytest.fixture(scope="module")
def model(parts):
    return tr.MatrixFactorization(6, n_epochs=2).fit(parts[0])


@pytest.mark.parametrize("users", [None, ["u7", "u3", "u30", "u4", "u9"]])
def test_lists_are_those_of_one_machine(users, model, tmp_path):
    pytest.importorskip("pyarrow", reason="writes parquet")
    n_rows = recommend_by(Here(), model, users, 3, tmp_path / "lists", 2, {"exclude": None})
    assert n_rows == model.recommend_to(tmp_path / "one.parquet", users, 3, exclude=None)
    names = sorted((tmp_path / "lists").iterdir())
    assert len(names) == -(-(50 if users is None else len(users)) // 2)
    found = pd.concat([pd.read_parquet(each) for each in names], ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "one.parquet"))


@pytest.mark.parametrize("exclude", quick(["seen", None, [3, 5]], "seen"))
def test_metrics_are_those_of_one_machine(exclude, model, parts):
    found = evaluate_by(Here(), model, parts[1], exclude, 7, {"k": (3, 5)})
    expected = tr.evaluate(model, parts[1], exclude, k=(3, 5))
    pd.testing.assert_frame_equal(found.per_user, expected.per_user, check_exact=True)
    pd.testing.assert_series_equal(found.mean, expected.mean, check_exact=True)
    assert found.interval().equals(expected.interval())
    pd.testing.assert_frame_equal(found.lists, expected.lists)


def test_users_without_a_positive_that_is_ranked_are_left_out(model, parts):
    train, test = parts
    some = train[np.isin(train.rows, range(10))]
    mixed = tr.Interactions(some.tocsr() + test.tocsr(), user_ids=train.user_ids)
    with pytest.warns(UserWarning, match="are left out"):
        found = evaluate_by(Here(), model, mixed, "seen", 5, {})
    with pytest.warns(UserWarning, match="are left out"):
        expected = tr.evaluate(model, mixed)
    pd.testing.assert_frame_equal(found.per_user, expected.per_user, check_exact=True)
    with pytest.raises(ValueError, match="no user can be evaluated"):
        evaluate_by(Here(), model, some, "seen", 5, {})


def test_what_cannot_be_answered_is_refused(model, parts, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="out must be a new or empty folder"):
        recommend_by(Here(), model, None, 3, tmp_path, 10, {})
    with pytest.raises(TypeError, match="out must be the path of a folder"):
        recommend_by(Here(), model, None, 3, 7, 10, {})
    with pytest.raises(ValueError, match="k must be"):
        recommend_by(Here(), model, None, 0, tmp_path / "new", 10, {})
