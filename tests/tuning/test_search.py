"""`tune`, on data that are learnt in milliseconds."""

import sys

import numpy as np
import pytest
from sklearn.base import clone

import tripletrec as tr
from tiers import quick_rows

optuna = pytest.importorskip("optuna")

SPACE = {"n_factors": [2, 4], "learning_rate": (0.01, 1.0, "log"), "user_l2": (0.001, 0.1, "log")}


def model(**parameters):
    return tr.MatrixFactorization(**{"n_factors": 4, "n_epochs": 4, **parameters})


def tuned(data, n_trials=6, space=SPACE, template=None, **options):
    return tr.tune(template or model(), space, data, n_trials=n_trials, verbose=0, **options)


@pytest.fixture(scope="module")
def found(small):
    return tuned(small, 11)


def without_seconds(found):
    return found.trials.drop(columns="seconds")


def test_what_it_returns(small, found):
    assert set(found.best_params) == set(SPACE)
    complete = found.trials[found.trials["state"] == "complete"]
    assert found.best_value == complete["value"].max()
    assert set(found.trials["state"]) <= {"complete", "pruned"} and len(found.trials) == 11
    assert found.importance.sum() == pytest.approx(1)
    assert set(found.importance.index) == set(SPACE)
    assert found.best_model.seen_.nnz == small.nnz  # fitted on all
    assert "Tuning of 11 trials" in repr(found)


def test_importance_without_variance_is_no_number(small):
    one = tuned(small, 1).importance
    assert set(one.index) == set(SPACE) and one.isna().all()
    without_effect = {"n_epochs": [4], "learning_rate": (1e-9, 1e-8)}
    same = tuned(small, 3, without_effect, model(random_state=0))
    assert same.trials["value"].nunique() == 1 and len(same.trials) == 3
    assert set(same.importance.index) == set(without_effect) and same.importance.isna().all()


def test_the_template_is_tried_first_and_not_changed(small, found):
    template = model(learning_rate=0.1, user_l2=0.03)
    before = template.get_params()
    first = without_seconds(tuned(small, 1, template=template)).iloc[0]
    assert (first["n_factors"], first["learning_rate"], first["user_l2"]) == (4, 0.1, 0.03)
    assert template.get_params() == before and not hasattr(template, "user_factors_")


def test_the_first_trial_takes_what_a_fit_on_these_data_takes():
    dense = tr.datasets.make_interactions(60, 40, 720, random_state=0)  # of 2,400 pairs
    train, valid = tr.splits.train_test_split(dense, random_state=0)
    template = tr.MatrixFactorization.preset("softmax", n_factors=4, random_state=0)
    found = tuned(train, 1, None, template, validation=valid, refit=None)
    plain = clone(template).fit(train)
    assert found.trials["n_epochs"][0] == plain.companions_["n_epochs"] < 40
    assert found.best_value == tr.evaluate(plain, valid).mean["ndcg@10"]
    assert tuned(train, 1, {"n_epochs": [30, None]}, template, refit=None).best_params == {
        "n_epochs": None
    }


def test_same_seed_same_trials(small, found):
    again = tuned(small, 11)
    assert without_seconds(again).equals(without_seconds(found))
    np.testing.assert_array_equal(again.best_model.item_factors_, found.best_model.item_factors_)
    other = tuned(small, 3, random_state=1)
    assert not without_seconds(other).equals(without_seconds(found).head(3))


@pytest.mark.thorough
def test_it_goes_on_as_if_it_had_not_been_interrupted(small, found, tmp_path):
    storage = f"sqlite:///{tmp_path}/tuning.db"
    assert len(tuned(small, 5, storage=storage).trials) == 5
    again = tuned(small, 11, storage=storage)
    assert without_seconds(again).equals(without_seconds(found))
    assert tuned(small, 11, storage=storage).trials["seconds"].equals(again.trials["seconds"])
    for other in ({"metric": "auc"}, {"sample_weight": np.arange(1.0, len(small) + 1)}):
        assert len(tuned(small, 2, storage=storage, **other).trials) == 2  # another study


