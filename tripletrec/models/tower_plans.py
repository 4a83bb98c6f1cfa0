"""How parameters of `TwoTower` make a plan, and layers: what they are where they are None."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_flag
from tripletrec._runtime.messages import shown
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss, check_loss
from tripletrec.models.companions import (
    Sizes,
    has_open_temperature,
    percentile_rank_of,
    rate_of,
    relative_rank,
    temperature_for,
    with_temperature,
)
from tripletrec.models.fit_arguments import (
    check_dropout,
    check_history,
    read_learnt_from,
)
from tripletrec.models.trained_network import TrainedNetwork, split_seed
from tripletrec.models.vectors import BiasedFactors
from tripletrec.neural.history import TowerMix
from tripletrec.neural.layers import Normalize, ReLU
from tripletrec.neural.stack import Stack
from tripletrec.optimizers import check_optimizer
from tripletrec.sampling import Sampler
from tripletrec.sampling.samplers import check_sampler
from tripletrec.training.plan import NetworkPlan

__all__ = ["BY_LOSS", "PlannedTowers", "batch_size_for", "loss_for", "tower_epochs"]

_LEAST_PAIRS, _MOST_PAIRS = 64, 512
_LEAST_EPOCHS, _LEAST_OF_NOISE, _MOST_EPOCHS = 2, 20, 24
# What parameters are that are None: with losses of triplets, and with list-wise ones. Those of list-wise
# losses were chosen on validation data, see the notes of `TwoTower`.
BY_LOSS: dict[str, tuple[Any, Any]] = {
    "normalize": (False, True),
    "history": (0.0, 0.5),
    "optimizer": ("adagrad", "adagrad"),
    "learning_rate": ({"adagrad": 0.1, "adam": 0.006}, {"adagrad": 0.04, "adam": 0.005}),
    "n_epochs": (20, _MOST_EPOCHS),  # at most, see `tower_epochs`
    "batch_size": (64, _MOST_PAIRS),  # at most, see `batch_size_for`
    "user_l2": (0.02, 0.0),
    "item_l2": (0.01, 0.0),
    "init_scale": (0.05, 0.1),
    "schedule": ("constant", "constant"),
}


def loss_for(sampler: Sampler) -> Loss | ListLoss:
    """Return the loss of two towers where none is named.

    It is "softmax", which ranks better and learns sooner, and "bpr" where only a loss of triplets can learn:
    with a sampler that chooses negatives, or takes them from the user's own items.
    """
    return check_loss("bpr" if sampler.is_hard or sampler.by_value else "softmax")


def batch_size_for(n_positives: int) -> int:
    """Return the number of pairs in a batch of a list-wise loss where none is named.

    It is one for every 64 positives, from 64 to 512: few data have too few steps in large batches.
    """
    return max(_LEAST_PAIRS, min(_MOST_PAIRS, n_positives // 64))


def tower_epochs(sizes: Sizes, rank: float) -> int:
    """Return for how many epochs a list-wise loss is trained where none is named.

    It is n_items / n_users · √(n_positives) / 140, from 2 to 24. Users of whom little is known are soon
    learnt by heart; many items of whom each has few users take long to be told apart. It is more where the
    temperature keeps users from being learnt by heart, or most positives are of items that hardly anybody
    has: from 2 to 20 at least for a `relative_rank` from .25 to .45, and so for a percentile rank of
    popularity from .5 to .6.

    Parameters
    ----------
    sizes : Sizes
    rank : float
        The percentile rank, see `tripletrec.models.percentile_rank`.
    """
    ratio = sizes.n_items / max(1, sizes.n_users)
    wanted = ratio * math.sqrt(sizes.n_positives) / 140.0
    share = max((relative_rank(sizes, rank) - 0.25) / 0.2, (sizes.popularity - 0.5) / 0.1)
    least = _LEAST_EPOCHS + (_LEAST_OF_NOISE - _LEAST_EPOCHS) * min(1.0, max(0.0, share))
    return round(max(least, min(_MOST_EPOCHS, wanted)))


_ACTIVATIONS = {"relu": ReLU, "linear": None}


class PlannedTowers(BiasedFactors, TrainedNetwork):
    """What the parameters of `TwoTower` stand for, by the loss and the data."""

    _takes_features = True
    activation: Literal["relu", "linear"]
    history_dropout: float
    normalize: bool | None
    user_table_: NDArray[np.float32]
    item_table_: NDArray[np.float32]
    user_weights_: NDArray[np.float32]
    item_weights_: NDArray[np.float32]
    user_widths_: list[int]
    item_widths_: list[int]
    user_encoding_: dict[str, Any]
    item_encoding_: dict[str, Any]

    def _first_loss(self) -> Loss | ListLoss:
        if self.loss is None:
            sampler: Any = self.sampler
            return loss_for(check_sampler(sampler, features=True))
        return super()._first_loss()

    def _last_loss(self) -> Loss | ListLoss:
        if self.loss is None and "temperature_" in vars(self):
            return check_loss("bpr" if self.temperature_ is None else "softmax")
        return self._first_loss()

    def _chosen(self, name: str, loss: Loss | ListLoss) -> Any:
        value = getattr(self, name)
        if value is None and name == "loss":
            return loss.name
        if value is None and name in BY_LOSS:
            place = isinstance(loss, ListLoss)
            value = BY_LOSS[name][place]
            if name == "learning_rate":
                optimizer = check_optimizer(self._chosen("optimizer", loss))
                value = rate_of(value, optimizer, BY_LOSS["optimizer"][place])
        return value

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        loss, data = self._last_loss(), self._seen
        if X is not None:
            loss, (data, *_) = self._first_loss(), read_learnt_from(X, **fit_params)
        found = {name: self._chosen(name, loss) for name in self.get_params()}
        if data is not None:
            plan = self._plan_for(self._plan_with(0, loss), data, None)
            if plan.loss != loss:  # with the temperature that goes by the data
                found["loss"] = plan.loss
            return {**found, "batch_size": plan.batch_size, "n_epochs": plan.n_epochs}
        # From a file without its data:
        if isinstance(loss, ListLoss) and "item_counts_" in vars(self):
            if self.batch_size is None:
                found["batch_size"] = batch_size_for(int(self.item_counts_.sum()))
            if self.n_epochs is None:
                found["n_epochs"] = len(self.history_)
            if loss.temperature is None and self._is_cosine():
                found["loss"] = loss._replace(temperature=self.temperature_)
        return found

    def _first_own_row(self, word: str) -> int:
        """Return where factors of users' or items' own begin in their table, if there are any."""
        return int(getattr(self, f"{word}_encoding_")["n_columns"]) + 1

    def _is_cosine(self, plan: NetworkPlan | None = None) -> bool:
        loss = self._last_loss() if plan is None else plan.loss
        return check_flag(self._chosen("normalize", loss), "normalize")

    def _mix(self, plan: NetworkPlan | None = None) -> TowerMix:
        loss = self._last_loss() if plan is None else plan.loss
        return TowerMix(
            check_history(self._chosen("history", loss), loss),
            check_dropout(self.history_dropout, "history_dropout"),
            self._is_cosine(plan),
        )

    def _learnt_stack(self, word: str) -> Stack:
        stack = self._stack(None, getattr(self, f"{word}_widths_"), None)
        stack.flat[0] = getattr(self, f"{word}_weights_")
        return stack

    def _stack(
        self,
        plan: NetworkPlan | None,
        widths: Sequence[int],
        rng: np.random.Generator | None,
        seed: int = 0,
    ) -> Stack:
        """Return the layers of a tower: untrained, or without `rng` with zeros for weights."""
        if self.activation not in _ACTIVATIONS:
            known = ", ".join(map(repr, _ACTIVATIONS))
            raise ValueError(f"activation must be one of {known}, got {shown(self.activation)}")
        seeds = split_seed(seed, len(widths)) if rng is not None else ()
        layers = self._dense_layers(widths, _ACTIVATIONS[self.activation], rng, seeds)
        if self._is_cosine(plan):
            layers.append(Normalize())
        return Stack(layers)

    def _n_negatives(self, loss: Loss | ListLoss) -> int:
        least = 0 if isinstance(loss, ListLoss) else 1
        n = self.n_negatives
        return least if n is None else check_count(n, "n_negatives", least)

    def _plan_for(
        self, plan: NetworkPlan, data: Interactions, given: Interactions | None
    ) -> NetworkPlan:
        sizes, rank = Sizes.of(data), cache(partial(percentile_rank_of, data))
        plan = self._plan_for_sizes(plan, sizes, rank)
        if isinstance(plan.loss, ListLoss) and self.n_epochs is None:
            plan = replace(plan, n_epochs=tower_epochs(sizes, rank()))
        return plan

    def _later_plan(
        self, plan: NetworkPlan, data: Interactions, given: Interactions | None
    ) -> NetworkPlan:
        return self._plan_for_sizes(plan, Sizes.of(data), partial(percentile_rank_of, data))

    def _plan_for_sizes(
        self, plan: NetworkPlan, sizes: Sizes, rank: Callable[[], float]
    ) -> NetworkPlan:
        """Return the plan with what goes by the data, epochs apart; `rank` returns their percentile rank."""
        if isinstance(plan.loss, ListLoss) and self.batch_size is None:
            plan = replace(plan, batch_size=batch_size_for(sizes.n_positives))
        if has_open_temperature(plan, cosine=self._is_cosine(plan)):
            plan = with_temperature(plan, temperature_for(sizes, rank(), in_batches=True))
        return plan

    def _plan_again(self) -> NetworkPlan:
        plan = super()._plan_again()
        if has_open_temperature(plan, cosine=self._is_cosine(plan)):  # not by what is new alone
            plan = with_temperature(plan, self.temperature_)
        return plan
