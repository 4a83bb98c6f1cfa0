"""The table of reference systems: what must be in it."""

from tripletrec.reference import SYSTEMS


def test_published_numbers():
    assert min(SYSTEMS["K1"].published) == 11
    last = {
        key: system.published[max(system.published)]
        for key, system in SYSTEMS.items()
        if system.published
    }
    known = {"K1": 0.9154, "K2": 0.8425, "K2-margin": 0.7466, "K4": 0.9199, "K5": 0.9115}
    assert last == known | {"K3": 0.82, "K3-own": 0.82}
    for system in SYSTEMS.values():
        assert all(1 <= epoch <= system.n_epochs for epoch in system.published)
        assert all(0.7 < auc < 0.93 for auc in system.published.values())


def test_sizes():
    sizes = {key: (100, 64) for key in ("K1", "K3", "K3-own")} | {"K4": (64, 64), "K5": (32, 64)}
    for key, system in SYSTEMS.items():
        if system.recipe is not None:
            found = system.recipe.n_factors, system.recipe.batch_size
            assert found == sizes.get(key, (256, 512)), key
