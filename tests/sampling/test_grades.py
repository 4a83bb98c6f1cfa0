"""Which of a user's items have a lower value than another, against all pairs."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tripletrec.sampling.grades import by_rising_value, has_grades

users = st.lists(st.lists(st.integers(1, 4), max_size=6), max_size=5)


def flat(users):
    indptr = np.cumsum([0, *map(len, users)]).astype(np.int64)
    items = [item for values in users for item in range(len(values))]
    values = [value for values in users for value in values]
    return indptr, np.array(items, np.int32), np.array(values, np.float32)


@given(users)
def test_lower_items_come_first(users):
    indptr, items, values = flat(users)
    ranked, n_lower = by_rising_value((indptr, items), values)
    for u, own in enumerate(users):
        for item, value in enumerate(own):
            first = ranked.indptr[u]
            lower = ranked.indices[first : first + n_lower[indptr[u] + item]]
            assert sorted(lower) == [other for other, each in enumerate(own) if each < value]
        assert sorted(ranked.indices[indptr[u] : indptr[u + 1]]) == list(range(len(own)))


@given(users)
def test_there_are_grades_if_one_user_has_two_values(users):
    indptr, _, values = flat(users)
    for at_once in (1, 3, 2**20):
        assert has_grades(indptr, values, at_once) == any(len(set(own)) > 1 for own in users)
