"""Interactions as tables: what comes out goes in again."""

import datetime
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import pytest

from tiers import quick
from tripletrec.data.interactions import Interactions

IDS = {
    "texts": ["a", "b\0", "ü" * 30],
    "numbers": np.array([3, -1, 7]),
    "dates": np.array(["2020-01-01", "1999-01-01", "2030-01-01"], "M8[D]"),
    "seconds": np.array(["2020-01-01T01", "1999-01-01T02", "2030-01-01T03"], "M8[s]"),
    "years": np.array(["2020", "1999", "2030"], "M8[Y]"),
    "durations": np.array([5, 1, 7], "m8[D]"),
    "no UTF-8": ["a", "b\udce9", "c"],
    "objects": [uuid.UUID(int=n) for n in range(3)],
    "mixed": ["a", 1, datetime.date(2020, 1, 1)],
    "none": None,
}
TIMES = {
    "dates": np.array(["2024-01-01", "2024-01-02T03:04:05.123456789", "1970-01-01"], "M8[ns]"),
    "whole": [5, 2**62, -1],
    "fractions": [0.5, 1.0, 2.0],
    "none": None,
}
MATRIX = np.array([[0, 0.1, 0], [2, 0, 3], [0, 0, 0]])


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("times", quick(TIMES, "dates", "none"))
@pytest.mark.parametrize("ids", IDS)
def test_round_trip(ids, times, output):
    if output == "polars":
        pytest.importorskip("polars")
        if ids in ("mixed", "objects"):
            pytest.skip("polars has no columns of mixed types")
    data = Interactions(MATRIX, user_ids=IDS[ids], item_ids=IDS[ids], timestamps=TIMES[times])
    if output == "polars" and ids == "no UTF-8":
        with pytest.raises(ValueError, match=r"text in UTF-8, got 'b\\udce9': take 'pandas'"):
            data.to_frame(output=output)
        return
    frame = data.to_frame(output=output)
    assert type(frame).__module__.split(".")[0] == output
    assert list(frame.columns) == ["user", "item", "value", "timestamp"][: 3 + (times != "none")]
    again = Interactions.from_frame(
        frame, value="value", timestamp=None if times == "none" else "timestamp", like=data
    )
    assert again.space == data.space and again.n_merged == 0
    for name in ("indptr", "indices", "values", "timestamps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_rows_are_numbered_and_of_their_types():
    data = Interactions(MATRIX, user_ids=["a", "b", "c"], timestamps=TIMES["dates"])
    frame = data.to_frame()
    assert frame.index.tolist() == [0, 1, 2] and frame["user"].tolist() == ["a", "b", "b"]
    assert frame["value"].dtype == np.float32 and frame["timestamp"].dtype == "datetime64[ns]"
    assert frame["item"].tolist() == [1, 0, 2] and not hasattr(frame["user"], "cat")
    frame.loc[:, "value"] = 9.0  # a table of its own
    assert data.values.tolist() == np.float32([0.1, 2, 3]).tolist()


def test_nothing_there():
    frame = Interactions.empty(Interactions(MATRIX, user_ids=["a", "b", "c"])).to_frame()
    assert frame.shape == (0, 3) and isinstance(frame, pd.DataFrame)


@pytest.mark.parametrize("output", ["arrow", None, 1, ["pandas"]])
def test_other_outputs_get_one_sentence(output):
    with pytest.raises(ValueError, match="output must be 'pandas' or 'polars', got"):
        Interactions(MATRIX).to_frame(output=output)


@pytest.mark.thorough
def test_without_polars_one_sentence_says_what_to_install():
    code = """if 1:
        import sys
        sys.modules["polars"] = None
        from tripletrec import Interactions
        try:
            Interactions.from_arrays([0], [0]).to_frame("polars")
        except ImportError as error:
            print(error)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'output="polars" needs polars: pip install polars\n'
