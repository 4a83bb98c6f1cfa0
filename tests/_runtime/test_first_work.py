"""How much a process does without a kernel."""

from hypothesis import given
from hypothesis import strategies as st

from tripletrec._runtime.first_work import FirstWork


@given(most=st.integers(0, 100), amounts=st.lists(st.integers(0, 60)))
def test_what_is_covered_comes_first_and_is_no_more_than_there_was(most, amounts):
    first = FirstWork(most)
    covered = [first.covers(amount) for amount in amounts]
    assert covered == sorted(covered, reverse=True)
    n = sum(covered)
    assert sum(amounts[:n]) <= most
    assert n == len(amounts) or sum(amounts[: n + 1]) > most
