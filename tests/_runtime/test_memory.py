"""What memory there is, and that too much of it is refused before it is taken."""

import pytest

from tripletrec._runtime.memory import NotEnoughMemoryError, available_memory, check_memory


def test_available_memory_is_that_of_a_machine():
    there = available_memory()
    assert there is None or 0 < there < 2**60


def test_what_fits_is_let_pass_and_what_does_not_is_refused_with_the_numbers():
    check_memory(0, "nothing", "go on")
    if available_memory() is None:
        pytest.skip("the system does not say it")
    for kind in (MemoryError, ValueError, NotEnoughMemoryError):
        with pytest.raises(
            kind, match="^a dream needs 1,152,921,504.6 GB of memory, and "
        ) as caught:
            check_memory(2**60, "a dream", "wake up")
        assert str(caught.value).endswith("are available: wake up")
