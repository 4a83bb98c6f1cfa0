"""Folds of interactions for scikit-learn's model selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_random_state
from tripletrec.data.interactions import Interactions
from tripletrec.splits.parts import generator, require_interactions, times_of
from tripletrec.splits.timeline import Timeline

__all__ = ["InteractionKFold", "TimeFolds"]


class InteractionKFold:
    """Random folds of interactions, as `cv` of scikit-learn's model selection.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds, at least 2. Their sizes differ by at most one.
    random_state : int, Generator, RandomState or None, default 0
        The same integer always gives the same folds. Of anything else a seed is drawn when the splitter is
        made, so that all calls of `split` give the same folds, as successive halving demands.

    See Also
    --------
    TimeFolds : folds that follow each other in time.
    train_test_split : one part for testing.

    Notes
    -----
    Pass `Interactions` as ``X``. They count as their interactions in scikit-learn's own splitters too, but
    `KFold` without ``shuffle=True``, which is what ``cv=5`` means, cuts consecutive ones: blocks of users, of
    whom training then knows nothing. Weights are cut along, whether they are the values of `X` or an array of
    one for each interaction; held-out positives, negatives and features are passed on whole.

    Examples
    --------
    >>> import numpy as np
    >>> from tripletrec.data.interactions import Interactions
    >>> from tripletrec.splits import InteractionKFold
    >>> data = Interactions(np.ones((2, 3)))
    >>> for train, test in InteractionKFold(3, random_state=0).split(data):
    ...     print(len(train), len(test))
    4 2
    4 2
    4 2
    """

    def __init__(self, n_splits: int = 5, *, random_state: Seed = 0) -> None:
        self.n_splits: int = check_count(n_splits, "n_splits", 2)
        self.random_state: int = check_random_state(random_state)

    def split(
        self, X: Interactions, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the positions of the training and of the test interactions of each fold.

        Parameters
        ----------
        X : Interactions
            At least `n_splits` interactions.
        y, groups : None
            Not used; scikit-learn passes them.

        Yields
        ------
        train, test : int64 ndarray
            Ascending positions into the interactions.

        Raises
        ------
        TypeError
            If `X` is not Interactions.
        ValueError
            If there are fewer interactions than folds.
        """
        require_interactions(X, "X")
        if len(X) < self.n_splits:
            raise ValueError(f"n_splits={self.n_splits} is more than the {len(X)} interactions")
        fold = np.arange(len(X)) % self.n_splits
        generator(self.random_state).shuffle(fold)
        for number in range(self.n_splits):
            yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : None
            Not used; scikit-learn passes them.
        """
        return self.n_splits

    def __repr__(self) -> str:
        return f"InteractionKFold(n_splits={self.n_splits}, random_state={self.random_state!r})"


class TimeFolds:
    """Folds one after the other in time, as `cv` of scikit-learn's model selection.

    Each fold is tested on the interactions of some time and trained on those before it, as `TimeSeriesSplit`
    does with rows in the order of time. The test parts follow each other without a gap, the last one
    ends with the last interaction. Interactions at the same time are never parted.

    Parameters
    ----------
    n_splits : int, default 5
        Number of folds, at least 2.
    test : share or period, optional
        How much a fold is tested on: a share between 0 and 1 of the interactions (the nearest number
        that is possible), or a period such as "7D" or a timedelta, a number where the timestamps are numbers.
        Default: as many interactions in each fold as before the first, of n in all
        ``n // (n_splits + 1)`` or the nearest number that is possible.
    gap : share or period, optional
        How much directly before the test part is not trained on.
    max_train : share or period, optional
        How much to train on at most: the latest before the test part. Default: everything before.

    See Also
    --------
    InteractionKFold : folds at random.
    time_split : one part for testing.

    Notes
    -----
    Pass `Interactions` with timestamps as ``X``. Duplicates are merged in them, and have the last of several
    times: where people come back to the same items, `time_split` of the events is more faithful.

    Examples
    --------
    >>> from tripletrec.data.interactions import Interactions
    >>> from tripletrec.splits import TimeFolds
    >>> data = Interactions.from_arrays([0, 0, 1, 1], [0, 1, 0, 1], timestamps=[4, 2, 1, 3])
    >>> for train, test in TimeFolds(3).split(data):
    ...     print(data.timestamps[train], data.timestamps[test])
    [1] [2]
    [2 1] [3]
    [2 1 3] [4]
    """

    def __init__(
        self, n_splits: int = 5, *, test: Any = None, gap: Any = None, max_train: Any = None
    ) -> None:
        self.n_splits: int = check_count(n_splits, "n_splits", 2)
        self.test = test
        self.gap = gap
        self.max_train = max_train

    def split(
        self, X: Interactions, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the positions of the training and of the test interactions of each fold, the earliest first.

        Parameters
        ----------
        X : Interactions
            With timestamps.
        y, groups : None
            Not used; scikit-learn passes them.

        Yields
        ------
        train, test : int64 ndarray
            Ascending positions into the interactions.

        Raises
        ------
        TypeError
            If `X` is not Interactions, or a period does not go with their timestamps.
        ValueError
            If there are no timestamps; if a share or a period is none; if a part of a fold would be empty.
        """
        require_interactions(X, "X")
        times = times_of(X, "X", "the folds follow each other in time")
        X._check_not_empty("X")
        line = Timeline(times)
        folds = self._bounds(line)
        for number, bounds in enumerate(folds, 1):
            first, stop, start, end = map(line.count_before, bounds)
            if stop <= first or end <= start:
                raise ValueError(
                    f"{self!r} leaves fold {number} no {'training' if stop <= first else 'test'} "
                    f"interaction: X has {len(X)}, from {line.show(line.first)} to {line.show(line.last)}"
                )
        for first, stop, start, end in folds:
            train = np.flatnonzero((line.keys >= first) & (line.keys < stop))
            yield train, np.flatnonzero((line.keys >= start) & (line.keys < end))

    def _bounds(self, line: Timeline) -> list[tuple[Any, Any, Any, Any]]:
        """Return where each fold's training and test part begin and end, the earliest first."""
        bounds: list[tuple[Any, Any, Any, Any]] = []
        end = line.end
        for _ in range(self.n_splits):
            if self.test is None:
                start = line.nearest(len(line) // (self.n_splits + 1), end)
            else:
                start = line.start_before(self.test, end, "test")
            stop = start if self.gap is None else line.start_before(self.gap, start, "gap")
            first = line.first
            if self.max_train is not None:
                first = line.start_before(self.max_train, stop, "max_train")
            bounds.insert(0, (first, stop, start, end))
            end = start
        return bounds

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : None
            Not used; scikit-learn passes them.
        """
        return self.n_splits

    def __repr__(self) -> str:
        given = {"test": self.test, "gap": self.gap, "max_train": self.max_train}
        options = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        return f"TimeFolds({', '.join([f'n_splits={self.n_splits}', *options])})"
