"""Companions of a loss: what `MatrixFactorization` takes where a parameter is None.

`COMPANIONS` has a row for each loss with defaults of its own; what has none, such as a loss of the user's
own, is trained as "bpr" is, a list-wise one as "softmax". A table in the docstring of `MatrixFactorization`
has the same numbers. All were chosen on cuts of training data: ``benchmarks/defaults.py`` shows what they are
worth, docs/choosing-measured.md how they were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.messages import shown
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.optimizers import Optimizer, adagrad, adam, check_optimizer
from tripletrec.sampling import UNSEEN, Sampler, dynamic, popularity

Plan = TypeVar("Plan", bound=Any)

__all__ = [
    "COMPANIONS",
    "COMPANION_NAMES",
    "MOST_CANDIDATES",
    "PARTS",
    "Sizes",
    "check_companions",
    "companions_of",
    "epochs_for",
    "has_open_temperature",
    "most_epochs",
    "resolve",
    "percentile_rank_of",
    "rate_for",
    "rate_of",
    "relative_rank",
    "sampler_for",
    "temperature_for",
    "user_l2_for",
    "with_temperature",
]

_OF_TRIPLETS: dict[str, Any] = {
    "scorer": "dot",
    "optimizer": "adagrad",
    "sampler": None,  # by the size of the data, see `sampler_for`
    "learning_rate": {"adagrad": 0.05, "adam": 0.003, "sgd": 0.05},  # at least, see `rate_for`
    "n_epochs": None,  # by the data, see `epochs_for`
    "user_l2": 0.05,  # at least, see `user_l2_for`
    "item_l2": 0.01,
    "negative_l2": None,  # as item_l2
    "bias_l2": 0.0,
    "init_scale": 0.02,
    "history": 0.0,
    "schedule": "constant",
}
# They learn fast, from the items that are ranked too high, and then the popular ones too well.
_OF_SEARCHES: dict[str, Any] = {
    **_OF_TRIPLETS,
    "optimizer": adagrad(1.0),
    "sampler": "unseen",
    "learning_rate": {**_OF_TRIPLETS["learning_rate"], "sgd": 0.005},  # cosines diverge at .01
    "n_epochs": 10,
    "user_l2": 0.3,
    "item_l2": 0.3,
    "init_scale": 0.005,
}
# Those of "softmax" were chosen with 40,981 items and confirmed with 1,683. A user's row is updated once in
# an epoch: with Adam's usual β₁ the gradients of ten epochs ago would still steer it. With this L2 of the
# biases no multiple of them ranks better than they do: see benchmarks/history.py. The sum over all items
# consists of popular ones: drawn by the root of popularity half as many candidates do as well.
_OF_LISTS: dict[str, Any] = {
    "scorer": "cosine",
    "optimizer": adam(beta1=0.5, beta2=0.99),
    "sampler": popularity(0.5),
    "learning_rate": {"adam": 0.005, "adagrad": 0.05, "sgd": 0.01},
    "n_epochs": None,  # by the data, see `epochs_for`
    "user_l2": 0.2,
    "item_l2": 0.2,
    "negative_l2": 0.0,
    "bias_l2": 0.8,
    "init_scale": 0.01,
    "history": 0.6,
    "schedule": "cosine",
}

COMPANIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "bpr": _OF_TRIPLETS,
        "sigmoid": {  # whose slopes are a quarter of the others' and less
            **_OF_TRIPLETS,
            "user_l2": 0.01,
            "item_l2": 0.003,
            "learning_rate": {"adagrad": 0.065, "adam": 0.003, "sgd": 0.2},
        },
        "hinge": {  # whose slopes do not become smaller
            **_OF_TRIPLETS,
            "learning_rate": {"adagrad": 0.025, "adam": 0.0012, "sgd": 0.025},
        },
        "warp": _OF_SEARCHES,
        "k-os warp": _OF_SEARCHES,
        "softmax": _OF_LISTS,
        "bsl": _OF_LISTS,
        "ccl": _OF_LISTS,
    }
)
COMPANION_NAMES = frozenset(_OF_TRIPLETS)
PARTS = frozenset({"scorer", "optimizer", "sampler", "schedule"})

MOST_CANDIDATES = 64
_HIGHEST_RANK = 0.1  # what is told no better than that is noise to a temperature
_HIGHEST_TEMPERATURE = 0.35
_HELPFUL = 0.85  # popularity that ranks no worse
_IN_BATCHES = 0.75  # of the temperature where candidates come in batches of pairs
_LEAST_EPOCHS = 20
_WITH_MORE_L2 = frozenset({"adagrad", "adam"})  # "sgd" learns too little with more


def companions_of(loss: Loss | ListLoss) -> Mapping[str, Any]:
    """Return what a loss is trained with, by the names of parameters, where the user says nothing.

    The sampler and the number of epochs are None where they go by the size of the data, the L2 of negatives
    where it is that of items.
    The learning rates are those of the optimizers; an optimizer of one's own has that of the companion.
    """
    others = "softmax" if isinstance(loss, ListLoss) else "bpr"
    companions = COMPANIONS.get(loss.name, COMPANIONS[others])
    # A loss that searches for its negatives does so among what the sampler draws.
    return (
        {**companions, "sampler": "unseen"}
        if isinstance(loss, Loss) and loss.searches
        else companions
    )


def resolve(loss: Loss | ListLoss, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are given, and companions in place of the others.

    None is left only of what goes by the data: the sampler and the epochs, see `companions_of`; if the
    sampler is left also the L2 of users with the optimizers of `_WITH_MORE_L2`, and the learning rate if no
    optimizer is given.
    """
    found = {**companions_of(loss), **given}
    if found["negative_l2"] is None:
        found["negative_l2"] = found["item_l2"]
    optimizer, by_data = check_optimizer(found["optimizer"]), found["sampler"] is None
    if by_data and "user_l2" not in given and optimizer.name in _WITH_MORE_L2:
        found["user_l2"] = None
    if "learning_rate" not in given:
        rate = rate_of(found["learning_rate"], optimizer, _optimizer_of(loss).name)
        found["learning_rate"] = None if by_data and "optimizer" not in given else rate
    return found


