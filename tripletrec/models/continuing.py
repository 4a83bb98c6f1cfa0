"""`partial_fit`: what a fitted model learns from new events, also of new users and items."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_n_jobs
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.data.union import MergedData, Merger
from tripletrec.models.fit_arguments import (
    Callback,
    check_callbacks,
    check_later_epochs,
    check_negatives,
    check_sample_weight,
)
from tripletrec.models.folds import check_order
from tripletrec.models.history_input import HistoryInput
from tripletrec.models.trained import Start, TrainedModel
from tripletrec.models.validation import Watch
from tripletrec.rates import constant
from tripletrec.sampling.draw import ItemsOfUsers
from tripletrec.training.plan import Plan

if TYPE_CHECKING:
    from tripletrec.training.loop import Trainable

__all__ = ["ContinuedModel", "News"]

# Both chosen on earlier days of synthetic shops: see benchmarks/partial_fit.py.
_WEIGHT = 5.0  # of a new positive, at most: an old one has been learnt from in many epochs
_LATE = 0.7  # share of a learning-rate schedule at which its rate is that of all later epochs


class News(NamedTuple):
    """What `partial_fit` was given, and the users and items of the model with the new ones among it."""

    X: Interactions
    merger: Merger
    data: Interactions  # all that is known to have been seen, X included


class ContinuedModel(TrainedModel):
    """Base of the models that can go on learning.

    A model says which of its fitted attributes a training begins with (`_learnt_parameters`) and, if it has
    features, what is known of old and new users and items (`_known_features`).
    """

    _weight_of_new_items = _WEIGHT  # of a positive of an item that the model does not know

    def _learnt_parameters(self) -> Any:
        """Return what `take_up` of a training takes."""
        raise NotImplementedError

    def _training_parameters(self, data: Interactions) -> Any:
        """Return what a training goes on from: what was learnt, in the form in which it is trained."""
        return self._learnt_parameters()

    def _new_histories(self, data: Interactions) -> tuple[NDArray[np.int64], ItemsOfUsers]:
        """Return the users with positives in `data` of whom none was known, and their known items."""
        has_row, seen = np.arange(data.n_users) < self.n_users_, self._seen
        if seen is not None:
            has_row[: seen.n_users] &= np.diff(seen.indptr) > 0
        new = np.flatnonzero(~has_row & (np.diff(data.indptr) > 0))
        positives = data.tocsr()[new][:, : self.n_items_]
        return new, ItemsOfUsers(positives.indptr.astype(np.int64), positives.indices)

    def _begin_users(
        self, rows: NDArray[np.float32], n_users: int, new: NDArray[np.int64], items: ItemsOfUsers
    ) -> NDArray[np.float32]:
        """Return all users' rows, of new ones what histories say: random rows would need many epochs."""
        more = np.zeros((n_users - len(rows), rows.shape[1]), np.float32)
        users = np.concatenate([rows, more])
        if len(new):
            users[new] = self._encode_histories(HistoryInput(items, None, False))
        return users

    def _users_of_new_items(self, data: Interactions) -> tuple[NDArray[np.int64], ItemsOfUsers]:
        """Return how many users each new item has in `data`, and those that the model knows.

        As `ItemsOfUsers`, with the parts of users and items exchanged.
        """
        positives = data.tocsr()[:, self.n_items_ :]
        known = positives[: self.n_users_].T.tocsr().sorted_indices()
        counts = np.bincount(positives.indices, minlength=positives.shape[1])
        return counts, ItemsOfUsers(known.indptr.astype(np.int64), known.indices)

    def _plan_again(self) -> Plan:
        """Return the plan of a fitted model, which has not forgotten what it has chosen itself."""
        return self._plan()

    def _later_plan(self, plan: Any, data: Interactions, given: Interactions | None) -> Any:
        """Return the plan of later epochs with what was left open until all data are known."""
        return self._plan_for(plan, data, given)

    def _known_features(self, news: News, **features: Any) -> dict[str, Any]:
        """Return the features of all users and items in the form that `_start` takes."""
        return features

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        n_epochs: int | None = None,
        *,
        callbacks: Callback | Sequence[Callback] | None = None,
        sample_weight: Any = None,
        negatives: Any = None,
    ) -> Self:
        """Learn from new events; what the model has learnt so far is kept and moves a little.

        An epoch visits all positives, those of `X` and those in ``seen_``, so that nothing is forgotten and
        no known positive is drawn as a negative. A positive of `X` weighs 5 times as much as one of before,
        which was learnt from in many epochs; less if a fifth or more of all positives are those of `X`.

        Users and items that the model does not know are appended: those that it knows keep their rows, and
        vectors of before can be compared with those of after. Users of whom no positive was known begin, in
        `MatrixFactorization` and `MLPMatcher`, with the rows that `add_users` would give them, from the items
        that the model knows, and in a `TwoTower` without layers with own factors in that direction, as long
        as those of others in the middle. New items begin, in `MatrixFactorization`, with rows learnt in the
        same way from their users that the model knows, as long, and with such a bias, as those of items with
        as many users; their positives weigh 2 at most. A model that is not fitted is fitted, with `n_epochs`
        epochs.

        Parameters
        ----------
        X : Interactions, sparse matrix or array
            The new positives, with ids of their own, in any order. A pair that is in ``seen_`` too counts as
            new; the values add up there, and the later time is kept; without times of both there are none.
            Where the model has no ids, `X` has none either and at least as many rows and columns: further
            ones are new. May be empty.
        y : int, or what scikit-learn gives, default None
            The number of epochs, as `n_epochs`; None and scikit-learn's 1-D y have no effect.
        n_epochs : int, default None
            None: 1. More of them teach more of new users and items, and move the others further.
        callbacks : callable or sequence of callables, default None
            As of `fit`.
        sample_weight : array of shape (nnz,), sparse matrix, "values" or "users", default None
            Weight of each positive of `X`, as of `fit`. Those of before weigh 1, with "values" their values,
            with "users" what all of their user's positives do.
        negatives : as `X`, of the same users and items as `X`, default None
            Known negatives, as of `fit`. Those that earlier fits were given are not kept.

        Returns
        -------
        model
            The model itself. ``history_`` goes on with the next epochs, ``best_epoch_`` is the last one, and
            ``seen_`` holds all positives, unless it was None.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not allowed, or ids are of another kind than those of the model; if
            `n_factors` or another parameter that decides on the shape of what is learnt was changed. The
            model stays as it was, here and below.
        FloatingPointError
            If training diverges.
        KeyboardInterrupt
            After Ctrl-C, at the end of the epoch under way: the model has then learnt so far. A second Ctrl-C
            cancels the epoch under way.

        See Also
        --------
        fit : learns from scratch.
        add_users : adds users without training.
        save : with ``state=True`` a file holds what this goes on from.

        Notes
        -----
        The learning rate is constant: that of the schedule when 70 % of its epochs are done. For `MLPMatcher`
        it is 2.5 % of ``learning_rate``. What `fit` took for parameters that are None stays, but for the
        batch size of `TwoTower`, which goes by all positives, and for samplers: that of `MLPMatcher` goes by
        all items, that of `MatrixFactorization` is chosen anew whenever the number of positives passes a
        power of two.

        The model keeps, beside the factors, the mean of the optimizer's state of each row, so that steps are
        as small as they last were. A file holds it if it was saved with ``state=True``. Without it one more
        epoch is run first, whose steps have length 0, to find out how large gradients are.

        If ``seen_`` is not known (saved with ``seen=False``, or fitted on a cluster with ``collect=False``),
        the model learns from `X` alone: it may then draw earlier positives as negatives, and forgets sooner;
        users who are mixed with their `history` are so with what `X` has of them. ``seen_`` stays None, for
        `X` alone would say that all others have had nothing, and `recommend` leaves out only what ``exclude``
        is given. ``item_counts_`` adds up; a pair that was known before counts twice.

        Examples
        --------
        >>> import tripletrec as tr
        >>> log = {"user": ["ann", "ann", "bob", "eve"], "item": ["tea", "milk", "tea", "jam"]}
        >>> model = tr.MatrixFactorization(n_epochs=5).fit(tr.Interactions.from_frame(log))
        >>> today = tr.Interactions.from_frame({"user": ["bob", "joe"], "item": ["cocoa", "tea"]})
        >>> model.partial_fit(today).user_ids_
        array(['ann', 'bob', 'eve', 'joe'], dtype='<U3')
        >>> len(model.history_), len(model.seen_)
        (6, 6)
        """
        return self._partial_fit(X, y, n_epochs, callbacks, sample_weight, negatives)

    def _partial_fit(
        self,
        X: Any,
        y: Any,
        n_epochs: int | None,
        callbacks: Any,
        sample_weight: Any,
        negatives: Any,
        **features: Any,
    ) -> Self:
        n_later = check_later_epochs(y, n_epochs)
        with self._writing():
            return self._go_on(X, n_later, callbacks, sample_weight, negatives, **features)

    def _go_on(
        self,
        X: Any,
        n_epochs: int,
        callbacks: Any,
        sample_weight: Any,
        negatives: Any,
        **features: Any,
    ) -> Self:
        if "history_" not in vars(self):
            options = {
                "callbacks": callbacks,
                "sample_weight": sample_weight,
                "negatives": negatives,
            }
            return self._fit_in_part(X, n_epochs, **options, **features)
        listeners = check_callbacks(callbacks)
        check_n_jobs(self.n_jobs)
        verbose = check_count(self.verbose, "verbose", 0)
        self._shapes()  # what is no array is refused before the work
        plan = self._late_plan(n_epochs)
        new, weight_of_new = self._new_positives(X, sample_weight)
        merger = Merger(self._users(), self._items(), new)
        check_savable(merger.users.values, "user_ids")
        check_savable(merger.items.values, "item_ids")
        seen = self._seen
        merged = merger.merge(seen, new)
        data = merged.data
        data._check_not_empty("X")
        if isinstance(sample_weight, str):
            of_all = check_sample_weight(sample_weight, data)
            weight_of_new = None if of_all is None else of_all[merged.places]
            weights = self._weigh(merged, weight_of_new, of_all)
        else:
            weights = self._weigh(merged, weight_of_new, None)
        if negatives is not None:
            negatives = merger.place(as_interactions(negatives, "negatives", new.space))
        given = check_negatives(negatives, data)
        plan = self._later_plan(plan, data, given)
        features = self._known_features(News(new, merger, data), **features)
        done, first = len(self.history_), len(self.history_) + 1
        learnt_so_far = self._training_parameters(data)

        def start(plan: Plan, row_state: Mapping[str, NDArray[Any]] | None) -> Start:
            begun = self._begin(plan, data, weights, given, **features)
            _take_up(begun.training, learnt_so_far, row_state)
            if seen is not None:
                return begun
            known = self._on_unknown_events(begun.attributes["item_counts_"])
            return begun._replace(attributes={**begun.attributes, **known})

        row_state = self._row_state_for(plan)
        if row_state is None:
            row_state = _still_epoch(start(replace(plan, learning_rate=0.0), None).training, first)
        begun = start(plan, row_state)
        from tripletrec.training.loop import Outcome, train  # here, because answers do without

        outcome = train(
            begun.training,
            done + n_epochs,
            watch=Watch(self, data, begun.attributes, None, listeners, self.history_)
            if listeners
            else None,
            metric=None,
            patience=None,
            verbose=verbose,
            first_epoch=first,
            earlier=Outcome(None, self.history_, self.best_epoch_),
        )
        self._become_learnt(begun, outcome, data, given)
        self._know(merger.users, merger.items)
        if outcome.interrupt is not None:
            raise outcome.interrupt
        return self

    def _fit_in_part(self, X: Any, n_epochs: int, **options: Any) -> Self:
        """Fit with another number of epochs; the parameter stays as it is."""
        fresh: Any = copy.copy(self)
        vars(fresh)["n_epochs"] = n_epochs
        try:
            fresh.fit(X, **options)
        finally:  # also if Ctrl-C has ended it early
            parameters = self.get_params(deep=False)
            self._become({k: v for k, v in vars(fresh).items() if k not in parameters})
        return self

    def _weigh(
        self,
        merged: MergedData,
        of_new: NDArray[np.float32] | None,
        of_all: NDArray[np.float32] | None,
    ) -> NDArray[np.float32] | None:
        """Return the weight of each positive; None: all weigh 1."""
        n_new, n_all = len(merged.places), merged.data.nnz
        most = n_all / max(1, n_new)
        if of_new is None and of_all is None and (not n_new or most == 1.0):
            return None
        is_known = merged.data.indices[merged.places] < self.n_items_
        factors = np.where(
            is_known,
            np.float32(min(_WEIGHT, most)),
            np.float32(min(self._weight_of_new_items, most)),
        )
        weights = np.ones(n_all, np.float32) if of_all is None else of_all.copy()
        weights[merged.places] = factors if of_new is None else factors * of_new
        return weights

    def _late_plan(self, n_epochs: int) -> Plan:
        """Return the plan of later epochs, whose learning rate is constant."""
        plan = self._plan_again()
        n_all = len(self.history_) + n_epochs
        return replace(
            plan, learning_rate=self._late_rate(plan), schedule=constant(), n_epochs=n_all
        )

    def _late_rate(self, plan: Plan) -> float:
        """Return the learning rate of later epochs."""
        return plan.rate_at(_LATE * plan.n_epochs)

    def _new_positives(
        self, X: Any, sample_weight: Any
    ) -> tuple[Interactions, NDArray[np.float32] | None]:
        """Return X and the weights that were given for it, without what weighs nothing."""
        new = as_interactions(X, "X")
        check_order(sample_weight, X)
        if not new.nnz:
            return new, None
        weights = check_sample_weight(sample_weight, new)
        if weights is not None and not weights.all():
            new, weights = new[weights > 0], weights[weights > 0]
        return new, weights

    def _row_state_for(self, plan: Plan) -> Mapping[str, NDArray[Any]] | None:
        """Return the optimizer's state in brief, if there is one and the optimizer is the same."""
        kept = self._optimizer_state
        if kept is None or kept.optimizer != plan.optimizer.name:
            return None
        return kept.arrays


def _take_up(training: Trainable, learnt: Any, row_state: Any) -> None:
    """Have a training begin with what was learnt; raise if parameters do not fit that any more."""
    try:
        training.take_up(learnt, row_state)
    except ValueError:
        raise ValueError(
            "partial_fit needs the parameters of the fit that decide on the shape of what is learnt, such as "
            "n_factors: set them back, or fit anew"
        ) from None


def _still_epoch(training: Trainable, number: int) -> Mapping[str, NDArray[Any]]:
    """Return the state that an optimizer gathers in an epoch whose steps have length 0."""
    from tripletrec.training.loop import Outcome, train

    history = [{"epoch": each, "loss": 0.0} for each in range(1, number)]
    outcome = train(
        training, number, watch=None, metric=None, patience=None, verbose=0,
        first_epoch=number, earlier=Outcome(None, history, number - 1),
    )  # fmt: skip
    if outcome.interrupt is not None:
        raise outcome.interrupt
    return training.row_state()
