"""Checks of what `fit` is given beside the data, and of parameters that only models have.

Checks that other rooms share are in `tripletrec._checks` and `tripletrec.data.checks`. Each function returns
the checked value in the form that a training computes with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_share
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.checks import as_array
from tripletrec.data.ids import where
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import check_metric
from tripletrec.losses import LIST_LOSSES, ListLoss, Loss
from tripletrec.sampling import UNSEEN, Sampler
from tripletrec.training.plan import Plan, Record

__all__ = [
    "Callback",
    "Counted",
    "check_callbacks",
    "check_dropout",
    "check_history",
    "check_later_epochs",
    "check_n_negatives",
    "check_negatives",
    "check_patience",
    "check_sample_weight",
    "check_sampling",
    "check_score_takes",
    "check_validation",
    "check_widths",
    "has_negatives",
    "settle_sampler",
]

Callback: TypeAlias = Callable[[Any, Record], object]
"""What `fit` calls after every epoch, with the model and the record of the epoch."""

# More of them order what is disliked no better, and lists of what is liked worse: benchmarks/dislikes.py.
_DEFAULT_SHARE = 0.1
# Candidates of a batch of users, where the user of the package does not say how many.
_MOST_ITEMS = 8192  # that are all candidates
_N_CANDIDATES = 4096  # of more items


def check_validation(y: Any, validation: Any) -> Any:
    """Return the validation data of `fit`, which may be given in the place of `y`; None: there are none.

    Raises
    ------
    TypeError, ValueError
        If `y` is neither such data nor what scikit-learn gives, or there are two of them.
    """
    if _is_of_sklearn(y):
        return validation
    if _n_dimensions(y) != 2:
        raise TypeError(
            "the second argument of fit must be validation data as X, or the 1-D y of scikit-learn, which is "
            f"not used, got {shown(y)}: give all else by name"
        )
    if validation is not None:
        raise ValueError(
            "validation is given twice, in the second place and by name: leave one of them out"
        )
    return y


def check_later_epochs(y: Any, n_epochs: Any) -> int:
    """Return the number of epochs of `partial_fit`, which may be given in the place of `y`."""
    if _is_of_sklearn(y):
        return 1 if n_epochs is None else check_count(n_epochs, "n_epochs")
    if n_epochs is not None:
        raise ValueError(
            "n_epochs is given twice, in the second place and by name: leave one of them out"
        )
    return check_count(y, "n_epochs")


def check_score_takes(y: Any) -> None:
    """Raise unless the `y` of a score is what scikit-learn gives, which is not used."""
    if not _is_of_sklearn(y):
        raise TypeError(
            "the second argument of a score must be the 1-D y of scikit-learn, which is not used, or None, "
            f"got {shown(y)}: what is left out of the ranking is given as exclude=..."
        )


def _is_of_sklearn(y: Any) -> bool:
    """Return whether `y` is what scikit-learn's tools give: None, or a label for each of their samples."""
    return y is None or _n_dimensions(y) == 1


