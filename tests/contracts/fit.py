"""The contract of `fit`: data in every form, the same bits, sample weights, what is learnt."""

import copy
import os
import pickle
import random
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info

import tripletrec as tr
from contracts.support import (
    Contract,
    assert_same,
    digest,
    fit_and_digest,
    interactions,
    negatives_of,
    with_ids,
)
from tiers import quick
from tripletrec.models.fit_arguments import check_sample_weight

# Users, items, interactions: one pair of one user; no negative at all; one block; several blocks.
SIZES = [(1, 2, 1), (1, 1, 1), (3, 2, 4), (2, 300, 40), (60, 40, 500), (40, 300, 2500)]
KINDS = [sp.csr_matrix, sp.csr_array]
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
DTYPES = [bool, np.int8, np.int64, np.uint16, np.float32, np.float64, ">f4", ">i8"]


def checkerboard(n=50):
    """Users like the items of their own parity; the diagonal is kept for the test."""
    likes = np.add.outer(np.arange(n), np.arange(n)) % 2 == 0
    return tr.Interactions(likes & ~np.eye(n, dtype=bool))


class FitContract(Contract):
    """Inherit, and give `make`."""

    learns_checkerboard = True
    shared = (40, 300, 2500)  # users, items, interactions that several threads share

    def test_fit_returns_self_and_describes_the_data(self, pairs):
        model = self.make()
        assert model.fit(pairs) is model
        assert model.n_features_in_ == model.n_items_ == pairs.n_items
        assert model.n_users_ == pairs.n_users
        assert model.user_ids_ is None and model.item_ids_ is None
        epochs = [record["epoch"] for record in getattr(model, "history_", [])]
        assert epochs == list(range(1, getattr(model, "n_epochs", 0) + 1))

    def test_same_bits_for_every_format_and_nothing_is_modified(self, fitted, pairs):
        dense = pairs.tocsr().toarray()
        inputs = [kind(dense).asformat(form) for form in FORMATS for kind in KINDS]
        inputs += [dense, np.asfortranarray(dense), dense.tolist(), dense[:, :]]
        for given in inputs:
            before = pickle.dumps(given)
            assert_same(self.make().fit(given), fitted)
            assert pickle.dumps(given) == before

    @pytest.mark.parametrize("dtype", quick(DTYPES, bool, np.int64, ">f4"), ids=str)
    def test_same_bits_for_every_dtype(self, fitted, pairs, dtype):
        dense = pairs.tocsr().toarray().astype(dtype)
        for given in [dense] if np.dtype(dtype).byteorder == ">" else [dense, sp.csr_array(dense)]:
            assert_same(self.make().fit(given), fitted)

    def test_read_only_memory_mapped_and_strided(self, fitted, pairs, tmp_path):
        matrix = pairs.tocsr().copy()
        parts = []
        for name in ("data", "indices", "indptr"):
            np.save(tmp_path / f"{name}.npy", getattr(matrix, name))
            parts.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        mapped = sp.csr_matrix(tuple(parts), shape=matrix.shape, copy=False)
        assert_same(self.make().fit(mapped), fitted)
        strided = sp.csr_matrix(matrix.shape, dtype=np.float32)
        strided.data, strided.indices, strided.indptr = (np.repeat(each, 2)[::2] for each in parts)
        assert_same(self.make().fit(strided), fitted)
        dense = matrix.toarray()
        dense.flags.writeable = False
        assert_same(self.make().fit(dense), fitted)

    def test_duplicates_zeros_and_disorder_are_brought_to_order(self, fitted, pairs, rng):
        rows = np.concatenate([pairs.rows, pairs.rows[:50], [0, 1]])
        columns = np.concatenate([pairs.indices, pairs.indices[:50], [0, 1]])
        values = np.concatenate([np.ones(pairs.nnz + 50), [0.0, 0.0]])
        order = rng.permutation(len(rows))
        given = sp.coo_matrix(
            (values[order], (rows[order], columns[order])), shape=pairs.space.shape
        )
        before = pickle.dumps(given)
        assert_same(self.make().fit(given), fitted)
        assert pickle.dumps(given) == before
        unsorted = pairs.tocsr().copy()
        for row in range(pairs.n_users):
            part = slice(*unsorted.indptr[row : row + 2])
            unsorted.indices[part] = unsorted.indices[part][::-1]
        unsorted = sp.csr_matrix(
            (unsorted.data, unsorted.indices, unsorted.indptr), pairs.space.shape
        )
        before = unsorted.indices.copy()
        assert_same(self.make().fit(unsorted), fitted)
        np.testing.assert_array_equal(unsorted.indices, before)

    def test_second_fit_starts_afresh(self, pairs):
        first = self.make().fit(pairs)
        second = self.make().fit(interactions(5, 60, 80)).fit(pairs)
        assert_same(second, first)

    def test_the_seed_decides(self, pairs):
        if not self.is_random:
            pytest.skip("draws nothing")
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
        if not self.is_random:
            pytest.skip("draws nothing")
        model = self.make(random_state=kind(4))
        first = digest(model.fit(pairs))
        assert digest(model.fit(pairs)) != first
        assert digest(self.make(random_state=kind(4)).fit(pairs)) == first

    @pytest.mark.parametrize("size", quick(SIZES, SIZES[0], SIZES[3], SIZES[5]), ids=str)
    def test_same_bits_at_any_number_of_threads(self, size):
        data = interactions(*size)
        expected = self.make(n_jobs=1).fit(data)
        for n_jobs in (2, 4, -1, None):
            assert_same(self.make(n_jobs=n_jobs).fit(data), expected)

    def test_same_bits_where_threads_share_the_work(self):
        data = interactions(*self.shared)
        expected = self.make(n_jobs=1).fit(data)
        for n_jobs in (2, 4):
            assert_same(self.make(n_jobs=n_jobs).fit(data), expected)

    def test_same_bits_at_any_number_of_threads_with_weights_and_negatives(self):
        data = interactions(*self.shared)
        options = {}
        if self.takes_sample_weight:
            options["sample_weight"] = np.random.default_rng(1).uniform(0, 3, data.nnz)
        if self.takes_negatives:
            options["negatives"] = negatives_of(data)
        expected = self.make(n_jobs=1).fit(data, **options)
        for n_jobs in (2, 4):
            assert_same(self.make(n_jobs=n_jobs).fit(data, **options), expected)

    def test_two_fits_at_the_same_time(self):
        data = interactions(*self.shared)
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

    @pytest.mark.thorough  # but for one model: a process is started for it
    def test_same_bits_in_another_process(self, pairs, elsewhere):
        expected = digest(self.make(n_jobs=2).fit(pairs))
        assert elsewhere(fit_and_digest, self.make(n_jobs=1), pairs) == expected

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
            if self.compares_rows:
                model.similar_items(0)
            model.score(pairs, exclude=None)
        assert state() == before

    def test_weights_of_one_are_none_and_zero_is_absent(self, fitted, pairs, rng):
        if not self.takes_sample_weight:
            pytest.skip("takes no sample_weight")
        assert_same(self.make().fit(pairs, sample_weight=np.ones(pairs.nnz)), fitted)
        kept = rng.random(pairs.nnz) < 0.7
        assert_same(
            self.make().fit(pairs, sample_weight=kept.astype(float)), self.make().fit(pairs[kept])
        )
        weights = np.where(kept, 2.5, 1.0)
        assert digest(self.make().fit(pairs, sample_weight=weights)) != digest(fitted)

    def test_weights_in_every_form(self, pairs, rng):
        if not self.takes_sample_weight:
            pytest.skip("takes no sample_weight")
        weights = rng.integers(1, 5, pairs.nnz)
        matrix = sp.csr_matrix((weights, pairs.indices, pairs.indptr), pairs.space.shape)
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
        of_users = check_sample_weight("users", pairs)
        assert_same(
            self.make().fit(pairs, sample_weight="users"),
            self.make().fit(pairs, sample_weight=of_users),
        )

    def test_ids_must_agree_with_those_of_the_data(self, pairs):
        data, other = with_ids("str", pairs), with_ids("int", pairs)
        with pytest.raises(ValueError, match="ids"):
            self.make().fit(data, validation=other)
        if self.takes_negatives:
            with pytest.raises(ValueError, match="negatives must have .*ids"):
                self.make().fit(data[:100], negatives=other[100:])
        if self.takes_sample_weight:
            with pytest.raises(ValueError, match="sample_weight must have .*ids"):
                self.make().fit(data, sample_weight=other)

    def test_validation_may_be_given_in_the_second_place(self, fitted, pairs):
        held_out = tr.Interactions(negatives_of(pairs))
        model = self.make().fit(pairs, validation=held_out)
        for form in (held_out, held_out.tocsr(), held_out.tocsr().toarray().tolist()):
            assert_same(self.make().fit(pairs, form), model)
        for labels in (np.arange(len(pairs)), ["yes"] * len(pairs)):  # scikit-learn's
            assert_same(self.make().fit(pairs, labels), fitted)

        again = copy.copy(fitted)
        with pytest.raises(ValueError, match="validation must have the 30 users and 40 items"):
            again.fit(pairs, np.ones((30, 39)))
        with pytest.raises(ValueError, match="validation is given twice"):
            again.fit(pairs, held_out, validation=held_out)
        for wrong in ("valid", 3, print, {}):
            with pytest.raises(TypeError, match="second argument of fit must be validation data"):
                again.fit(pairs, wrong)
        assert_same(again, fitted)

    def test_checkerboard(self, rng):
        """After implicit's own contract: the one item of his parity that is left comes first."""
        if not self.learns_checkerboard:
            pytest.skip("too short a training")
        train = checkerboard()
        model = self.make(n_epochs=40, random_state=int(rng.integers(2**31))).fit(train)
        ids, _ = model.recommend(np.arange(50), k=1, exclude=train)
        assert ids[:, 0].tolist() == list(range(50))
        for similar in (model.similar_items, model.similar_users):
            rows = similar(np.arange(50), k=10)[0]
            assert (rows % 2 == np.arange(50)[:, None] % 2).all()
