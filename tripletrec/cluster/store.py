"""What the folder of a fit on a cluster holds: users, items, blocks, epochs.

::

    meta.json                        what the fit is of: written last of what lies beside it and in blocks/
    users.safetensors                ids, and how many positives each user has
    items.safetensors                likewise
    blocks/00007.safetensors         all that is known of the users of user block 7, see `write_block`
    epochs/00003/users-00007.…       rows of the users of block 7 after epoch 3: weights and optimizer state
    epochs/00003/items-00002.…       rows of some of the items, and which ones these are
    epochs/00003/epoch.json          history, number of files of items: written last, so that the epoch counts

Users and items are rows by the numbers that `Interactions` would give them. Arrays are safetensors.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec.cluster.folders import Folder
from tripletrec.data.id_packing import pack_ids_of, unpack_ids_of
from tripletrec.sampling.draw import ItemsOfUsers, RowNumbers
from tripletrec.training.bucketing import UserPositives
from tripletrec.training.user_parts import UserPart, part_users

__all__ = [
    "Axis",
    "Committed",
    "ItemGroup",
    "clear",
    "commit_epoch",
    "last_epoch",
    "read_axis",
    "read_items",
    "read_meta",
    "read_part",
    "read_positives",
    "read_user_rows",
    "write_axis",
    "write_block",
    "write_items",
    "write_meta",
    "write_user_rows",
]

_FORMAT = 1
_META = "meta.json"
_OWN = (_META, "users.safetensors", "items.safetensors", "blocks", "epochs")

Float32 = NDArray[np.float32]


class Axis(NamedTuple):
    """The users, or the items: their ids, and how many positives each has.

    Parameters
    ----------
    ids : array of shape (n,) or None
        As `Interactions.user_ids`; None: the row numbers.
    counts : int64 array of shape (n,)
    """

    ids: NDArray[Any] | None
    counts: NDArray[np.int64]


class ItemGroup(NamedTuple):
    """Rows of some of the items.

    Parameters
    ----------
    rows : int32 array of shape (n,)
        Which ones.
    table : float32 array of shape (n, 1 + n_state, width)
    biases : float32 array of shape (n, 1 + n_state)
    step_counts : float32 array of shape (n, n_step_counts)
    """

    rows: NDArray[np.int32]
    table: Float32
    biases: Float32
    step_counts: Float32


class Committed(NamedTuple):
    """The last epoch that counts.

    Parameters
    ----------
    number : int
    history : list of dict
        The record of each epoch up to it.
    n_item_files : int
    """

    number: int
    history: list[dict[str, Any]]
    n_item_files: int


def write_axis(folder: Folder, word: str, axis: Axis) -> None:
    """Write what is known of the users or the items; `word` is "user" or "item"."""
    arrays: dict[str, NDArray[Any]] = {"counts": axis.counts}
    form = json.dumps(pack_ids_of("ids", axis.ids, arrays)).encode()
    arrays["form"] = np.frombuffer(form, np.uint8)
    folder.write_arrays(f"{word}s.safetensors", arrays)


def read_axis(folder: Folder, word: str) -> Axis:
    """Return what `write_axis` was given.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged.
    """
    arrays = folder.read_arrays(f"{word}s.safetensors")
    counts = arrays.pop("counts")
    form = json.loads(arrays.pop("form").tobytes())
    return Axis(unpack_ids_of("ids", form, arrays), counts)


def write_block(folder: Folder, block: int, part: UserPart, values: Float32 | None = None) -> None:
    """Write what is known of the users of one block.

    Parameters
    ----------
    folder : Folder
    block : int
    part : UserPart
        With one block, whose users follow one another by rising row number, as `cut_part` returns it. The
        arrays are ``users`` (int32, their row numbers in all of the data), ``indptr`` (int64), ``indices``
        (int32, the items of each by rising number), ``weights`` (float32; empty where all weigh 1) and
        ``numbers`` (int64: of the first positive of each user, among all by user and item); with given
        negatives ``given_indptr`` and ``given_indices``, of graded positives those of `by_rising_value`, and
        ``n_lower``.
    values : float32 array, default None
        Of the positives, if they have any other than 1; only for `seen_`.
    """
    if part.numbers is None:
        raise ValueError("part must be one that says which users it has")
    indptr, indices, weights, numbers = part.positives
    arrays: dict[str, NDArray[Any]] = {
        "users": part.numbers.users, "indptr": indptr, "indices": indices, "weights": weights,
        "numbers": numbers,
    }  # fmt: skip
    if part.given is not None:
        arrays["given_indptr"], arrays["given_indices"] = part.given
    if part.n_lower is not None:
        arrays["n_lower"] = part.n_lower
    if values is not None:
        arrays["values"] = values
    folder.write_arrays(_block(block), arrays)


def read_part(folder: Folder, first: int, last: int) -> UserPart:
    """Return what is known of the users of blocks first ... last - 1."""
    blocks = [folder.read_arrays(_block(block)) for block in range(first, last)]

    def joined(name: str) -> NDArray[Any]:
        return read_only(np.concatenate([each[name] for each in blocks]))

    def pointers(name: str) -> NDArray[np.int64]:
        lengths = np.concatenate([np.diff(each[name]) for each in blocks])
        return read_only(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    has = blocks[0].keys()
    given = None
    if "given_indptr" in has:
        given = ItemsOfUsers(pointers("given_indptr"), joined("given_indices"))
    bounds = np.concatenate([[0], np.cumsum([len(each["users"]) for each in blocks])])
    positives = UserPositives(
        pointers("indptr"), joined("indices"), joined("weights"), joined("numbers")
    )
    n_lower = np.concatenate([each["n_lower"] for each in blocks]) if "n_lower" in has else None
    users = np.concatenate([each["users"] for each in blocks])
    return UserPart(
        first, part_users(bounds.astype(np.int64)), positives, given, n_lower, RowNumbers(users, 0)
    )


def read_positives(
    folder: Folder, block: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], Float32 | None]:
    """Return the users of a block, their items one after the other, and the values; None if all are 1."""
    arrays = folder.read_arrays(_block(block))
    return arrays["users"], arrays["indices"], arrays.get("values")


def write_meta(folder: Folder, meta: dict[str, Any]) -> None:
    """Say what the folder's users, items and blocks are of: from now on they count."""
    folder.write_json(_META, {"format": _FORMAT, **meta})


