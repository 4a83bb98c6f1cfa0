"""The state of one fit of a network, whatever its loss; what an epoch does is in `triplet` and `listwise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._runtime.arrays import check_rows, copy_into
from tripletrec._runtime.blas import one_blas_thread
from tripletrec.neural.layers import Dropout
from tripletrec.neural.networks import PairPerceptron, Towers
from tripletrec.neural.row_optimizer import RowOptimizer
from tripletrec.training.plan import NetworkPlan, Record

__all__ = ["NetworkTraining"]


class NetworkTraining:
    """What fits by all losses share: optimizer, learning rate, arrays of the fitted model.

    Parameters
    ----------
    plan : NetworkPlan
    network : PairPerceptron or Towers
    factors : callable
        Returns the arrays of a fitted model, without a copy.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        network: PairPerceptron | Towers,
        factors: Callable[[], tuple[NDArray[Any], ...]],
    ) -> None:
        self.plan, self.network = plan, network
        self.cancelled = False  # set by another thread to cancel the running epoch
        # The penalty on factors depends on the batch, so that they get it with their gradients.
        parameters, n_stacks = network.parameters, len(network.stacks)
        l2 = [0.0] * len(parameters)
        l2[2 : 2 + n_stacks] = [plan.layer_l2] * n_stacks
        self._optimizer = RowOptimizer(plan.optimizer, plan.learning_rate, parameters, tuple(l2))
        self._gradients = network.gradients
        self._make_factors = factors
        self._factors: tuple[NDArray[Any], ...] | None = None

    @property
    def factors(self) -> tuple[NDArray[Any], ...]:
        """The arrays of the model as fitted so far, valid until the next epoch."""
        if self._factors is None:
            self._factors = self._make_factors()
        return self._factors

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the epochs to come depend on, see `tripletrec.training.loop.Trainable`."""
        parameters = {f"parameters.{n}": each for n, each in enumerate(self.network.parameters)}
        n_forward = np.array([each.n_forward for each in self._dropouts()], np.int64)
        return {**parameters, **self._optimizer.state(), "n_forward": n_forward}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a state; raise ValueError if it is of another size."""
        self._factors = None
        copy_into(self.state(), state)
        for dropout, n_forward in zip(self._dropouts(), state["n_forward"].tolist(), strict=True):
            dropout.n_forward = n_forward

    @property
    def features(self) -> dict[str, tuple[NDArray[Any], ...]]:
        """The matrices of features of users and of items, as arrays."""
        sides = {"user_features": self.network.users, "item_features": self.network.items}
        return {
            name: (each.arrays.indptr, each.arrays.indices, each.arrays.values, each.arrays.offsets)
            for name, each in sides.items()
        }

    def row_state(self) -> dict[str, NDArray[Any]]:
        """Return what the optimizer keeps: of each row of factors the mean, of layers all of it."""
        brief = {}
        for name, each in self._optimizer.state().items():
            of_factors = name in ("state.0", "state.1")
            brief[name] = each.mean(axis=2, keepdims=True) if of_factors else each.copy()
        return brief

    def take_up(
        self, learnt: Sequence[NDArray[Any]], row_state: Mapping[str, NDArray[Any]] | None
    ) -> None:
        """Begin with what another training has learnt.

        Parameters
        ----------
        learnt : sequence of arrays
            In the order of the network's `parameters`; of their first rows.
        row_state : mapping or None
            What `row_state` returned; None: the state is that of the start. Rows that it lacks begin as in
            `tripletrec.training.tables.FactorTables.take_up`.

        Raises
        ------
        ValueError
            If the network has others; nothing is changed then.
        """
        check_rows(self.network.parameters, learnt)
        self._factors = None
        for mine, theirs in zip(self.network.parameters, learnt, strict=True):
            mine[: len(theirs)] = theirs
        if row_state is not None:
            for name, mine in self._optimizer.state().items():
                if name not in row_state:  # of a parameter that the other training had not
                    continue
                n = len(learnt[int(name.rpartition(".")[2])])
                state = row_state[name][:n]
                mine[: len(state)] = state
                if len(state) < n and not self.plan.optimizer.step_counts:
                    mine[len(state) : n] = state.mean(axis=0)

    def release(self) -> tuple[NDArray[Any], ...]:
        """Return copies of the arrays of the fitted model."""
        return tuple(each.copy() for each in self.factors)

    def _dropouts(self) -> list[Dropout]:
        layers = [layer for each in self.network.stacks for layer in each.layers]
        return [each for each in layers if isinstance(each, Dropout)]

    def threads(self) -> AbstractContextManager[None]:
        """Keep BLAS to one thread, which is faster for small batches and gives the same bits everywhere."""
        return one_blas_thread()

    def run_epoch(self, number: int) -> Record:
        """Train on every positive once; return the epoch's record."""
        raise NotImplementedError

    def _rate(self, number: int, first: int, n_all: int) -> float:
        """Return the learning rate of the batch of epoch `number` that begins with pair `first`."""
        n = min(self.plan.batch_size, n_all - first)
        return self.plan.rate_at(number - 1 + (first + 0.5 * n) / n_all)

    def _batches(self, number: int, n_all: int) -> Iterator[slice]:
        """Yield the slices of the batches of epoch `number`; update the parameters after each."""
        plan = self.plan
        for first in range(0, n_all, plan.batch_size):
            if self.cancelled:
                raise KeyboardInterrupt
            n = min(plan.batch_size, n_all - first)
            yield slice(first, first + n)
            self._optimizer.learning_rate = self._rate(number, first, n_all)
            self._optimizer.update(self._gradients, self.network.touched, n)
