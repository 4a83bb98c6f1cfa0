"""The base of models that are counted or solved for: `fit`, `partial_fit`, checks."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from tripletrec.data.id_codecs import check_savable
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.union import Merger
from tripletrec.models.fit_arguments import check_later_epochs, check_validation
from tripletrec.models.folds import whole
from tripletrec.models.learnt import check_array, check_ids_and_counts, check_sizes
from tripletrec.models.recommender import Recommender

__all__ = ["Baseline"]


class Baseline(Recommender):
    """Base of `Popularity` and `EASE`.

    A model checks its parameters (`_check_parameters`), says what it makes of interactions (`_learn`), and
    what shape each of its float32 arrays has (`_shapes`); `_learnt` names its own fitted attributes.
    """

    _learnt: ClassVar[tuple[str, ...]] = ()

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Learn from scratch.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            The positives: every value other than 0. The values themselves have no effect.
        y : as `X`, or what scikit-learn gives, default None
            The validation data, as `validation`; None and scikit-learn's 1-D y have no effect.
        validation : as `X`, default None
            Checked, but not used: there are no epochs to choose from. So all models are fitted alike.

        Returns
        -------
        model
            The model itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not allowed; a fitted model stays as it was.
        """
        validation = check_validation(y, validation)
        self._check_parameters()
        data = as_interactions(X, "X")
        check_savable(data.user_ids, "user_ids")
        check_savable(data.item_ids, "item_ids")
        data._check_not_empty("X")
        if validation is not None:
            given = whole(validation, X, data.space, "validation")
            as_interactions(given, "validation", data.space)
        learnt = self._now()._take(data)
        learnt._of_matrix = not isinstance(X, Interactions)
        self._become(vars(learnt))
        return self

    def partial_fit(self, X: Any, y: Any = None, n_epochs: int | None = None) -> Self:
        """Learn from new events, too: the model is then what a fit on all events would have made of it.

        Users and items that the model does not know are appended. A model that is not fitted is fitted.

        Parameters
        ----------
        X : Interactions, sparse matrix or array
            The new positives, with ids of their own, in any order. Where the model has no ids, `X` has none
            either and at least as many rows and columns: further ones are new. May be empty.
        y : int, or what scikit-learn gives, default None
            The number of epochs, as `n_epochs`; None and scikit-learn's 1-D y have no effect.
        n_epochs : int, default None
            None: 1. Checked, but not used: there are no epochs. So all models go on learning alike.

        Returns
        -------
        model
            The model itself; ``seen_`` holds all positives. Where it was None, because the file was saved
            with ``seen=False``, it stays None, and ``item_counts_`` adds up.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not allowed, ids are of another kind than those of the model, or
            what is known of earlier events is not enough. The model stays as it was.

        See Also
        --------
        fit : learns from scratch.
        add_users : adds users alone.
        """
        check_later_epochs(y, n_epochs)
        with self._writing():
            if "n_users_" not in vars(self):
                return self.fit(X)
            self._check_parameters()
            new, seen = as_interactions(X, "X"), self._seen
            self._check_continuable(seen, new)
            merger = Merger(self._users(), self._items(), new)
            check_savable(merger.users.values, "user_ids")
            check_savable(merger.items.values, "item_ids")
            data = merger.merge(seen, new).data
            if seen is not None:
                data._check_not_empty("X")
            self._become(vars(self._now()._take(data, earlier=seen is None)))
            self._know(merger.users, merger.items)
        return self

    def _check_continuable(self, seen: Interactions | None, new: Interactions) -> None:
        """Raise unless the model knows enough of earlier events to learn from new ones."""

    def _learn(self, data: Interactions) -> None:
        """Set the fitted attributes of `_learnt`; ``item_counts_`` is set already."""
        raise NotImplementedError

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape that each float32 array of a fitted model must have."""
        raise NotImplementedError

    def _take(self, data: Interactions, earlier: bool = False) -> Self:
        """Become the model that has learnt from these interactions.

        With `earlier` ones, too, of which the model has the counts alone.
        """
        counts = np.bincount(data.indices, minlength=data.n_items).astype(np.int64, copy=False)
        known = {"seen_": data, "item_counts_": counts}
        vars(self).update(self._on_unknown_events(counts) if earlier else known)
        self.n_users_, self.n_items_ = data.n_users, data.n_items
        self.n_features_in_ = data.n_items
        self.user_ids_, self.item_ids_ = data.user_ids, data.item_ids
        self._learn(data)
        return self

    @classmethod
    def _learnt_names(cls) -> tuple[str, ...]:
        """Return the names of all attributes that `fit` sets."""
        return (
            "n_users_", "n_items_", "n_features_in_", "user_ids_", "item_ids_", "item_counts_",
            *cls._learnt,
        )  # fmt: skip

    def _check_learnt(self, look_through: bool = True) -> None:
        """Raise ValueError or TypeError unless all attributes are as `fit` leaves them.

        Arrays are looked through for NaN, infinity and equal ids only if that is asked for.
        """
        check_sizes(self)
        for name, shape in self._shapes().items():
            check_array(name, getattr(self, name), shape, look_through)
        check_ids_and_counts(self, look_through)
