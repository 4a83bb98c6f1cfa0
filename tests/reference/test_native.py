"""The reference models in the library's own training: curves, and the section of the report."""

import numpy as np
import pytest

import tripletrec as tr
from tiers import quick
from tripletrec.reference import NATIVE, native, train_native
from tripletrec.reference.replica import known_and_first_item


@pytest.fixture(scope="module")
def curve(tiny_movielens):
    return train_native("defaults-A", tiny_movielens)


@pytest.mark.parametrize("key", quick(NATIVE, "defaults-A"))
def test_every_configuration_is_one_that_the_model_takes(key, tiny_movielens):
    parameters = dict(NATIVE[key].parameters)
    model = tr.MatrixFactorization(n_epochs=1, **parameters)
    model.fit(tiny_movielens.train, sample_weight=NATIVE[key].sample_weight)
    assert parameters.items() <= model.get_params().items()
    assert NATIVE[key].protocol in ("AUC-A", "AUC-B")


def test_the_last_auc_is_that_of_the_fitted_model(curve, tiny_movielens):
    model = tr.MatrixFactorization(n_epochs=10, random_state=0).fit(tiny_movielens.train)
    assert len(curve["auc"]) == len(curve["seconds"]) == 10
    assert curve["auc"][-1] == tr.full_auc(model, tiny_movielens.test, exclude=None)
    assert curve["auc"][-1] > 0.55


def test_protocol_b_leaves_out_known_items_and_the_seed_is_the_one_given(tiny_movielens):
    train, test = tiny_movielens.train, tiny_movielens.test
    found = train_native("defaults-B", tiny_movielens, random_state=3)["auc"]
    model = tr.MatrixFactorization(n_epochs=15, random_state=3).fit(train)
    assert len(found) == 15
    assert found[-1] == tr.full_auc(model, test, exclude=known_and_first_item(train))


def test_section(curve, tiny_movielens):
    section = native.defaults_section(tiny_movielens, 1)
    row = section["rows"]["defaults-A"]
    np.testing.assert_array_equal(row["auc"], curve["auc"])
    assert row["verdict"] == ("reached" if curve["auc"][-1] >= row["goal"] else "missed")
    first, second = section["text"].splitlines()
    assert "AUC-A" in first and "goal .9154" in first
    assert "AUC-B" in second and "goal .9199" in second
