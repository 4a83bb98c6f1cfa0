"""What type checkers make of a user's code: mypy, which CI runs, reads this file; the tests also run it.

A call that must be an error for type checkers has the error's code behind it: mypy reports it if it is none.
"""

from typing import Any, assert_type

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn import config_context

import tripletrec as tr

Lists = tuple[NDArray[Any], NDArray[np.float32]]


@pytest.fixture(scope="module")
def data() -> tr.Interactions:
    return tr.Interactions.from_arrays([0, 0, 1, 2], [0, 1, 1, 2], user_ids=["a", "b", "c"])


@pytest.fixture(scope="module")
def model(data: tr.Interactions) -> tr.EASE:
    return assert_type(tr.EASE(l2=1.0).fit(data), tr.EASE)


def test_interactions_and_splits(data: tr.Interactions) -> None:
    assert assert_type(data.user_ids, NDArray[Any] | Any)[0] == "a"  # as users of ids write it
    assert tr.Interactions.from_arrays([0], [0], timestamps=[7]).timestamps[0] == 7
    for cut in (data.iloc, data.loc):
        assert isinstance(assert_type(cut[[0, 2]], tr.Interactions), tr.Interactions)
    assert len(assert_type(data.take([0]), tr.Interactions)) == 1
    assert assert_type(data.to_frame(), pd.DataFrame).columns[0] == "user"
    folds = tr.splits.InteractionKFold(2, random_state=np.random.default_rng(0))
    assert assert_type(folds.n_splits, int) == 2
    assert assert_type(folds.random_state, int) >= 0
    train, test = tr.splits.leave_k_out(data)
    assert assert_type(len(train) + len(assert_type(test, tr.Interactions)), int) == 4


def test_answers(data: tr.Interactions, model: tr.EASE) -> None:
    lists = (
        assert_type(model.recommend("a"), Lists),
        assert_type(model.recommend(["a", "b"], output="arrays"), Lists),
        assert_type(model.recommend_history([1], unknown="drop"), Lists),
        assert_type(model.similar_items([0, 1]), Lists),
    )
    assert [scores.dtype for _, scores in lists] == [np.float32] * 4
    assert assert_type(model.predict("a", 0), NDArray[np.float32]).shape == (1,)
    assert assert_type(model.encode_histories([[1]]), NDArray[np.float32]).shape == (1, 3)
    assert assert_type(model.n_features_in_, int) == 3
    assert len(assert_type(model.seen_, tr.Interactions | Any)) == 4
    assert assert_type(model.user_ids_, NDArray[Any] | Any)[0] == "a"
    assert assert_type(tr.metric_scorer("auc").metric, str) == "auc"
    assert tr.evaluate(model, data, None, by={"a": 1, "b": 1, "c": 2}).by.index.to_list() == [1, 2]


def test_scikit_learn_s_methods(model: tr.EASE) -> None:
    with config_context(enable_metadata_routing=True):
        assert assert_type(model.set_score_request(exclude=True), tr.EASE) is model
    assert assert_type(tr.__version__, str)


def test_names_that_are_not_there(data: tr.Interactions, model: tr.EASE) -> None:
    with pytest.raises(AttributeError):
        tr.MatrixFactorisation  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError):
        model.recommend_items("a")  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="unknown"):
        model.recommend_history([1], unknown="skip")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="unknown"):
        model.encode_histories([[1]], unknown="skip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown"):
        model.add_users(data, unknown="skip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="output"):
        model.recommend("a", output="table")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="random_state"):
        tr.splits.leave_k_out(data, random_state="0")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="loss"):
        tr.MatrixFactorization(loss="bprr").fit(data)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="estimator|model"):
        tr.tune(3, None, data)  # type: ignore[type-var]


class _Stop:
    def __call__(self, model: tr.MatrixFactorization, record: dict[str, float]) -> bool:
        return record["seconds"] > 1.0


def _note(model: Any, record: dict[str, Any]) -> None:
    pass


def _without_a_record(model: tr.MatrixFactorization) -> bool:
    return False


def fits(data: tr.Interactions) -> None:
    """Read by mypy only: these take long."""
    model = tr.MatrixFactorization(n_epochs=1, random_state=np.int64(0))
    assert_type(model.fit(data, callbacks=[_Stop(), _note]), tr.MatrixFactorization)
    model.partial_fit(data, callbacks=lambda model, record: record["seconds"] > 1.0)
    model.fit(data, callbacks=_without_a_record)  # type: ignore[arg-type]
    assert_type(tr.tune(model, None, data).best_model, tr.MatrixFactorization)
    assert_type(tr.tune(tr.EASE(), None, data, refit=None), tr.tuning.Tuning[tr.EASE])
    assert_type(tr.load("model", kind=tr.TwoTower), tr.TwoTower)
