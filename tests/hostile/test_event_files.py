"""Files of events, whole and damaged: what the table has, or one sentence; and filters of any strength."""

import gzip

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import naive_data
from hostile.support import outcome
from tripletrec.data.interactions import Interactions

PIECES = ["a", "b", "007", "7", "-1", "1.5", "", "NA", "nan", '"', '"a,b"', "ü", " ", "1e3", "2024-01-01",
          "0", "9" * 25, "\t", "\0", "true", "-", "#", "\\", "'"]  # fmt: skip
WAYS = ["sum", "max", "last", "first", "count"]


def read(path, rng):
    value, timestamp = (str(rng.choice(["v", "t", "w"])) for _ in range(2))
    return outcome(
        Interactions.read,
        path,
        value=value if rng.random() < 0.6 else None,
        timestamp=timestamp if rng.random() < 0.6 else None,
        duplicates=str(rng.choice(WAYS)),
    )


def test_text_files(many, rng, tmp_path):
    accepted = 0
    for _ in range(many(250)):
        header = ["user", "item", "v", "t"][: int(rng.integers(1, 5))]
        few = rng.choice(PIECES, 4)
        rows = [[str(rng.choice(few)) for _ in header] for _ in range(int(rng.integers(0, 6)))]
        lines = [header, *rows] if rng.random() < 0.95 else rows
        ending = str(rng.choice(["csv", "tsv", "csv.gz"]))
        mark = "\t" if ending == "tsv" else ","
        text = str(rng.choice(["\n", "\r\n", "\n\n"])).join(mark.join(line) for line in lines)
        content = text.encode()
        content = gzip.compress(content) if ending.endswith("gz") else content
        path = tmp_path / f"log.{ending}"
        path.write_bytes(damaged(content, rng) if rng.random() < 0.3 else content)
        data = read(path, rng)
        accepted += not isinstance(data, Exception)
    assert accepted >= many(10)


def damaged(content, rng):
    content = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        if content:
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
    return bytes(content[: int(rng.integers(len(content) + 1))] if rng.random() < 0.3 else content)


def test_texts_come_through(many, rng, tmp_path):
    """Ids of a file of quoted texts are those texts, unless all are whole numbers."""
    for _ in range(many(60)):
        n = int(rng.integers(1, 9))
        users = ["".join(rng.choice(list('ab0 ,"\n17'), int(rng.integers(1, 4)))) for _ in range(n)]
        pd.DataFrame({"user": users, "item": range(n)}).to_csv(
            tmp_path / "a.csv", index=False, quoting=1
        )
        data = Interactions.read(tmp_path / "a.csv")
        kept = data.user_ids.tolist()
        if data.user_ids.dtype.kind == "i":
            kept = list(map(str, kept))
        assert sorted(kept) == sorted(set(users))
        assert data.item_ids.tolist() == list(range(n))


def test_damaged_parquet(many, rng, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({
        "user": [f"user {n % 7}" for n in range(200)], "item": np.arange(200) % 11,
        "v": np.arange(200) / 7, "t": pd.date_range("2024", periods=200, tz="UTC"),
    })  # fmt: skip
    path = tmp_path / "a.parquet"
    frame.to_parquet(path, row_group_size=50)
    whole = path.read_bytes()
    refused = 0
    for _ in range(many(150)):
        path.write_bytes(damaged(whole, rng))
        refused += isinstance(read(path, rng), Exception)
    assert refused > many(20)


def test_filters(many, rng):
    for _ in range(many(60)):
        shape = rng.integers(1, 7, 2)
        matrix = rng.integers(0, 4, shape) * (rng.random(shape) < rng.random())
        data = Interactions(sp.coo_matrix(matrix))
        least = rng.integers(0, 4, 2).tolist()
        min_value = None if rng.random() < 0.5 else int(rng.integers(0, 4))
        core = outcome(data.filter, *least, min_value)
        entries = [(u, i, matrix[u, i]) for u, i in zip(*np.nonzero(matrix), strict=True)]
        left, users, items = naive_data.filtered(
            entries, *least, min_value, *map(list, map(range, shape))
        )
        if isinstance(core, Exception):
            assert not users or not items
        else:
            assert len(core) == len(left) and core.space.shape == (len(users), len(items))
