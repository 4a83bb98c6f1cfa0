"""User factors that stay in the folder of a fit on a cluster and are read when they are asked for."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.cluster.folders import Folder
from tripletrec.cluster.store import read_user_rows

__all__ = ["ShardedFactors"]

_KEPT = 8  # blocks


class ShardedFactors:
    """The factors of all users, of which the blocks used last are in memory.

    It is indexed like an array of shape (n_users, n_factors), by rows; ``np.asarray`` reads all of it. Models
    recommend and are evaluated with it as with an array.

    Parameters
    ----------
    folder : Folder
    epoch : int
    n_factors : int
    order : int32 array of shape (n_users,)
        The users, block by block.
    bounds : int64 array of shape (n_blocks + 1,)
        Where the blocks begin in `order`.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(
        self,
        folder: Folder,
        epoch: int,
        n_factors: int,
        order: NDArray[np.int32],
        bounds: NDArray[np.int64],
    ) -> None:
        self.folder, self.epoch, self._bounds = folder, epoch, bounds
        self.shape = len(order), n_factors
        self._place = np.empty(len(order), np.int64)  # of each user in `order`
        self._place[order] = np.arange(len(order))
        self._set_up()

    def _set_up(self) -> None:
        self._blocks: dict[int, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        places = self._place[rows]
        flat = np.atleast_1d(places).reshape(-1)
        found = np.empty((len(flat), self.shape[1]), np.float32)
        blocks = np.searchsorted(self._bounds, flat, side="right") - 1
        for block in sorted(set(blocks.tolist())):
            own = blocks == block
            found[own] = self._block(block)[flat[own] - self._bounds[block]]
        return found.reshape(*np.shape(places), self.shape[1])

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("user factors that are in files cannot be an array without a copy")
        return self[:].astype(dtype or np.float32, copy=False)

    def __repr__(self) -> str:
        return f"ShardedFactors({self.shape[0]} users x {self.shape[1]} factors, in {self.folder})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in vars(self).items() if name not in ("_blocks", "_lock")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._set_up()

    def _block(self, block: int) -> NDArray[np.float32]:
        with self._lock:
            found = self._blocks.pop(block, None)
            if found is None:
                table, _ = read_user_rows(self.folder, self.epoch, block)
                found = table[:, 0, : self.shape[1]].copy()
            while len(self._blocks) >= _KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[block] = found
            return found
