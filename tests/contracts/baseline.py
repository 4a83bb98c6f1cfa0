"""The contract of models without epochs: the common ones as far as they hold, and `partial_fit`."""

import copy
import re

import numpy as np
import pytest

import tripletrec as tr
from contracts.fit import FitContract
from contracts.histories import HISTORIES, HistoriesContract
from contracts.lists import ListsContract
from contracts.parameters import ParametersContract
from contracts.recommend import RecommendContract
from contracts.saved import SavedContract, TamperedContract
from contracts.support import assert_same, catalogue, interactions, learnt, rewrite, with_ids
from contracts.vectors import VectorsContract

OF_OTHERS = {"n_epochs", "n_jobs", "random_state"}  # parameters that the common contracts set


class BaselineContract(
    ParametersContract,
    FitContract,
    RecommendContract,
    ListsContract,
    HistoriesContract,
    SavedContract,
    TamperedContract,
    VectorsContract,
):
    """Inherit, and give `kind`, `settings`, `other`, `table` and `cannot` (be set)."""

    takes_sample_weight = False
    takes_negatives = False
    is_random = False
    settings = {}

    def make(self, **overrides):
        params = {**self.settings, **overrides}
        return self.kind(**{name: each for name, each in params.items() if name not in OF_OTHERS})

    def test_nothing_depends_on_others_or_on_threads(self, fitted, rng):
        lists = [rng.choice(40, n, replace=False) for n in rng.integers(1, 12, 60)]
        order = rng.permutation(60)
        ids, scores = fitted.recommend_history(lists, k=6)
        again = fitted.recommend_history([lists[u] for u in order], k=6)
        np.testing.assert_array_equal(again[0], ids[order])
        np.testing.assert_array_equal(again[1], scores[order])
        for u in range(10):
            np.testing.assert_array_equal(fitted.recommend_history(lists[u], k=6)[1], scores[u])

    def test_the_source_of_randomness_is_left_alone(self):
        """There is none."""

    def test_a_history_of_a_known_user_gives_the_user_s_list(self, fitted, pairs):
        histories = [pairs.indices[pairs.indptr[u] : pairs.indptr[u + 1]] for u in range(30)]
        for ours, theirs in zip(
            fitted.recommend_history(histories, k=5), fitted.recommend(k=5), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)

    def test_scores_of_pairs_are_those_of_lists(self, fitted):
        ids, scores = fitted.recommend(k=40, exclude=None)
        found = np.take_along_axis(catalogue(fitted), ids, axis=1)
        np.testing.assert_array_equal(found, scores)

    def test_added_users_are_users(self, fitted, pairs, tmp_path):
        model = copy.deepcopy(fitted)
        new = tr.Interactions.from_arrays([0, 0, 2], [3, 7, 5], shape=(3, 40))
        assert model.add_users(new) is model
        assert model.n_users_ == 33 and len(model.seen_) == len(pairs) + 3
        unseen = fitted.recommend_history(new, k=4)
        model.save(tmp_path / "model")
        for each in (model, tr.load(tmp_path / "model")):
            found = each.recommend([30, 32], k=4)
            np.testing.assert_array_equal(found[0], unseen[0][[0, 2]])
            np.testing.assert_array_equal(found[1], unseen[1][[0, 2]])
            assert each.recommend_history(HISTORIES)[0].shape == (5, 10)

    def test_added_users_without_ids_have_the_next_numbers(self, fitted):
        model = copy.deepcopy(fitted)
        model.add_users({"user": [31, 30], "item": [3, 4]})
        assert model.n_users_ == 32 and model.user_ids_ is None
        own = fitted.recommend_history([3], k=4)
        np.testing.assert_array_equal(model.recommend(31, k=4)[1], own[1])
        with pytest.raises(ValueError, match="must be the next numbers, from 32 to 32"):
            model.add_users({"user": [40], "item": [3]})

    def test_numbers_that_are_none_are_refused(self, fitted, tmp_path):
        path = tmp_path / "model"
        for wrong in (np.nan, np.inf):
            fitted.save(path)
            rewrite(
                path, lambda _, tensors, wrong=wrong: tensors[self.table].flat.__setitem__(2, wrong)
            )
            with pytest.raises(ValueError, match="must be finite, got NaN or infinity"):
                tr.load(path)

    def test_what_load_would_refuse_is_not_saved(self, fitted, tmp_path):
        for change, message in (
            (lambda m: getattr(m, self.table).fill(np.nan), f"{self.table} must be finite"),
            (lambda m: setattr(m, self.table, 3), f"{self.table} must be float32"),
            (lambda m: setattr(m, "user_ids_", [1] * 30), "user_ids_ must be an array or None"),
            (lambda m: delattr(m, "item_counts_"), "the attribute item_counts_ is missing"),
        ):
            model = copy.deepcopy(fitted)
            change(model)
            with pytest.raises(ValueError, match=f"the model cannot be saved: {message}"):
                model.save(tmp_path / "model")
        assert not list(tmp_path.iterdir())

    def test_what_is_set_after_fit_is_saved_too(self, fitted, tmp_path):
        model = copy.deepcopy(fitted).set_params(**self.other)
        model.save(tmp_path / "model", state=True)
        assert tr.load(tmp_path / "model").get_params() == model.get_params()

    def test_what_fit_would_not_take_is_saved_as_the_default(self, fitted, tmp_path):
        ((name, value),) = self.cannot.items()
        model = copy.deepcopy(fitted).set_params(**self.cannot)
        with pytest.warns(UserWarning, match=f"{name} must be .* saved with the default") as caught:
            model.save(tmp_path / "model")
        assert [each.filename for each in caught] == [__file__]
        again = tr.load(tmp_path / "model")
        assert getattr(again, name) == getattr(self.kind(), name)

    def test_load_runs_nothing_and_sets_nothing_strange(self, fitted, tmp_path):
        path, (name,) = tmp_path / "model", self.other
        for change, message in (
            (lambda d, _: d["parameters"].pop(name), f"it lacks the parameter {name}"),
            (lambda d, _: d["parameters"].update({name: [1]}), f"{name} must be"),
            (lambda d, _: d["fitted"].update(note_={"json": 1}), "that no model has: 'note_'"),
            (lambda d, _: d["fitted"].pop("item_counts_"), "it lacks the attribute item_counts_"),
            (lambda d, _: d["fitted"].update(n_items_={"json": 39}), "n_features_in_ must be"),
            (
                lambda d, t: (
                    d["fitted"].update(user_ids_={"ids": "numbers"}),
                    t.update(user_ids_=np.arange(2)),
                ),
                "must have 30 ids",
            ),
            (lambda d, _: d.update(state={"optimizer": "adam", "features": []}), "state"),
        ):
            fitted.save(path)
            rewrite(path, lambda d, t, change=change: change(d, t) and None)
            with pytest.raises(ValueError, match=message):
                tr.load(path)

    def test_bad_parameters_leave_the_model_as_it_was(self, fitted, pairs):
        model = copy.deepcopy(fitted).set_params(**self.cannot)
        before = learnt(model)
        ((name, value),) = self.cannot.items()
        for call in (model.fit, model.partial_fit, self.make(**self.cannot).fit):
            with pytest.raises(
                (ValueError, TypeError), match=f"{name} must be .*{re.escape(repr(value))}"
            ):
                call(pairs)
        assert learnt(model) == before

    def test_every_parameter_changes_something(self, fitted, pairs):
        other = self.make(**self.other).fit(self.with_times(pairs))
        assert not np.array_equal(catalogue(other), catalogue(fitted))

    def with_times(self, pairs):
        times = np.random.default_rng(3).integers(0, 10**6, len(pairs))
        return tr.Interactions(pairs.tocsr(), timestamps=times)

    def test_partial_fit_is_a_fit_on_all(self, rng):
        """Also of users and items that are new, and of pairs that are known."""
        whole = interactions(40, 50, 400, seed=int(rng.integers(2**31)))
        users, items = whole.rows, whole.indices
        old = (users < 30) & (items < 40) & (rng.random(400) < 0.7)
        parts = [
            tr.Interactions.from_arrays(users[old], items[old], shape=(30, 40)),
            tr.Interactions.from_arrays(
                np.append(users[~old], users[old][:9]), np.append(items[~old], items[old][:9]),
                shape=(40, 50),
            ),
        ]  # fmt: skip
        model = self.make()
        assert model.partial_fit(parts[0], n_epochs=3) is model
        assert_same(model, self.make().fit(parts[0]))
        model.partial_fit(parts[1])
        assert_same(model, self.make().fit(whole))
        assert (model.seen_.tocsr() > 0).nnz == 400
        for empty in (tr.Interactions.empty(whole), np.zeros((40, 50))):
            before = learnt(model)
            assert learnt(model.partial_fit(empty)) == before

    @pytest.mark.parametrize("wrong", [-4, 0, 1.5, True], ids=str)
    def test_partial_fit_checks_n_epochs(self, wrong, pairs):
        message = f"n_epochs must be an integer >= 1, got {wrong}"
        for model in (self.make(), self.make().fit(pairs)):
            with pytest.raises((ValueError, TypeError), match=message):
                model.partial_fit(pairs, n_epochs=wrong)
            with pytest.raises((ValueError, TypeError), match=message):
                model.partial_fit(pairs, wrong)
            with pytest.raises(ValueError, match="n_epochs is given twice"):
                model.partial_fit(pairs, 2, n_epochs=1)

    def test_partial_fit_appends_ids(self, pairs):
        data = with_ids("str", pairs)
        model = self.make().fit(data)
        model.partial_fit(tr.Interactions.from_frame({"user": ["new"], "item": ["thing"]}))
        assert model.user_ids_.tolist() == [*data.user_ids.tolist(), "new"]
        assert model.item_ids_.tolist() == [*data.item_ids.tolist(), "thing"]
        assert model.recommend("new", k=3)[0].shape == (3,)
        before = learnt(model)
        with pytest.raises(TypeError, match="user ids of X must be strings"):
            model.partial_fit(tr.Interactions.from_frame({"user": [3], "item": ["thing"]}))
        assert learnt(model) == before

    def test_validation_is_checked_and_has_no_effect(self, fitted, pairs):
        held_out = interactions(30, 40, 50, seed=8)
        assert_same(self.make().fit(pairs, validation=held_out), fitted)
        with pytest.raises(ValueError, match="validation must have the 30 users and 40 items"):
            self.make().fit(pairs, validation=np.ones((30, 39)))

    def test_evaluate(self, fitted):
        test = interactions(30, 40, 60, seed=8)
        scores = catalogue(fitted).astype(np.float64)
        assert tr.full_auc(fitted, test, None) == tr.full_auc(lambda rows: scores[rows], test)
