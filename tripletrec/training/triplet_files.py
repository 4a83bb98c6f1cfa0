"""The triplets of all parts in files, each part's stratum by stratum; interactions are in `block_order`."""

from __future__ import annotations

import numpy as np

from tripletrec._runtime.scratch import ScratchFolder
from tripletrec.training.block_order import PartsOnDisk
from tripletrec.training.bucketing import Stored
from tripletrec.training.epoch_layout import EpochLayout

__all__ = ["TripletFiles", "cut_stored"]


class TripletFiles:
    """Place on a disk for what is bucketed.

    Parameters
    ----------
    scratch : ScratchFolder
    epoch_layout : EpochLayout
    parts : PartsOnDisk
    n_positives : int
        Of all parts.
    weighted : bool
    """

    def __init__(
        self,
        scratch: ScratchFolder,
        epoch_layout: EpochLayout,
        parts: PartsOnDisk,
        n_positives: int,
        *,
        weighted: bool,
    ) -> None:
        self._parts = parts
        self._k = epoch_layout.plan.n_negatives if epoch_layout.stores_negatives else 1
        self._kinds = epoch_layout.codes.dtype, np.int32, np.float32
        self._has = True, epoch_layout.stores_negatives, weighted
        lengths = [self._k * n_positives * has for has in self._has]
        self._files = [
            scratch.array((n,), kind) for n, kind in zip(lengths, self._kinds, strict=True)
        ]

    def buffers(self) -> Stored:
        """Return memory for the triplets of any one part."""
        lengths = [self._k * self._parts.most() * has for has in self._has]
        return Stored._make(map(np.empty, lengths, self._kinds))

    def read(self, part: int, first: int, stored: Stored) -> None:
        """Fill arrays with triplets of a part, from number `first` on."""
        place = self._k * self._parts.first_of(part) + first
        for file, array in zip(self._files, stored, strict=True):
            if len(array):
                file.read(place, array)

    def write(self, part: int, stored: Stored) -> None:
        """Write the triplets of a part."""
        place = self._k * self._parts.first_of(part)
        for file, array in zip(self._files, stored, strict=True):
            if len(array):
                file.write(place, array)


def cut_stored(stored: Stored, first: int, last: int) -> Stored:
    """Return a run of the triplets."""
    codes, negatives, weights = stored
    return Stored(codes[first:last], negatives[first:last], weights[first:last])
