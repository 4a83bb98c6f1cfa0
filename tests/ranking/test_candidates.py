"""Candidates: one list for all, or one for each user."""

import numpy as np

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
