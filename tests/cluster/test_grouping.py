"""Groups of items, and who needs which."""

import numpy as np
import pytest

from tripletrec.cluster.grouping import Grouping, n_parts_for
from tripletrec.training.strata import drawn_strata, given_strata


@pytest.mark.parametrize(
    "strata", [drawn_strata(1), drawn_strata(8), drawn_strata(24), given_strata(8)]
)
def test_every_part_meets_every_group(strata):
    n_parts = n_parts_for(strata, 2)
    grouping = Grouping.of(strata, n_parts)
    assert grouping.n_groups * grouping.size == strata.n_item_blocks
    met = {part: set() for part in range(n_parts)}
    for tiles in strata.tiles(n_parts):
        groups = [grouping.groups_of(tile) for tile in tiles]
        assert sorted(np.concatenate(groups)) == list(range(grouping.n_groups))  # each once
        for tile, own in zip(tiles, groups, strict=True):
            met[tile.part].update(own)
    assert all(each == set(range(grouping.n_groups)) for each in met.values())
