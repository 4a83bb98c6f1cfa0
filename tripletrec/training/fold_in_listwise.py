r"""New users of a factor model with a list-wise loss: their rows are learnt.

What is minimised is the loss of one user's history, divided by the number n of its items, against candidates
that are the same for all users: all items, or where there are many a random sample of them. With the scorer
"dot" the penalty :math:`\tfrac12 \lambda_u |u|^2` is added, and the row starts at zero; a cosine does not
depend on the row's length, so there is no penalty, and the row starts at the mean of those of its items, all
of length one.

A step goes down the gradient g. Its length is that of Barzilai and Borwein (IMA J. Numer. Anal. 8, 1988),

.. math:: \alpha = \frac{s \cdot s}{s \cdot y}, \qquad s = u - u', \qquad y = g - g',

where u' and g' are the row and the gradient before the last step. A step that has made the loss larger is
taken back, and tried again with a quarter of its length.

Sums of products are made in one order (see `tripletrec._runtime.intrinsics.multiply_tile`), so a user's row
does not depend on who else is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import read_only
from tripletrec._runtime.intrinsics import (
    TILE_BYTES,
    TILE_ROWS,
    multiply_row,
    multiply_tile,
    prefer_wide_vectors,
)
from tripletrec._runtime.jit import kernel, part
from tripletrec._runtime.threads import executor_for
from tripletrec.losses import ListLoss
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.scorers import COSINE, normalize_row, normalize_rows
from tripletrec.training.plan import FactorPlan

__all__ = ["Descent", "ListwiseFoldIn"]

Float32 = NDArray[np.float32]

_WIDTH = TILE_BYTES // 4
_USERS = 8 * TILE_ROWS  # of a task


class Descent(NamedTuple):
    """How a row is learnt.

    Parameters
    ----------
    n_steps : int, default 8
        Gradients that are computed.
    first : float, default 0.5
        Length of the first step along the gradient, of the loss by the item.
    n_candidates : int, default 8192
        Of so many items at most all are candidates; of more, so many are drawn.
    alpha : float, default 0.75
        The chance of an item with n positives in training is proportional to ``(n + 1) ** alpha``.

    Notes
    -----
    Chosen on users left out of MovieLens-100K and Gowalla (40,981 items): 15 steps gained nothing, and 3 of
    all items lost 3 % of NDCG@10; 4,096 candidates lost 2 %, and 8,192 without regard to positives 4 %.
    """

    n_steps: int = 8
    first: float = 0.5
    n_candidates: int = 8192
    alpha: float = 0.75


_DESCENT = Descent()


class _Frozen(NamedTuple):
    """Items and candidates as the kernel reads them; `width` numbers of a tile lie side by side."""

    vectors: Float32  # (n_items, n_factors): rows of items, at length one with the scorer "cosine"
    biases: Float32  # (n_items,): logits
    slot_of: NDArray[np.int32]  # (n_items,): slot of an item among the candidates, -1 without one
    candidate_biases: Float32  # (n_slots,): -inf where the last tile is filled up
    importance: Float32  # (n_slots,)
    by_candidate: Float32  # panels of candidates, for scores
    by_factor: Float32  # panels of factors, for gradients
    zeros: Float32  # of a row of tiles: what sums begin with


class _Scratch(NamedTuple):
    """What is computed of the users of a block, `TILE_ROWS` of them."""

    rows: Float32  # flat: tried rows
    scores: Float32  # flat
    gradients: Float32  # (n, padded)
    best: Float32  # (n, n_factors)
    gradients_of_best: Float32  # (n, n_factors)
    values: NDArray[np.float64]  # (n,): losses of the best rows
    losses: NDArray[np.float64]  # (n,): of the tried rows
    lengths: Float32  # (n,): of steps; 0 before the first
    logits: NDArray[np.float64]  # of the history of one user, like the next two
    weights: Float32
    hits: NDArray[np.float64]
    slopes: NDArray[np.float64]  # (n, longest): of the histories


class ListwiseFoldIn:
    """Learns rows of new users by a list-wise loss.

    Parameters
    ----------
    plan : FactorPlan
        Of the model: loss, scorer, sampler, L2 of users, seed.
    factors, biases : float32 arrays of shape (n_items, n_factors) and (n_items,)
    temperature : float
        Of the loss, as the model was trained with.
    used : bool array of shape (n_items,), default None
        Which items may be candidates; None: all.
    descent : Descent, default Descent()
    """

    def __init__(
        self,
        plan: FactorPlan,
        factors: Float32,
        biases: Float32,
        temperature: float,
        counts: NDArray[np.int64] | None = None,
        *,
        only_used: bool = False,
        descent: Descent = _DESCENT,
    ) -> None:
        if not isinstance(plan.loss, ListLoss):
            raise TypeError(f"loss {plan.loss.name!r} is not list-wise")
        self.descent = descent
        self._cosine = plan.scorer == COSINE
        self._masked = plan.sampler.verified
        l2 = 0.0 if self._cosine else plan.l2.user / temperature
        self._numbers = np.float32(1.0 / temperature), np.float32(l2), plan.loss.parameters
        self._learn = _build_learn(plan.loss.functions(), cosine=self._cosine)
        vectors = normalize_rows(factors)[0] if self._cosine else factors
        counts = np.ones(len(biases), np.int64) if counts is None else counts
        self._represented = counts > 0 if only_used else np.ones(len(biases), bool)
        chosen = choose_candidates(counts, only_used=only_used, descent=descent)
        self._frozen = _freeze(read_only(vectors), biases / np.float32(temperature), *chosen)

    def learn(self, histories: ItemsOfUsers, n_jobs: int = 1) -> Float32:
        """Return a row of factors for each history, float32 of shape (n_users, n_factors).

        Parameters
        ----------
        histories : ItemsOfUsers
            The items of each user, ascending. An empty one gives zeros.
        n_jobs : int, default 1
        """
        n = len(histories.indptr) - 1
        rows = np.zeros((n, self._frozen.vectors.shape[1]), np.float32)
        longest = int(np.diff(histories.indptr).max(initial=0))
        cuts = range(0, n, _USERS)
        executor = executor_for(max(1, min(n_jobs, len(cuts))))

        known = read_only(histories.indptr), read_only(histories.indices)
        n_unknown = read_only(self._n_unknown(histories))

        def task(first: int) -> None:
            last = min(n, first + _USERS)
            self._learn(
                first, last, known, n_unknown, tuple(self._frozen), self._masked, self._numbers,
                self.descent.n_steps, np.float32(self.descent.first), rows,
                tuple(self._scratch(longest)),
            )  # fmt: skip

        with executor.threads():
            executor.run(task, [(first,) for first in cuts])
        return rows

    def _n_unknown(self, histories: ItemsOfUsers) -> NDArray[np.int64]:
        """Return how many items the candidates of each user stand for."""
        own = np.zeros(len(histories.indices) + 1, np.int64)
        if self._masked:
            np.cumsum(self._represented[histories.indices], out=own[1:])
        return np.count_nonzero(self._represented) - np.diff(own[histories.indptr])

    def _scratch(self, longest: int) -> _Scratch:
        n_factors, n_slots = self._frozen.vectors.shape[1], len(self._frozen.importance)
        n, padded = TILE_ROWS, _whole(n_factors)
        return _Scratch(
            rows=np.zeros(n * n_factors, np.float32),
            scores=np.zeros(n * _whole(n_slots, TILE_ROWS * _WIDTH), np.float32),
            gradients=np.zeros((n, _whole(padded, TILE_ROWS * _WIDTH)), np.float32),
            best=np.zeros((n, n_factors), np.float32),
            gradients_of_best=np.zeros((n, n_factors), np.float32),
            values=np.zeros(n),
            losses=np.zeros(n),
            lengths=np.zeros(n, np.float32),
            logits=np.zeros(longest),
            weights=np.ones(longest, np.float32),
            hits=np.zeros(longest),
            slopes=np.zeros((n, longest)),
        )


def _whole(n: int, width: int = _WIDTH) -> int:
    return -(-n // width) * width


def choose_candidates(
    counts: NDArray[np.int64], *, only_used: bool, descent: Descent
) -> tuple[NDArray[np.int64], Float32]:
    """Return the candidates, ascending, and their importance weights: one over the chance to be one.

    Drawn ones are taken by systematic sampling, without replacement.
    """
    items = np.flatnonzero(counts > 0) if only_used else np.arange(len(counts))
    if len(items) <= descent.n_candidates:
        return items, np.ones(len(items), np.float32)
    sizes = (counts[items] + 1.0) ** descent.alpha
    order = np.argsort(-sizes, kind="stable")
    # Those whose chance would be beyond 1 are candidates anyway, and the others share what is left.
    left = np.cumsum(sizes[order][::-1])[::-1]
    room = descent.n_candidates - np.arange(len(items))
    n_sure = int(np.argmax(sizes[order] * room < left))
    chance = np.ones(len(items))
    rest = order[n_sure:]
    chance[rest] = sizes[rest] * room[n_sure] / left[n_sure]
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0)))
    shuffled = random.permutation(len(items))
    marks = np.floor(np.concatenate([[0.0], np.cumsum(chance[shuffled])]) + random.random())
    taken = np.sort(shuffled[np.diff(marks) > 0])
    return items[taken], (1.0 / chance[taken]).astype(np.float32)


def _freeze(
    vectors: Float32, biases: Float32, candidates: NDArray[np.int64], importance: Float32
) -> _Frozen:
    n_items, n_factors = vectors.shape
    n = len(candidates)
    # A row of tiles at a time, for one user as well as for several.
    n_slots = _whole(n, TILE_ROWS * _WIDTH)
    slot_of = np.full(n_items, -1, np.int32)
    slot_of[candidates] = np.arange(n)
    chosen = np.zeros((n_slots, _whole(n_factors, TILE_ROWS * _WIDTH)), np.float32)
    chosen[:n, :n_factors] = vectors[candidates]
    candidate_biases = np.full(n_slots, -np.inf, np.float32)
    candidate_biases[:n] = biases[candidates]
    return _Frozen(
        vectors=vectors,
        biases=read_only(biases),
        slot_of=read_only(slot_of),
        candidate_biases=read_only(candidate_biases),
        importance=read_only(np.pad(importance, (0, n_slots - n))),
        by_candidate=_panels(chosen[:, :n_factors].T),
        by_factor=_panels(chosen),
        zeros=read_only(np.zeros(TILE_ROWS * _WIDTH, np.float32)),
    )


def _panels(columns: Float32) -> Float32:
    """Return a matrix in panels of a tile's width; flat."""
    height = len(columns)
    return read_only(columns.reshape(height, -1, _WIDTH).transpose(1, 0, 2).reshape(-1))