@pytest.mark.parametrize(
    ("n_before", "killed"),
    quick_rows([(0, False), (0, True), (3, False), (3, True)], (0, False), (3, True)),
)
def test_an_interrupted_trial_is_run_again(n_before, killed, small, monkeypatch):
    storage = optuna.storages.InMemoryStorage()
    whole = tuned(small, 12, refit=None)
    if n_before:
        tuned(small, n_before, storage=storage, refit=None)

    def stop(model, record):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if killed:  # it gets to neither
            patch.setattr(optuna.Study, "tell", lambda *_, **__: None)
            patch.setattr(optuna.Trial, "set_user_attr", lambda *_: None)
        tuned(small, 12, storage=storage, callbacks=stop)
    again = tuned(small, 12, storage=storage, refit=None)
    table = without_seconds(again)
    cut = table.loc[n_before]
    assert cut["state"] == ("running" if killed else "failed")
    expected = without_seconds(whole)
    assert cut[list(SPACE)].tolist() == expected.loc[n_before, list(SPACE)].tolist()
    # What was cut has no number of epochs, so that the column is of floats.
    done = table.drop(n_before).reset_index(drop=True).astype({"epochs": int})
    assert done.equals(expected.reset_index(drop=True))
    assert (again.best_value, again.best_params) == (whole.best_value, whole.best_params)


def test_a_trial_with_an_error_is_not_run_again(small):
    storage, l2s = optuna.storages.InMemoryStorage(), []

    class Fails(tr.EASE):
        def fit(self, X, y=None, **given):  # noqa: N803
            l2s.append(self.l2)
            if self.l2 == 5.0:
                raise MemoryError("of this trial")
            return super().fit(X, y, **given)

    def search():
        return tuned(small, 2, {"l2": (1.0, 100.0)}, Fails(5.0), storage=storage, refit=None)

    with pytest.raises(MemoryError, match="of this trial"):
        search()
    assert search().trials["state"].tolist() == ["failed", "complete", "complete"]
    assert l2s[0] == 5.0 and len(set(l2s)) == 3


def test_poor_trials_are_cut_short(found):
    pruned = found.trials[found.trials["state"] == "pruned"]
    assert len(pruned) and (pruned["epochs"] < 4).all()
    assert pruned["value"].isna().all()


def test_the_value_is_what_evaluate_says(small):
    train, valid = tr.splits.train_test_split(small, 0.2, random_state=1)
    found = tuned(train, 3, validation=valid, metric="recall@5", refit="train")
    assert found.best_value == tr.evaluate(found.best_model, valid, k=5).mean["recall@5"]
    together = tuned(train, 3, validation=valid, metric="recall@5").best_model
    assert together.seen_.nnz == small.nnz
    same = type(together)(**together.get_params()).fit(small)
    np.testing.assert_array_equal(together.item_factors_, same.item_factors_)
    assert not hasattr(tuned(train, 1, validation=valid, refit=None).best_model, "item_factors_")


def test_dates_and_numbers_do_not_end_a_search(small):
    """The best model is fitted on both parts, whose times cannot be compared."""
    train, valid = (
        tr.Interactions.from_arrays(
            part.rows,
            part.indices,
            timestamps=np.arange(len(part)).astype(kind),
            shape=part.space.shape,
        )
        for part, kind in zip(
            tr.splits.train_test_split(small, 0.2, random_state=1), ("M8[D]", float), strict=True
        )
    )
    best = tr.tune(
        tr.Popularity(), {"window": [None]}, train, validation=valid, n_trials=1, verbose=0
    )
    assert best.best_model.seen_.nnz == small.nnz and best.best_model.seen_.timestamps is None


def test_early_stopping(small):
    template = model(n_epochs=20, early_stopping=2, learning_rate=0.5)
    space = {"user_l2": (0.001, 0.1)}
    found = tuned(small, 2, space, template, metric="auc")
    best = found.study.best_trial.user_attrs["best_epoch"]
    assert len(found.best_model.history_) == found.best_model.n_epochs == best
    assert found.best_model.early_stopping is None
    again = tuned(small, 2, space, template, metric="auc", refit="train")
    assert again.best_model.best_epoch_ == best and again.best_model.early_stopping == 2


def test_callbacks_that_end_trials(small):
    """The refit has the epochs of the trial, whose value is that of its last one."""
    train, valid = tr.splits.train_test_split(small, 0.2, random_state=1)
    given = {"validation": valid, "metric": "recall@5", "space": {"learning_rate": [0.3]}}
    seen = []

    def stop(fitted, record):
        seen.append(record["validation_recall@5"])
        return record["epoch"] == 3

    found = tuned(train, 1, **given, callbacks=stop, refit="train")
    assert len(seen) == 6 and seen[:3] == seen[3:] and found.best_value == seen[-1]
    assert len(found.best_model.history_) == found.trials["epochs"][0] == 3
    assert found.best_model.n_epochs == 4 and found.best_model.validation_metric == "auc"
    assert tr.evaluate(found.best_model, valid, k=5).mean["recall@5"] == found.best_value
    seen.clear()
    together = tuned(train, 1, **given, callbacks=[stop]).best_model
    assert len(seen) == 3 and len(together.history_) == together.n_epochs == 3
    same = model(learning_rate=0.3, n_epochs=3).fit(small)
    np.testing.assert_array_equal(together.item_factors_, same.item_factors_)
    looks = lambda fitted, record: None  # noqa: E731
    template = model(n_epochs=None)
    assert tuned(train, 1, **given, template=template, callbacks=looks).best_model.n_epochs is None


