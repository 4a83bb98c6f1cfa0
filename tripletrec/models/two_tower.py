"""TwoTower: parameters, towers, scores; users and items never seen are in `unseen`, features in `towers`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_flag
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.models.fit_arguments import (
    check_widths,
)
from tripletrec.models.known_features import ContinuedTowers, features_of
from tripletrec.models.names import FeatureSamplerName, LossName, OptimizerName, ScheduleName
from tripletrec.models.towers import (
    LEARNT,
    Tower,
    check_towers,
    learn_columns,
    start_training,
    tower_shapes,
)
from tripletrec.models.trained import Start
from tripletrec.models.trained_network import split_seed
from tripletrec.models.unseen import Unseen
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.layers import uniform
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule
from tripletrec.sampling import Sampler
from tripletrec.training.plan import NetworkPlan

if TYPE_CHECKING:
    from tripletrec.models.checkpoints import CheckpointPath
    from tripletrec.models.fit_arguments import Callback

__all__ = ["TwoTower"]


class TwoTower(ContinuedTowers, Unseen):
    r"""Two towers that turn users and items into vectors, learnt from lists or triplets.

    The score of user u and item i is :math:`s_{ui} = f(x_u) \cdot g(y_i) + b_i`. The input of a tower
    consists of the factors of the features that a user or an item has, and of factors of its own; dense
    layers follow. Biases are learnt by list-wise losses; others have none. Users and items that training has
    not seen are scored by their features alone, users also by what they have done since (`recommend_history`,
    and `histories` of `recommend_unseen`).

    Parameters that are None are chosen by the loss: the first default is that of list-wise losses such as
    "softmax", the second that of the losses of triplets.

    Parameters
    ----------
    n_factors : int, default 64
        Length of the factors of each feature, and of a user's and an item's own.
    user_layers, item_layers : sequence of int, default ()
        Widths of the dense layers of each tower. Both must end in the same width; without layers a
        tower returns its input.
    own_factors : bool, default True
        Whether each user and item also has factors of its own. False: features are the only input.
    combine : {"sum", "concatenation"}, default "sum"
        Whether the factors of all features are added up, or those of the columns of a DataFrame
        concatenated (all columns of numbers count as one).
    activation : {"relu", "linear"}, default "relu"
        Activation between dense layers; there is none after the last.
    normalize : bool or None, default True or False, by loss
        Whether the vectors have length 1, so that scores are cosines.
    dropout : float, default 0.0
        Share of the inputs of every dense layer that are set to zero while training, in [0, 1).
    history : float or None, default 0.5 or 0, by loss
        Share a of the history in a user, in [0, 1]; for list-wise losses only. A user is then the mix
        :math:`(1 - a)` times what the user tower gives plus :math:`a` times the mean of the vectors of the
        user's training items (with `normalize` both are scaled to length 1, and so is the mix). Users whom
        training has not seen are mixed with what they have done, for which nothing has to be learnt.
    history_dropout : float, default 0.0
        Share of the items that are left out of a user's history each time the user is learnt from, in
        [0, 1). Those that the user is to be learnt from are always left out, and so are all but 1,024 or so,
        drawn anew each time, of longer histories.
    loss : {"bpr", "sigmoid", "hinge", "softmax", "bsl", "ccl"}, Loss or ListLoss, default None
        See `tripletrec.losses`, and `tripletrec.losses.listwise` for the last three. None: "softmax", which
        ranks better and learns sooner; "bpr" with a sampler that chooses negatives, such as "dynamic". Later
        epochs of `partial_fit` stay with it.
    optimizer : {"adagrad", "adam", "sgd"} or Optimizer or None, default "adagrad"
        See `tripletrec.optimizers`. A step updates only the factors that occur in its batch.
    sampler : str or Sampler, default "unseen"
        Any of `tripletrec.sampling` but "graded", hard ones included. Negatives are drawn from the items
        that have an interaction.
    learning_rate : float or None, default 0.04 or 0.1, by loss
        Step size. None: with "adam" 0.005 or 0.006. "sgd" has that of "adagrad", and ranks worse at any rate.
    n_epochs : int or None, default 2 to 24 or 20, by loss
        Passes over the positives. None: with a list-wise loss
        :math:`\frac{n_{items}}{n_{users}} \sqrt{n_{positives}} / 140`, from 2 to 24, counting users and items
        that have a positive: items of whom each has few users take long to be told apart. But from 2 to 20 at
        least where neighbours tell little that popularity does not, with a q (see the notes of
        `MatrixFactorization`) from 0.25 to 0.45, or most positives are of items that hardly anybody has.
    batch_size : int or None, default 512 or 64, by loss
        Positives per step; with a loss of triplets, triplets. None: where there are fewer than 32,768
        positives, a 64th of them instead of 512, at least 64.
    n_negatives : int or None, default None
        Items drawn for each batch in addition to its own, at most as many as have a positive; None: 0. With a
        loss of triplets: negatives for each positive and epoch; None: 1.
    user_l2, item_l2 : float or None, default 0 both, or 0.02 and 0.01, by loss
        L2 of the factors, for each positive; with a loss of triplets, for each triplet that contains them.
    l2 : float, default 0.0
        L2 of the weights of the dense layers, at every step.
    init_scale : float or None, default 0.1 or 0.05, by loss
        Factors start uniformly from -init_scale to init_scale.
    schedule : {"constant", "linear", "cosine"} or Schedule or None, default "constant"
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
    user_factors_, item_factors_ : float32 arrays of shape (n_users, n_outputs), (n_items, n_outputs)
        Outputs of the towers; those of users mixed with their `history`.
    item_biases_ : float32 array of shape (n_items,)
        What an item's score has from all users alike, learnt by list-wise losses; of others, and of items
        that training has not seen, 0.
    user_table_, item_table_ : float32 arrays of shape (n_columns, n_factors)
        Factors of the columns of the encoded features, of a constant and, last, own factors.
    user_weights_, item_weights_ : float32 arrays of shape (n_weights,)
        Weights and biases of the dense layers, one after the other.
    user_widths_, item_widths_ : list of int
        Widths of each tower's input and layers.
    user_encoding_, item_encoding_ : dict
        How features become numbers, see `tripletrec.data.features`.
    history_, best_epoch_, item_counts_, temperature_, seen_
        As of `MatrixFactorization`.
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

    Notes
    -----
    With a list-wise loss the items of a batch are candidates for all of its users, corrected for how often
    each occurs in a batch, see `tripletrec.neural.listwise` and, of histories, `tripletrec.neural.history`.
    Pairs of one user come together in batches of 64 or more, see `tripletrec.neural.pairs`.

    Where factors of features and own ones are summed, they are divided anew after training: features get what
    a ridge regression explains, so that they say the most of users and items that training has not seen; of
    known ones nothing changes. See `tripletrec.neural.explained`.

    How the defaults of list-wise losses were chosen, and what others are worth, says
    docs/choosing-measured.md.
    For items that training has not seen, ``benchmarks/cold_items.py`` has content baselines beside it.

    References
    ----------
    .. [1] Yi et al. "Sampling-bias-corrected neural modeling for large corpus item recommendations",
       RecSys 2019, section 3.
    .. [2] Kula. "Metadata embeddings for user and item cold-start recommendations", 2015: the sum of
       factors of features and own factors.

    Examples
    --------
    >>> import pandas as pd, tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> items = pd.DataFrame({"kind": ["a", "b"] * 50, "price": range(100)})
    >>> model = tr.TwoTower(n_factors=16, n_epochs=5).fit(data, item_features=items)
    >>> model.score(data, exclude=None) > 0.6
    True
    >>> new = pd.DataFrame({"kind": ["b", "c"], "price": [5, 7]})
    >>> model.encode_items(new).shape
    (2, 16)
    """

    _learnt = LEARNT
    _draws_only_used_items = True

    def __init__(
        self,
        n_factors: int = 64,
        *,
        user_layers: Sequence[int] = (),
        item_layers: Sequence[int] = (),
        own_factors: bool = True,
        combine: Literal["sum", "concatenation"] = "sum",
        activation: Literal["relu", "linear"] = "relu",
        normalize: bool | None = None,
        dropout: float = 0.0,
        history: float | None = None,
        history_dropout: float = 0.0,
        loss: LossName | Loss | ListLoss | None = None,
        optimizer: OptimizerName | Optimizer | None = None,
        sampler: FeatureSamplerName | Sampler = "unseen",
        learning_rate: float | None = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        n_negatives: int | None = None,
        user_l2: float | None = None,
        item_l2: float | None = None,
        l2: float = 0.0,
        init_scale: float | None = None,
        schedule: ScheduleName | Schedule | None = None,
        early_stopping: int | None = None,
        validation_metric: str = "auc",
        validate_every: int | None = None,
        validation_users: int | Literal["all"] | None = None,
        n_jobs: int | None = None,
        random_state: Seed = 0,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.user_layers = user_layers
        self.item_layers = item_layers
        self.own_factors = own_factors
        self.combine = combine
        self.activation = activation
        self.normalize = normalize
        self.dropout = dropout
        self.history = history
        self.history_dropout = history_dropout
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
        user_features: Any = None,
        item_features: Any = None,
        user_id: Any = None,
        item_id: Any = None,
        validation: Any = None,
        callbacks: Callback | Sequence[Callback] | None = None,
        sample_weight: Any = None,
        negatives: Any = None,
        checkpoint: CheckpointPath | None = None,
    ) -> Self:
        """Learn factors and towers from scratch.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            The positives: every value other than 0.
        y : as `X`, or what scikit-learn gives, default None
            The validation data, as `validation`; None and scikit-learn's 1-D y have no effect.
        user_features, item_features : table, sparse matrix or array, default None
            A table is a DataFrame of pandas or polars (also lazy), a pyarrow Table, a table of another
            library as of `Interactions.from_frame`, or a dict of columns.
            Columns of strings, categories, lists, texts, booleans, numbers, dates and durations are
            recognised, see `tripletrec.data.features`. A matrix has one row for each user or item and is
            used as it is.
        user_id, item_id : str, default None
            The column of the table that holds the ids of `X` (or row numbers). None: the index of a
            DataFrame of pandas, Dask or Modin holds them; any other table has none and needs the column,
            unless `X` has no ids: then it has one row for each user or item.
        validation : as `X`, default None
            Held-out positives; `validation_metric` is computed on them as often as `validate_every`
            says.
        callbacks : callable or sequence of callables, default None
            Each is called as ``callback(model, record)`` after every epoch; returning True ends
            training. See `MatrixFactorization.fit`.
        sample_weight : array of shape (nnz,), sparse matrix, "values" or "users", default None
            Weight of each positive, >= 0; see `MatrixFactorization.fit`.
        negatives : as `X`, default None
            Known negatives, such as dislikes; see `MatrixFactorization.fit`. With a list-wise loss those of
            items that have no positive are not learnt from, of which a warning tells.
        checkpoint : path-like or (path-like, float), default None
            File for what is learnt so far, written after every epoch or, of a pair, once so many seconds have
            passed. If a fit of the same model and data has left one, this fit goes on from there and learns
            the same bits. See `MatrixFactorization.fit`.

        Returns
        -------
        TwoTower
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
        return self._fit(
            X, y, validation, callbacks, sample_weight, negatives, checkpoint,
            user_features=user_features, item_features=item_features,
            user_id=user_id, item_id=item_id,
        )  # fmt: skip

    def _start(
        self,
        plan: NetworkPlan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
        **features: Any,
    ) -> Start:
        first, *seeds = split_seed(plan.seed, 3)
        rng = np.random.default_rng(first)
        users, items = (
            self._start_tower(word, plan, features, data, rng, seed)
            for word, seed in zip(("user", "item"), seeds, strict=True)
        )
        if users.widths[-1] != items.widths[-1]:
            raise ValueError(
                "user_layers and item_layers must end in the same width, got "
                f"{users.widths[-1]} and {items.widths[-1]}"
            )
        attributes: dict[str, Any] = {}
        for word, tower in (("user", users), ("item", items)):
            attributes[f"{word}_encoding_"] = tower.columns.encoding
            attributes[f"{word}_widths_"] = tower.widths
            # What `partial_fit` has to know again.
            attributes[f"_{word}_features"] = features_of(tower.columns)
        training = start_training(plan, data, weights, given, users, items, self._mix(plan))
        return Start(training, attributes)

    def _start_tower(
        self,
        word: str,
        plan: NetworkPlan,
        features: Mapping[str, Any],
        data: Interactions,
        rng: np.random.Generator,
        seed: int,
    ) -> Tower:
        """Return the untrained tower of users or of items."""
        own = check_flag(self.own_factors, "own_factors")
        given = features[f"{word}_features"], features.get(f"{word}_id")
        columns = learn_columns(*given, data, word, own=own, combine=self.combine)
        n_factors = check_count(self.n_factors, "n_factors")
        table = uniform(rng, (columns.matrix.shape[1], n_factors), plan.init_scale)
        table[columns.untold] = 0.0  # not noise of which a large number would make much
        layer = FeatureEmbedding(table, columns.matrix, columns.groups)
        sizes = f"{word}_layers"
        widths = [layer.width, *check_widths(getattr(self, sizes), sizes)]
        return Tower(columns, layer, self._stack(plan, widths, rng, seed), widths)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        plan = self._plan_with(0, self._first_loss())
        self._mix(plan)
        check_towers(self.get_params())
        self._stack(plan, [1], None)

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        self.user_factors_, self.item_factors_ = arrays[:2]
        self.user_table_, self.item_table_, self.user_weights_, self.item_weights_ = arrays[2:6]
        self.item_biases_ = arrays[6]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        users = tower_shapes("user", self.n_users_, vars(self))
        items = tower_shapes("item", self.n_items_, vars(self))
        return users | items | {"item_biases_": (self.n_items_,)}
