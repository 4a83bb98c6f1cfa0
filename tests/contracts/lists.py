"""The contract of lists: what is left out, for whom they are, as what they come, and where to."""

import csv
import gzip

import numpy as np
import pandas as pd
import pytest
import scipy
import scipy.sparse as sp

import tripletrec as tr
from contracts.support import Contract, interactions, with_ids


def shown(model, exclude, users=None, **options):
    """The set of items that each user gets, of lists as long as can be."""
    ids, scores = model.recommend(users, k=model.n_items_, exclude=exclude, **options)
    assert ((ids == -1) == (scores == -np.inf)).all()
    return [set(row[row >= 0].tolist()) for row in ids]


def read(path):
    """A table from a file of lists; ids may hold a NUL, where pandas would end."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        names, *rows = csv.reader(file, delimiter="\t" if ".tsv" in path.suffixes else ",")
    return pd.DataFrame(rows, columns=names)


def without(*parts):
    """The items that each of 30 users may get if these are left out."""
    out = np.zeros((30, 40), bool)
    for part in parts:
        out |= part
    return [set(np.flatnonzero(~row).tolist()) for row in out]


class ListsContract(Contract):
    """Inherit, and give `make`."""

    @pytest.fixture(scope="class")
    @classmethod
    def with_strangers(cls, pairs):
        """A fitted model whose users 30 and 31 have no interactions."""
        wider = sp.csr_matrix(pairs.tocsr())
        wider.resize((32, 40))
        return cls().make().fit(wider)

    def test_what_was_seen_is_left_out(self, fitted, pairs):
        seen = pairs.tocsr().toarray() > 0
        assert fitted.seen_ is pairs
        assert shown(fitted, "seen") == without(seen) == shown(fitted, pairs)
        assert shown(fitted, None) == without()
        ids, scores = fitted.recommend()
        for users in (np.arange(30), None):
            again = fitted.recommend(users, 10, exclude=pairs)
            np.testing.assert_array_equal(again[0], ids)
            np.testing.assert_array_equal(again[1], scores)

    def test_other_pairs_are_left_out_alone_or_too(self, fitted, pairs):
        seen, other = pairs.tocsr().toarray() > 0, interactions(30, 40, 200, seed=3)
        matrix = other.tocsr().toarray() > 0
        for given in (other, other.tocsr(), matrix, sp.coo_array(matrix), matrix.tolist()):
            assert shown(fitted, given) == without(matrix)
            assert shown(fitted, ("seen", given)) == without(matrix, seen)
        assert shown(fitted, ("seen", None)) == shown(fitted, ("seen",)) == without(seen)
        assert shown(fitted, ("seen", other, [3])) == without(matrix, seen, np.arange(40) == 3)

    def test_items_are_left_out_for_all(self, fitted, pairs):
        seen, out = pairs.tocsr().toarray() > 0, np.isin(np.arange(40), [0, 7, 39])
        for given in (
            [39, 7, 0, 7],
            {0, 7, 39},
            (7, 0, 39),
            np.array([0, 7, 39]),
            pd.Series([0, 7, 39]),
        ):
            assert shown(fitted, given) == without(out)
        assert shown(fitted, ("seen", [0, 7, 39])) == without(out, seen)
        assert shown(fitted, []) == without() and shown(fitted, range(40)) == [set()] * 30
        # Also where choosing is cheaper than leaving out.
        several = [4, 5, 0, 7]
        assert shown(fitted, [0, 7, 39], candidates=several) == [{4, 5}] * 30
        assert fitted.recommend(k=9, exclude=[0, 7], candidates=several)[0].shape == (30, 4)
        each = [{int(user)} for user in range(30)]
        assert shown(fitted, [0, 7], candidates=each) == [{u} - {0, 7} for u in range(30)]

    @pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array, tr.Interactions])
    def test_a_matrix_may_have_the_rows_of_those_asked_for(self, fitted, form, rng):
        for n in (1, 2, 7):
            users, out = rng.permutation(30)[:n], rng.random((n, 40)) < 0.3
            expected = [set(np.flatnonzero(~row).tolist()) for row in out]
            assert shown(fitted, form(out), users) == expected
        alone = fitted.recommend(4, k=40, exclude=form(out[:1]))[0]
        assert set(alone.tolist()) == set(np.flatnonzero(~out[0]).tolist())
        # One row of an array has one dimension, as of SciPy 1.15.
        if form is sp.csr_array and np.lib.NumpyVersion(scipy.__version__) >= "1.15.0":
            assert fitted.recommend(4, k=40, exclude=form(out)[0])[0].tolist() == alone.tolist()
        ids, _ = fitted.recommend([4, 4], k=40, exclude=form(np.arange(80).reshape(2, 40) % 3 == 0))
        assert [set(range(40)) - set(row[row >= 0].tolist()) for row in ids] == [
            {n % 40 for n in range(first, first + 40) if n % 3 == 0} for first in (0, 40)
        ]
        with pytest.raises(
            ValueError, match="exclude must have the 30 users and 40 items of the model"
        ):
            fitted.recommend([4, 5, 6], exclude=form(out[:2]))

    def test_wrong_exclude(self, fitted, pairs):
        for wrong in ("sen", "", 3, 1.5, b"seen", ("seen", 3), ("seen", "seen")):
            for call in (fitted.recommend, lambda **given: fitted.score(pairs, **given)):
                with pytest.raises(
                    ValueError, match="exclude must be 'seen', None, interactions, a list"
                ):
                    call(exclude=wrong)
        with pytest.raises(
            ValueError, match="unknown item id 40: .*; 1 of the 2 items of exclude are"
        ):
            fitted.recommend(0, exclude=[3, 40])
        with pytest.raises(
            TypeError, match="exclude must be a matrix of users x items, got a DataFrame"
        ):
            fitted.recommend(0, exclude=pd.DataFrame({"user": [0], "item": [1]}))
        with pytest.raises(TypeError):
            fitted.recommend(0, 5, pairs)

    def test_candidates_of_each_user(self, fitted, pairs, rng):
        users = rng.permutation(30)[:6]
        own = [rng.integers(0, 40, rng.integers(0, 9)).tolist() for _ in users]
        own[0], own[1] = [], [3, 3, 3]
        width = min(5, max(len(set(each)) for each in own))
        kinds = own, tuple(map(set, own)), [np.array(each, int) for each in own], pd.Series(own)
        for given in kinds:
            ids, scores = fitted.recommend(users, k=5, exclude=None, candidates=given)
            assert ids.shape == scores.shape == (6, width)
            for user, mine, found, best in zip(users, own, ids, scores, strict=True):
                alone = fitted.recommend(int(user), k=5, exclude=None, candidates=mine)
                assert found[found >= 0].tolist() == alone[0].tolist()
                assert best[found >= 0].tolist() == alone[1].tolist()
                assert (best[found < 0] == -np.inf).all()
        alone = fitted.recommend(3, k=5, exclude=None, candidates=[[8, 9]])
        assert set(alone[0].tolist()) == {8, 9}
        seen = pairs.tocsr().toarray() > 0
        found = shown(fitted, "seen", users, candidates=own)
        assert found == [
            set(m) - set(np.flatnonzero(seen[u])) for u, m in zip(users, own, strict=True)
        ]
        square = np.arange(12).reshape(6, 2)
        assert shown(fitted, None, users, candidates=square) == [
            set(row) for row in square.tolist()
        ]

    def test_wrong_candidates_of_each_user(self, fitted):
        for wrong in ([[1], [2]], [[1], 2, [3]]):
            with pytest.raises(
                ValueError,
                match="candidates must be one list of item ids, or one for each of the 3 users",
            ):
                fitted.recommend([0, 1, 2], candidates=wrong)
        with pytest.raises(
            ValueError, match="unknown item id 40: .*; 1 of the 3 candidates are unknown"
        ):
            fitted.recommend([0, 1], candidates=[[1, 40], [2]])

    def test_no_result_depends_on_the_size_of_a_block(self, fitted, tmp_path):
        expected = fitted.recommend(k=6)
        for size in (1, 7, 30, 1000, 2**70):
            for ours, theirs in zip(fitted.recommend(k=6, batch_size=size), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            fitted.recommend_to(tmp_path / f"{size}.csv", k=6, batch_size=size)
        assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
        for wrong, kind in ((0, ValueError), (2.0, TypeError)):
            with pytest.raises(kind, match=f"batch_size must be an integer >= 1, got {wrong}"):
                fitted.recommend(batch_size=wrong)

    @pytest.mark.parametrize("kind", ["number", "int", "str", "date", "mixed"])
    @pytest.mark.parametrize("output", ["pandas", "polars"])
    def test_tables(self, kind, output, pairs, fitted):
        module = pytest.importorskip(output)
        data = pairs if kind == "number" else with_ids(kind, pairs)
        model = fitted if kind == "number" else self.make().fit(data)
        ids, scores = model.recommend(k=35)
        table = model.recommend(k=35, output=output)
        assert isinstance(table, module.DataFrame)
        assert list(table.columns) == ["user", "item", "rank", "score"]
        filled = scores > -np.inf
        assert not filled.all() and len(table) == filled.sum()
        users, ranks = np.nonzero(filled)
        everyone = np.arange(30) if kind == "number" else data.user_ids
        columns = {name: table[name].to_list() for name in table.columns}
        for name, wanted in (("user", list(everyone[users])), ("item", list(ids[filled]))):
            if kind == "date":  # which have no common unit
                columns[name], wanted = (
                    [np.datetime64(each).astype("M8[s]") for each in some]
                    for some in (columns[name], wanted)
                )
            assert columns[name] == wanted
        assert columns["rank"] == (ranks + 1).tolist()
        assert columns["score"] == scores[filled].tolist()
        if kind in ("number", "int"):
            assert all(str(table[name].dtype).lower() == "int64" for name in ("user", "item"))
        one = model.recommend(everyone[3], k=4, output=output)
        assert len(one) == 4 and one["score"].to_list() == scores[3, :4].tolist()

    def test_wrong_output(self, fitted):
        for wrong in ("list", None, ["arrays"]):
            with pytest.raises(
                ValueError, match="output must be one of 'arrays', 'pandas', 'polars', got"
            ):
                fitted.recommend(0, output=wrong)

    @pytest.mark.parametrize("ending", [".csv", ".tsv.gz", ".parquet"])
    @pytest.mark.parametrize("kind", ["number", "str"])
    def test_files(self, ending, kind, pairs, fitted, tmp_path):
        if ending == ".parquet":
            pytest.importorskip("pyarrow")
        model = fitted if kind == "number" else self.make().fit(with_ids(kind, pairs))
        path = tmp_path / f"lists{ending}"
        n = model.recommend_to(path, k=35, batch_size=8)
        table = model.recommend(k=35, output="pandas")
        found = read(path)
        assert n == len(table) == len(found)
        for name in ("user", "item", "rank"):
            assert found[name].astype(str).tolist() == table[name].astype(str).tolist()
        np.testing.assert_array_equal(found["score"].astype(np.float32), table["score"])
        if ending == ".tsv.gz":
            assert gzip.decompress(path.read_bytes()).startswith(b"user\titem\trank\tscore\n")
        assert model.recommend_to(path, [], k=3) == 0
        assert list(read(path).columns) == list(table.columns) and len(read(path)) == 0
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    def test_files_that_cannot_be(self, fitted, tmp_path):
        with pytest.raises(
            ValueError,
            match=r"path must end in .parquet, .csv, .tsv, .csv.gz, .tsv.gz, got .*lists.txt",
        ):
            fitted.recommend_to(tmp_path / "lists.txt")
        with pytest.raises(TypeError, match="path must end in"):
            fitted.recommend_to(3)
        with pytest.raises(OSError, match="cannot write lists to .*nowhere"):
            fitted.recommend_to(tmp_path / "nowhere" / "lists.csv")
        path = tmp_path / "lists.csv"
        fitted.recommend_to(path, k=2)
        before = path.read_bytes()
        for wrong in ({"users": [99]}, {"k": 0}, {"candidates": [99]}, {"exclude": "sen"}):
            with pytest.raises(ValueError):
                fitted.recommend_to(path, **wrong)
        assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1

    def test_unknown_users_may_be_skipped(self, pairs, tmp_path):
        data = with_ids("str", pairs)
        model = self.make().fit(data)
        known = data.user_ids[[4, 9]].tolist()
        asked = ["nobody", known[0], None, known[1], 7]
        ids, scores = model.recommend(asked, k=3, skip_unknown=True)
        assert ids.shape == scores.shape == (5, 3)
        expected = model.recommend(known, k=3)
        np.testing.assert_array_equal(ids[[1, 3]], expected[0])
        np.testing.assert_array_equal(scores[[1, 3]], expected[1])
        assert (ids[[0, 2, 4]] == None).all() and (scores[[0, 2, 4]] == -np.inf).all()  # noqa: E711
        assert len(model.recommend("nobody", skip_unknown=True)[0]) == 0
        table = model.recommend(asked, k=3, skip_unknown=True, output="pandas")
        assert table["user"].tolist() == [each for each in known for _ in range(3)]
        assert model.recommend_to(tmp_path / "lists.csv", asked, k=3, skip_unknown=True) == 6
        own = [["1"], ["2"], ["3"], ["4"], ["5"]]
        ids, _ = model.recommend(asked, exclude=None, candidates=own, skip_unknown=True)
        assert ids.tolist() == [[None], ["2"], [None], ["4"], [None]]
        out = np.ones((5, 40), bool)
        out[[0, 1], 5] = out[[2, 3], 6] = False
        ids, _ = model.recommend(asked, k=1, exclude=out, skip_unknown=True)
        assert ids.tolist() == [[None], ["5"], [None], ["6"], [None]]
        for wrong, kind in ((asked, ValueError), ([known[0], "nobody"], ValueError)):
            with pytest.raises(kind, match="unknown user id"):
                model.recommend(wrong)
        with pytest.raises(TypeError, match="skip_unknown must be"):
            model.recommend(known, skip_unknown=1)

    def test_users_without_history_get_what_is_popular(self, with_strangers, pairs):
        model = with_strangers
        assert model.is_cold().tolist() == [False] * 30 + [True] * 2
        assert model.is_cold([31, 4]).tolist() == [True, False] and model.is_cold(30).tolist() == [
            True
        ]
        counts = np.bincount(pairs.indices, minlength=40)
        order = np.lexsort((np.arange(40), -counts))
        for users in (None, [3, 31, 4, 30], [30, 31]):
            ids, scores = model.recommend(users, k=40)
            rows = np.isin(np.arange(32) if users is None else users, [30, 31])
            assert (ids[rows] == order).all() and (scores[rows] == counts[order]).all()
        assert model.recommend(31, k=3)[0].tolist() == order[:3].tolist()
        left = [item for item in order if item not in (order[0], order[2])]
        ids, _ = model.recommend(31, k=5, exclude=("seen", order[[0, 2]]))
        assert ids.tolist() == left[:5]
        ids, _ = model.recommend(31, k=5, candidates=order[[9, 3, 5]])
        assert ids.tolist() == order[[3, 5, 9]].tolist()
        own = [order[[7, 2]], order[[1, 0]]]
        assert model.recommend([31, 30], candidates=own)[0].tolist() == [
            order[[2, 7]].tolist(), order[[0, 1]].tolist()
        ]  # fmt: skip
        # Whoever is asked for beside them gets the same as ever.
        alone = [model.recommend(user, k=4) for user in (3, 31, 4)]
        for place, both in enumerate(zip(*model.recommend([3, 31, 4], k=4), strict=True)):
            for ours, theirs in zip(both, alone[place], strict=True):
                np.testing.assert_array_equal(ours, theirs)

    def test_evaluation_leaves_out_what_was_seen(self, fitted, pairs):
        both = interactions(30, 40, 60, seed=8)
        new = tr.Interactions(both.tocsr().toarray() * (pairs.tocsr().toarray() == 0))
        for measure in (tr.full_auc, lambda *given: tr.evaluate(*given).mean["ndcg@10"]):
            value = measure(fitted, new)
            assert value == measure(fitted, new, "seen") == measure(fitted, new, pairs)
            assert value != measure(fitted, new, None)
            with pytest.warns(
                UserWarning, match="of 60 .* test are in what the model was trained on too"
            ):
                assert measure(fitted, both) == value
            assert measure(fitted, new, ("seen", [3])) == measure(
                fitted, new, (pairs.tocsr().toarray() > 0) | (np.arange(40) == 3)
            )
        assert fitted.score(new) == tr.full_auc(fitted, new)
        for measure in (tr.full_auc, tr.evaluate):
            with pytest.raises(
                ValueError, match="trained on all positives of test, .*: exclude=None counts"
            ):
                measure(fitted, pairs)
        # Scikit-learn's tools ask for training scores in this way.
        assert fitted.score(pairs) == tr.full_auc(fitted, pairs, exclude=None)

    @pytest.mark.parametrize("kind", ["number", "str"])
    def test_saved_models_know_what_they_have_seen(self, kind, pairs, fitted, tmp_path):
        data = pairs if kind == "number" else with_ids("str", pairs)
        model = fitted if kind == "number" else self.make().fit(data)
        model.save(tmp_path / "with")
        again = tr.load(tmp_path / "with")
        np.testing.assert_array_equal(again.seen_.indptr, data.indptr)
        np.testing.assert_array_equal(again.seen_.indices, data.indices)
        assert (again.seen_.values == 1).all() and again.seen_.timestamps is None
        for mine, theirs in (
            (again.seen_.user_ids, again.user_ids_),
            (again.seen_.item_ids, data.item_ids),
        ):
            np.testing.assert_array_equal(mine, theirs)
        for ours, theirs in zip(again.recommend(k=40), model.recommend(k=40), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        again.save(tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "with").read_bytes()

    def test_saved_models_may_not_know_it(self, fitted, pairs, tmp_path):
        fitted.save(tmp_path / "with")
        fitted.save(tmp_path / "without", seen=False)
        sizes = [(tmp_path / name).stat().st_size for name in ("with", "without")]
        assert 4 * len(pairs) <= sizes[0] - sizes[1] <= 4 * len(pairs) + 8 * 31 + 300
        for first in ("recommend", "evaluate"):
            again = tr.load(tmp_path / "without")
            assert again.seen_ is None
            with pytest.warns(UserWarning, match="does not know what it was trained on") as caught:
                for _ in range(2):
                    if first == "recommend":
                        found = again.recommend(k=5)
                    assert tr.full_auc(again, pairs) == tr.full_auc(again, pairs, None)
                    found = again.recommend(k=5)
            assert [each.filename for each in caught] == [__file__]
            np.testing.assert_array_equal(found[0], fitted.recommend(k=5, exclude=None)[0])
            np.testing.assert_array_equal(
                again.recommend(k=5, exclude=pairs)[0], fitted.recommend(k=5)[0]
            )
            with pytest.raises(ValueError, match="save it with seen=True"):
                again.is_cold(3)
            again.save(tmp_path / "once more")
            assert tr.load(tmp_path / "once more").seen_ is None
        with pytest.raises(TypeError, match="seen must be"):
            fitted.save(tmp_path / "with", seen="no")