def test_a_function_as_space(small):
    def space(trial):
        kind = trial.suggest_categorical("kind", ["small", "large"])
        return {"n_factors": 2 if kind == "small" else trial.suggest_int("n", 3, 5)}

    found = tuned(small, 4, space)
    assert set(found.best_params) == {"n_factors"}
    assert found.best_model.n_factors == found.best_params["n_factors"]
    assert "n_factors" in found.trials


def test_default_space_and_arguments_of_fit(small):
    seen = []
    template = model(n_epochs=1, loss="softmax", scorer="cosine")
    callback = lambda model, record: seen.append(record["epoch"])  # noqa: E731
    found = tr.tune(
        template, None, small, n_trials=2, verbose=0, callbacks=callback, sample_weight="values"
    )
    assert "dropout" in found.best_params and seen


def test_trials_that_diverge_are_pruned(small):
    space = {"learning_rate": [0.1, 1e30]}
    found = tuned(small, 6, space)
    diverged = found.trials["learning_rate"] == 1e30
    assert diverged.any() and (found.trials.loc[diverged, "state"] == "pruned").all()
    with pytest.raises(ValueError, match="none of the 1 trials was completed"):
        tuned(small, 1, {"learning_rate": [1e30]})


@pytest.mark.parametrize("refit", ["all", "train"])
def test_one_weight_for_each_interaction_is_cut_with_them(small, refit):
    weights = np.arange(1.0, len(small) + 1)
    pairs = small.tocsr().copy()
    pairs.data = weights.astype(np.float32)
    found, same = (
        tuned(small, 2, validation=0.2, refit=refit, sample_weight=each)
        for each in (weights, pairs)
    )
    assert found.best_value == same.best_value != tuned(small, 2, validation=0.2).best_value
    np.testing.assert_array_equal(found.best_model.item_factors_, same.best_model.item_factors_)


def test_what_cannot_be_fitted_in_the_end_is_told_first(small):
    """Each of these is right for the trials; only the refit has the validation data, too."""
    train, valid = tr.splits.train_test_split(small, 0.2, random_state=1)
    item = valid.indices[0]
    fewer = train[train.indices != item]
    table = {
        "id": np.delete(np.arange(small.n_items), item),
        "size": np.arange(small.n_items - 1.0),
    }
    kinds = [
        (train, {"sample_weight": np.ones(len(train))}, "sample_weight must be one number per"),
        (train, {"sample_weight": train}, "sample_weight is 0 for all validation data"),
        (train, {"negatives": valid}, f"negatives must not be positives too: {len(valid)} pairs"),
        (fewer, {"item_features": table, "item_id": "id"}, "a row for every id with interactions"),
    ]
    begun = []
    for data, options, message in kinds:
        template = tr.TwoTower(4, n_epochs=1) if "item_id" in options else model(n_epochs=1)
        given = {"template": template, "validation": valid, "space": {"learning_rate": [0.01]}}
        given |= {**options, "callbacks": lambda *_: begun.append(1)}
        with pytest.raises(ValueError, match=f"refit='all' is a fit on X and .*{message}.*'train'"):
            tuned(data, 1, **given)
        assert not begun
        assert tuned(data, 1, **given, refit="train").best_model.seen_.nnz == data.nnz
        begun.clear()


def test_times_that_the_fit_on_all_lacks_are_told_first(small):
    train, valid = tr.splits.train_test_split(small, 0.2, random_state=1)
    times = np.arange(len(train))
    dated = tr.Interactions.from_arrays(
        train.rows, train.indices, timestamps=times, shape=train.tocsr().shape
    )
    begun = []

    class Counting(tr.Popularity):
        def fit(self, X, y=None):  # noqa: N803
            begun.append(len(X))
            return super().fit(X, y)

    for space in ({"window": [None, 300]}, lambda trial: {"decay": 100}):
        template = Counting(window=500 if callable(space) else None)
        given = {"template": template, "validation": valid, "space": space}
        with pytest.raises(ValueError, match="validation must have timestamps .* or refit='train'"):
            tuned(dated, 2, **given)
        assert not begun
        tuned(dated, 2, **given, refit="train")
        assert len(begun) == 3
        begun.clear()


