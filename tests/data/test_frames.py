"""Tables of every kind: the same interactions, or one sentence; and the users and items of another."""

import copy
import datetime
import decimal
import pickle
import uuid
import warnings

import numpy as np
import pandas as pd
import pytest

import tripletrec as tr
from tripletrec.data.interactions import Interactions

COLUMNS = {
    "user": ["u2", "u1", "u2", "u2"],
    "item": [30, 10, 10, 30],
    "weight": [1.0, 2.0, 3.0, 4.0],
    "time": [datetime.datetime(2024, 1, day) for day in (5, 6, 7, 4)],
}
ALL = {"value": "weight", "timestamp": "time"}


def polars(make):
    return make(pytest.importorskip("polars"))


def pyarrow(make):
    return make(pytest.importorskip("pyarrow"))


TABLES = {
    "dict of lists": lambda: COLUMNS,
    "dict of arrays": lambda: {name: np.array(each) for name, each in COLUMNS.items()},
    "dict of Series": lambda: {
        name: pd.Series(each, index=[3, 1, 1, 0]) for name, each in COLUMNS.items()
    },
    "dict of iterators": lambda: {name: iter(each) for name, each in COLUMNS.items()},
    "dict of objects": lambda: {name: np.array(each, object) for name, each in COLUMNS.items()},
    "pandas": lambda: pd.DataFrame(COLUMNS, index=[3, 1, 1, 0]),
    "pandas of objects": lambda: pd.DataFrame(COLUMNS, dtype=object),
    "pandas nullable": lambda: pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas categories": lambda: pd.DataFrame(COLUMNS).astype(
        {"user": "category", "item": "category"}
    ),
    "pandas decimals": lambda: pd.DataFrame(
        COLUMNS | {"weight": [decimal.Decimal(each) for each in COLUMNS["weight"]]}
    ),
    "pandas over pyarrow": lambda: pyarrow(
        lambda pa: pa.table(COLUMNS).to_pandas(types_mapper=pd.ArrowDtype)
    ),
    "polars": lambda: polars(lambda pl: pl.DataFrame(COLUMNS)),
    "polars lazy": lambda: polars(lambda pl: pl.LazyFrame(COLUMNS)),
    "polars categories": lambda: polars(
        lambda pl: pl.DataFrame(COLUMNS).with_columns(pl.col("user").cast(pl.Categorical))
    ),
    "polars decimals": lambda: polars(
        lambda pl: pl.DataFrame(COLUMNS).with_columns(pl.col("weight").cast(pl.Decimal(9, 2)))
    ),
    "Table": lambda: pyarrow(lambda pa: pa.table(COLUMNS)),
    "Table in chunks": lambda: pyarrow(
        lambda pa: pa.concat_tables([pa.table(COLUMNS)[:1], pa.table(COLUMNS)[1:]])
    ),
    "RecordBatch": lambda: pyarrow(lambda pa: pa.RecordBatch.from_pydict(COLUMNS)),
    "Table of dictionaries": lambda: pyarrow(
        lambda pa: pa.table(COLUMNS | {"user": pa.array(COLUMNS["user"]).dictionary_encode()})
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_any_table_gives_the_same_interactions(kind):
    data = Interactions.from_frame(TABLES[kind](), **ALL)
    assert data.user_ids.tolist() == ["u1", "u2"] and data.user_ids.dtype.kind == "U"
    assert data.item_ids.tolist() == [10, 30] and data.item_ids.dtype.kind == "i"
    np.testing.assert_array_equal(data.tocsr().toarray(), [[2, 0], [3, 5]])
    expected = np.array(["2024-01-06", "2024-01-07", "2024-01-05"], "M8[ns]")
    np.testing.assert_array_equal(data.timestamps, expected)
    assert data.n_dropped == 0


@pytest.mark.parametrize(
    ("frame", "options", "error", "message"),
    [
        (pd.DataFrame([[1, 1, 2]], columns=["user", "user", "item"]), {}, ValueError,
         "frame has 2 columns of the name 'user'"),
        ({"user": {1, 2}, "item": [1, 2]}, {}, TypeError, "column 'user' .* a set has no order"),
        (pd.DataFrame(COLUMNS).to_dict(), {}, TypeError, "column 'user' .* got the dict {0: "),
        ({"user": "ab", "item": [1, 2]}, {}, TypeError, "column 'user' must be a sequence"),
        ({"user": 5, "item": [1]}, {}, TypeError, "column 'user' must be a sequence of ids, got 5"),
        ({"user": [1, 2], "item": [1]}, {}, ValueError, "'user' and 'item' must be of one length"),
        ({"user": [], "item": []}, {}, ValueError, "frame has no rows"),
        ({"user": [1], "item": [1]}, {"user": None}, ValueError, "frame has no column None"),
        ({"user": [[1]], "item": [1]}, {}, TypeError, "column 'user' must hold hashable ids"),
        ({"user": np.ma.array([1, 2], mask=[0, 1]), "item": [1, 2]}, {}, ValueError,
         "column 'user' must not be masked"),
        ({"user": pd.array([1, None], dtype="Int64"), "item": [1, 2]}, {}, ValueError,
         "column 'user' has a missing id at position 1"),
        ({"user": [1, pd.NA], "item": [1, 2]}, {}, ValueError, "has a missing id at position 1"),
        ({"user": pd.to_datetime(["2020", None]), "item": [1, 2]}, {}, ValueError,
         "has a missing id at position 1"),
        ({"user": [True, 1], "item": [1, 2]}, {}, TypeError, "must not mix booleans with numbers"),
        (COLUMNS, {"value": "user"}, TypeError, "values of column 'user' must be numbers, got 'u2'"),
        (pd.DataFrame(COLUMNS), {"user": None}, ValueError, r"no column None: its columns are \[.*\]$"),
        (COLUMNS, {"unknown": np.array(["raise", "drop"])}, ValueError, "unknown must be 'raise' or"),
        (COLUMNS, {"value": "time"}, TypeError, "values of column 'time' must be numbers, got"),
        (COLUMNS | {"w": [np.timedelta64(1, "ns")] * 4}, {"value": "w"}, TypeError,
         "column 'w' must be numbers, got .*timedelta64"),
        (COLUMNS | {"w": [1, None, 1, 1]}, {"value": "w"}, ValueError, "column 'w' must not have miss"),
        (COLUMNS | {"w": np.array([1, np.nan, np.nan, 1])}, {"value": "w"}, ValueError,
         "column 'w' must hold finite values >= 0, got the value nan at position 1, and 2 in all"),
        (COLUMNS | {"w": np.ma.array(range(4), mask=[0, 1, 1, 0])}, {"value": "w"}, ValueError,
         "values of column 'w' must not be masked"),
        (COLUMNS | {"w": [1, 1]}, {"value": "w"}, ValueError, "column 'w' must be one per interaction"),
        (COLUMNS | {"w": [10**400, .5, 1, 1]}, {"value": "w"}, ValueError, "'w' must fit float64"),
        (COLUMNS | {"w": [1, 1, -1, 1]}, {"value": "w"}, ValueError,
         "got the negative value -1 .*: what users dislike goes to fit as negatives="),
        (COLUMNS | {"t": ["2024-01-01"] * 4}, {"timestamp": "t"}, TypeError,
         "timestamps of column 't' .* convert it with pandas.to_datetime"),
        (COLUMNS | {"t": [1, 2]}, {"timestamp": "t"}, ValueError, "'t' must be one per interaction"),
        (COLUMNS | {"t": np.array([1, 2, 3, 2**64 - 1], np.uint64)}, {"timestamp": "t"}, ValueError,
         "timestamps of column 't' has a number beyond int64 at position 3: .*18446744073709551615"),
        (COLUMNS, {"unknown": "skip"}, ValueError, "unknown must be 'raise' or 'drop', got 'skip'"),
        (COLUMNS, {"like": COLUMNS}, TypeError, "like must be Interactions, got dict"),
        (COLUMNS, {"user_ids": {"u1", "u2"}}, TypeError, "user_ids .* a set has no order"),
    ],
)  # fmt: skip
def test_other_tables_get_one_sentence(frame, options, error, message):
    with pytest.raises(error, match=message) as info:
        Interactions.from_frame(frame, **options)
    assert len(str(info.value)) < 400


def test_negative_weights_of_a_matrix_are_no_dislikes():
    with pytest.raises(ValueError, match="value -1.* what users dislike goes to fit as negatives="):
        Interactions(np.array([[1, -1]]))


TRAIN = Interactions.from_frame(COLUMNS)


def test_arguments_by_position():
    found = Interactions.from_frame(COLUMNS, "user", "item", "weight", "time", "max", TRAIN, "drop")
    named = Interactions.from_frame(COLUMNS, duplicates="max", like=TRAIN, **ALL)
    assert repr(found) == repr(named) and found.values.tolist() == [2, 3, 4]
    np.testing.assert_array_equal(found.timestamps, named.timestamps)
    with pytest.raises(TypeError, match="positional"):
        Interactions.from_frame(COLUMNS, "user", "item", None, None, "max", None, "drop", "drop")


LATER = {"user": ["u1", "u3", "u1", "u2"], "item": [30, 10, 20, 10], "time": [1, 2, 3, 4]}


def test_like_takes_users_and_items_in_their_order():
    order = Interactions.from_frame(COLUMNS, user_ids=["u2", "u0", "u1"], item_ids=[30, 10])
    same = Interactions.from_frame({"user": ["u1"], "item": [30]}, like=order)
    assert same.user_ids is order.user_ids and same.item_ids is order.item_ids
    assert same.rows.tolist() == [2] and same.indices.tolist() == [0] and same.n_dropped == 0


def test_unknown_is_an_error_that_says_what_to_do():
    message = (
        "column 'user': unknown user id 'u3': 2 ids are known.*unknown=\"drop\" leaves out such"
    )
    with pytest.raises(ValueError, match=message):
        Interactions.from_frame(LATER, like=TRAIN)
    items = LATER | {"user": ["u1"] * 4}
    with pytest.raises(ValueError, match="column 'item': unknown item id 20: .*drop.* 1 here"):
        Interactions.from_frame(items, like=TRAIN)
    with pytest.raises(ValueError, match="column 'user': unknown user id 'u3'.*drop"):
        Interactions.from_frame(LATER, user_ids=["u1", "u2"])


def test_unknown_rows_are_dropped_and_counted():
    data = Interactions.from_frame(LATER, timestamp="time", like=TRAIN, unknown="drop")
    assert data.n_dropped == 2 and data.space == TRAIN.space
    np.testing.assert_array_equal(data.tocsr().toarray(), [[0, 1], [1, 0]])
    assert data.timestamps.tolist() == [1, 4]
    given = Interactions.from_frame(LATER, user_ids=["u1"], unknown="drop")
    assert given.n_dropped == 2 and given.item_ids.tolist() == [10, 20, 30]


def test_values_of_unknown_rows_may_be_missing():
    def read(*values):
        table = LATER | {"value": np.array(values)}
        return Interactions.from_frame(table, value="value", like=TRAIN, unknown="drop")

    np.testing.assert_array_equal(read(2, np.nan, np.nan, 3).tocsr().toarray(), [[0, 2], [3, 0]])
    with pytest.raises(
        ValueError, match="'value' .* got the value nan at position 3, and 1 in all"
    ):
        read(2, np.nan, np.nan, np.nan)


def test_what_was_dropped_is_told_of_the_table_only():
    data = Interactions.from_frame(LATER, like=TRAIN, unknown="drop")
    assert data[:1].n_dropped == data.T.n_dropped == TRAIN.n_dropped == 0
    assert pickle.loads(pickle.dumps(data)).n_dropped == copy.copy(data).n_dropped == 2


def test_nothing_known_and_nothing_there():
    strangers = {"user": ["x", "y"], "item": [1, 2]}
    with pytest.warns(UserWarning, match="all 2 rows .* unknown") as record:
        data = Interactions.from_frame(strangers, like=TRAIN, unknown="drop")
    assert record[0].filename == __file__
    assert len(data) == 0 and data.n_dropped == 2 and data.space == TRAIN.space
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = Interactions.from_frame({"user": [], "item": []}, like=TRAIN)
    assert len(data) == 0 and data.n_dropped == 0 and data.space == TRAIN.space


def test_like_without_ids_speaks_of_row_numbers():
    numbered = Interactions(np.ones((3, 2)))
    data = Interactions.from_frame({"user": [2, 0], "item": [1, 1]}, like=numbered)
    assert data.user_ids is None and data.space == numbered.space
    assert data.rows.tolist() == [0, 2]
    for users in ([3, 0], [-1, 0], ["a", 0], np.array([2**64 - 1, 0], np.uint64), [0.5, 0]):
        frame = {"user": users, "item": [1, 1]}
        with pytest.raises(
            ValueError, match="unknown user id .*: ids are the whole numbers 0 ... 2"
        ):
            Interactions.from_frame(frame, like=numbered)
        assert Interactions.from_frame(frame, like=numbered, unknown="drop").n_dropped == 1


def test_like_is_given_alone():
    with pytest.raises(ValueError, match="like already says which users and items"):
        Interactions.from_frame(LATER, like=TRAIN, item_ids=[10])


def test_errors_about_other_users_say_how_to_build_the_same():
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(TRAIN)
    alone = Interactions.from_frame({"user": ["u1"], "item": [30]})
    renamed = Interactions(TRAIN.tocsr(), user_ids=["u2", "u1"], item_ids=[10, 30])
    how = r"Interactions.from_frame\(..., like=train\)"
    for other in (alone, renamed):
        for call in (
            lambda data: model.score(data),
            lambda data: tr.evaluate(model, data),
            lambda data: model.recommend("u1", exclude=data),
            lambda data: model.fit(TRAIN, validation=data),
            lambda data: model.fit(TRAIN, negatives=data),
        ):
            with pytest.raises(ValueError, match=how):
                call(other)
    same = Interactions.from_frame({"user": ["u1"], "item": [30]}, like=TRAIN)
    assert 0 <= model.score(same, exclude=None) <= 1


@pytest.mark.parametrize("kind", [np.array, pd.Series, pd.Index], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", ["i8", "u2", "f8", "f4", "U1", "M8[D]", "m8[s]", "M8[Y]"])
def test_the_byte_order_of_a_column_means_nothing(dtype, kind):
    native = np.array([3, 1, 2], "i8").astype(dtype)
    train = Interactions.from_frame({"user": native, "item": [1, 2, 3]})
    column = kind(native.astype(f">{dtype}"))
    own = Interactions.from_frame({"user": column, "item": [1, 2, 3]})
    assert own.user_ids.tolist() == train.user_ids.astype(own.user_ids.dtype).tolist()
    assert own.user_ids.dtype.isnative
    assert own.user_rows(native).tolist() == [2, 0, 1] == train.user_rows(column).tolist()
    later = Interactions.from_frame({"user": column, "item": [1, 2, 3]}, like=train)
    assert later.indices.tolist() == train.indices.tolist()


def test_arrays_take_iterators_but_no_sets():
    data = Interactions.from_arrays(iter([0, 1]), {2: "a", 0: "b"}.keys())
    assert data.rows.tolist() == [0, 1] and data.indices.tolist() == [2, 0]
    with pytest.raises(
        TypeError, match="users must be a sequence of row numbers, but a set has no"
    ):
        Interactions.from_arrays({0, 1}, [0, 1])
    with pytest.raises(
        TypeError, match="items must be a sequence of column numbers, but a set has"
    ):
        Interactions.from_arrays([0, 1], {0, 1})


@pytest.mark.parametrize("dtype", [object, "string[python]", "category"])
def test_texts_with_nuls_are_told_apart(dtype):
    texts = ["a\0", "a", "a\0b", "a"]
    users = (
        pd.Series(pd.Categorical.from_codes([0, 1, 2, 1], texts[:3]))
        if dtype == "category"
        else texts
    )
    data = Interactions.from_frame({"user": pd.Series(users, dtype=dtype), "item": range(4)})
    assert data.user_ids.tolist() == ["a", "a\0", "a\0b"] and data.user_rows(texts).tolist() == [
        1,
        0,
        2,
        0,
    ]
    with pytest.raises(ValueError, match="missing id at position 1"):
        Interactions.from_frame({"user": ["a\0", None], "item": [1, 2]})


def test_lone_surrogates_are_told_apart():
    texts = ["\ud800", "\udfff", "a", "?"]
    for column in (texts, np.array(texts)):
        data = Interactions.from_frame({"user": column, "item": range(4)})
        assert data.user_ids.tolist() == sorted(texts)
        assert data.user_rows(sorted(texts)).tolist() == [0, 1, 2, 3]


KINDS = {
    "UUID": [uuid.UUID(int=n) for n in range(4)],
    "bytes": [b"", b"a", b"a\0", b"b"],
    "tz": pd.date_range("2020", periods=4, tz="Europe/Berlin"),
    "long": ["a" * 5000 * n for n in range(4)],
    "ns": np.arange(4).astype("M8[ns]"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ids_of_many_kinds_come_out_as_they_went_in(kind):
    ids = list(KINDS[kind])
    frame = {"user": np.arange(16) // 4, "item": [ids[n % 4] for n in range(16) if n % 5] + ids[:4]}
    data = Interactions.from_frame(frame)
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(data)
    found, _ = model.recommend([0, 1], k=4, exclude=None)
    assert all(set(row) == set(ids) for row in found)
    padded, _ = model.recommend([0], k=4, exclude=data)
    assert {type(each) for each in padded.ravel()} <= {type(None), type(ids[0])}
    assert model.recommend(0, k=4, exclude=None, candidates=set(ids))[0].shape == (4,)
    for each in ids:
        assert each in ids and len(model.similar_items(each, k=2)[0]) == 2
    np.testing.assert_array_equal(model.predict(0, iter(ids)), model.predict(0, ids))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(columns=["user", "item", "v", "t"]),
        {"user": [], "item": [], "v": [], "t": []},
        {"user": ["a", None], "item": [None, "x"], "v": [decimal.Decimal(1)] * 2, "t": [1, 2]},
    ],
    ids=["pandas", "lists", "incomplete decimals"],
)
@pytest.mark.filterwarnings("ignore:all 2 rows of frame lack an id")
def test_values_of_no_rows_are_of_any_type(frame):
    like = Interactions.from_frame({"user": ["a", "b"], "item": ["x", "x"]})
    names = {"value": "v", "timestamp": "t", "missing": "drop"}
    data = Interactions.from_frame(frame, like=like, **names)
    assert data.space.shape == (2, 1) and data.nnz == 0 and data.n_dropped == len(frame["user"])
    assert data.values.dtype == np.float32 and len(data.timestamps) == 0
