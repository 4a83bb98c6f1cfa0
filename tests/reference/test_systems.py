"""The table of reference systems: what must be in it."""

from tripletrec.reference import SYSTEMS


def test_published_numbers():
    assert SYSTEMS["K1"].published[20] == 0.9154
    assert min(SYSTEMS["K1"].published) == 11
    assert SYSTEMS["K4"].published[15] == 0.9199
    for system in SYSTEMS.values():
        assert all(1 <= epoch <= system.n_epochs for epoch in system.published)
