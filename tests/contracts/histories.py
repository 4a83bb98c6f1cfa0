"""The contract of new users: recommended from their histories, and added under their ids."""

import copy
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import Contract, learnt, with_ids
from tiers import quick

HISTORIES = [[3, 7, 12], [], [5], list(range(20)), [38, 39]]


class HistoriesContract(Contract):
    """Inherit, and give `make`."""

    def test_a_list_is_one_user_and_lists_are_several(self, fitted):
        ids, scores = fitted.recommend_history(HISTORIES, k=4)
        assert ids.shape == scores.shape == (5, 4) and scores.dtype == np.float32
        assert np.isfinite(scores).all() and (np.diff(scores, axis=1) <= 0).all()
        for history, row, values in zip(HISTORIES, ids, scores, strict=True):
            assert not set(row) & set(history)
            for given in (history, history[::-1], [*history, *history], np.array(history, int)):
                single = fitted.recommend_history(given, k=4)
                np.testing.assert_array_equal(single[0], row)
                np.testing.assert_array_equal(single[1], values)

    def test_forms_of_histories(self, fitted):
        expected = fitted.recommend_history(HISTORIES, k=4)
        users = np.repeat(np.arange(5), [len(each) for each in HISTORIES])
        items = np.concatenate(HISTORIES).astype(int)
        data = tr.Interactions.from_arrays(users, items, shape=(5, 40))
        named = tr.Interactions(data.tocsr(), user_ids=list("abcde"))
        few = [each for each in HISTORIES if each]
        own = tr.Interactions.from_frame(  # which has the items that occur, and users who have some
            {
                "user": np.repeat(np.arange(4), [len(each) for each in few]),
                "item": np.concatenate(few),
            }
        )
        sets = [set(each) for each in HISTORIES]
        for given in (
            data,
            named,
            data.tocsr(),
            sp.coo_array(data.tocsr()),
            data.tocsr().toarray(),
            data.tocsr().toarray() * 1.5,
            data.tocsr().toarray() > 0,
            sets,
        ):
            found = fitted.recommend_history(given, k=4)
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
        found = fitted.recommend_history(own, k=4)
        np.testing.assert_array_equal(found[0], expected[0][[0, 2, 3, 4]])
        # As arrays, too.
        for ids in ([[0, 1], [1, 0]], [[3, 1, 0], [1, 0, 0]], [[5]], [0, 0, 1, 1]):
            listed = fitted.recommend_history(ids, k=4)
            np.testing.assert_array_equal(fitted.recommend_history(np.array(ids), k=4), listed)

    @pytest.mark.parametrize("output", ["pandas", "polars"])
    def test_lists_of_histories_as_tables(self, output, fitted):
        """Users of lists have numbers, and those of interactions their ids."""
        module = pytest.importorskip(output)
        ids, scores = fitted.recommend_history(HISTORIES, k=38)
        users, ranks = np.nonzero(scores > -np.inf)
        assert len(users) < ids.size  # the longest history leaves 20 items
        items, best = ids[users, ranks], scores[users, ranks]
        expected = {"user": users, "item": items, "rank": ranks + 1, "score": best}
        table = fitted.recommend_history(HISTORIES, k=38, output=output)
        assert isinstance(table, module.DataFrame) and list(table.columns) == list(expected)
        for name, values in expected.items():
            assert table[name].to_list() == values.tolist()
        one = fitted.recommend_history([3, 7], k=2, output=output)
        assert one["user"].to_list() == [0, 0]
        named = tr.Interactions.from_arrays([0, 1], [3, 4], shape=(2, 40), user_ids=["ann", "bea"])
        two = fitted.recommend_history(named, k=2, output=output)
        assert two["user"].to_list() == ["ann", "ann", "bea", "bea"]
        with pytest.raises(ValueError, match="output must be one of 'arrays', 'pandas', 'polars'"):
            fitted.recommend_history(HISTORIES, output="list")

    def test_nothing_depends_on_others_or_on_threads(self, fitted, rng):
        lists = [rng.choice(40, n, replace=False) for n in rng.integers(0, 12, 60)]
        rows = fitted.encode_histories(lists)
        assert rows.dtype == np.float32 and rows.shape == (60, fitted.user_factors_.shape[1])
        for n_jobs in (1, 3):
            model = copy.deepcopy(fitted).set_params(n_jobs=n_jobs)
            order = rng.permutation(60)
            again = model.encode_histories([lists[u] for u in order])
            np.testing.assert_array_equal(again, rows[order])
        for u in range(10):
            np.testing.assert_array_equal(fitted.encode_histories([lists[u]])[0], rows[u])

    def test_nothing_changes(self, fitted):
        before = learnt(fitted)
        fitted.recommend_history(HISTORIES)
        assert learnt(fitted) == before

    def test_the_source_of_randomness_is_left_alone(self, pairs):
        random = np.random.default_rng(3)
        model = self.make(random_state=random).fit(pairs)
        state = random.bit_generator.state
        first = model.recommend_history([3, 4])
        assert random.bit_generator.state == state
        np.testing.assert_array_equal(model.recommend_history([3, 4])[1], first[1])

    def test_exclude_and_candidates(self, fitted):
        ids, _ = fitted.recommend_history(HISTORIES, k=40, exclude=None)
        assert [sorted(each) for each in ids] == [list(range(40))] * 5
        ids, scores = fitted.recommend_history(HISTORIES, k=40)
        for history, row, values in zip(HISTORIES, ids, scores, strict=True):
            assert set(row[np.isfinite(values)]) == set(range(40)) - set(history)
        ids, scores = fitted.recommend_history([3, 4], k=40, exclude=("seen", [5, 6]))
        assert set(ids) == set(range(40)) - {3, 4, 5, 6}
        assert set(fitted.recommend_history([3, 4], k=40, exclude=[5])[0]) == set(range(40)) - {5}
        found = fitted.recommend_history([[3, 4], [7]], k=5, candidates=[3, 7, 9])[0]
        assert set(found[0]) == {7, 9, -1} and set(found[1]) == {3, 9, -1}
        with pytest.raises(ValueError, match="exclude must be 'seen', None, interactions, a list"):
            fitted.recommend_history([3, 4], exclude="nothing")

    def test_an_empty_history_gives_what_is_popular(self, fitted, pairs):
        ids, scores = fitted.recommend_history([], k=6)
        counts = np.bincount(pairs.indices, minlength=40)
        expected = np.lexsort((np.arange(40), -counts))[:6]
        np.testing.assert_array_equal(ids, expected)
        np.testing.assert_array_equal(scores, counts[expected])

    @pytest.mark.parametrize("kind", quick(["int", "str", "date", "mixed"], "str", "mixed"))
    def test_ids(self, kind, pairs):
        data = with_ids(kind, pairs)
        model = self.make().fit(data)
        own = data.item_ids[[3, 7, 12]]
        ids, _ = model.recommend_history(own, k=4)
        assert set(model._items().rows(ids)) <= set(range(40)) - {3, 7, 12}
        np.testing.assert_array_equal(
            model.recommend_history([own.tolist()[::-1] if kind != "date" else own])[0][0][:4], ids
        )
        with pytest.raises(
            ValueError, match=r"^histories must hold items of the model, got unknown item id"
        ):
            model.recommend_history([own[0], "unheard of"])
        with pytest.raises(ValueError, match=r"^history 1 of histories must hold .*unknown='drop'"):
            model.recommend_history([own, ["unheard of"]])
        dropped = model.recommend_history([*own, "unheard of"], k=4, unknown="drop")[0]
        np.testing.assert_array_equal(dropped, ids)

    def test_what_is_no_history_is_refused(self, fitted):
        for wrong, message in (
            (3, "put a single item into a list"),
            ("3", "put a single item into a list"),
            (None, "histories must be a list of item ids"),
            ({"user": [0], "item": [3]}, "make a table Interactions first"),
            ([[3], 4], "got 4 beside lists"),
            ([[[3]]], r"a history must be a list of item ids, got \[3\] in one"),
        ):
            with pytest.raises(TypeError, match=message):
                fitted.recommend_history(wrong)
        for wrong, message in (
            (sp.csr_matrix((2, 39)), "a column for each of the 40 items of the model"),
            (
                np.eye(3, 41, dtype=int),
                "a column for each of the 40 items of the model.* got 41 columns",
            ),
            (np.eye(3, 41), "a column for each of the 40 items of the model.* got 41 columns"),
            (np.eye(3, 39, dtype=bool), "a column for each of the 40 items of the model.* got 39"),
            (
                np.ones((3, 41), int),
                "a column for each of the 40 items of the model.* got 41 columns",
            ),
            (
                7 * np.eye(3, 41, dtype=int),
                "a column for each of the 40 items of the model.* got 41",
            ),
            (
                np.eye(40, dtype=int)[3],
                r"histories must have two dimensions \(users, items\), got 1",
            ),
            (np.eye(41)[3], r"histories must have two dimensions \(users, items\), got 1"),
            ([3, 40], "unknown item id 40"),
            ([3.5], "unknown item id 3.5"),
        ):
            with pytest.raises(ValueError, match=message):
                fitted.recommend_history(wrong)
        with pytest.raises(ValueError, match="unknown must be 'raise' or 'drop', got 'ask'"):
            fitted.recommend_history([3], unknown="ask")

    def test_added_users_are_users(self, fitted, pairs, tmp_path):
        model = copy.deepcopy(fitted)
        new = tr.Interactions.from_arrays([0, 0, 2], [3, 7, 5], shape=(3, 40))
        assert model.add_users(new) is model
        assert model.n_users_ == 33 and model.user_ids_ is None
        np.testing.assert_array_equal(model.user_factors_[:30], fitted.user_factors_)
        rows = fitted.encode_histories(new)
        np.testing.assert_array_equal(model.user_factors_[30:], rows)
        assert model.seen_.n_users == 33 and len(model.seen_) == len(pairs) + 3
        np.testing.assert_array_equal(model.seen_.indices[-3:], [3, 7, 5])
        unseen = fitted.recommend_history(new, k=4, exclude=None)
        found = model.recommend([30, 32], k=4, exclude=None)
        np.testing.assert_array_equal(found[0], unseen[0][[0, 2]])
        np.testing.assert_array_equal(found[1], unseen[1][[0, 2]])
        np.testing.assert_array_equal(
            model.recommend_history(HISTORIES)[1], fitted.recommend_history(HISTORIES)[1]
        )
        model.save(tmp_path / "model")
        for other in (tr.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
            assert learnt(other) == learnt(model)
            np.testing.assert_array_equal(other.recommend([30, 32], k=4, exclude=None)[1], found[1])
            np.testing.assert_array_equal(
                other.recommend_history(HISTORIES)[1], fitted.recommend_history(HISTORIES)[1]
            )
        assert model.similar_users(31, k=3)[0].shape == (3,)

    @pytest.mark.parametrize("kind", quick(["int", "str", "date", "mixed"], "str", "mixed"))
    def test_added_users_have_ids(self, kind, pairs):
        data = with_ids(kind, pairs)
        model = self.make().fit(data)
        new = {
            "int": [5, 6],
            "str": ["a" * 300, "b"],
            "date": list(np.array(["1999-01-01", "1999-01-02"], "M8[D]")),
            "mixed": ["ann", "bea"],
        }
        items = list(data.item_ids[[3, 7]])
        before = model.recommend(data.user_ids[:2], k=3, exclude=None)
        model.add_users({"who": new[kind], "what": items}, user="who", item="what")
        assert model.n_users_ == 32 and len(model.user_ids_) == 32
        after = model.recommend(model.user_ids_[:2], k=3, exclude=None)
        np.testing.assert_array_equal(after[1], before[1])
        for each in new[kind]:
            assert model.recommend(each, k=3)[0].shape == (3,)
        for known in (new[kind][:1], [data.user_ids[0]]):
            state = learnt(model)
            with pytest.raises(ValueError, match="new users only, but user id .* is known already"):
                model.add_users({"user": known, "item": items[:1]})
            assert learnt(model) == state
        with pytest.raises(
            TypeError, match="ids of X must be .*, as those of the model, got tuples such"
        ):
            model.add_users({"user": [(1, 2)], "item": items[:1]})
        with pytest.raises(ValueError, match="X must have user ids, as the model has"):
            model.add_users(pairs)
        with pytest.raises(ValueError, match="X must hold items of the model, got unknown item id"):
            model.add_users({"user": new[kind][:1], "item": ["unheard of"]})

    def test_added_users_without_ids_have_the_next_numbers(self, fitted):
        model = copy.deepcopy(fitted)
        model.add_users({"user": [31, 30], "item": [3, 4]})
        assert model.n_users_ == 32 and model.user_ids_ is None
        np.testing.assert_array_equal(model.user_factors_[31], fitted.encode_histories([[3]])[0])
        with pytest.raises(
            ValueError, match="user ids of X must be the next numbers, from 32 to 32"
        ):
            model.add_users({"user": [40], "item": [3]})

    def test_a_model_that_knows_nothing_of_its_training_learns_nothing_of_it(self, fitted):
        model = copy.deepcopy(fitted)
        del model.seen_
        model.add_users(tr.Interactions.from_arrays([0], [39]))
        assert "seen_" not in vars(model) and model.n_users_ == 31

    def test_readers_go_on_while_users_are_added(self, pairs):
        data = with_ids("str", pairs)
        model = self.make(n_jobs=1).fit(data)
        expected = model.recommend(data.user_ids[:5], k=3, exclude=None)[1]
        errors, ended = [], threading.Event()

        def read():
            try:
                while not ended.is_set():
                    found = model.recommend(data.user_ids[:5], k=3, exclude=None)[1]
                    np.testing.assert_array_equal(found, expected)
            except Exception as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for each in readers:
            each.start()
        try:
            for n in range(8):
                model.add_users({"user": [f"new {n}"], "item": [data.item_ids[n]]})
        finally:
            ended.set()
            for each in readers:
                each.join()
        assert not errors and model.n_users_ == 38
