"""What every estimator of the package promises, as tests to inherit.

A test class names itself ``Test...``, inherits `EstimatorContract` and says how a quick estimator
is made; nothing else here knows which model it is.
"""

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import threading
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from safetensors.numpy import load_file, save_file
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_info

import tripletrec as tr

# Users, items, interactions: one pair of one user; no negative at all; one block; several blocks.
SIZES = [(1, 2, 1), (1, 1, 1), (3, 2, 4), (2, 300, 40), (60, 40, 500), (40, 300, 2500)]
KINDS = [sp.csr_matrix, sp.csr_array]
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
DTYPES = [bool, np.int8, np.int64, np.uint16, np.float32, np.float64, ">f4", ">i8"]

# Checks of scikit-learn that speak of fit alone, or of parameters. Left out are those that
# - hand a weight per row to fit, or X to predict: our samples are interactions;
# - pickle, which the adapter below cannot; a test here does;
# - score dense data, where every pair is a positive: its AUC is undefined;
# - ask for scikit-learn's own words in a message (complex, empty and negative data, NaN): ours
#   name the argument and the value, and have tests of their own.
SKLEARN_CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_get_params_invariance",
    "check_set_params",
    "check_dont_overwrite_parameters",
    "check_estimators_overwrite_params",
    "check_dict_unchanged",
    "check_estimators_fit_returns_self",
    "check_readonly_memmap_input",
    "check_fit_check_is_fitted",
    "check_n_features_in",
    "check_estimators_dtypes",
    "check_f_contiguous_array_estimator",
    "check_estimator_sparse_tag",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_array",
    "check_fit1d",
    "check_fit2d_1sample",
    "check_fit2d_1feature",
]


def interactions(n_users, n_items, nnz, seed=7):
    """Return distinct random pairs; cheaper than planted factors, and of any size."""
    pairs = np.random.default_rng(seed).choice(n_users * n_items, nnz, replace=False)
    users, items = np.divmod(pairs, n_items)
    return tr.Interactions.from_arrays(users, items, shape=(n_users, n_items))


def checkerboard(n=50):
    """Users like the items of their own parity; the diagonal is kept for the test."""
    likes = np.add.outer(np.arange(n), np.arange(n)) % 2 == 0
    return tr.Interactions(likes & ~np.eye(n, dtype=bool))


def learnt(model):
    """Return all that fit has set, with bytes in place of arrays and without the times."""

    def frozen(value):
        if isinstance(value, np.ndarray):
            plain = value.tolist() if value.dtype == object else value.tobytes()
            return value.dtype.str, value.shape, plain
        if isinstance(value, dict):
            return {key: frozen(each) for key, each in value.items() if key != "seconds"}
        if isinstance(value, (list, tuple)):
            return [frozen(each) for each in value]
        return value

    attributes = {key: each for key, each in vars(model).items() if key.endswith("_")}
    return frozen(attributes)


def digest(model):
    """Return `learnt` as text, to compare across processes."""
    return hashlib.sha256(repr(sorted(learnt(model).items())).encode()).hexdigest()


def assert_same(model, other):
    """Raise unless the two models have learnt the same, to the last bit."""
    ours, theirs = learnt(model), learnt(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name] == theirs[name], name


