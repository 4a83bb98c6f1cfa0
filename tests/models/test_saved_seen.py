"""What a model was trained on, in a file: damaged arrays are refused, as kernels follow them."""

import numpy as np
import pytest

import tripletrec as tr
from contracts.support import rewrite


@pytest.fixture(scope="module")
def model(pairs):
    return tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(pairs)


@pytest.fixture
def path(model, tmp_path):
    path = tmp_path / "model"
    model.save(path)
    return path


def put(name, place, value):
    def change(description, tensors):
        tensors[name][place] = value

    return change


def become(name, make):
    def change(description, tensors):
        tensors[name] = make(tensors[name])

    return change


def swap_neighbours(description, tensors):
    first = int(np.flatnonzero(np.diff(tensors["seen_bounds"]) > 1)[0])
    place = tensors["seen_bounds"][first]
    tensors["seen_items"][place : place + 2] = tensors["seen_items"][place : place + 2][::-1].copy()


DAMAGE = {
    "an item that there is not": put("seen_items", 3, 40),
    "an item below zero": put("seen_items", 3, -1),
    "a huge item": put("seen_items", 3, 2**31 - 1),
    "items out of order": swap_neighbours,
    "an item twice": become("seen_items", lambda items: np.repeat(items[::2], 2)),
    "bounds that fall": put("seen_bounds", 3, 10**9),
    "bounds below zero": put("seen_bounds", 1, -5),
    "bounds that begin late": put("seen_bounds", 0, 1),
    "bounds that end early": become("seen_bounds", lambda bounds: np.minimum(bounds, 299)),
    "bounds of fewer users": become("seen_bounds", lambda bounds: bounds[:-1]),
    "bounds of more users": become("seen_bounds", lambda bounds: np.append(bounds, bounds[-1])),
    "no bounds": become("seen_bounds", lambda bounds: bounds[:0]),
    "items of another type": become("seen_items", lambda items: items.astype(np.int64)),
    "bounds of another type": become("seen_bounds", lambda bounds: bounds.astype(np.float64)),
    "items in two dimensions": become("seen_items", lambda items: items[None]),
    "one array missing": lambda description, tensors: tensors.__delitem__("seen_items"),
    "arrays that nobody speaks of": lambda description, tensors: description.pop("seen") and None,
    "a word that is no truth value": lambda description, tensors: description.update(seen=1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_in_one_sentence(damage, path):
    rewrite(path, DAMAGE[damage])
    with pytest.raises(
        ValueError, match="does not hold a model of this tripletrec: .*seen"
    ) as caught:
        tr.load(path)
    assert "\n" not in str(caught.value)


VALUE_DAMAGE = {
    "one value less": become("seen_values", lambda values: values[1:]),
    "values of another type": become("seen_values", lambda values: values.astype(np.int16)),
    "a value below zero": become("seen_values", lambda values: -values.astype(np.float32)),
    "no number": become("seen_values", lambda values: np.full(len(values), np.nan, np.float32)),
    "values of nothing": lambda description, tensors: (
        tensors.__delitem__("seen_items"), tensors.__delitem__("seen_bounds"),
        description.update(seen=False),
    )[2],
}  # fmt: skip


@pytest.mark.parametrize("damage", VALUE_DAMAGE)
def test_damaged_values_are_refused(damage, pairs, tmp_path):
    tr.Popularity().fit(2 * pairs.tocsr()).save(tmp_path / "model")
    rewrite(tmp_path / "model", VALUE_DAMAGE[damage])
    with pytest.raises(ValueError, match="does not hold a model of this tripletrec: .*seen"):
        tr.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("values", "format_", "n_bytes"), [([1.0], 1, 0), ([1, 3, 255], 2, 1), ([0.5, 5], 2, 4), ([256], 2, 4)]
)  # fmt: skip
def test_values_take_no_more_than_they_need(values, format_, n_bytes, pairs, tmp_path):
    data = tr.Interactions.from_arrays(
        pairs.rows, pairs.indices, np.resize(values, len(pairs)), shape=pairs.space.shape
    )
    found = {}

    def look(description, tensors):
        found.update(format=description["format"], names=tensors.keys() & {"seen_values"})
        found["n_bytes"] = tensors["seen_values"].nbytes if found["names"] else 0

    tr.EASE().fit(data).save(tmp_path / "model")
    seen = tr.load(tmp_path / "model").seen_
    np.testing.assert_array_equal(seen.values, data.values)
    assert seen.values.dtype == np.float32
    rewrite(tmp_path / "model", look)
    assert (found["format"], found["n_bytes"]) == (format_, n_bytes * len(data))


def test_older_files_do_not_say_it(path):
    def older(description, tensors):
        for name in ("seen_bounds", "seen_items"):
            del tensors[name]
        del description["seen"]

    rewrite(path, older)
    assert tr.load(path).seen_ is None


def test_a_matrix_that_was_changed_is_not_saved(pairs, tmp_path):
    matrix = pairs.tocsr().copy()
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(matrix)
    matrix.indices[5] = 77
    if model.seen_.indices[5] == 77:  # not copied
        for call in (
            lambda: model.save(tmp_path / "model"),
            lambda: tr.full_auc(model, pairs),
        ):
            with pytest.raises(
                ValueError, match="what the model was trained on shares its indices"
            ):
                call()
        assert not list(tmp_path.iterdir())


def test_users_added_since_are_saved_with_nothing(pairs, tmp_path):
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(pairs)
    model.n_users_ = 31
    model.user_factors_ = np.concatenate((model.user_factors_, np.ones((1, 2), np.float32)))
    model.save(tmp_path / "model")
    assert tr.load(tmp_path / "model").seen_.indptr[-2:].tolist() == [300, 300]