def read_meta(folder: Folder) -> dict[str, Any] | None:
    """Return what `write_meta` has written; None if there is no fit in the folder yet.

    Raises
    ------
    ValueError
        If what is in the folder is nothing of ours, or of another version.
    """
    found = folder.names()
    foreign = [name for name in found if name not in _OWN and not name.startswith(".tripletrec")]
    if foreign:
        raise ValueError(
            "checkpoint must be a new or empty folder, or that of a fit on a cluster, "
            f"got {folder}, which has {foreign[0]!r}"
        )
    meta = folder.read_json(_META)
    if meta is None:
        return None
    if not isinstance(meta, dict) or meta.pop("format", None) != _FORMAT:
        raise ValueError(f"checkpoint {folder} is of another version")
    return meta


def clear(folder: Folder) -> None:
    """Remove all that this module writes: first what makes it count."""
    for name in _OWN:
        folder.remove(name)


def write_user_rows(
    folder: Folder, epoch: int, block: int, table: Float32, step_counts: Float32
) -> None:
    """Write the rows of the users of a block, in their order there, as they are after an epoch.

    Parameters
    ----------
    table : float32 array of shape (n, 1 + n_state, width)
    step_counts : float32 array of shape (n, n_step_counts)
    """
    name = f"{_epoch(epoch)}/users-{block:05}.safetensors"
    folder.write_arrays(name, {"table": table, "step_counts": step_counts})


def read_user_rows(folder: Folder, epoch: int, block: int) -> tuple[Float32, Float32]:
    """Return what `write_user_rows` was given."""
    arrays = folder.read_arrays(f"{_epoch(epoch)}/users-{block:05}.safetensors")
    return arrays["table"], arrays["step_counts"]


def write_items(folder: Folder, epoch: int, number: int, items: ItemGroup) -> None:
    """Write one of an epoch's files of items."""
    folder.write_arrays(f"{_epoch(epoch)}/items-{number:05}.safetensors", items._asdict())


def read_items(folder: Folder, epoch: int, number: int) -> ItemGroup:
    """Return what `write_items` was given."""
    return ItemGroup(**folder.read_arrays(f"{_epoch(epoch)}/items-{number:05}.safetensors"))


def commit_epoch(folder: Folder, committed: Committed) -> None:
    """Let an epoch count, all of whose files have been written, and remove the others."""
    name = _epoch(committed.number)
    content = {"history": committed.history, "n_item_files": committed.n_item_files}
    folder.write_json(f"{name}/epoch.json", content)
    for each in folder.names("epochs"):
        if f"epochs/{each}" != name:
            folder.remove(f"epochs/{each}")


def last_epoch(folder: Folder) -> Committed:
    """Return the last epoch that counts; number 0, if there is none."""
    for name in reversed(folder.names("epochs")):
        found = folder.read_json(f"epochs/{name}/epoch.json")
        if found is not None:
            return Committed(int(name), found["history"], found["n_item_files"])
    return Committed(0, [], 0)


def _block(number: int) -> str:
    return f"blocks/{number:05}.safetensors"


def _epoch(number: int) -> str:
    return f"epochs/{number:05}"