def run_python(code, *arguments, timeout=300):
    """Run code in a new process that can import what this one can; return what it printed."""
    folders = os.pathsep.join([os.getcwd(), os.path.dirname(__file__), *filter(None, sys.path)])
    # Whoever is started in the background by a shell script ignores Ctrl-C, and so do his children.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    done = subprocess.run(
        [sys.executable, "-c", heed + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": folders},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rewrite(path, change):
    """Rewrite the description in a saved model by ``change(description, tensors)``."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        description = json.loads(file.metadata()["tripletrec"])
    tensors = load_file(path)
    changed = change(description, tensors)
    text = json.dumps(description if changed is None else changed)
    save_file(tensors, path, {"tripletrec": text})


@pytest.fixture(scope="module")
def pairs():
    """Plain interactions whose ids are the row numbers."""
    return interactions(30, 40, 300)


class EstimatorContract:
    """Inherit, and give `make`."""

    takes_sample_weight = True
    takes_negatives = True
    learns_checkerboard = True

    def make(self, **overrides):
        """Return an unfitted estimator that fits in milliseconds."""
        raise NotImplementedError

    # ---------------------------------------------------------------- parameters

    def test_constructor_stores_and_checks_nothing(self):
        defaults = type(self.make())().get_params()
        strange = {name: object() for name in defaults}
        model = type(self.make())(**strange)
        assert all(getattr(model, name) is value for name, value in strange.items())
        assert vars(model).keys() == defaults.keys()

    def test_set_params(self):
        model, other = self.make(), self.make(random_state=5)
        assert model.set_params(random_state=5) is model
        assert model.get_params() == other.get_params()
        with pytest.raises(ValueError, match="no_such_parameter"):
            model.set_params(no_such_parameter=1)

    def test_clone_is_unfitted_and_learns_the_same(self, pairs):
        model = self.make(random_state=3).fit(pairs)
        copy = clone(model)
        assert not [name for name in vars(copy) if name.endswith("_")]
        assert_same(copy.fit(pairs), model)

    def test_repr(self):
        assert repr(self.make(random_state=12)).startswith(type(self.make()).__name__ + "(")
        assert "random_state=12" in repr(self.make(random_state=12))
        assert isinstance(self.make()._repr_html_(), str)

    def test_what_is_borrowed_from_scikit_learn(self, pairs):
        model = self.make(random_state=12)
        assert get_tags(model).input_tags.sparse
        assert set(model._repr_mimebundle_()) >= {"text/plain"}
        assert model.get_metadata_routing() is not None
        with config_context(enable_metadata_routing=True):
            assert model.set_fit_request(sample_weight=True) is model
        request = model.get_metadata_routing().fit.requests
        assert request["sample_weight"] is True and request["validation"] is None
        for copy in (clone(model), pickle.loads(pickle.dumps(model)), deepcopy(model)):
            assert type(copy) is type(model)
            assert copy.get_params() == model.get_params()
            assert copy.get_metadata_routing().fit.requests == request
        assert_same(model.fit(pairs), self.make(random_state=12).fit(pairs))
        with pytest.raises(AttributeError, match="no_such"):
            model.no_such  # noqa: B018

    def test_in_a_pipeline(self, pairs):
        matrix = pairs.tocsr()
        line = make_pipeline(FunctionTransformer(accept_sparse=True), self.make(random_state=3))
        assert_same(line.fit(matrix)[-1], self.make(random_state=3).fit(matrix))
        assert 0 <= line.score(matrix) <= 1
        check_is_fitted(line[-1])
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(line[-1]))

    def test_not_fitted(self, pairs, tmp_path):
        model = self.make()
        calls = [
            lambda: model.predict(0, 0),
            lambda: model.recommend(0),
            lambda: model.similar_items(0),
            lambda: model.similar_users(0),
            lambda: model.score(pairs),
            lambda: model.save(tmp_path / "model.safetensors"),
            lambda: tr.full_auc(model, pairs),
            lambda: tr.evaluate(model, pairs),
        ]
        for call in calls:
            with pytest.raises(NotFittedError, match="not fitted"):
                call()
        assert not list(tmp_path.iterdir())

    # ---------------------------------------------------------------- fit: what goes in

    def test_fit_returns_self_and_describes_the_data(self, pairs):
        model = self.make()
        assert model.fit(pairs) is model
        assert model.n_features_in_ == model.n_items_ == pairs.n_items
        assert model.n_users_ == pairs.n_users
        assert model.user_ids_ is None and model.item_ids_ is None
        assert [record["epoch"] for record in model.history_] == list(
            range(1, len(model.history_) + 1)
        )

    def test_same_bits_for_every_format_and_nothing_is_modified(self, pairs):
        expected = self.make().fit(pairs)
        dense = pairs.tocsr().toarray()
        inputs = [kind(dense).asformat(form) for form in FORMATS for kind in KINDS]
        inputs += [dense, np.asfortranarray(dense), dense.tolist(), dense[:, :]]
        for given in inputs:
            before = pickle.dumps(given)
            assert_same(self.make().fit(given), expected)
            assert pickle.dumps(given) == before

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_same_bits_for_every_dtype(self, pairs, dtype):
        expected = self.make().fit(pairs)
        dense = pairs.tocsr().toarray().astype(dtype)
        for given in [dense] if np.dtype(dtype).byteorder == ">" else [dense, sp.csr_array(dense)]:
            assert_same(self.make().fit(given), expected)

    def test_read_only_memory_mapped_and_strided(self, pairs, tmp_path):
        expected = self.make().fit(pairs)
        matrix = pairs.tocsr().copy()
        parts = []
        for name in ("data", "indices", "indptr"):
            np.save(tmp_path / f"{name}.npy", getattr(matrix, name))
            parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        mapped = sp.csr_matrix(tuple(parts), shape=matrix.shape, copy=False)
        assert_same(self.make().fit(mapped), expected)
        strided = sp.csr_matrix(matrix.shape, dtype=np.float32)
        strided.data, strided.indices, strided.indptr = (np.repeat(each, 2)[::2] for each in parts)
        assert_same(self.make().fit(strided), expected)
        dense = matrix.toarray()
        dense.flags.writeable = False
        assert_same(self.make().fit(dense), expected)

    def test_duplicates_zeros_and_disorder_are_brought_to_order(self, pairs):
        expected = self.make().fit(pairs)
        rng = np.random.default_rng()
        rows = np.concatenate([pairs.rows, pairs.rows[:50], [0, 1]])
        columns = np.concatenate([pairs.indices, pairs.indices[:50], [0, 1]])
        values = np.concatenate([np.ones(pairs.nnz + 50), [0.0, 0.0]])
        order = rng.permutation(len(rows))
        given = sp.coo_matrix((values[order], (rows[order], columns[order])), shape=pairs.shape)
        before = pickle.dumps(given)
        assert_same(self.make().fit(given), expected)
        assert pickle.dumps(given) == before
        unsorted = pairs.tocsr().copy()
        for row in range(pairs.n_users):
            part = slice(*unsorted.indptr[row : row + 2])
            unsorted.indices[part] = unsorted.indices[part][::-1]
        unsorted = sp.csr_matrix((unsorted.data, unsorted.indices, unsorted.indptr), pairs.shape)
        before = unsorted.indices.copy()
        assert_same(self.make().fit(unsorted), expected)
        np.testing.assert_array_equal(unsorted.indices, before)

    # ---------------------------------------------------------------- fit: the same bits

    def test_second_fit_starts_afresh(self, pairs):
        first = self.make().fit(pairs)
        second = self.make().fit(interactions(5, 60, 80)).fit(pairs)
        assert_same(second, first)

    def test_the_seed_decides(self, pairs):
        assert_same(self.make(random_state=1).fit(pairs), self.make(random_state=1).fit(pairs))
        assert_same(
            self.make(random_state=np.int32(1)).fit(pairs), self.make(random_state=1).fit(pairs)
        )
        assert digest(self.make(random_state=1).fit(pairs)) != digest(
            self.make(random_state=2).fit(pairs)
        )
        unseeded = self.make(random_state=None)
        assert digest(unseeded.fit(pairs)) != digest(unseeded.fit(pairs))

    @pytest.mark.parametrize("kind", [np.random.default_rng, np.random.RandomState])
    def test_a_generator_advances(self, pairs, kind):
        model = self.make(random_state=kind(4))
        first = digest(model.fit(pairs))
        assert digest(model.fit(pairs)) != first
        assert digest(self.make(random_state=kind(4)).fit(pairs)) == first

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_same_bits_at_any_number_of_threads(self, size):
        data = interactions(*size)
        expected = self.make(n_jobs=1).fit(data)
        for n_jobs in (2, 4, -1, None):
            assert_same(self.make(n_jobs=n_jobs).fit(data), expected)

    def test_same_bits_at_any_number_of_threads_with_weights_and_negatives(self):
        data = interactions(40, 300, 2500)
        options = {}
        if self.takes_sample_weight:
            options["sample_weight"] = np.random.default_rng(1).uniform(0, 3, data.nnz)
        if self.takes_negatives:
            others = np.random.default_rng(2).random(data.shape) < 0.02
            options["negatives"] = others & ~data.tocsr().toarray().astype(bool)
        expected = self.make(n_jobs=1).fit(data, **options)
        for n_jobs in (2, 4):
            assert_same(self.make(n_jobs=n_jobs).fit(data, **options), expected)

    def test_two_fits_at_the_same_time(self):
        data = interactions(40, 300, 2500)
        expected = [self.make(n_jobs=2, random_state=seed).fit(data) for seed in range(4)]
        got = [None] * 4

        def fit(seed):
            got[seed] = self.make(n_jobs=2, random_state=seed).fit(data)

        threads = [threading.Thread(target=fit, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for ours, theirs in zip(got, expected, strict=True):
            assert_same(ours, theirs)

    def test_same_bits_in_another_process(self, pairs, tmp_path):
        path = tmp_path / "model.pickle"
        path.write_bytes(pickle.dumps((self.make(n_jobs=1), pairs)))
        code = (
            "import pickle, sys, contract\n"
            "model, data = pickle.load(open(sys.argv[1], 'rb'))\n"
            "print(contract.digest(model.fit(data)))\n"
        )
        assert run_python(code, path).split() == [digest(self.make(n_jobs=2).fit(pairs))]

    def test_global_state_is_left_alone(self, pairs):
        def state():
            return (
                repr(np.random.get_state()),
                random.getstate(),
                list(warnings.filters),
                [{**each, "filepath": ""} for each in threadpool_info()],
                np.geterr(),
                dict(os.environ),
                threading.active_count(),
            )

        model = self.make(n_jobs=2)
        model.fit(pairs).recommend([0, 1])  # what is imported on first use may do as it likes
        before = state()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the training loss has not moved")
            model.fit(pairs)
            model.recommend([0, 1], exclude=pairs)
            model.similar_items(0)
            model.score(pairs)
        assert state() == before

    # ---------------------------------------------------------------- sample weights

    def test_weights_of_one_are_none_and_zero_is_absent(self, pairs):
        if not self.takes_sample_weight:
            pytest.skip("takes no sample_weight")
        expected = self.make().fit(pairs)
        assert_same(self.make().fit(pairs, sample_weight=np.ones(pairs.nnz)), expected)
        kept = np.random.default_rng().random(pairs.nnz) < 0.7
        assert_same(
            self.make().fit(pairs, sample_weight=kept.astype(float)), self.make().fit(pairs[kept])
        )
        weights = np.where(kept, 2.5, 1.0)
        assert digest(self.make().fit(pairs, sample_weight=weights)) != digest(expected)

    def test_weights_in_every_form(self, pairs):
        if not self.takes_sample_weight:
            pytest.skip("takes no sample_weight")
        weights = np.random.default_rng().integers(1, 5, pairs.nnz)
        matrix = sp.csr_matrix((weights, pairs.indices, pairs.indptr), pairs.shape)
        expected = self.make().fit(pairs, sample_weight=weights)
        for given in (
            weights.tolist(),
            weights.astype(np.float64),
            matrix,
            sp.coo_array(matrix),
            tr.Interactions(matrix),
        ):
            assert_same(self.make().fit(pairs, sample_weight=given), expected)
        assert_same(self.make().fit(matrix, sample_weight="values"), expected)

    # ---------------------------------------------------------------- predict, recommend, similar

    @pytest.fixture(scope="class")
    @classmethod
    def fitted(cls, pairs):
        return cls().make().fit(pairs)

    def catalogue(self, model):
        users, items = np.indices((model.n_users_, model.n_items_))
        return model.predict(users.ravel(), items.ravel()).reshape(users.shape)

    def test_predict(self, fitted, pairs):
        scores = self.catalogue(fitted)
        assert scores.dtype == np.float32 and np.isfinite(scores).all()
        np.testing.assert_array_equal(
            fitted.predict(3, np.arange(pairs.n_items)), fitted.predict([3] * 40, np.arange(40))
        )
        assert fitted.predict(3, 4).shape == (1,)
        assert fitted.predict(np.arange(30), 4).shape == (30,)
        assert fitted.predict([], []).shape == (0,)
        with pytest.raises(ValueError, match="of one length, got 2 and 3"):
            fitted.predict([0, 1], [0, 1, 2])

    def test_recommend_is_the_top_of_the_catalogue(self, fitted, pairs):
        ids, scores = fitted.recommend(np.arange(30), k=7)
        assert ids.shape == scores.shape == (30, 7)
        assert (np.diff(scores, axis=1) <= 0).all()
        whole = self.catalogue(fitted)
        np.testing.assert_allclose(scores, -np.sort(-whole, axis=1)[:, :7], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            scores, np.take_along_axis(whole, ids, axis=1), rtol=1e-4, atol=1e-5
        )

    def test_recommend_one_user_or_many(self, fitted):
        order = np.random.default_rng().permutation(30)
        ids, scores = fitted.recommend(order, k=4)
        for row, user in enumerate(order):
            for given in (user, int(user)):
                single = fitted.recommend(given, k=4)
                assert single[0].shape == single[1].shape == (4,)
                np.testing.assert_array_equal(single[0], ids[row])
                np.testing.assert_allclose(single[1], scores[row], rtol=1e-5, atol=1e-6)
        for several in (order.tolist(), tuple(order), pd.Series(order), order.astype(np.uint8)):
            np.testing.assert_array_equal(fitted.recommend(several, k=4)[0], ids)
        assert fitted.recommend([2], k=4)[0].shape == (1, 4)
        assert fitted.recommend([], k=4)[0].shape == (0, 4)
        np.testing.assert_array_equal(fitted.recommend([5, 5], k=4)[0][0], ids[order == 5][0])

    def test_recommend_more_than_there_is(self, fitted):
        ids, scores = fitted.recommend([0, 1], k=1000)
        assert ids.shape == (2, 40)
        assert sorted(ids[1]) == list(range(40)) and np.isfinite(scores).all()

    def test_recommend_excludes(self, fitted, pairs):
        known = pairs.tocsr().toarray() > 0
        for given in (pairs, known, pairs.tocsr(), sp.csc_array(known)):
            ids, scores = fitted.recommend(np.arange(30), k=40, exclude=given)
            for user in range(30):
                left = np.isfinite(scores[user])
                assert set(ids[user][left]) == set(np.flatnonzero(~known[user]))
                assert (ids[user][~left] == -1).all()
        single = fitted.recommend(0, k=40, exclude=pairs)[0]
        assert len(single) == (~known[0]).sum()

    def test_recommend_from_candidates(self, fitted, pairs):
        ids, scores = fitted.recommend([0, 1], k=3, candidates=[9, 2, 30, 2])
        assert all(set(row) == {2, 9, 30} for row in ids)
        assert (np.diff(scores, axis=1) <= 0).all()
        ids, scores = fitted.recommend(0, k=3, candidates=[], exclude=pairs)
        assert ids.shape == scores.shape == (0,)
        liked = pairs.indices[: pairs.indptr[1]]
        assert len(fitted.recommend(0, candidates=liked, exclude=pairs)[0]) == 0

    def test_user_who_has_everything(self, pairs):
        full = pairs.tocsr().toarray()
        full[4] = 1
        model = self.make().fit(full)
        ids, scores = model.recommend([4, 5], k=3, exclude=full)
        assert (ids[0] == -1).all() and (scores[0] == -np.inf).all()
        assert (ids[1] >= 0).all()
        assert len(model.recommend(4, k=3, exclude=full)[0]) == 0

    @pytest.mark.parametrize("what", ["items", "users"])
    def test_similar(self, fitted, what):
        similar = getattr(fitted, f"similar_{what}")
        n = getattr(fitted, f"n_{what}_")
        ids, scores = similar(np.arange(n), k=5)
        assert ids.shape == scores.shape == (n, 5)
        assert not (ids == np.arange(n)[:, None]).any()
        assert (np.diff(scores, axis=1) <= 0).all()
        assert np.abs(scores).max() <= 1 + 1e-5
        single = similar(3, k=5)
        assert single[0].shape == (5,)
        np.testing.assert_array_equal(single[0], ids[3])
        assert len(similar(3, k=1000)[0]) == n - 1

    @pytest.mark.parametrize("bad", [-1, 30, 10**12, "foo", 1.5, None, np.nan, True])
    def test_unknown_users(self, fitted, bad, pairs):
        for call in (
            lambda: fitted.predict(bad, 0),
            lambda: fitted.recommend(bad),
            lambda: fitted.recommend([bad]),
            lambda: fitted.similar_users(bad),
        ):
            with pytest.raises(ValueError, match=f"unknown user id {bad!r}"):
                call()

    @pytest.mark.parametrize("bad", [-1, 40, "foo", 1.5])
    def test_unknown_items(self, fitted, bad):
        for call in (
            lambda: fitted.predict(0, bad),
            lambda: fitted.similar_items(bad),
            lambda: fitted.recommend(0, candidates=[bad]),
        ):
            with pytest.raises(ValueError, match=f"unknown item id {bad!r}"):
                call()

    def test_wrong_arguments_of_recommend(self, fitted, pairs):
        for k, kind in ((0, ValueError), (-3, ValueError), (2.0, TypeError), ("3", TypeError)):
            for call in (fitted.recommend, fitted.similar_items, fitted.similar_users):
                with pytest.raises(kind, match=f"k must be an integer >= 1, got {k!r}"):
                    call(0, k=k)
        with pytest.raises(ValueError, match=r"exclude must have the model's shape \(30, 40\)"):
            fitted.recommend(0, exclude=np.ones((30, 39)))
        with pytest.raises(ValueError, match="one-dimensional"):
            fitted.recommend([[0, 1], [2, 3]])

    def test_score_is_the_full_auc(self, fitted, pairs):
        test = interactions(30, 40, 60, seed=8)
        assert fitted.score(test) == tr.full_auc(fitted, test) == fitted.score(test.tocsr())
        assert fitted.score(test, exclude=pairs) == tr.full_auc(fitted, test, pairs)
        assert fitted.score(test) == tr.evaluate(fitted, test).mean["auc"]
        with pytest.raises(ValueError, match="shape"):
            fitted.score(np.ones((3, 3)))

    # ---------------------------------------------------------------- ids

    def with_ids(self, kind, pairs):
        n_users, n_items = pairs.shape
        strings = [f"üser {u}\u4e2d\0x" for u in range(n_users)]
        words = {
            "int": (np.arange(n_users) * 7 + 1000, np.arange(n_items)[::-1] - 5),
            "str": (strings, [f"{i}" for i in range(n_items)]),
            "date": (
                np.datetime64("2020-01-01") + np.arange(n_users),
                np.datetime64("2020-01-01T00:00:01") + np.arange(n_items),
            ),
            "mixed": ([u if u % 2 else str(u) for u in range(n_users)], np.arange(n_items) / 4),
        }
        users, items = words[kind]
        return tr.Interactions(pairs.tocsr(), user_ids=users, item_ids=items)

    @pytest.mark.parametrize("kind", ["int", "str", "date", "mixed"])
    def test_ids_in_and_out_and_saved(self, kind, pairs, fitted, tmp_path):
        data = self.with_ids(kind, pairs)
        model = self.make().fit(data)
        model.save(tmp_path / "model.safetensors")
        expected, scores = fitted.recommend([3, 4], k=5, exclude=pairs)
        for each in (model, tr.load(tmp_path / "model.safetensors")):
            users = list(data.user_ids[[3, 4]])
            ids, got = each.recommend(pd.Series(users), k=5, exclude=data)
            np.testing.assert_array_equal(got, each.recommend(users, k=5, exclude=data)[1])
            assert ids.tolist() == data.item_ids[expected].tolist()
            np.testing.assert_array_equal(got, scores)
            single = each.recommend(users[0], k=5, exclude=data)
            assert single[0].tolist() == ids[0].tolist()
            np.testing.assert_array_equal(
                each.predict(users, list(data.item_ids[[5, 6]])), fitted.predict([3, 4], [5, 6])
            )
            similar = each.similar_items(data.item_ids[7], k=3)[0]
            assert similar.tolist() == data.item_ids[fitted.similar_items(7, k=3)[0]].tolist()
            similar = each.similar_users(data.user_ids[7], k=3)[0]
            assert similar.tolist() == data.user_ids[fitted.similar_users(7, k=3)[0]].tolist()
            assert each.score(data) == fitted.score(pairs)
            with pytest.raises(ValueError, match="unknown user id 'nobody': 30 ids are known"):
                each.recommend("nobody")

    def test_padding_of_ids(self, pairs):
        data = self.with_ids("str", pairs)
        model = self.make().fit(data)
        ids, scores = model.recommend(data.user_ids[:3], k=40, exclude=data)
        missing = ~np.isfinite(scores)
        assert missing.any()
        assert all(each is None for each in ids[missing])
        assert all(isinstance(each, str) for each in ids[~missing])

    def test_ids_must_agree(self, pairs):
        data, other = self.with_ids("str", pairs), self.with_ids("int", pairs)
        model = self.make().fit(data)
        for call in (
            lambda: model.recommend(data.user_ids[0], exclude=other),
            lambda: model.score(other),
            lambda: self.make().fit(data, validation=other),
        ):
            with pytest.raises(ValueError, match="ids"):
                call()
        if self.takes_negatives:
            with pytest.raises(ValueError, match="negatives must have .*ids"):
                self.make().fit(data[:100], negatives=other[100:])
        if self.takes_sample_weight:
            with pytest.raises(ValueError, match="sample_weight must have .*ids"):
                self.make().fit(data, sample_weight=other)

    # ---------------------------------------------------------------- pickle, save, load

    def test_pickle(self, fitted, pairs):
        again = pickle.loads(pickle.dumps(self.make(random_state=9)))
        assert again.get_params() == self.make(random_state=9).get_params()
        again = pickle.loads(pickle.dumps(fitted))
        assert_same(again, fitted)
        np.testing.assert_array_equal(self.catalogue(again), self.catalogue(fitted))
        assert_same(again.fit(pairs), fitted)

    def test_save_and_load(self, fitted, pairs, tmp_path):
        for path in (tmp_path / "a.safetensors", str(tmp_path / "b")):
            fitted.save(path)
            again = tr.load(path)
            assert type(again) is type(fitted)
            assert again.get_params() == fitted.get_params()
            assert_same(again, fitted)
            np.testing.assert_array_equal(self.catalogue(again), self.catalogue(fitted))
            for ours, theirs in zip(again.recommend([0, 1]), fitted.recommend([0, 1]), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            assert_same(again.fit(pairs), fitted)
        assert len(list(tmp_path.iterdir())) == 2

    def test_saved_bytes_are_the_same_for_the_same_model(self, fitted, tmp_path):
        for name in "ab":
            fitted.save(tmp_path / name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_save_replaces_an_older_file(self, fitted, pairs, tmp_path):
        path = tmp_path / "model.safetensors"
        self.make(random_state=77).fit(pairs).save(path)
        fitted.save(path)
        assert_same(tr.load(path), fitted)
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    def test_save_where_it_cannot(self, fitted, tmp_path):
        (tmp_path / "folder").mkdir()
        for path in (tmp_path / "missing" / "model", tmp_path / "folder"):
            with pytest.raises(OSError, match="cannot write a model to"):
                fitted.save(path)
        assert [each.name for each in tmp_path.iterdir()] == ["folder"]
        assert not list((tmp_path / "folder").iterdir())

    def test_full_disk_leaves_the_older_file(self, fitted, tmp_path):
        pytest.importorskip("resource")
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        before = path.read_bytes()
        (tmp_path / "pickle").write_bytes(pickle.dumps(fitted))
        code = (
            "import pickle, resource, sys\n"
            "model = pickle.load(open(sys.argv[1], 'rb'))\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
            "try:\n"
            "    model.save(sys.argv[2])\n"
            "except OSError as error:\n"
            "    print('refused:', error)\n"
        )
        printed = run_python(code, tmp_path / "pickle", path)
        assert printed.startswith(f"refused: cannot write a model to {path}")
        assert path.read_bytes() == before
        assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, "pickle"]

    def test_load_what_is_no_model(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        with pytest.raises(FileNotFoundError):
            tr.load(path)
        with pytest.raises((OSError, ValueError)):
            tr.load(tmp_path)
        for garbage in (b"", b"garbage", b"\xff" * 100, pickle.dumps([1]), b"\x08" + b"\0" * 7):
            path.write_bytes(garbage)
            with pytest.raises(ValueError, match="not a readable safetensors file"):
                tr.load(path)
        for metadata in (None, {"x": "y"}, {"tripletrec": "{"}, {"tripletrec": "[" * 100_000}):
            save_file({"a": np.ones(3, np.float32)}, path, metadata)
            with pytest.raises(ValueError, match="does not hold a model of this tripletrec"):
                tr.load(path)

    def test_load_a_truncated_or_damaged_file(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        whole = path.read_bytes()
        rng = np.random.default_rng()
        for _ in range(60):
            path.write_bytes(whole[: rng.integers(len(whole))])
            with pytest.raises(ValueError):
                tr.load(path)
            damaged = bytearray(whole)
            for place in rng.integers(0, min(len(whole), 4000), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                tr.load(path)
            except ValueError as error:
                assert str(path) in str(error)

    def test_load_a_description_that_was_tampered_with(self, fitted, tmp_path):
        path, odd = tmp_path / "model.safetensors", [None, -1, 1.5, "x", [], {}, {"part": {}}, True]

        def places(value, route=()):
            yield route
            if isinstance(value, dict):
                for key, each in value.items():
                    yield from places(each, (*route, key))

        fitted.save(path)
        whole, routes = path.read_bytes(), []
        rewrite(path, lambda description, _: routes.extend(places(description)))
        rng = np.random.default_rng()
        for route in routes[1:]:
            for value in [odd[rng.integers(len(odd))], "delete"]:

                def change(description, _, route=route, value=value):
                    for key in route[:-1]:
                        description = description[key]
                    if value == "delete":
                        del description[route[-1]]
                    else:
                        description[route[-1]] = value

                path.write_bytes(whole)
                rewrite(path, change)
                try:
                    model = tr.load(path)
                except ValueError as error:
                    assert str(path) in str(error), (route, value)
                    continue
                # What does not touch the shape may stand; the model must answer. Its parameters
                # are checked where they are used, as those of any estimator.
                try:
                    assert model.recommend([0, 1], k=3)[0].shape == (2, 3), (route, value)
                except (TypeError, ValueError):
                    assert route[0] == "parameters", (route, value)

    def test_load_runs_nothing_and_sets_nothing_strange(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        changes = [
            (lambda d, _: d.update(format=99), "saved by a newer version"),
            (lambda d, _: d.update({"class": "Popen"}), "holds a 'Popen', known are"),
            (lambda d, _: d["fitted"].update(fit={"json": 1}), "that no model has: 'fit'"),
            (lambda d, _: d["fitted"].update(__class__={"json": 1}), "no model has: '__class__'"),
            (lambda d, _: d["fitted"].update(_private_={"json": 1}), "no model has: '_private_'"),
            (lambda d, _: d["fitted"].pop("n_users_"), "does not hold a model"),
            (lambda d, _: d["fitted"].update(n_users_={"json": 29}), r"\(29, "),
            (lambda d, _: d["fitted"].update(user_ids_={"tensor": "O"}), "does not hold a model"),
            (lambda d, _: d["fitted"].update(user_ids_={"objects": [1, 2]}), "30"),
        ]
        for change, message in changes:
            fitted.save(path)
            rewrite(path, lambda d, t, change=change: change(d, t) and None)
            with pytest.raises(ValueError, match=message) as caught:
                tr.load(path)
            assert str(path) in str(caught.value)

    def test_load_takes_unknown_parameters_for_those_of_an_older_version(self, fitted, tmp_path):
        path = tmp_path / "model.safetensors"
        fitted.save(path)
        rewrite(path, lambda d, _: d["parameters"].update(left_over=3))
        assert_same(tr.load(path), fitted)

    # ---------------------------------------------------------------- learning, scikit-learn

    def test_checkerboard(self):
        """After implicit's own contract: the one item of his parity that is left comes first."""
        if not self.learns_checkerboard:
            pytest.skip("too short a training")
        train = checkerboard()
        model = self.make(n_epochs=40, random_state=None).fit(train)
        ids, _ = model.recommend(np.arange(50), k=1, exclude=train)
        assert ids[:, 0].tolist() == list(range(50))
        for similar in (model.similar_items, model.similar_users):
            rows = similar(np.arange(50), k=10)[0]
            assert (rows % 2 == np.arange(50)[:, None] % 2).all()

    def test_grid_search(self):
        data = interactions(20, 30, 200)
        search = GridSearchCV(
            self.make(), {"random_state": [0, 1]}, cv=tr.splits.InteractionKFold(3, random_state=0)
        )
        search.fit(data)
        assert search.best_params_["random_state"] in (0, 1)
        assert search.best_estimator_.n_items_ == 30
        first = self.make(random_state=0)
        scores = cross_val_score(first, data, cv=tr.splits.InteractionKFold(3, random_state=0))
        np.testing.assert_array_equal(
            scores, [search.cv_results_[f"split{n}_test_score"][0] for n in range(3)]
        )

    @pytest.mark.parametrize("check", SKLEARN_CHECKS)
    def test_scikit_learn(self, check):
        function = getattr(estimator_checks, check, None)
        if function is None:
            pytest.skip("not in this version of scikit-learn")
        kind = type(self.make())
        # predict asks for pairs of ids; hidden, so that the checks stop at fit.
        hidden = {"predict": property(lambda self: getattr(self, "no predict"))}
        adapter = type(kind.__name__, (kind,), {**hidden, "__module__": kind.__module__})
        quick = self.make().get_params()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "the training loss has not moved")
            if check in ("check_parameters_default_constructible", "check_mixin_order"):
                function(kind.__name__, self.make())
            else:
                function(kind.__name__, adapter(**quick))
