"""Workers that are not alike are told apart, and which ones."""

import pytest

from cluster.fits import model_of
from tripletrec.cluster.probe import Report, check_alike, probe

ONE = Report({"python": "3.12", "numba": "0.61"}, "znver3", "abc")


def test_a_worker_that_is_like_itself():
    plan = model_of(optimizer="adam")._plan()
    one, same = (probe({}, plan, False, False) for _ in range(2))
    assert one == same == check_alike({"a": one, "b": same})
    assert {"python", "numpy", "numba", "llvmlite", "tripletrec"} == one.versions.keys()
    other = probe({}, model_of(optimizer="adam", random_state=1)._plan(), False, False)
    assert other.digest != one.digest
    others = [probe({}, plan, *each) for each in ((True, False), (False, True), (True, True))]
    assert len({one.digest, *(each.digest for each in others)}) == 4


@pytest.mark.parametrize(
    "other, text",
    [
        (ONE._replace(versions={**ONE.versions, "numba": "0.60"}), "numba is 0.60 on b and 0.61 on a$"),
        (ONE._replace(versions={"python": "3.12"}), "numba is None on b and 0.61 on a$"),
        (ONE._replace(processor="haswell"), "haswell on b and znver3 on a; start all with NUMBA_CPU_NAME"),
        (ONE._replace(digest="def"), "gave others on b than on a; start all with NUMBA_CPU_NAME"),
    ],
)  # fmt: skip
def test_workers_that_are_not_alike(other, text):
    assert check_alike({"a": ONE, "c": ONE}) == ONE
    with pytest.raises(ValueError, match=f"^all workers must .*{text}"):
        check_alike({"a": ONE, "b": other})
    with pytest.raises(ValueError, match="^all workers must .*those that began the fit"):
        check_alike({"b": other}, ONE)