@part(fused=True)
def _multiply(left, n_rows, height, panels, zeros, n_columns, out):
    """Fill rows of `out`, `n_columns` apart, with the product of `left` and the panels."""
    if n_rows == TILE_ROWS:
        for tile in range(n_columns // _WIDTH):
            at, to = tile * height * _WIDTH, tile * _WIDTH
            multiply_tile(left, 0, height, panels, at, zeros, 0, out, to, n_columns)
        return
    for r in range(n_rows):
        for first in range(0, n_columns, TILE_ROWS * _WIDTH):
            at, to = first * height, r * n_columns + first
            multiply_row(left, r * height, height, panels, at, zeros, 0, out, to)


@part
def _start(r, first, last, indices, vectors, cosine, scratch):
    """Write the row that user r of the block starts from, whose items are ``indices[first:last]``."""
    n_factors = vectors.shape[1]
    row = scratch.rows[r * n_factors : (r + 1) * n_factors]
    for k in range(n_factors):
        row[k] = np.float32(0.0)
    if cosine:
        for e in range(first, last):
            for k in range(n_factors):
                row[k] += vectors[indices[e], k]
        normalize_row(row)
    for k in range(n_factors):
        scratch.best[r, k] = row[k]
    scratch.values[r], scratch.lengths[r] = np.inf, np.float32(0.0)


@part
def _score_history(row, first, last, indices, masked, scale, of_user, frozen, scratch):
    """Compute the logits of the items of a history, and what each of them is of its candidates."""
    for e in range(first, last):
        i, product = indices[e], np.float32(0.0)
        for k in range(row.shape[0]):
            product += row[k] * frozen.vectors[i, k]
        scratch.logits[e - first] = product * scale + frozen.biases[i]
        slot = frozen.slot_of[i]
        scratch.hits[e - first] = of_user[slot] if slot >= 0 and not masked else np.float32(0.0)


@part
def _finish_gradient(row, gradient, first, last, indices, vectors, scale, l2, cosine, slopes):
    """Add to the gradient of the candidates that of the history and the penalty; along the sphere."""
    n = np.float32(max(1, last - first))
    for k in range(row.shape[0]):
        gradient[k] *= scale
    for e in range(first, last):
        slope = np.float32(slopes[e - first]) * scale / n
        for k in range(row.shape[0]):
            gradient[k] += slope * vectors[indices[e], k]
    for k in range(row.shape[0]):
        gradient[k] += l2 * row[k]
    if cosine:
        along = np.float32(0.0)
        for k in range(row.shape[0]):
            along += gradient[k] * row[k]
        for k in range(row.shape[0]):
            gradient[k] -= along * row[k]


@part
def _descend(r, row, gradient, value, first_length, cosine, scratch):
    """Accept the row that was tried, or take it back; write the next one to try."""
    best, old = scratch.best[r], scratch.gradients_of_best[r]
    if value <= scratch.values[r] or np.isnan(scratch.values[r]):
        ss, sy = np.float32(0.0), np.float32(0.0)
        for k in range(row.shape[0]):
            s = row[k] - best[k]
            ss += s * s
            sy += s * (gradient[k] - old[k])
            best[k], old[k] = row[k], gradient[k]
        if scratch.lengths[r] == np.float32(0.0):
            scratch.lengths[r] = first_length
        elif sy > np.float32(1e-8) * ss:
            scratch.lengths[r] = ss / sy
        scratch.values[r] = value
    else:
        scratch.lengths[r] *= np.float32(0.25)
    for k in range(row.shape[0]):
        row[k] = best[k] - scratch.lengths[r] * old[k]
    if cosine:
        normalize_row(row)


@cache
def _build_learn(loss: ListLoss, *, cosine: bool) -> Callable[..., None]:
    exponentiate, reduce = loss.exponentiate, loss.reduce

    @part
    def evaluate(r, first, last, indices, masked, n_unknown, penalty, frozen, scratch):
        """Return the loss of user r; turn its scores into the gradient by them, note that by its items."""
        n_factors, n_slots = frozen.vectors.shape[1], frozen.importance.shape[0]
        of_user = scratch.scores[r * n_slots : (r + 1) * n_slots]
        row = scratch.rows[r * n_factors : (r + 1) * n_factors]
        scale, l2, parameters = penalty
        if masked:
            for e in range(first, last):
                if frozen.slot_of[indices[e]] >= 0:
                    of_user[frozen.slot_of[indices[e]]] = -np.inf
        peak, mass = exponentiate(
            of_user, frozen.candidate_biases, frozen.importance, scale, parameters
        )
        _score_history(row, first, last, indices, masked, scale, of_user, frozen, scratch)
        value, factor = reduce(
            0, last - first, peak, mass, n_unknown, scratch.logits, scratch.weights, scratch.hits,
            scratch.slopes[r], parameters,
        )  # fmt: skip
        n, square = max(1, last - first), np.float32(0.0)
        share = np.float32(factor / n)
        for j in range(n_slots):
            of_user[j] *= share
        for k in range(n_factors):
            square += row[k] * row[k]
        return value / n + 0.5 * l2 * square

    @kernel
    def learn(
        first, last, histories, n_unknown, frozen, masked, numbers, n_steps, first_length, out, scratch
    ):  # fmt: skip
        """Learn users first ... last - 1; write their rows to `out`.

        `n_unknown`: of items, by user. `numbers`: scale of the scores, L2, parameters of the loss.
        """
        prefer_wide_vectors()
        indptr, indices = histories
        frozen, scratch = _Frozen(*frozen), _Scratch(*scratch)
        n_factors, n_slots = frozen.vectors.shape[1], frozen.importance.shape[0]
        n_columns, values = scratch.gradients.shape[1], scratch.losses
        gradients = scratch.gradients.reshape(-1)
        for block in range(first, last, TILE_ROWS):
            n_rows = min(TILE_ROWS, last - block)
            for r in range(n_rows):
                a, b = indptr[block + r], indptr[block + r + 1]
                _start(r, a, b, indices, frozen.vectors, cosine, scratch)
            for _step in range(n_steps):
                _multiply(
                    scratch.rows, n_rows, n_factors, frozen.by_candidate, frozen.zeros, n_slots,
                    scratch.scores,
                )  # fmt: skip
                for r in range(n_rows):
                    a, b = indptr[block + r], indptr[block + r + 1]
                    values[r] = evaluate(
                        r, a, b, indices, masked, n_unknown[block + r], numbers, frozen, scratch
                    )
                _multiply(
                    scratch.scores, n_rows, n_slots, frozen.by_factor, frozen.zeros, n_columns,
                    gradients,
                )  # fmt: skip
                for r in range(n_rows):
                    a, b = indptr[block + r], indptr[block + r + 1]
                    row = scratch.rows[r * n_factors : (r + 1) * n_factors]
                    gradient = scratch.gradients[r]
                    _finish_gradient(
                        row, gradient, a, b, indices, frozen.vectors, numbers[0], numbers[1], cosine,
                        scratch.slopes[r],
                    )  # fmt: skip
                    _descend(r, row, gradient, values[r], first_length, cosine, scratch)
            for r in range(n_rows):
                for k in range(n_factors):
                    out[block + r, k] = scratch.best[r, k]

    return learn
