"""MLPMatcher: parameters, perceptron, scores; `fit` is in `trained`, the network in `tripletrec.neural`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import identity

from tripletrec._checks import Seed, check_count, check_flag
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.models.fit_arguments import check_widths, read_learnt_from
from tripletrec.models.fitted import freeze
from tripletrec.models.mlp_plans import BY_DATA, LATE_SHARE, epochs_of, mlp_rate, mlp_sampler
from tripletrec.models.names import OptimizerName, SamplerName, ScheduleName, TripletLossName
from tripletrec.models.trained import Start, width_of
from tripletrec.models.trained_network import (
    TrainedNetwork,
    count_weights,
    split_seed,
)
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import ReLU, uniform
from tripletrec.neural.networks import PairPerceptron
from tripletrec.neural.pair_scores import CatalogueScores, item_terms
from tripletrec.neural.stack import Stack
from tripletrec.neural.triplet import NetworkTripletTraining
from tripletrec.optimizers import Optimizer, check_optimizer
from tripletrec.ranking.scores import ScoreUsers
from tripletrec.rates import Schedule
from tripletrec.sampling import Sampler
from tripletrec.training.plan import NetworkPlan, Plan

if TYPE_CHECKING:
    from tripletrec.models.checkpoints import CheckpointPath
    from tripletrec.models.fit_arguments import Callback
    from tripletrec.training.fold_in import FoldIn

__all__ = ["MLPMatcher"]


class MLPMatcher(TrainedNetwork):
    r"""Perceptron on the concatenated factors of user and item, learnt from triplets.

    The score of user u and item i is :math:`s_{ui} = w^\top h_n + b` with :math:`h_0 = [U_u, V_i]` and
    :math:`h_k = \max(0, W_k^\top h_{k-1} + b_k)`. The perceptron is the same for positives and
    negatives, and training takes a step for each batch of triplets, down the gradient of

    .. math:: L(s_{ui} - s_{uj}) + \tfrac12 (\lambda_u |U_u|^2 + \lambda_i (|V_i|^2 + |V_j|^2)).

    To score a catalogue the first layer is split, :math:`W_1^\top [U_u, V_i] = A^\top U_u + B^\top V_i`, so
    that each half is computed only once for a user or an item.

    Parameters
    ----------
    n_user_factors, n_item_factors : int, default 64
        Lengths of the rows of users and of items.
    hidden : sequence of int, default (128,)
        Widths of the hidden layers; may be empty.
    dropout : float, default 0.1
        Share of the inputs of every dense layer that are set to zero while training, in [0, 1).
    final_relu : bool, default False
        Whether negative scores become 0, as in the reference system K5.
    loss : {"bpr", "sigmoid", "hinge"} or Loss, default "bpr"
        See `tripletrec.losses`.
    optimizer : {"adagrad", "adam", "sgd"} or Optimizer, default "sgd"
        See `tripletrec.optimizers`. A step updates only the factors that occur in its batch.
    sampler : str or Sampler or None, default None
        Any of `tripletrec.sampling` but "graded" and "nearest". None: the hardest of some items,
        ``dynamic(4)`` to ``dynamic(6)``, the more the more items there are.
    learning_rate : float or None, default None
        Step size. None: 0.15 with "sgd" (with the loss "hinge" 0.08, "sigmoid" 0.5) or an optimizer of your
        own, 0.07 with "adagrad", 0.002 with "adam".
    n_epochs : int or None, default None
        Passes over the positives. None: 6 to 60, the fewer the less neighbours of a user tell beyond
        popularity (`get_params` keeps None; ``len(model.history_)`` is the number).
    batch_size : int, default 128
        Triplets per step.
    n_negatives : int, default 1
        Negatives for each positive and epoch.
    user_l2, item_l2 : float, default 0.01
        L2 of the factors, for each triplet that contains them.
    l2 : float, default 0.0
        L2 of the perceptron's weights, at every step.
    init_scale : float, default 0.1
        Factors start uniformly from -init_scale to init_scale.
    schedule : {"constant", "linear", "cosine"} or Schedule, default "linear"
        How the learning rate changes from the first step to the last; see `tripletrec.rates`.
    early_stopping : int or None, default None
        With `validation` data: stop after this many epochs without a better `validation_metric` and keep
        the best epoch. None: run all epochs and keep the last.
    validation_metric : str, default "auc"
        A column of `tripletrec.evaluate`, such as "ndcg@10".
    validate_every, validation_users : int or None, and int, "all" or None, default None
        See `MatrixFactorization`.
    n_jobs : int or None, default None
        Threads for evaluation and ranking; training uses one. Never changes a result.
    random_state : int, RandomState, Generator or None, default 0
        Source of all randomness; None: different in every fit.
    verbose : int, default 0
        1: a progress bar on standard error.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, n_user_factors)
    item_factors_ : float32 array of shape (n_items, n_item_factors)
    weights_ : float32 array of shape (n_weights,)
        Weights and biases of the dense layers, in order: for each layer the rows of W, then b.
    layer_widths_ : list of int
        Widths of the layers, input and output included.
    history_ : list of dict
        For each epoch: "epoch" (from 1), "loss" (mean over the triplets, before each batch's step),
        "train_auc" (share of the triplets whose positive scored higher), "n_triplets", "n_skipped",
        "seconds", and "validation_<metric>".
    best_epoch_ : int
        The epoch that was kept.
    item_counts_ : int64 array of shape (n_items,)
        How many positives each item had in training.
    temperature_ : float or None
        None: no loss is list-wise here.
    seen_ : Interactions or None
        What it was trained on, not a copy. None if it was loaded from a file that does not say it.
    n_users_, n_items_, n_features_in_ : int
        ``n_features_in_`` is the number of items.
    user_ids_, item_ids_ : array or None
        Ids of the training data; None where they are the row numbers.

    Raises
    ------
    TypeError, ValueError
        In `fit`, if a parameter or the data is not allowed; a fitted model stays as it was.
    FloatingPointError
        In `fit`, if training diverges: a loss or factors beyond all sense; a fitted model stays as it was.

    References
    ----------
    .. [1] He, Liao, Zhang, Nie, Hu, Chua. "Neural collaborative filtering", WWW 2017, section 3.3.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MLPMatcher(hidden=(32,), n_epochs=5).fit(train)
    >>> model.score(test) > 0.6
    True
    """

    _learnt = ("user_factors_", "item_factors_", "weights_", "layer_widths_")

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    weights_: NDArray[np.float32]
    layer_widths_: list[int]

    def __init__(
        self,
        n_user_factors: int = 64,
        n_item_factors: int = 64,
        hidden: Sequence[int] = (128,),
        *,
        dropout: float = 0.1,
        final_relu: bool = False,
        loss: TripletLossName | Loss = "bpr",
        optimizer: OptimizerName | Optimizer = "sgd",
        sampler: SamplerName | Sampler | None = None,
        learning_rate: float | None = None,
        n_epochs: int | None = None,
        batch_size: int = 128,
        n_negatives: int = 1,
        user_l2: float = 0.01,
        item_l2: float = 0.01,
        l2: float = 0.0,
        init_scale: float = 0.1,
        schedule: ScheduleName | Schedule = "linear",
        early_stopping: int | None = None,
        validation_metric: str = "auc",
        validate_every: int | None = None,
        validation_users: int | Literal["all"] | None = None,
        n_jobs: int | None = None,
        random_state: Seed = 0,
        verbose: int = 0,
    ) -> None:
        self.n_user_factors = n_user_factors
        self.n_item_factors = n_item_factors
        self.hidden = hidden
        self.dropout = dropout
        self.final_relu = final_relu
        self.loss = loss
        self.optimizer = optimizer
        self.sampler = sampler
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.n_negatives = n_negatives
        self.user_l2 = user_l2
        self.item_l2 = item_l2
        self.l2 = l2
        self.init_scale = init_scale
        self.schedule = schedule
        self.early_stopping = early_stopping
        self.validation_metric = validation_metric
        self.validate_every = validate_every
        self.validation_users = validation_users
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Any = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        sample_weight: Any = None,
        negatives: Any = None,
        checkpoint: CheckpointPath | None = None,
    ) -> Self:
        """Learn factors and perceptron from scratch.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            The positives: every value other than 0.
        y : as `X`, or what scikit-learn gives, default None
            The validation data, as `validation`; None and scikit-learn's 1-D y have no effect.
        validation : as `X`, default None
            Held-out positives; `validation_metric` is computed on them as often as `validate_every`
            says.
        callbacks : callable or sequence of callables, default None
            Each is called as ``callback(model, record)`` after every epoch; returning True ends
            training. See `MatrixFactorization.fit`.
        sample_weight : array of shape (nnz,), sparse matrix, "values" or "users", default None
            Weight of each positive, >= 0; see `MatrixFactorization.fit`.
        negatives : as `X`, default None
            Known negatives, such as dislikes; see `MatrixFactorization.fit`.
        checkpoint : path-like or (path-like, float), default None
            File for what is learnt so far, written after every epoch or, of a pair, once so many seconds have
            passed. If a fit of the same model and data has left one, this fit goes on from there and learns
            the same bits. See `MatrixFactorization.fit`.

        Returns
        -------
        MLPMatcher
            The model itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data is not allowed.
        FloatingPointError
            If training diverges.
        KeyboardInterrupt
            After Ctrl-C, at the end of the epoch under way: the model is then fitted with that epoch or,
            with early stopping, with the best one. A second Ctrl-C cancels the epoch under way; without
            early stopping the model then stays as it was.
        """
        return self._fit(X, y, validation, callbacks, sample_weight, negatives, checkpoint)

    def _plan_with(self, seed: int, loss: Loss | ListLoss) -> NetworkPlan:
        if isinstance(loss, ListLoss):
            raise ValueError(f"loss of MLPMatcher must be a loss of triplets, got {loss.name!r}")
        plan = super()._plan_with(seed, loss)
        if plan.sampler.by_features:
            raise ValueError("sampler 'nearest' needs item features, which TwoTower has")
        return plan

    def _plan_for(
        self, plan: NetworkPlan, data: Interactions, given: Interactions | None
    ) -> NetworkPlan:
        return replace(plan, **self._by_data(data))

    def _later_plan(
        self, plan: NetworkPlan, data: Interactions, given: Interactions | None
    ) -> NetworkPlan:
        return (
            plan if self.sampler is not None else replace(plan, sampler=mlp_sampler(data.n_items))
        )

    def _late_rate(self, plan: Plan) -> float:
        return LATE_SHARE * plan.learning_rate

    def _chosen(self, name: str, loss: Loss | ListLoss) -> Any:
        value = super()._chosen(name, loss)
        if value is not None:
            return value
        if name == "learning_rate":
            optimizer: Any = self.optimizer
            return mlp_rate(loss, check_optimizer(optimizer))
        if name == "sampler" and "n_items_" in vars(self):
            return mlp_sampler(self.n_items_)
        return BY_DATA.get(name)

    def _by_data(self, data: Interactions) -> dict[str, Any]:
        """Return what goes by the data where it is None."""
        found: dict[str, Any] = {}
        if self.n_epochs is None:
            found["n_epochs"] = epochs_of(data)
        if self.sampler is None:
            found["sampler"] = mlp_sampler(data.n_items)
        return found

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        found = super()._settled_params(X, **fit_params)
        data = self._seen if X is None else read_learnt_from(X, **fit_params)[0]
        if data is not None:
            found |= self._by_data(data)
        elif self.n_epochs is None and "history_" in vars(self):  # from a file without its data
            found["n_epochs"] = len(self.history_)
        return found

    def _start(
        self,
        plan: NetworkPlan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        **features: Any,
    ) -> Start:
        hidden = check_widths(self.hidden, "hidden")
        first, *drops = split_seed(plan.seed, 3 + len(hidden))
        rng = np.random.default_rng(first)
        users, items = (
            FeatureEmbedding(
                uniform(rng, (n_rows, check_count(getattr(self, name), name)), plan.init_scale),
                identity(n_rows, np.float32, format="csr"),
            )
            for n_rows, name in (
                (data.n_users, "n_user_factors"),
                (data.n_items, "n_item_factors"),
            )
        )
        # Nothing is learnt of a user without positives: what the perceptron makes of items alone ranks them.
        users.table[np.diff(data.indptr) == 0] = 0.0
        trunk = self._trunk([users.width + items.width, *hidden, 1], rng, drops)
        loss: Any = plan.loss  # of triplets, see `_plan_with`
        network = PairPerceptron(users, items, trunk, loss, mean=False)
        arrays = (users.table, items.table, trunk.flat[0])
        return Start(NetworkTripletTraining(plan, network, data, weights, given, lambda: arrays))

    def _epoch_scores(self, plan: NetworkPlan, data: Interactions) -> float:
        return 40.0 * plan.n_negatives * data.nnz  # passes through the perceptron cost much

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_count(self.n_user_factors, "n_user_factors")
        check_count(self.n_item_factors, "n_item_factors")
        check_widths(self.hidden, "hidden")
        check_flag(self.final_relu, "final_relu")

    def _trunk(
        self, widths: Sequence[int], rng: np.random.Generator | None, seeds: Sequence[int] = ()
    ) -> Stack:
        """Return the perceptron: untrained, or without `rng` with zeros for weights."""
        layers = self._dense_layers(widths, ReLU, rng, seeds)
        if check_flag(self.final_relu, "final_relu"):
            layers.append(ReLU())
        return Stack(layers)

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        self.user_factors_, self.item_factors_, self.weights_ = arrays
        inputs = self.user_factors_.shape[1] + self.item_factors_.shape[1]
        self.layer_widths_ = [inputs, *check_widths(self.hidden, "hidden"), 1]

    def _learnt_parameters(self) -> tuple[NDArray[np.float32], ...]:
        return self.user_factors_, self.item_factors_, self.weights_[None]

    def _training_parameters(self, data: Interactions) -> tuple[NDArray[np.float32], ...]:
        users, *others = self._learnt_parameters()
        new, items = self._new_histories(data)
        if len(new):
            users = self._begin_users(users, data.n_users, new, items)
        return users, *others

    def _is_cosine(self, plan: Any = None) -> bool:
        return False

    def _fold_in_basis(self) -> tuple[Any, ...]:
        plan = self._plan_with(0, self._last_loss())
        return (
            plan, self.user_factors_.shape[1], *self.layer_widths_, bool(self.final_relu),
            self.item_factors_, self.item_counts_, self.weights_,
        )  # fmt: skip

    def _start_fold_in(self, *basis: Any) -> FoldIn:
        from tripletrec.neural.fold_in import PerceptronFoldIn  # here, because most do without

        plan, n_factors, *_ = basis
        alone = type(self)(**self.get_params())  # what is kept for the model must not hold it
        alone.weights_, alone.layer_widths_ = self.weights_, self.layer_widths_
        terms, counts = self._item_terms(), self._item_counts()
        return PerceptronFoldIn(plan, alone._perceptron, n_factors, terms, counts)

    def _scores_of(self, rows: NDArray[np.float32]) -> CatalogueScores:
        return CatalogueScores(self._perceptron(), rows, self._item_terms())

    def _item_terms(self) -> NDArray[np.float32]:
        """Return what the first layer makes of the items, computed once."""
        items, weights = self.item_factors_, self.weights_

        def make() -> NDArray[np.float32]:
            for each in (items, weights):
                freeze(each)
            return item_terms(perceptron, items)

        perceptron = self._perceptron()
        return self._once("item terms", (items, weights, tuple(self.layer_widths_)), make)

    def _with_rows(self, rows: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {"user_factors_": np.concatenate([self.user_factors_, rows])}

    def _perceptron(self) -> Stack:
        stack = self._trunk(self.layer_widths_, None)
        stack.flat[0] = self.weights_
        return stack

    def _score_function(self) -> ScoreUsers:
        return self._scores_of(self.user_factors_)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        widths = self.layer_widths_
        n_weights = count_weights(widths, "layer_widths_")
        n_user_factors = width_of(self.user_factors_, "user_factors_")
        n_item_factors = width_of(self.item_factors_, "item_factors_")
        if len(widths) < 2 or widths[-1] != 1 or widths[0] != n_user_factors + n_item_factors:
            raise ValueError(
                f"layer_widths_ must be two widths or more, from {n_user_factors + n_item_factors} "
                f"(all factors) to 1, got {widths}"
            )
        return {
            "user_factors_": (self.n_users_, n_user_factors),
            "item_factors_": (self.n_items_, n_item_factors),
            "weights_": (n_weights,),
        }