def _n_dimensions(value: Any) -> int:
    """Return the dimensions of interactions, an array, a matrix, a column, a table or a list; else 0."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return len(shape)
    if isinstance(value, Interactions):
        return 2
    if isinstance(value, (list, tuple)):
        return 1 + (_n_dimensions(value[0]) if value else 0)
    return int(hasattr(value, "__array__") and hasattr(value, "__len__"))  # a column of Arrow


def check_n_negatives(n_negatives: Any, loss: Loss | ListLoss, n_items: int | None = None) -> int:
    """Return the negatives of each positive, or the candidates of a block of users (0: all items).

    Parameters
    ----------
    n_negatives : int, "all" or None
        "all" with list-wise losses only. None: 1; with a list-wise loss all items, or 4,096
        of more than 8,192.
    loss : Loss or ListLoss
    n_items : int or None, default None
        The number of items, which bounds the candidates; None: not known yet.
    """
    if not isinstance(loss, ListLoss):
        return 1 if n_negatives is None else check_count(n_negatives, "n_negatives")
    if n_negatives is None:
        return _N_CANDIDATES if n_items is not None and n_items > _MOST_ITEMS else 0
    if isinstance(n_negatives, str):
        if n_negatives != "all":
            raise ValueError(
                f"n_negatives must be 'all' or an integer >= 1, got {shown(n_negatives)}"
            )
        return 0
    n_candidates = check_count(n_negatives, "n_negatives")
    if n_items is not None and n_candidates > n_items:
        raise ValueError(
            f"n_negatives must be at most the number of items ({n_items}) with loss "
            f"{loss.name!r}, or 'all', got {n_candidates}"
        )
    return n_candidates


def check_negatives(negatives: Any, data: Interactions) -> Interactions | None:
    """Return given negatives as interactions that speak of the same users and items as `data`."""
    if negatives is None:
        return None
    given = as_interactions(negatives, "negatives", data.space)
    from tripletrec.ranking.ranks import absent_from  # here, because most fits have none

    both = ~absent_from(data.indptr, data.indices, given.indptr, given.indices)
    if both.any():
        first = int(both.argmax())
        user, item = int(given.rows[first]), int(given.indices[first])
        raise ValueError(
            f"negatives must not be positives too: {np.count_nonzero(both)} pairs are both, the first is "
            f"{data._users.called(user)}, {data._items.called(item)}"
        )
    return given


def read_learnt_from(
    X: Any, sample_weight: Any = None, negatives: Any = None, **others: Any
) -> tuple[Interactions, NDArray[np.float32] | None, Interactions | None]:
    """Return what `check_learnt_from` does, of arguments of a `fit`."""
    return check_learnt_from(as_interactions(X, "X"), sample_weight, negatives)


def check_learnt_from(
    data: Interactions, sample_weight: Any, negatives: Any
) -> tuple[Interactions, NDArray[np.float32] | None, Interactions | None]:
    """Return the interactions of some weight, their weights and the given negatives."""
    weights = check_sample_weight(sample_weight, data)
    if weights is not None and not weights.all():
        data, weights = data[weights > 0], weights[weights > 0]
    return data, weights, check_negatives(negatives, data)


class Counted(Protocol):
    """What is asked of given negatives before any is looked at: how many there are."""

    @property
    def nnz(self) -> int:
        """Their number."""


def are_given(negatives: Counted | None) -> bool:
    """Return whether there are given negatives: an argument without any is as good as none."""
    return negatives is not None and negatives.nnz > 0


def settle_sampler(plan: Plan, given: Counted | None, has_grades: Callable[[], bool]) -> Sampler:
    """Return the sampler that a plan is trained with; raise if it and the given negatives do not go together.

    Parameters
    ----------
    plan : Plan
    given : Counted or None
    has_grades : callable
        Tells whether there is a user with positives of different values.
    """
    sampler = check_sampling(plan.loss, plan.sampler, given)
    if sampler.by_value and not has_grades():
        warn_user(
            f"sampler {sampler.name!r} finds no user with two items of different values, so all "
            "negatives are unseen items: give the interactions values, as from_frame(..., value=...) does"
        )
        return UNSEEN
    return sampler


def check_sampling(loss: Loss | ListLoss, sampler: Sampler, given: Counted | None) -> Sampler:
    """Return the sampler with its share of given negatives; raise if the three do not go together.

    If some are given but there is none, all negatives are sampled.
    """
    if sampler.by_value:
        _check_graded(loss, sampler, given)
        return sampler
    if given is not None and not given.nnz:
        given, sampler = None, sampler if sampler.by_features else sampler._replace(share=0.0)
    takes_given = given is not None or sampler.share > 0.0
    _check_given(loss, sampler, given, takes_given=takes_given)
    if sampler.by_features or not takes_given:
        return sampler
    if given is None:
        raise ValueError(
            f"sampler {sampler.name!r} takes negatives from the argument negatives of fit, "
            "which is missing"
        )
    # A share of 0 that was asked for stays 0.
    own_share = sampler.share > 0.0 or sampler.name == "explicit"
    return sampler if own_share else sampler._replace(share=_DEFAULT_SHARE)


def _check_graded(loss: Loss | ListLoss, sampler: Sampler, given: Counted | None) -> None:
    if isinstance(loss, ListLoss) or loss.searches:
        raise ValueError(
            f"sampler {sampler.name!r} takes negatives from the user's own items, loss {loss.name!r} from "
            "unseen ones only: use a loss such as 'bpr' or 'hinge'"
        )
    if sampler.is_hard:
        raise ValueError(
            f"sampler {sampler.name!r} must not have by_value and choose or by_features"
        )
    if are_given(given):
        raise ValueError(
            f"sampler {sampler.name!r} takes negatives from the user's own items, so it takes none from the "
            "argument negatives of fit: use sampler 'explicit' for these"
        )


def _check_given(
    loss: Loss | ListLoss, sampler: Sampler, given: Counted | None, *, takes_given: bool
) -> None:
    if not isinstance(loss, ListLoss):
        if loss.searches and (takes_given or sampler.is_hard):
            cause = (
                f"sampler {sampler.name!r}" if given is None else "the argument negatives of fit"
            )
            raise ValueError(
                f"loss {loss.name!r} searches for its negatives among sampled items: it takes no given ones, "
                f"and no sampler that chooses, got {cause}: use a loss such as 'bpr' or 'hinge'"
            )
        return
    if sampler.is_hard:
        raise ValueError(
            f"loss {loss.name!r} learns from all its candidates: sampler {sampler.name!r}, which "
            "chooses among them, is for the losses of triplets"
        )
    if sampler.share == 1.0:
        raise ValueError(
            f"loss {loss.name!r} compares with all items, given negatives among them: sampler "
            f"{sampler.name!r} must have a share below 1"
        )


def has_negatives(data: Interactions, given: Interactions | None, *, only_used: bool) -> bool:
    """Return whether there is a user with positives, and an item that may be a negative for that user.

    Parameters
    ----------
    data : Interactions
        The positives.
    given : Interactions or None
        Negatives given by the user of the package.
    only_used : bool
        Whether only items that have a positive are drawn.
    """
    counts = np.diff(data.indptr)
    n_items = data.n_items
    if only_used:
        from tripletrec.training.triplet import count_items  # here, because loading does without

        n_items = int(np.count_nonzero(count_items(data.indices, n_items)))
    some = counts < n_items
    if given is not None:
        some |= np.diff(given.indptr) > 0
    return bool((some & (counts > 0)).any())


def check_sample_weight(sample_weight: Any, data: Interactions) -> NDArray[np.float32] | None:
    """Return one weight for each interaction of `data`, in its order; None: all weigh 1."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, str):
        if sample_weight not in _NAMED_WEIGHTS:
            raise ValueError(
                f"sample_weight must be 'values', 'users' or numbers, got {shown(sample_weight)}"
            )
        return _NAMED_WEIGHTS[sample_weight](data)
    if hasattr(sample_weight, "tocsr") or isinstance(sample_weight, Interactions):
        values = _weights_of_matrix(sample_weight, data)
    else:
        values = as_array(sample_weight, "sample_weight")
    if values.shape != (data.nnz,):
        raise ValueError(
            f"sample_weight must be one number per interaction, shape ({data.nnz},), "
            f"got {values.shape}"
        )
    if values.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight must hold numbers, got dtype {values.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        weights = values.astype(np.float32)
    wrong = ~(np.isfinite(weights) & (values >= 0))
    if wrong.any():
        first = int(wrong.argmax())
        pair = int(data.rows[first]), int(data.indices[first])
        raise ValueError(
            f"sample_weight must be finite in float32 and >= 0, got {values[first]} at position {first} "
            f"({where(*pair, (data._users, data._items))})"
        )
    if not weights.any():
        raise ValueError("sample_weight must not be all zero")
    return weights


def _weights_of_users(data: Interactions) -> NDArray[np.float32]:
    """Return for each positive one over the root of its user's number of them, scaled to a mean of 1."""
    roots = np.sqrt(np.diff(data.indptr))
    scale = data.nnz / max(1.0, float(roots.sum()))
    weights = np.divide(scale, roots, out=np.zeros_like(roots), where=roots > 0)
    return np.repeat(weights, np.diff(data.indptr)).astype(np.float32)


_NAMED_WEIGHTS: dict[str, Callable[[Interactions], NDArray[np.float32]]] = {
    "values": lambda data: data.values,
    "users": _weights_of_users,
}


def _weights_of_matrix(sample_weight: Any, data: Interactions) -> NDArray[Any]:
    matrix = as_interactions(sample_weight, "sample_weight", data.space)
    # Absent entries weigh 0; np.asarray: scipy's matrices and arrays answer in different types.
    return np.asarray(matrix.tocsr()[data.rows, data.indices]).ravel()


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Return the callbacks as a list, maybe empty."""
    if callbacks is None:
        return []
    listeners = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
    for each in listeners:
        if not callable(each):
            raise TypeError(f"callbacks must be callable, got {shown(each)}")
    return list(listeners)


def check_patience(early_stopping: Any, metric: Any, validation: Any) -> int | None:
    """Return after how many epochs without a better validation metric to stop; None: never."""
    check_metric(metric, "validation_metric")
    if early_stopping is None:
        return None
    if validation is None:
        raise ValueError("early_stopping needs validation data: fit(X, validation=...)")
    return check_count(early_stopping, "early_stopping")


def check_dropout(dropout: Any, name: str = "dropout") -> float:
    """Return a dropout as a float in [0, 1)."""
    return check_share(dropout, name, closed="left")


def check_history(history: Any, loss: Loss | ListLoss) -> float:
    """Return the share of the history in a user, a float in [0, 1]; only list-wise losses have one."""
    share = check_share(history, "history", closed=True)
    if share > 0.0 and not isinstance(loss, ListLoss):
        known = ", ".join(map(repr, LIST_LOSSES))
        raise ValueError(
            f"history must be 0 with a loss of triplets, for only list-wise losses ({known}) "
            f"learn users who are a mix with their history, got {shown(history)} with loss {loss.name!r}"
        )
    return share


def check_widths(widths: Any, name: str) -> tuple[int, ...]:
    """Return the widths of layers: a sequence of integers >= 1, maybe empty, or a single one."""
    if isinstance(widths, (str, bytes)) or not (np.ndim(widths) <= 1):
        raise TypeError(f"{name} must be integers >= 1, got {shown(widths)}")
    return tuple(check_count(each, name) for each in np.atleast_1d(np.array(widths, object)))
