"""The arrays of a batch of list-wise training, as records; `listwise_kernels` computes what is in them.

A batch is some users, its *rows*, with all their positives, and the items that it touches, each in a *slot*:
first the candidates, then those positives that are no candidates. The candidates are cut into *pieces* of
equal width, whose scores are computed one after the other. Arrays that belong together form a record.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "RECORDS",
    "Batch",
    "BatchItems",
    "BatchPositives",
    "BatchUsers",
    "CandidatePieces",
    "Given",
    "HistoryRows",
]

RECORDS = {
    "collect": ("positives", "slots", "given"),
    "take_users": ("positives", "slots", "rows", "histories"),
    "exponentiate": ("positives", "slots", "pieces", "given"),
    "reduce": ("positives", "slots", "pieces", "rows"),
    "learn_users": ("positives", "rows", "histories"),
    "learn_items": ("positives", "slots", "rows", "histories"),
}
"""Which records of a batch each kernel gets, in order: one more takes a tenth of a second to compile."""

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


class BatchPositives(NamedTuple):
    """The positives of a batch, row after row, with what is computed for each."""

    rows: Int32
    slots: Int32
    weights: Float32
    logits: Float64
    hits: Float64  # its own share of its row's mass, see `ListLoss.reduce`
    slopes: Float64  # derivative of the loss by the logit
    bounds: Int64  # the positives of row r are bounds[r] ... bounds[r + 1] - 1
    by_slot: Int32  # all positives, slot after slot
    slot_bounds: Int64  # those of slot s are by_slot[x], slot_bounds[s] <= x < slot_bounds[s + 1]


class BatchItems(NamedTuple):
    """The items of a batch, with what is computed for each."""

    items: Int32
    vectors: Float32  # (n_slots, width): the factors, at length one with the scorer "cosine"
    inverse_norms: Float32
    biases: Float32
    importance: Float32  # of candidates, see `tripletrec.losses.listwise`
    gradients: Float32  # (n_slots, width)
    bias_gradients: Float32


class CandidatePieces(NamedTuple):
    """The candidates of a batch, piece by piece, with what is computed for each piece and row."""

    exponentials: Float32  # (n_pieces, n_rows, piece_size): scores, see `ListLoss.exponentiate`
    peaks: Float32  # (n_pieces, n_rows), and so are the next two
    masses: Float32
    coefficients: Float32  # by which exponentials must be multiplied to be the gradient
    sums: Float32  # (n_pieces, n_rows, width): product of exponentials and vectors


class BatchUsers(NamedTuple):
    """The users of a batch, with what is computed for each: arrays of shape (n_rows, width) or (n_rows,)."""

    masks: Float32  # 0 for factors that dropout leaves out
    vectors: Float32  # the factors, at length one with the scorer "cosine"
    inverse_norms: Float32
    gradients: Float32


class HistoryRows(NamedTuple):
    """What users who are mixes of a row and their history are made of; empty arrays where they are not."""

    weights: Float32  # of each positive in its user's history: one over their number, 0 if left out
    own_shares: Float32  # (n_rows,): of the own row in the mix
    history_shares: Float32  # (n_rows,)
    own_vectors: Float32  # (n_rows, width), and so are the next and the gradients
    history_vectors: Float32
    own_inverse_norms: Float32
    history_inverse_norms: Float32
    gradients: Float32  # by the mean of the history's items


class Given(NamedTuple):
    """The given negatives of a batch that are candidates, row after row; see `training.given_weights`."""

    slots: Int32
    weighed: Float32  # their importance
    bounds: Int64  # those of row r are bounds[r] ... bounds[r + 1] - 1


class Batch(NamedTuple):
    """All that the kernels know and compute of a batch."""

    positives: BatchPositives
    slots: BatchItems
    pieces: CandidatePieces
    rows: BatchUsers
    histories: HistoryRows
    given: Given

    @classmethod
    def allocate(
        cls, n_rows: int, n_pairs: int, n_slots: int, n_candidates: int, piece_size: int, width: int,
        *, mixed: bool = False, n_given: int = 0,
    ) -> Batch:  # fmt: skip
        """Return arrays for batches of at most these sizes; `mixed`: users have a history."""
        given = Given(
            slots=np.zeros(n_given, np.int32),
            weighed=np.zeros(n_given, np.float32),
            bounds=np.zeros(n_rows + 1, np.int64),
        )
        n_pieces = -(-n_candidates // piece_size)
        positives = BatchPositives(
            rows=np.zeros(n_pairs, np.int32),
            slots=np.zeros(n_pairs, np.int32),
            weights=np.zeros(n_pairs, np.float32),
            logits=np.zeros(n_pairs),
            hits=np.zeros(n_pairs),
            slopes=np.zeros(n_pairs),
            bounds=np.zeros(n_rows + 1, np.int64),
            by_slot=np.zeros(n_pairs, np.int32),
            slot_bounds=np.zeros(n_slots + 1, np.int64),
        )
        slots = BatchItems(
            items=np.arange(n_slots, dtype=np.int32),
            vectors=np.zeros((n_slots, width), np.float32),
            inverse_norms=np.zeros(n_slots, np.float32),
            biases=np.zeros(n_slots, np.float32),
            importance=np.ones(n_slots, np.float32),
            gradients=np.zeros((n_slots, width), np.float32),
            bias_gradients=np.zeros(n_slots, np.float32),
        )
        pieces = CandidatePieces(
            exponentials=np.zeros((n_pieces, n_rows, piece_size), np.float32),
            peaks=np.zeros((n_pieces, n_rows), np.float32),
            masses=np.zeros((n_pieces, n_rows), np.float32),
            coefficients=np.zeros((n_pieces, n_rows), np.float32),
            sums=np.zeros((n_pieces, n_rows, width), np.float32),
        )
        rows = BatchUsers(
            masks=np.ones((n_rows, width), np.float32),
            vectors=np.zeros((n_rows, width), np.float32),
            inverse_norms=np.zeros(n_rows, np.float32),
            gradients=np.zeros((n_rows, width), np.float32),
        )
        if not mixed:
            n_rows = n_pairs = 0
        histories = HistoryRows(
            weights=np.zeros(n_pairs, np.float32),
            own_shares=np.zeros(n_rows, np.float32),
            history_shares=np.zeros(n_rows, np.float32),
            own_vectors=np.zeros((n_rows, width), np.float32),
            history_vectors=np.zeros((n_rows, width), np.float32),
            own_inverse_norms=np.zeros(n_rows, np.float32),
            history_inverse_norms=np.zeros(n_rows, np.float32),
            gradients=np.zeros((n_rows, width), np.float32),
        )
        return cls(positives, slots, pieces, rows, histories, given)

    def of_kernels(self) -> dict[str, tuple[tuple[Any, ...], ...]]:
        """Return for each kernel the records that it gets, see `RECORDS`.

        They are plain tuples: kernels take them in half the time, and give them back their names.
        """
        return {
            kernel: tuple(tuple(getattr(self, name)) for name in names)
            for kernel, names in RECORDS.items()
        }
