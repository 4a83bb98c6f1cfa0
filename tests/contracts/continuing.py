"""The contract of `partial_fit`: one space, new users and items, what is seen, state in files, bad input."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import Contract, assert_same, catalogue, interactions, learnt, with_ids
from tiers import quick


def tomorrow(rng, n_users=70, n_items=44, nnz=120):
    """Return a table of events with ids of which some were never seen."""
    pairs = rng.choice(n_users * n_items, nnz, replace=False)
    users, items = np.divmod(pairs, n_items)
    frame = {"user": [f"user {u}" for u in users], "item": items * 3}
    return tr.Interactions.from_frame(frame)


def pairs_of(data):
    """Return the pairs of ids."""
    return set(
        zip(data.user_ids[data.rows].tolist(), data.item_ids[data.indices].tolist(), strict=True)
    )


class ContinuingContract(Contract):
    """Inherit, and give `make`."""

    other_optimizer = "sgd"

    @pytest.fixture(scope="class")
    @classmethod
    def today(cls):
        """Return events of users and items with ids."""
        users = [f"user {u}" for u in range(60)]
        pairs = interactions(60, 40, 500)
        return tr.Interactions(pairs.tocsr(), user_ids=users, item_ids=np.arange(40) * 3)

    @pytest.fixture(scope="class")
    @classmethod
    def of_today(cls, today):
        """Return a model that knows today's events, never modified."""
        return cls().make().fit(today)

    def test_old_rows_keep_their_place_and_new_ones_are_appended(self, of_today, today, rng):
        new = tomorrow(rng)
        model = copy.copy(of_today).partial_fit(new, 2)
        for word in ("user", "item"):
            old, now = getattr(of_today, f"{word}_ids_"), getattr(model, f"{word}_ids_")
            np.testing.assert_array_equal(now[: len(old)], old)
            added = set(now[len(old) :].tolist())
            assert added == set(getattr(new, f"{word}_ids").tolist()) - set(old.tolist())
            assert getattr(model, f"n_{word}s_") == len(now) == len(set(now.tolist()))
            assert len(getattr(model, f"{word}_factors_")) == len(now)
        assert model.n_features_in_ == model.n_items_
        assert pairs_of(model.seen_) == pairs_of(today) | pairs_of(new)
        n_users, n_items = model.n_users_, model.n_items_
        scores = model.predict(
            np.repeat(model.user_ids_, n_items), np.tile(model.item_ids_, n_users)
        )
        assert np.isfinite(scores).all()
        ids, _ = model.recommend(new.user_ids[0], k=5)
        known = pairs_of(today) | pairs_of(new)
        assert not {(new.user_ids[0], each) for each in ids.tolist()} & known

    def test_history_goes_on(self, of_today, rng):
        seen = []
        model = copy.copy(of_today).partial_fit(
            tomorrow(rng),
            3,
            callbacks=lambda view, record: seen.append((record["epoch"], view.n_users_)),
        )
        done = len(of_today.history_)
        assert model.history_[:done] == of_today.history_
        assert [each["epoch"] for each in model.history_] == list(range(1, done + 4))
        assert model.best_epoch_ == done + 3
        assert seen == [(done + n, model.n_users_) for n in (1, 2, 3)]
        assert model.get_params() == of_today.get_params()

    def test_vectors_move_a_little(self, of_today, rng):
        model = copy.copy(of_today).partial_fit(tomorrow(rng, nnz=20))
        old, now = of_today.item_factors_, model.item_factors_[: len(of_today.item_factors_)]
        norms = np.linalg.norm(old, axis=1) * np.linalg.norm(now, axis=1)
        assert np.median((old * now).sum(axis=1) / norms) > 0.7
        assert not np.array_equal(old, now)

    def test_n_jobs_changes_no_bit(self, of_today, rng):
        new = tomorrow(rng)
        models = [copy.copy(of_today).set_params(n_jobs=n).partial_fit(new) for n in (1, 2)]
        assert_same(*models)

    def test_unfitted_it_is_a_fit(self, today):
        model = self.make()
        n_epochs = model.n_epochs
        assert model.partial_fit(today, 2) is model and model.n_epochs == n_epochs
        assert_same(model, self.make(n_epochs=2).fit(today))

    def test_order_and_repetition_of_events_do_not_matter(self, of_today, rng):
        new = tomorrow(rng)
        order = rng.permutation(np.repeat(np.arange(len(new)), 1 + rng.integers(0, 2, len(new))))
        frame = {"user": new.user_ids[new.rows][order], "item": new.item_ids[new.indices][order]}
        again = tr.Interactions.from_frame(frame)
        assert_same(copy.copy(of_today).partial_fit(new), copy.copy(of_today).partial_fit(again))

    def test_what_is_empty_or_known_teaches_too(self, of_today, today):
        for X in (tr.Interactions.empty(today), today, today[:7], today.tocsr()):
            model = copy.copy(of_today).partial_fit(X)
            np.testing.assert_array_equal(model.user_ids_, today.user_ids, strict=True)
            np.testing.assert_array_equal(model.item_ids_, today.item_ids, strict=True)
            assert pairs_of(model.seen_) == pairs_of(today)
            assert len(model.history_) == len(of_today.history_) + 1
            assert not np.array_equal(model.item_factors_, of_today.item_factors_)

    def test_values_add_up_and_the_later_time_is_kept(self):
        frame = {
            "user": ["a", "a", "b"],
            "item": ["x", "y", "x"],
            "value": [1.0, 2.0, 4.0],
            "time": [5, 6, 7],
        }
        names = {"value": "value", "timestamp": "time"}
        model = self.make(n_epochs=1).fit(tr.Interactions.from_frame(frame, **names))
        later = {"user": ["c", "a"], "item": ["x", "y"], "value": [8.0, 16.0], "time": [9, 1]}
        seen = copy.copy(model).partial_fit(tr.Interactions.from_frame(later, **names)).seen_
        assert seen.tocsr().toarray().tolist() == [[1, 18], [4, 0], [8, 0]]
        assert seen.timestamps.tolist() == [5, 6, 7, 9]
        without = tr.Interactions.from_frame({"user": ["c"], "item": ["x"]})
        assert copy.copy(model).partial_fit(without).seen_.timestamps is None

    @pytest.mark.parametrize("kind", quick(["int", "str", "date", "mixed"], "str", "mixed"))
    def test_ids_of_every_kind(self, kind, tmp_path):
        data = with_ids(kind, interactions(30, 20, 200))
        head, tail = data.user_ids[:25], data.user_ids[20:]
        parts = [
            tr.Interactions(data.tocsr()[rows], user_ids=ids, item_ids=data.item_ids)
            for rows, ids in ((slice(0, 25), head), (slice(20, 30), tail))
        ]
        model = self.make(n_epochs=1).fit(parts[0]).partial_fit(parts[1])
        np.testing.assert_array_equal(model.user_ids_, data.user_ids)
        assert model.user_ids_.dtype == data.user_ids.dtype
        model.save(tmp_path / "a")
        np.testing.assert_array_equal(tr.load(tmp_path / "a").user_ids_, data.user_ids)

    def test_without_ids_larger_shapes_append(self):
        model = self.make(n_epochs=1).fit(interactions(20, 15, 80).tocsr())
        larger = interactions(24, 19, 30).tocsr()
        model.partial_fit(larger)
        assert (model.n_users_, model.n_items_, model.user_ids_) == (24, 19, None)
        assert catalogue(model).shape == (24, 19)
        with pytest.raises(ValueError, match="X must have at least the 24 users of the model"):
            model.partial_fit(larger[:20])

    def test_weights(self, of_today, rng):
        if not self.takes_sample_weight:
            pytest.skip("takes no weights")
        new = tomorrow(rng)
        plain = copy.copy(of_today).partial_fit(new)
        ones = copy.copy(of_today).partial_fit(new, sample_weight=np.ones(len(new)))
        assert_same(plain, ones)
        others = copy.copy(of_today).partial_fit(new, sample_weight=np.full(len(new), 3.0))
        assert not np.array_equal(plain.item_factors_, others.item_factors_)
        some = np.arange(len(new)) % 2
        half = copy.copy(of_today).partial_fit(new, sample_weight=some)
        assert_same(half, copy.copy(of_today).partial_fit(new[some > 0]))
        known = pairs_of(of_today.seen_)
        ids = new.user_ids[new.rows].tolist(), new.item_ids[new.indices].tolist()
        first = new[np.array([each not in known for each in zip(*ids, strict=True)])]
        by_value = copy.copy(of_today).partial_fit(first, sample_weight="values")
        assert_same(by_value, copy.copy(of_today).partial_fit(first))  # all values are 1
        of_users = copy.copy(of_today).partial_fit(new, sample_weight="users")
        assert not np.array_equal(plain.item_factors_, of_users.item_factors_)

    def test_negatives(self, of_today, rng):
        if not self.takes_negatives:
            pytest.skip("takes no negatives")
        new = tomorrow(rng)
        others = sp.random(*new.space.shape, 0.05, "csr", random_state=1)
        others = tr.Interactions(others, user_ids=new.user_ids, item_ids=new.item_ids)
        known = pairs_of(of_today.seen_) | pairs_of(new)
        ids = others.user_ids[others.rows].tolist(), others.item_ids[others.indices].tolist()
        others = others[np.array([each not in known for each in zip(*ids, strict=True)])]
        model = copy.copy(of_today).partial_fit(new, negatives=others)
        plain = copy.copy(of_today).partial_fit(new)
        assert not np.array_equal(model.item_factors_, plain.item_factors_)
        with pytest.raises(ValueError, match="negatives must not be positives too"):
            copy.copy(of_today).partial_fit(new, negatives=new)

    def test_a_file_with_state_goes_on_to_the_same_bits(self, of_today, rng, tmp_path):
        new = tomorrow(rng)
        of_today.save(tmp_path / "with", state=True)
        of_today.save(tmp_path / "without")
        expected = copy.copy(of_today).partial_fit(new, 2)
        again = tr.load(tmp_path / "with").partial_fit(new, 2)
        assert_same(again, expected)
        assert_same(pickle.loads(pickle.dumps(of_today)).partial_fit(new, 2), expected)
        lean = tr.load(tmp_path / "without").partial_fit(new, 2)
        assert learnt(lean).keys() == learnt(expected).keys()
        assert not np.array_equal(lean.item_factors_, expected.item_factors_)
        np.testing.assert_array_equal(lean.item_ids_, expected.item_ids_)
        lean.save(tmp_path / "with", state=True)

    def test_a_file_without_what_was_seen_learns_from_x_alone(self, of_today, rng, tmp_path):
        of_today.save(tmp_path / "a", seen=False)
        model, new = tr.load(tmp_path / "a"), tomorrow(rng, nnz=30)
        before, n_items = catalogue(model), model.n_items_
        others = np.flatnonzero(~np.isin(model.user_ids_, new.user_ids))
        model.partial_fit(new)
        now = catalogue(model)[: len(before)]
        lists, _ = model.recommend(model.user_ids_[others], k=1, exclude=None)
        best = model.item_ids_[now[others].argmax(axis=1)]
        np.testing.assert_array_equal(lists[:, 0], best)
        assert np.corrcoef(before[others].ravel(), now[others, :n_items].ravel())[0, 1] > 0.95
        for _ in range(2):  # what is not known stays so, in files too
            model.save(tmp_path / "b", state=True)
            model = tr.load(tmp_path / "b")
            assert model.seen_ is None
            with pytest.raises(ValueError, match="does not know what it was trained on"):
                model.is_cold()
            with pytest.warns(UserWarning, match="nothing is left out"):
                model.recommend(k=1)
            counts = model.item_counts_.copy()
            model.partial_fit(new)
            of_new = np.bincount(new.indices)
            more = (model.item_counts_ - counts)[model._items().rows(new.item_ids)]
            np.testing.assert_array_equal(more, of_new)
        assert model.item_counts_.sum() == len(of_today.seen_) + 3 * len(new)
        with pytest.raises(ValueError, match="state must be False"):
            tr.load(tmp_path / "a").save(tmp_path / "b", state=True)
        with pytest.raises(ValueError, match="X has no interaction"):
            tr.load(tmp_path / "a").partial_fit(new[:0])

    def test_bad_input_changes_nothing(self, of_today, today, rng):
        model, new = copy.copy(of_today), tomorrow(rng)
        before, attributes = learnt(model), dict(vars(model))
        unlike = tr.Interactions.from_frame({"user": [1, 2], "item": [3, 6]})
        dates = np.array(["2020-01-01", "2020-01-02"], "M8[D]")
        other = tr.Interactions.from_frame({"user": ["user 1", "user 2"], "item": dates})
        nan = np.full(today.space.shape, np.nan)
        wrong = [
            (
                {"X": unlike},
                TypeError,
                "user ids of X must be strings, as those of the model, got numbers",
            ),
            (
                {"X": other},
                TypeError,
                "item ids of X must be numbers, as those of the model, got dates",
            ),
            (
                {"X": today.tocsr()[:50]},
                ValueError,
                "X must have user ids, or exactly the 60 users",
            ),
            ({"X": nan}, ValueError, "X must hold finite values"),
            ({"X": -np.ones(today.space.shape)}, ValueError, "the negative value -1.0"),
            ({"X": "events"}, TypeError, "X must be"),
            ({"X": None}, TypeError, "X must be"),
            ({"X": new, "n_epochs": 0}, ValueError, "n_epochs must be an integer >= 1, got 0"),
            ({"X": new, "n_epochs": 1.5}, TypeError, "n_epochs must be an integer >= 1"),
            ({"X": new, "y": True}, TypeError, "n_epochs must be an integer >= 1, got True"),
            ({"X": new, "y": -4}, ValueError, "n_epochs must be an integer >= 1, got -4"),
            ({"X": new, "y": 2.5}, TypeError, "n_epochs must be an integer >= 1, got 2.5"),
            ({"X": new, "y": "3"}, TypeError, "n_epochs must be an integer >= 1, got '3'"),
            ({"X": new, "y": new}, TypeError, "n_epochs must be an integer >= 1, got Interactions"),
            ({"X": new, "y": 2, "n_epochs": 1}, ValueError, "n_epochs is given twice"),
            ({"X": new, "callbacks": 3}, TypeError, "callbacks must be callable"),
            (
                {"X": new, "sample_weight": [1.0]},
                ValueError,
                "sample_weight must be one number per",
            ),
            ({"X": new, "negatives": today}, ValueError, "negatives must have"),
        ]
        for arguments, kind, message in wrong:
            with pytest.raises(kind, match=message):
                model.partial_fit(**arguments)

        def fails(view, record):
            raise RuntimeError("of the callback")

        with pytest.raises(RuntimeError, match="of the callback"):
            model.partial_fit(new, callbacks=fails)
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="diverged"):
            model.set_params(learning_rate=1e30).partial_fit(new, 3)
        model.set_params(learning_rate=of_today.learning_rate, n_jobs=0)
        for learn in (model.partial_fit, model.fit):
            with pytest.raises(ValueError, match="n_jobs must be None or an integer other than 0"):
                learn(new)
        model.set_params(n_jobs=of_today.n_jobs)
        assert learnt(model) == before
        assert all(vars(model)[name] is each for name, each in attributes.items())

    def test_parameters_that_shape_what_is_learnt(self, of_today, today):
        name = next(each for each in ("n_factors", "n_user_factors") if hasattr(of_today, each))
        model = copy.copy(of_today).set_params(**{name: getattr(of_today, name) + 1})
        with pytest.raises(ValueError, match="partial_fit needs the parameters of the fit"):
            model.partial_fit(today)
        other = copy.copy(of_today).set_params(optimizer=self.other_optimizer, learning_rate=0.01)
        assert len(other.partial_fit(today).history_) == len(of_today.history_) + 1

    def test_ctrl_c(self, of_today, rng):
        def press(view, record):
            raise KeyboardInterrupt

        model, done = copy.copy(of_today), len(of_today.history_)
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(tomorrow(rng), 5, callbacks=press)
        assert len(model.history_) == model.best_epoch_ == done + 1
        assert len(model.user_factors_) == model.n_users_ == model.seen_.n_users
