"""What interactions tell of themselves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.data.interactions import Interactions

FRAME = {
    "user": ["<b>ann</b>", "bob", "bob", "bob"],
    "item": [1, 1, 1, 2],
    "v": [1, 2, 3, 4.5],
    "t": pd.to_datetime(["2024-01-03", "2024-01-01", "2024-01-02", "2024-01-05"], utc=True),
}


def test_all_numbers():
    train = Interactions.from_frame(
        FRAME, item_ids=[1, 2, 3], user_ids=["bob", "carl", "<b>ann</b>"]
    )
    later = {name: list(each) + list(each)[:1] for name, each in FRAME.items()}
    later["user"][-1] = "new"
    data = Interactions.from_frame(later, value="v", timestamp="t", like=train, unknown="drop")
    told = data.describe().to_dict()
    assert told.pop("gini") == pytest.approx((2 * (2 * 1 + 3 * 2) / (3 * 3)) - 4 / 3)
    assert told == {
        "users": 3, "items": 3, "interactions": 3, "density": 3 / 9, "mean_per_user": 1.0,
        "mean_per_item": 1.0, "cold_users": 1, "cold_items": 1,
        "first": pd.Timestamp("2024-01-02"), "last": pd.Timestamp("2024-01-05"),
        "merged": 1, "dropped": 1,
    }  # fmt: skip
    assert list(data.describe().index)[:3] == ["users", "items", "interactions"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    users = np.concatenate([np.arange(n) for n in counts])
    items = np.repeat(np.arange(len(counts)), counts)
    data = Interactions.from_arrays(users, items, shape=(9, len(counts)))
    x = np.array(counts)
    expected = np.abs(x[:, None] - x).mean() / (2 * x.mean())
    assert data.describe()["gini"] == pytest.approx(expected, abs=1e-12)


def test_nothing_there():
    told = Interactions.empty(Interactions(np.eye(3))).describe()
    assert told["interactions"] == told["density"] == 0 and told["cold_items"] == 3
    assert np.isnan(told["gini"]) and told["first"] is None
    times = Interactions(np.eye(2), timestamps=[3, 4])
    assert times.describe()["last"] == 4 and times[:0].describe()["last"] is None
    halves = Interactions(np.eye(2), timestamps=[0.5, 4])
    assert halves.describe()["first"] == 0.5


def test_html_is_small_and_escaped():
    data = Interactions.from_frame(FRAME, value="v", timestamp="t")
    html = data._repr_html_()
    assert "<b>ann" not in html and "&lt;b&gt;ann&lt;/b&gt;" in html
    assert "2024-01-05" in html and ">4.5<" in html and "more" not in html
    assert html.count("<table>") == html.count("</table>") == 2
    large = Interactions(np.ones((40, 50)))._repr_html_()
    assert len(large) < 4000 and "and 1,995 more" in large and "timestamp" not in large
    seconds = Interactions(np.eye(2), timestamps=[1700000000.25, 1700000001.5])._repr_html_()
    assert seconds.count(">1700000000.25<") == 2  # the first, and that of the first interaction
    long = Interactions(np.eye(2), user_ids=["x" * 9999, "<" * 9999])._repr_html_()
    assert len(long) < 4000 and "<<" not in long
    Interactions(np.zeros((1, 1)))._repr_html_()
