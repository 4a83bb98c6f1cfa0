"""Tables of attributes: the ids of Parquet and of text are read with the same care."""

import argparse

import numpy as np
import pandas as pd
import pytest

from tripletrec.cli.attributes import read_attributes
from tripletrec.data.features import encode, learn_encoding

LARGE = [2**60 + 1, 2**60 + 2, 2**60 + 3]


def attributes(path, form="numbers", **options):
    options = {"user": None, "item": None, "drop_missing": False} | options
    return read_attributes(argparse.Namespace(**options), str(path), "item", form)


def written(folder, ending, ids):
    """A file of ids of which None is missing, and a genre of each."""
    genres = [f"g{n}" for n in range(len(ids))]
    path = folder / f"items.{ending}"
    if ending == "csv":
        lines = [
            f"{'' if each is None else each},{genre}\n"
            for each, genre in zip(ids, genres, strict=True)
        ]
        path.write_text("item,genre\n" + "".join(lines))
        return path
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    large = any(isinstance(each, int) and each >= 2**63 for each in ids)
    column = pa.array(ids, pa.uint64() if large else None)
    column = column.dictionary_encode() if ending == "dictionary.parquet" else column
    pq.write_table(pa.table({"item": column, "genre": genres}), path)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet", "dictionary.parquet"])
@pytest.mark.parametrize("ids", [LARGE, ["x", "y", "z"], [2**63 + each for each in LARGE]])
def test_a_missing_id_is_refused_or_left_out(ending, ids, tmp_path):
    form = "texts" if "x" in ids else "numbers"
    path = written(tmp_path, ending, [*ids[:2], None, ids[2]])
    with pytest.raises(
        ValueError, match=r"column 'item' of .*items.* has a missing id at position 2"
    ):
        attributes(path, form)
    table = attributes(path, form, drop_missing=True)
    assert table.index.tolist() == ids and table["genre"].tolist() == ["g0", "g1", "g3"]
    whole = attributes(written(tmp_path, ending, ids), form)
    assert whole.index.tolist() == ids and whole.index.dtype == table.index.dtype


COLUMNS = {
    "day": np.array(["2024-01-31", "NaT", "2024-03-01", "2024-02-29"], "M8[ns]"),
    "moment": np.array(["2024-01-31T10:00:00.5", "2024-02-01", "NaT", "2024-02-02"], "M8[ns]"),
    "code": ["007", "010", None, "100"],
    "number": [7.0, -10.0, None, 0.0],
    "fraction": [0.5, 1.25, 3.0, None],
    "flag": [True, False, True, True],
    "text": ["2024-02-30", "2024-02-28", None, "2024-02-28"],
    "title": ["2024-01-31", None, "now", "today"],
}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv"])
@pytest.mark.parametrize("name", list(COLUMNS))
def test_text_and_parquet_are_the_same_features(name, ending, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"item": list("abcdefgh"), name: [*COLUMNS[name]] * 2})
    frame.to_parquet(tmp_path / "items.parquet")
    path = tmp_path / f"items.{ending}"
    frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    tables = [attributes(each, "texts") for each in (path, tmp_path / "items.parquet")]
    specs = [learn_encoding(each, np.arange(8), "item_features") for each in tables]
    assert specs[0] == specs[1]
    encoded = [encode(specs[0], each, "item_features").toarray() for each in tables]
    assert np.array_equal(*encoded)


def test_numbers_with_signs_and_zeros_are_no_codes(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item,a,b,c,d\nx,+7,-0,00.5,007\ny,-3,0,01,-08\n")
    table = attributes(path, "texts")
    assert table[["a", "b", "c"]].to_numpy().tolist() == [[7, 0, 0.5], [-3, 0, 1]]
    assert table["d"].tolist() == ["007", "-08"]


@pytest.mark.parametrize("index", ["item", ["item", "year"], None])
def test_ids_in_the_index_of_pandas(index, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"item": ["x", "y"], "year": [1, 2], "genre": ["g", "h"]}, index=[7, 9])
    (frame if index is None else frame.set_index(index)).to_parquet(tmp_path / "items.parquet")
    table = attributes(tmp_path / "*.parquet", "texts")
    assert table.index.tolist() == ["x", "y"] and table["genre"].tolist() == ["g", "h"]
    assert set(table.columns) == {"genre"} | (set() if index == ["item", "year"] else {"year"})


def test_damaged_parquet_and_names_that_are_there_twice(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "items.parquet"
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["item", "item"]), path
    )
    with pytest.raises(ValueError, match=r"items.parquet' has 2 columns of the name 'item'"):
        attributes(path, item="item")
    pq.write_table(
        pa.table({"item": np.arange(999), "x": np.random.default_rng(0).random(999)}), path
    )
    content = bytearray(path.read_bytes())
    content[60:4000] = bytes(3940)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="items.parquet' is damaged, or no parquet file"):
        attributes(path)
