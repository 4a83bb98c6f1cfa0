"""What all answers of a fitted model need: ids, the space, how scores are made."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.ids import Ids
from tripletrec.data.space import Space
from tripletrec.models.estimator import Estimator, check_is_fitted
from tripletrec.ranking.products import Panels, Products
from tripletrec.ranking.rows import FactorRows

if TYPE_CHECKING:
    from tripletrec.data.interactions import Interactions
    from tripletrec.ranking.scores import ScoreUsers

__all__ = ["Fitted", "answer", "freeze", "present"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _MadeOnce:
    """What was made for one model, each thing with the objects that it was made of."""

    def __init__(self) -> None:
        self.lock, self.writing = threading.RLock(), threading.RLock()
        self.made: dict[str, tuple[tuple[Any, ...], Any]] = {}


# Not attributes of the models: those are copied, pickled, compared and saved.
_prepared: weakref.WeakKeyDictionary[Any, _MadeOnce] = weakref.WeakKeyDictionary()
_first = threading.Lock()


def answer(method: F) -> F:
    """Have a method answer for the model as it is when it is called, or raise that it is not fitted.

    Other threads may add users or items meanwhile: all that the method reads belongs together.
    """

    @wraps(method)
    def of_now(self: Fitted, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        return method(self._now(), *args, **kwargs)

    return cast(F, of_now)


class Fitted(Estimator):
    """Base of what answers.

    A model sets ``n_users_``, ``n_items_``, ``user_ids_`` and ``item_ids_`` in `fit` and says how all items
    are scored for some users (`_score_function`, the answer of which scores pairs, too), and which rows
    represent users and items when they are compared (`_user_table`, `_item_table`).

    What an answer needs of all items is made once for a fitted model (`_once`) and made again when `fit`,
    `set_params` or an assignment has put something else in the place of what it was made of. Arrays that were
    copied for it become read-only: what is written to them would go unnoticed.
    """

    n_users_: int
    n_items_: int
    n_features_in_: int
    # None: the row numbers. `| Any` and not `| None`: whoever gave ids knows that they are there.
    user_ids_: NDArray[Any] | Any
    item_ids_: NDArray[Any] | Any
    n_jobs: int | None = None  # a parameter of the models that have it

    def _score_function(self) -> ScoreUsers:
        raise NotImplementedError

    def _score_pairs(
        self, users: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        score_users: Any = self._score_function()
        scores: NDArray[np.float32] = score_users.pairs(users, items)
        return scores

    def _user_table(self) -> FactorRows:
        """Return the users' rows, of which those that are asked for are computed only then."""
        raise NotImplementedError

    def _item_table(self) -> FactorRows:
        raise NotImplementedError

    def _vectors(self, word: str, rows: Any) -> NDArray[np.float32]:
        """Return new vectors of some "user" or "item" rows, the inner products of which are the scores.

        With `_has_biases` the last number of an item is its bias, that of a user 1.
        """
        raise TypeError(
            f"a {type(self).__name__} has no vectors of users and items whose inner products are its scores"
        )

    @property
    def _has_biases(self) -> bool:
        return False

    @property
    def _seen(self) -> Interactions | None:
        """What the model was trained on; None: it is not known, or the model is not fitted."""
        seen: Interactions | None = vars(self).get("seen_")
        return seen

    def _users(self) -> Ids:
        return self._lookup(self.user_ids_, self.n_users_, "user")

    def _items(self) -> Ids:
        return self._lookup(self.item_ids_, self.n_items_, "item")

    def _lookup(self, values: NDArray[Any] | None, n: int, word: str) -> Ids:
        if values is None:
            return Ids(None, n, word)
        # Checking a million ids takes a second. Their own number: see `_know`.
        return self._once(f"{word} ids", (values,), lambda: Ids(values, len(values), word))

    def _trust_ids(self) -> None:
        """Take the ids for checked, as they were when the model was saved."""
        for values, n, word in (
            (self.user_ids_, self.n_users_, "user"),
            (self.item_ids_, self.n_items_, "item"),
        ):
            if values is not None:
                self._once(f"{word} ids", (values,), partial(Ids.trusted, values, n, word))

    def _once(self, name: str, made_of: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return ``make()``, made once for these very objects (tuples: equal ones).

        What is made must not hold the model, which would never be freed.
        """
        prepared = self._made()
        known = prepared.made.get(name)
        if known is None or not _are_same(known[0], made_of):
            with prepared.lock:
                known = prepared.made.get(name)
                if known is None or not _are_same(known[0], made_of):
                    known = prepared.made[name] = made_of, make()
        made: T = known[1]
        return made

    def _made(self) -> _MadeOnce:
        prepared = _prepared.get(self)
        if prepared is None:
            with _first:
                prepared = _prepared.setdefault(self, _MadeOnce())
        return prepared

    def _now(self) -> Self:
        """Return a model that stays what this one is now."""
        view = object.__new__(type(self))
        vars(view).update(vars(self))
        _prepared[view] = self._made()
        return view

    def _is_first(self, what: str) -> bool:
        """Return whether this is asked of the model for the first time."""
        made = self._made()
        with made.lock:
            first = what not in made.made
            made.made[what] = (), None
        return first

    def _become(self, changed: Mapping[str, Any]) -> None:
        """Set attributes, all at once for other threads."""
        # Nothing may be freed in between, which could let another thread in.
        before = list(vars(self).values())
        vars(self).update(changed)
        del before

    def _writing(self) -> threading.RLock:
        """Return what one thread at a time holds while it changes the model."""
        return self._made().writing

    def _panels(self, rows: FactorRows, word: str) -> Panels:
        """Return the rows of users or items, laid out for products."""

        def make() -> Panels:
            table = np.asarray(rows.table)  # of what is in files all is read
            freeze(table)
            return Panels(rows._replace(table=table))

        return self._once(f"panels of {word}s", tuple(rows), make)

    def _factor_scores(self, biases: NDArray[np.float32] | None = None) -> Products:
        """Return the products of user rows and item rows, plus the items' biases."""
        users, panels = self._user_table(), self._panels(self._item_table(), "item")

        def make() -> Products:
            if biases is not None:
                freeze(biases)
            return Products(users, panels, biases)

        return self._once("scores", (*users, panels, biases), make).anew()

    def _likeness(self, word: str) -> Products:
        """Return the cosines of users, or of items, with all others."""
        from tripletrec.scorers import normalize_rows

        rows = self._user_table() if word == "user" else self._item_table()
        panels = self._panels(rows, word)

        def make() -> Products:
            blocks = range(0, len(rows.table), _BLOCK)
            inverses = [normalize_rows(rows.take(slice(a, a + _BLOCK)))[1][:, 0] for a in blocks]
            transform = rows.transform

            def units(some: NDArray[Any]) -> NDArray[Any]:
                return normalize_rows(some if transform is None else transform(some))[0]

            return Products(FactorRows(rows.table, units), panels, scales=np.concatenate(inverses))

        return self._once(f"likeness of {word}s", (panels,), make).anew()

    def _know(self, *known: Ids) -> None:
        """Take over ids that have been checked, so that the next answer need not check them once more."""
        for each in known:
            if each.values is not None:
                self._once(f"{each.word} ids", (each.values,), partial(_itself, each))

    def _space(self) -> Space:
        return Space(self.n_users_, self.n_items_, self.user_ids_, self.item_ids_)


def _itself(known: Ids) -> Ids:
    return known


_BLOCK = 1 << 13  # rows that are normalized at once


def _are_same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    return len(some) == len(others) and all(
        a is b or (type(a) is type(b) is tuple and a == b)
        for a, b in zip(some, others, strict=True)
    )


def freeze(array: NDArray[Any]) -> None:
    """Make an array read-only, of which something was made that would not notice a change."""
    array.flags.writeable = False


def present(
    rows: NDArray[np.int64], scores: NDArray[Any], ids: NDArray[Any] | None, *, single: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ids for row numbers; for a single row without its padding."""
    if single:
        rows, scores = rows[0][rows[0] >= 0], scores[0][rows[0] >= 0]
    if ids is None:
        return rows, scores
    if (rows >= 0).all():
        return ids[rows], scores
    found = np.empty(rows.shape, dtype=object)
    if ids.dtype.kind in "mM":  # which as objects would become whole numbers, or lose their unit
        found.flat[:] = list(ids[rows.ravel()])
    else:
        found[...] = ids[rows]
    found[rows < 0] = None
    return found, scores