class Sizes(NamedTuple):
    """What companions go by: how many users and items have a positive, and how many positives there are.

    Beside them stands how popularity ranks a positive, see `percentile_rank.popularity_rank`.
    """

    n_users: int
    n_items: int
    n_positives: int
    popularity: float = 0.5

    @property
    def has_popular(self) -> bool:
        """Whether popularity is of any help: not where its rank of a positive is above .85."""
        return self.popularity <= _HELPFUL

    @classmethod
    def of(cls, data: Interactions) -> Sizes:
        """Return those of data."""
        from tripletrec.training.triplet import count_items  # here, because answers do without

        return cls.of_counts(np.diff(data.indptr), count_items(data.indices, data.n_items))

    @classmethod
    def of_counts(cls, users: NDArray[Any], items: NDArray[Any]) -> Sizes:
        """Return those of data whose users and items have so many positives each."""
        from tripletrec.models.percentile_rank import popularity_rank  # as above

        n_users, n_items = (int(np.count_nonzero(each)) for each in (users, items))
        return cls(n_users, n_items, int(users.sum()), popularity_rank(items))


def relative_rank(sizes: Sizes, rank: float) -> float:
    """Return the percentile rank over that of popularity: how much neighbours tell beside what is popular.

    It is small where they tell much, and near 1 where they tell little or nothing. It is 0 where popularity
    is no help.

    Parameters
    ----------
    sizes : Sizes
    rank : float
        The percentile rank, see `tripletrec.models.percentile_rank`.
    """
    return rank / max(sizes.popularity, 1e-9) if sizes.has_popular else 0.0


def sampler_for(sizes: Sizes, rank: float) -> Sampler:
    """Return the sampler that a loss of triplets is trained with on such data.

    It is ``dynamic(c)``, with c = √n / 90 · r^-0.7, where n is the number of items and r the percentile rank.
    Where neighbours tell a user's items well from others, easy negatives teach nothing but popularity; where
    they do not, the hardest of many negatives are items that the user would like. It is "unseen" where that
    is one candidate.

    Parameters
    ----------
    sizes : Sizes
    rank : float
        The percentile rank, see `tripletrec.models.percentile_rank`.
    """
    n_candidates = math.sqrt(sizes.n_items) / 90.0 * rank**-0.7
    n_candidates = min(round(n_candidates), MOST_CANDIDATES)
    return dynamic(n_candidates) if n_candidates > 1 else UNSEEN


def rate_of(rates: Mapping[str, float], optimizer: Optimizer, other: str) -> float:
    """Return an optimizer's learning rate of those by name; one that is not listed has that of `other`."""
    return rates.get(optimizer.name, rates[other])


def _optimizer_of(loss: Loss | ListLoss) -> Optimizer:
    """Return the optimizer that is a companion of a loss."""
    return check_optimizer(companions_of(loss)["optimizer"])


def rate_for(loss: Loss | ListLoss, rank: float | None = None) -> float:
    """Return the learning rate of a loss of triplets with the optimizer that is its companion.

    It is a, and where the percentile rank r is known and below .01 more, a · √(.01 / r), at most 2 a: where
    it is well told which items a user has, there is little noise that could be learnt.
    """
    own: float = companions_of(loss)["learning_rate"][_optimizer_of(loss).name]
    return own if rank is None else own * min(2.0, max(1.0, math.sqrt(0.01 / rank)))


