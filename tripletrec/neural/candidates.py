"""Candidates that are drawn for batches of towers, and how those of a batch weigh; `listwise` learns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.jit import kernel
from tripletrec.data.interactions import Interactions
from tripletrec.neural.networks import Array
from tripletrec.sampling import Sampler

__all__ = ["CandidateSampler"]


@kernel
def _weigh(items, counts, n_others, n_drawn, by_pair, by_draw, importance):
    """Write how often items occur over how often they are expected to, of pairs and of draws."""
    for s in range(items.shape[0]):
        expected = n_others * by_pair[items[s]] + n_drawn * by_draw[items[s]]
        # Nothing is expected where a single pair is the whole batch; it is masked then.
        importance[s] = counts[s] / (expected if expected > 0.0 else 1.0)


class CandidateSampler:
    """Draws candidates for a batch and weighs all of a batch's; only items with a positive are candidates.

    Parameters
    ----------
    positives : Interactions
    sampler : tripletrec.sampling.Sampler
        "unseen", "uniform" and "popularity", or one like these.

    Attributes
    ----------
    items : int array of shape (n,)
        All candidates, in ascending order.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec import Interactions
    >>> from tripletrec.sampling import UNSEEN
    >>> data = Interactions(np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0]]))  # 3 positives of item 0
    >>> candidates = CandidateSampler(data, UNSEEN)
    >>> candidates.items
    array([0, 1])
    >>> candidates.importance_weights(candidates.items, np.array([2, 1]), n_pairs=3, n_drawn=0)
    array([1. , 1.5], dtype=float32)
    """

    def __init__(self, positives: Interactions, sampler: Sampler) -> None:
        counts = np.bincount(positives.indices, minlength=positives.n_items)
        self.items = np.flatnonzero(counts)
        cumulative = sampler.cumulative(counts[self.items])
        weights = None if cumulative is None else np.diff(cumulative)
        self._weights = None if weights is None else weights / weights.sum()
        # One of the n pairs of a batch is the user's own; the n - 1 others are of all but that one.
        self._expected_by_pair = counts / max(1, positives.nnz - 1)
        self._expected_by_draw = np.zeros(positives.n_items)
        self._expected_by_draw[self.items] = (
            1 / len(self.items) if weights is None else self._weights
        )

    def draw(self, random: np.random.Generator, n: int) -> NDArray[np.int64]:
        """Return `n` items: different ones if all have the same weight, else with replacement."""
        if n == 0:  # NumPy takes a tenth of a millisecond for it
            return self.items[:0]
        alike = self._weights is None
        chosen = random.choice(len(self.items), n, replace=not alike, p=self._weights)
        return self.items[chosen]

    def importance_weights(
        self, items: Array, counts: Array, n_pairs: int, n_drawn: int
    ) -> NDArray[np.float32]:
        """Return for items of a batch their number of occurrences over the expected one.

        Parameters
        ----------
        items, counts : int arrays of shape (n,)
            Different items, and how often each occurs in the batch.
        n_pairs, n_drawn : int
            Pairs of the batch, and items drawn for it.

        Returns
        -------
        float32 array of shape (n,)
        """
        importance = np.empty(len(items), np.float32)
        _weigh(
            items, counts, n_pairs - 1, n_drawn, self._expected_by_pair, self._expected_by_draw,
            importance,
        )  # fmt: skip
        return importance
