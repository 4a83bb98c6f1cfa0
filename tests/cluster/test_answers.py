"""Lists and metrics by many workers are those of one machine."""

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from cluster.here import Here
from contracts.support import interactions
from tiers import quick
from tripletrec.cluster.answers import evaluate_by, recommend_by

OPTIONS = {"exclude": None, "candidates": None, "skip_unknown": False}


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
    n_rows = recommend_by(Here(), model, users, 3, tmp_path / "lists", 2, OPTIONS)
    assert n_rows == model.recommend_to(tmp_path / "one.parquet", users, 3, exclude=None)
    names = sorted((tmp_path / "lists").iterdir())
    assert len(names) == -(-(50 if users is None else len(users)) // 2)
    found = pd.concat([pd.read_parquet(each) for each in names], ignore_index=True)
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "one.parquet"))


class Counting(Here):
    """Here, with one task that fails."""

    def __init__(self, fails_at=-1):
        self.n, self.fails_at = 0, fails_at

    def submit(self, function, *arguments):
        self.n += 1
        if self.n == self.fails_at:
            raise OSError("the disk is full")
        return super().submit(function, *arguments)


def own_candidates(n):
    return [[3, 5, 7 + i % 20] for i in range(n)]


@pytest.mark.parametrize(
    "users, n, options",
    [
        ("u7", 1, {}),
        (pd.Series(["u7", "u3", "u9"]), 3, {"exclude": np.eye(3, 40), "candidates": range(8)}),
        (["u7", "u3", "u9"], 3, {"candidates": own_candidates(3)}),
        (["u7", "who", "u9"], 3, {"skip_unknown": True, "candidates": own_candidates(3)}),
        (None, 50, {"exclude": ("seen", np.eye(50, 40)), "candidates": own_candidates(50)}),
        (["u1", "u7", "u3"], 3, {"exclude": ("seen", [4, 5], np.eye(3, 40))}),
    ],
)  # fmt: skip
def test_what_is_said_of_each_user_goes_with_the_user(users, n, options, model, tmp_path):
    """Batches of two have other rows of a matrix and other lists of candidates."""
    pytest.importorskip("pyarrow", reason="writes parquet")
    options = {**OPTIONS, "exclude": "seen", **options}
    tasks = Counting()
    recommend_by(tasks, model, users, 3, tmp_path / "lists", 2, options)
    assert tasks.n == -(-n // 2)
    found = [pd.read_parquet(each) for each in sorted((tmp_path / "lists").iterdir())]
    model.recommend_to(tmp_path / "one.parquet", users, 3, **options)
    expected = pd.read_parquet(tmp_path / "one.parquet")
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), expected)


@pytest.mark.parametrize(
    "users, options, error, match",
    [
        (["u1", "u2", "who"], {}, ValueError, "unknown user id 'who'"),
        (5, {}, ValueError, "unknown user id 5"),
        ({"u5"}, {}, TypeError, "set"),
        (None, {"candidates": [3, 99]}, ValueError, "99"),
        (None, {"exclude": [99]}, ValueError, "99"),
        (["u1", "u2"], {"candidates": [[3]]}, ValueError, "one for each of the 2 users"),
        (["u1", "u2"], {"exclude": np.eye(3, 40)}, ValueError, "exclude"),
        (["u1"], {"skip_unknown": "no"}, TypeError, "skip_unknown"),
    ],
)
def test_wrong_arguments_leave_no_folder(users, options, error, match, model, tmp_path):
    options = {**OPTIONS, "exclude": "seen", **options}
    with pytest.raises(error, match=match):
        recommend_by(Here(), model, users, 3, tmp_path / "lists", 2, options)
    assert not (tmp_path / "lists").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_leaves_all_as_it_was(there, model, tmp_path):
    pytest.importorskip("pyarrow", reason="writes parquet")
    out = tmp_path / "more" / "lists"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(OSError, match="the disk is full"):
        recommend_by(Counting(3), model, None, 3, out, 10, OPTIONS)
    assert [each.name for each in out.parent.iterdir()] == (["lists"] if there else [])
    assert not there or list(out.iterdir()) == []
    assert recommend_by(Here(), model, None, 3, out, 10, OPTIONS) == 150
    assert [each.name for each in out.parent.iterdir()] == ["lists"]


class Late(Here):
    """Here, with tasks of which all but the first run after the client was interrupted."""

    def __init__(self):
        self.tasks = []

    def submit(self, function, *arguments):
        self.tasks.append((function, arguments))

    def gather(self, results):
        self.run(0)
        raise KeyboardInterrupt

    def run(self, number):
        function, arguments = self.tasks[number]
        return function(*arguments)


def test_workers_that_are_late_leave_nothing(model, tmp_path):
    pytest.importorskip("pyarrow", reason="writes parquet")
    tasks, out = Late(), tmp_path / "lists"
    with pytest.raises(KeyboardInterrupt):
        recommend_by(tasks, model, None, 3, out, 10, OPTIONS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="cannot write lists to"):
        tasks.run(1)
    assert recommend_by(Here(), model, None, 3, out, 10, OPTIONS) == 150
    with pytest.raises(OSError, match="cannot write lists to"):
        tasks.run(2)
    assert len(list(out.iterdir())) == 5 and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("exclude", quick(["seen", None, [3, 5]], "seen"))
def test_metrics_are_those_of_one_machine(exclude, model, parts):
    found = evaluate_by(Here(), model, parts[1], exclude, 7, {"k": (3, 5)})
    expected = tr.evaluate(model, parts[1], exclude, k=(3, 5))
    pd.testing.assert_frame_equal(found.per_user, expected.per_user, check_exact=True)
    pd.testing.assert_series_equal(found.mean, expected.mean, check_exact=True)
    assert found.interval().equals(expected.interval())
    pd.testing.assert_frame_equal(found.lists, expected.lists)


@pytest.mark.parametrize(
    "options",
    quick([{}, {"k": 5}, {"candidates": [1, 2, 3, 8]}, {"gains": "values"}], {"k": 5}),
)
@pytest.mark.parametrize("exclude", quick(["seen", None, ("seen", [3, 5])], "seen"))
def test_comparisons_know_how_it_was_measured(exclude, options, model, parts):
    test = parts[1]
    found, same = (
        evaluate_by(Here(), model, test, exclude, 7, options),
        tr.evaluate(model, test, exclude, **options),
    )
    assert found._measured == same._measured is not None
    other = evaluate_by(Here(), model, test, [4], 7, options)
    with pytest.raises(ValueError, match="evaluated alike, got 'b' with another exclude than 'a'"):
        tr.compare({"a": found, "b": other}, test)


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
    with pytest.raises(ValueError, match="out must be a new or an empty folder"):
        recommend_by(Here(), model, None, 3, tmp_path, 10, OPTIONS)
    with pytest.raises(TypeError, match="out must be the path of a folder"):
        recommend_by(Here(), model, None, 3, 7, 10, OPTIONS)
    with pytest.raises(ValueError, match="k must be"):
        recommend_by(Here(), model, None, 0, tmp_path / "new", 10, OPTIONS)