def test_an_error_has_a_note_of_what_was_best(small):
    train, valid = tr.splits.train_test_split(small, 0.2, random_state=1)
    calls = []

    class Once(tr.EASE):
        def fit(self, X, y=None, **given):  # noqa: N803
            calls.append(len(X))
            if len(X) > len(train):
                raise MemoryError("of the refit")
            return super().fit(X, y, **given)

    with pytest.raises(MemoryError) as told:
        tuned(train, 2, {"l2": [5.0, 50.0]}, Once(), validation=valid)
    best = tuned(train, 2, {"l2": [5.0, 50.0]}, tr.EASE(), validation=valid)
    (note,) = told.value.__notes__
    assert calls == [len(train)] * 2 + [len(small)]
    assert f"ndcg@10 {best.best_value:.4f} with {best.best_params}" in note


@pytest.mark.thorough  # opens a database, for which Optuna imports what takes a second
def test_a_space_that_fails_is_told_of_its_trial(small, tmp_path):
    def space(trial):
        raise LookupError("of the space")

    storage = f"sqlite:///{tmp_path}/tuning.db"
    with pytest.raises(LookupError, match="of the space"):
        tuned(small, 1, space, storage=storage)
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    assert [each.state.name for each in study.trials] == ["FAIL"]


@pytest.mark.thorough  # opens a database, for which Optuna imports what takes a second
def test_an_interruption_is_passed_on_and_told(small, tmp_path):
    storage = f"sqlite:///{tmp_path}/tuning.db"

    def stop(model, record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(small, 2, storage=storage, callbacks=stop)
    states = tuned(small, 2, storage=storage).trials["state"].tolist()
    assert states[0] == "failed" and states.count("complete") == 2


def test_timeout(small):
    assert len(tuned(small, 50, timeout=1e-9).trials) == 1


def test_progress_is_on_stderr(small, capsys):
    tr.tune(model(), SPACE, small, n_trials=1)
    printed = capsys.readouterr()
    assert printed.out == "" and "1/1" in printed.err and "Trial 0" not in printed.err
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "magic"}, "metric must be one of"),
        ({"n_trials": 0}, "n_trials must be"),
        ({"timeout": -1}, "timeout must be"),
        ({"validation": None}, "validation must be positives"),
        ({"validation": 1.5}, "validation must be"),
        ({"refit": "some"}, "refit must be"),
        ({"storage": "tuning.db"}, "storage must be a URL such as 'sqlite:///tuning.db'"),
        ({"storage": "sqlite:////no/such/folder/t.db"}, "of a database that opens, got"),
        ({"random_state": -1}, "random_state must be"),
        ({"space": {"magic": [1]}}, "no parameter of MatrixFactorization"),
        ({"space": {"n_factors": [0]}}, "n_factors must be"),
        (
            {"space": lambda trial: None},
            "space, a function, must return a dict of parameters .* None",
        ),
        (
            {"space": lambda trial: {"magic": 1}},
            "space has drawn 'magic', which is no parameter of",
        ),
        (
            {"space": lambda trial: {"n_factors": 0}},
            "space has a trial that the model refuses: n_factors must be",
        ),
        (
            {"template": tr.MatrixFactorization},
            "model must be a model of tripletrec, such as .* got <class",
        ),
        ({"template": "mf"}, "model must be a model of tripletrec, such as .* got 'mf'"),
        ({"checkpoint": "a.checkpoint"}, "checkpoint is not for tune"),
        ({"callbacks": [print, 5]}, "callbacks must be callable, got 5"),
    ],
)
def test_bad_arguments(options, message, small):
    with pytest.raises((ValueError, TypeError), match=message):
        tuned(small, **{"n_trials": 1, **options})


def test_without_optuna(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        tuned(small)


def test_models_without_epochs(small):
    found = tuned(small, 3, None, tr.EASE())
    assert set(found.best_params) == {"l2"} and found.trials["epochs"].eq(0).all()
    assert found.best_model.seen_.nnz == small.nnz
    with pytest.raises(ValueError, match="Popularity has no parameter to be tuned: give a space"):
        tuned(small, 1, None, tr.Popularity())
