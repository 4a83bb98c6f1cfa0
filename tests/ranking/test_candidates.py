"""Candidates: one list for all, or one for each user."""

import numpy as np
import pandas as pd
import pytest

from tripletrec.data.ids import Ids
from tripletrec.ranking.candidates import Candidates, read_candidates


def test_they_are_rows_in_order_none_twice():
    items = Ids(["a", "b", "c"], 3, "item")
    assert read_candidates(None, items, 2).width(3) == 3
    assert read_candidates("c", items, 2).shared.tolist() == [2]
    assert read_candidates(iter("cac"), items, 2).shared.tolist() == [0, 2]
    own = read_candidates([["c", "a", "c"], []], items, 2)
    assert [each.tolist() for each in own.own] == [[0, 2], []] and own.width(3) == 2
    assert [each.tolist() for each in own.at(np.array([1])).own] == [[]]
    assert Candidates().at(np.array([1])) == Candidates()


@pytest.mark.parametrize("of_each", [{0: [1], 1: [0, 2]}, pd.DataFrame({0: [1, 2], 1: [2, 0]})])
def test_keys_and_columns_are_no_candidates(of_each):
    items = Ids(None, 3, "item")
    start = "candidates must be one list of item ids, or one for each of the 2 users asked for"
    with pytest.raises(
        TypeError, match=rf"{start}, .* use \[candidates\[user\] for user in users\]"
    ):
        read_candidates(of_each, items, 2)
    for several in ([of_each, [1]], [[1], of_each]):
        with pytest.raises(TypeError, match=f"{start}, got .* among them"):
            read_candidates(several, items, 2)


def test_lists_of_a_series_are_in_order_unless_its_index_says_whose_they_are():
    lists = pd.Series([[3], [1, 0]])
    own = read_candidates(lists, Ids(None, 4, "item"), 2).own
    assert [each.tolist() for each in own] == [[3], [0, 1]]
    for labels in (
        ["v", "u"],
        pd.RangeIndex(1, 3),
        pd.RangeIndex(1, -1, -1),
        pd.RangeIndex(0, 4, 2),
    ):
        with pytest.raises(TypeError, match=r"their order, got a Series with an index of labels"):
            read_candidates(lists.set_axis(labels), Ids(None, 4, "item"), 2)
    shared = pd.Series([3, 1], index=["a", "b"])  # of one list for all the order says nothing
    assert read_candidates(shared, Ids(None, 4, "item"), 2).shared.tolist() == [1, 3]