def user_l2_for(
    loss: Loss | ListLoss, sizes: Sizes | None = None, rank: float | None = None
) -> float:
    """Return the L2 of users of a loss of triplets with Adagrad and Adam.

    It is a, and where the percentile rank r is known and above .07 more, a · r / .07, at most 4 a: where it
    is badly told which items a user has, much of what would be learnt of the user is noise, and what is
    popular the better guess. Where popularity is no help it is a.
    """
    own: float = companions_of(loss)["user_l2"]
    if sizes is None or rank is None or not sizes.has_popular:
        return own
    return own * min(4.0, max(1.0, rank / 0.07))


def temperature_for(sizes: Sizes, rank: float, *, in_batches: bool = False) -> float:
    """Return the temperature of a softmax of cosines on such data: 1.12 · d^(1/9) / log(1/r)^0.9.

    d is the density and r the percentile rank, at most 0.1; the temperature is at most 0.35. Where it is well
    told which items a user has, the few that are ranked above them should count most; noise asks for more.
    Where neighbours tell little that popularity does not, with a `relative_rank` q above .22, it is q / .22
    times as high, at most 3 times: what is left for the factors to learn is mostly noise then.
    With `in_batches`, whose items are the candidates, as in `TwoTower`, it is three quarters of that.
    """
    density = max(1, sizes.n_positives) / max(1, sizes.n_users * sizes.n_items)
    told = math.log(1.0 / min(rank, _HIGHEST_RANK))
    share = _IN_BATCHES if in_batches else 1.0
    share *= min(3.0, max(1.0, relative_rank(sizes, rank) / 0.22))
    return share * min(_HIGHEST_TEMPERATURE, 1.12 * density ** (1 / 9) / told**0.9)


def percentile_rank_of(data: Interactions) -> float:
    """Return the percentile rank of data, see `tripletrec.models.percentile_rank`."""
    # Here, because answers do without.
    from tripletrec.models.percentile_rank import percentile_rank, users_to_look_at

    return percentile_rank(data.indptr, data.indices, users_to_look_at(np.diff(data.indptr)))


def has_open_temperature(plan: Any, *, cosine: bool) -> bool:
    """Return whether a plan has a list-wise loss of cosines whose temperature is to go by the data."""
    return cosine and isinstance(plan.loss, ListLoss) and plan.loss.temperature is None


def with_temperature(plan: Plan, temperature: float | None) -> Plan:
    """Return the plan with a temperature for its list-wise loss."""
    loss: Any = plan.loss
    return replace(plan, loss=loss._replace(temperature=temperature))


def epochs_for(sizes: Sizes, loss: Loss | ListLoss) -> int:
    """Return for how many epochs a loss is trained on such data, where that goes by the data.

    Dense data are learnt sooner, and then too well: 20 epochs are enough where 3 of 1,000 pairs are
    positives, and it takes 30 where half of that are, or less. Items with few positives take longer: 30
    epochs with 4 of them, 45 with fewer than 3. With a list-wise loss, whose rate falls, it takes 32 at that
    half, 60 where a fifth of that are, and 60 where an item has 7 positives instead of 20.
    """
    n_positives = max(1, sizes.n_positives)
    density = n_positives / max(1, sizes.n_users * sizes.n_items)
    sparsity, of_item = (0.003 / density) ** (2 / 3), n_positives / max(1, sizes.n_items)
    if isinstance(loss, ListLoss):
        wanted = max(1.0, sparsity, 20 / of_item)
    else:
        wanted = max(1.0, min(1.5, sparsity), 6 / of_item)
    return round(min(most_epochs(loss), _LEAST_EPOCHS * wanted))


def most_epochs(loss: Loss | ListLoss) -> int:
    """Return the most that `epochs_for` gives, for any data."""
    return 60 if isinstance(loss, ListLoss) else 45


def check_companions(chosen: Any, make: Callable[..., Any]) -> None:
    """Raise unless `companions_` of a model are names of such parameters, with values that `make` takes."""
    if not isinstance(chosen, Mapping) or COMPANION_NAMES != chosen.keys():
        raise ValueError(f"companions_ must be chosen parameters by name, got {shown(chosen)}")
    for name, value in chosen.items():
        if value is None and name != "sampler":
            raise ValueError(f"{name} of companions_ must not be None")
    loss = "softmax" if chosen["history"] else "bpr"  # only list-wise losses have histories
    make(loss=loss, **chosen)._check_parameters()
