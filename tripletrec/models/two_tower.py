"""TwoTower: a tower of layers for users, one for items, on features and own factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from tripletrec._checks import check_count, check_flag, check_positive
from tripletrec.data.features import align, encode, groups_of, learn_encoding
from tripletrec.data.interactions import Interactions
from tripletrec.losses import ListLoss, Loss
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.fit_arguments import check_dropout, check_widths, split_seed
from tripletrec.models.recommender import _present
from tripletrec.models.trained import TrainedModel
from tripletrec.neural.features import FeatureEmbedding
from tripletrec.neural.fit import NetworkTraining
from tripletrec.neural.layers import Dense, Dropout, Layer, Normalize, ReLU
from tripletrec.neural.listwise import ListwiseTowers, NetworkListwiseTraining
from tripletrec.neural.nearest import nearest_negatives
from tripletrec.neural.networks import Towers
from tripletrec.neural.stack import Stack
from tripletrec.neural.triplet import NetworkTripletTraining
from tripletrec.optimizers import Optimizer
from tripletrec.ranking.scores import ScoreUsers, factor_scores
from tripletrec.ranking.top_k import top_k
from tripletrec.rates import Schedule
from tripletrec.sampling import Sampler
from tripletrec.training.plan import NetworkPlan

__all__ = ["TwoTower"]

_ROWS = 1 << 13  # through a tower at once
_ACTIVATIONS = {"relu": ReLU, "linear": None}
_COMBINATIONS = ("sum", "concatenation")
_NOTHING: dict[str, Any] = {"kind": "matrix", "n_columns": 0}


class _Side(NamedTuple):
    """What users, or items, are to a network: rows of features, and how they were encoded."""

    matrix: csr_matrix
    groups: NDArray[np.int64] | None
    encoding: dict[str, Any]


class TwoTower(TrainedModel):
    r"""Two towers that turn users and items into vectors, learnt from triplets.

    The score of user u and item i is :math:`s_{ui} = f(x_u) \cdot g(y_i)`. The input of a tower is made of
    the factors of the features that a user or an item has, and of factors of its own; then come
    dense layers. Users and items that training has not seen are scored by their features alone.

    Parameters
    ----------
    n_factors : int, default 64
        Length of the factors of each feature, and of a user's and an item's own.
    user_layers, item_layers : sequence of int, default ()
        Widths of the dense layers of each tower. The last of both must be equal; without layers a
        tower gives the sum of the factors itself.
    own_factors : bool, default True
        Whether each user and item also has factors of its own. Without, features are all there is.
    combine : {"sum", "concatenation"}, default "sum"
        Whether the factors of all features are added up, or those of each column of a DataFrame (all
        columns of numbers together) have a place of their own in the input of a tower.
    activation : {"relu", "linear"}, default "relu"
        Between dense layers; there is none after the last.
    normalize : bool, default False
        Whether the vectors have length 1, so that scores are cosines.
    dropout : float, default 0.0
        Share of the inputs of every dense layer that is zeroed while training, in [0, 1).
    loss : {"bpr", "sigmoid", "hinge", "softmax", "bsl", "ccl"}, Loss or ListLoss, default "bpr"
        See `tripletrec.losses`, and `tripletrec.losses.listwise` for the last three.
    optimizer : {"adagrad", "adam", "sgd"} or Optimizer, default "adagrad"
        See `tripletrec.optimizers`. Only factors that a batch meets are moved.
    sampler : str or Sampler, default "unseen"
        Any of `tripletrec.sampling`, hard ones included. Negatives are drawn among the items that have
        an interaction.
    learning_rate : float, default 0.1
        Step size.
    n_epochs : int, default 20
        Passes over the positives.
    batch_size : int, default 64
        Triplets per step; with a list-wise loss positives per step.
    n_negatives : int or None, default None
        Negatives for each positive and epoch; None: 1. With a list-wise loss: items drawn for each batch,
        besides its own items, at most as many as have a positive; None: 0.
    user_l2, item_l2 : float, default 0.02 and 0.01
        L2 of the factors, for each triplet that meets them; with a list-wise loss for each positive.
    l2 : float, default 0.0
        L2 of the weights of the dense layers, at every step.
    init_scale : float, default 0.05
        Factors start uniformly from -init_scale to init_scale.
    schedule : {"constant", "linear", "cosine"} or Schedule, default "constant"
        How the learning rate goes from the first step to the last; see `tripletrec.rates`.
    early_stopping : int or None, default None
        With `validation` data: stop after so many epochs without a better `validation_metric`, and keep
        the best epoch. None: run all epochs and keep the last.
    validation_metric : str, default "auc"
        A column of `tripletrec.evaluate`, such as "ndcg@10".
    n_jobs : int or None, default None
        Threads of evaluation and ranking; training runs on one. Never changes a result.
    random_state : int, RandomState, Generator or None, default 0
        Where all randomness comes from; None: another one in every fit.
    verbose : int, default 0
        1: a progress bar on standard error.

    Attributes
    ----------
    user_factors_, item_factors_ : float32 arrays of shape (n_users, n_outputs), (n_items, n_outputs)
        What the towers give.
    user_table_, item_table_ : float32 arrays of shape (n_columns, n_factors)
        Factors of the columns of the encoded features, then own factors.
    user_weights_, item_weights_ : float32 arrays of shape (n_weights,)
        Weights and biases of the dense layers, one after the other.
    user_widths_, item_widths_ : list of int
        Widths of each tower's input and layers.
    user_encoding_, item_encoding_ : dict
        How features become numbers, see `tripletrec.data.features`.
    history_ : list of dict
        As of `MLPMatcher`.
    best_epoch_ : int
        The epoch that was kept.
    n_users_, n_items_, n_features_in_ : int
        ``n_features_in_`` is the number of items.
    user_ids_, item_ids_ : array or None
        Ids of the training data; None where they are the row numbers.

    Raises
    ------
    TypeError, ValueError
        In `fit`, if a parameter or the data is not allowed; a fitted model stays as it was.
    FloatingPointError
        In `fit`, if training diverges; likewise.

    Notes
    -----
    With a list-wise loss the items of a batch are candidates for all of its users, corrected for how often
    each comes into a batch, see `tripletrec.neural.listwise`. It wants `normalize`, hardly any L2 and
    small steps; large batches are faster::

        TwoTower(loss="softmax", normalize=True, batch_size=512, learning_rate=0.02, user_l2=0, item_l2=0)

    On validation data cut from the training part of MovieLens-100K (features and own factors, 10 epochs, mean
    of three cuts) that has NDCG@10 and AUC .190 and .923, with 512 further items drawn for each batch .180
    and .918, "bpr" with the defaults .159 and .911 and with four negatives .175 and .912.

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
    >>> model.score(data) > 0.6
    True
    >>> new = pd.DataFrame({"kind": ["b", "c"], "price": [5, 7]})
    >>> model.encode_items(new).shape
    (2, 16)
    """

    user_factors_: NDArray[np.float32]
    item_factors_: NDArray[np.float32]
    history_: list[dict[str, Any]]

    def __init__(
        self,
        n_factors: int = 64,
        *,
        user_layers: Sequence[int] = (),
        item_layers: Sequence[int] = (),
        own_factors: bool = True,
        combine: str = "sum",
        activation: str = "relu",
        normalize: bool = False,
        dropout: float = 0.0,
        loss: str | Loss | ListLoss = "bpr",
        optimizer: str | Optimizer = "adagrad",
        sampler: str | Sampler = "unseen",
        learning_rate: float = 0.1,
        n_epochs: int = 20,
        batch_size: int = 64,
        n_negatives: int | None = None,
        user_l2: float = 0.02,
        item_l2: float = 0.01,
        l2: float = 0.0,
        init_scale: float = 0.05,
        schedule: str | Schedule = "constant",
        early_stopping: int | None = None,
        validation_metric: str = "auc",
        n_jobs: int | None = None,
        random_state: Any = 0,
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
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: None = None,
        *,
        user_features: Any = None,
        item_features: Any = None,
        validation: Any = None,
        callbacks: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
        sample_weight: Any = None,
        negatives: Any = None,
    ) -> TwoTower:
        """Learn factors and towers from scratch.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            The positives: every value other than 0.
        y : None
            Not used; there for scikit-learn.
        user_features, item_features : DataFrame, sparse matrix or array, default None
            A DataFrame is looked up by its index, which holds the ids of `X` (or row numbers);
            columns of strings, categories, lists, booleans and numbers are recognised, see
            `tripletrec.data.features`. A matrix has one row for each user or item and is taken as it is.
        validation : as `X`, default None
            Held-out positives; `validation_metric` is computed on them after every epoch.
        callbacks : callable or sequence of callables, default None
            Each is called as ``callback(model, record)`` after every epoch; True as answer ends
            training. See `MatrixFactorization.fit`.
        sample_weight : array of shape (nnz,), sparse matrix or "values", default None
            Weight of each positive, >= 0; see `MatrixFactorization.fit`.
        negatives : as `X`, default None
            Known negatives, such as dislikes; see `MatrixFactorization.fit`.

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
            After Ctrl-C, once the epoch under way is finished: the model is then fitted with that one,
            with early stopping with the best one. A second Ctrl-C gives that epoch up;
            without early stopping the model then stays as it was.
        """
        # Encodings become part of the model together with what is learnt from them, or not at all.
        learnt: dict[str, Any] = {}
        start = partial(self._start_with, user_features, item_features, learnt)
        self._learnt = learnt
        try:
            return self._fit(X, validation, callbacks, sample_weight, negatives, start)
        finally:
            del self._learnt

    def _start_with(
        self,
        user_features: Any,
        item_features: Any,
        learnt: dict[str, Any],
        plan: NetworkPlan,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        given: Interactions | None,
    ) -> NetworkTraining:
        seeds = split_seed(plan.seed, 3)
        rng = np.random.default_rng(seeds[0])
        used = [
            np.bincount(rows, minlength=n) > 0
            for rows, n in ((data.rows, data.n_users), (data.indices, data.n_items))
        ]
        sides, layers, stacks = [], [], []
        for n, (features, ids, word) in enumerate(
            ((user_features, data.user_ids, "user"), (item_features, data.item_ids, "item"))
        ):
            side = self._side(features, ids, used[n], f"{word}_features")
            table = self._start_table(rng, side.matrix.shape[1])
            layers.append(FeatureEmbedding(table, side.matrix, side.groups))
            widths = [
                layers[n].width,
                *check_widths(getattr(self, f"{word}_layers"), f"{word}_layers"),
            ]
            stacks.append(self._tower(widths, rng, seeds[1 + n]))
            learnt |= {f"{word}_encoding_": side.encoding, f"{word}_widths_": widths}
            sides.append(side)
        if learnt["user_widths_"][-1] != learnt["item_widths_"][-1]:
            raise ValueError(
                "user_layers and item_layers must end in the same width, got "
                f"{learnt['user_widths_'][-1]} and {learnt['item_widths_'][-1]}"
            )
        if isinstance(plan.loss, ListLoss):
            return self._listwise_training(plan, plan.loss, data, weights, layers, stacks)
        network = Towers(layers[0], layers[1], stacks[0], stacks[1], plan.loss, mean=False)
        nearest = None
        if plan.sampler.rule == "nearest":
            nearest = self._nearest(sides[1], data, given)
        return NetworkTripletTraining(
            plan, network, data, weights, given, partial(_fitted_arrays, network),
            items=np.flatnonzero(used[1]), nearest=nearest,
        )  # fmt: skip

    def _listwise_training(
        self,
        plan: NetworkPlan,
        loss: ListLoss,
        data: Interactions,
        weights: NDArray[np.float32] | None,
        layers: Sequence[FeatureEmbedding],
        stacks: Sequence[Stack],
    ) -> NetworkListwiseTraining:
        n_each = data.nnz / len(np.unique(data.rows))
        temperature = loss.temperature_for(self.normalize, data.n_items, n_each)
        network = ListwiseTowers(
            layers[0], layers[1], stacks[0], stacks[1], loss, temperature, data, plan.sampler
        )
        n_items = len(network.candidates.items)
        if plan.n_negatives > n_items:
            raise ValueError(
                f"n_negatives must be at most the number of items with a positive ({n_items}) with "
                f"loss {loss.name!r}, got {plan.n_negatives}"
            )
        return NetworkListwiseTraining(
            plan, network, data, weights, partial(_fitted_arrays, network)
        )

    def _n_negatives(self, loss: Loss | ListLoss) -> int:
        least = 0 if isinstance(loss, ListLoss) else 1
        return (
            least
            if self.n_negatives is None
            else check_count(self.n_negatives, "n_negatives", least)
        )

    def _side(
        self, features: Any, ids: NDArray[Any] | None, used: NDArray[np.bool_], name: str
    ) -> _Side:
        """Encode the features of users or items, and add a constant and own factors."""
        own = check_flag(self.own_factors, "own_factors")
        if features is None and not own:
            raise ValueError(f"own_factors=False needs features: fit(X, {name}=...)")
        if self.combine not in _COMBINATIONS:
            raise ValueError(f"combine must be one of {_COMBINATIONS}, got {self.combine!r}")
        n = len(used)
        encoding, matrix = _NOTHING, csr_matrix((n, 0), dtype=np.float32)
        if features is not None:
            aligned = align(features, ids, used, name)
            encoding = learn_encoding(aligned, np.flatnonzero(used), name)
            matrix = encode(encoding, aligned, name)
        parts = [matrix, csr_matrix(np.ones((n, 1), np.float32))]
        if own:
            # Who has no interaction has no own factors: they would stay as they started.
            rows = np.flatnonzero(used)
            entries = (np.ones(len(rows), np.float32), (rows, rows))
            parts.append(csr_matrix(entries, shape=(n, n)))
        return _Side(hstack(parts, "csr"), self._groups(encoding, n if own else 0), encoding)

    def _groups(self, encoding: dict[str, Any], n_own: int) -> NDArray[np.int64] | None:
        """Return the group of each column, the constant's being that of the first; None: one for all."""
        if self.combine == "sum":
            return None
        groups = groups_of(encoding)
        own = np.full(n_own, int(groups.max(initial=-1)) + 1)
        return np.concatenate([groups, [0], own])

    def _start_table(self, rng: np.random.Generator, n_columns: int) -> NDArray[np.float32]:
        limit = check_positive(self.init_scale, "init_scale")
        shape = (n_columns, check_count(self.n_factors, "n_factors"))
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    def _tower(
        self, widths: Sequence[int], rng: np.random.Generator | None, seed: int = 0
    ) -> Stack:
        """Return a tower: untrained, or without `rng` with zeros for weights."""
        if self.activation not in _ACTIVATIONS:
            known = ", ".join(map(repr, _ACTIVATIONS))
            raise ValueError(f"activation must be one of {known}, got {self.activation!r}")
        kind = _ACTIVATIONS[self.activation]
        rate = check_dropout(self.dropout) if rng is not None else 0.0
        seeds = split_seed(seed, len(widths))
        layers: list[Layer] = []
        for n, (n_inputs, n_outputs) in enumerate(zip(widths, widths[1:], strict=False)):
            if n and kind is not None:
                layers.append(kind())
            if rate > 0.0:
                layers.append(Dropout(rate, seeds[n]))
            if rng is None:
                layers.append(Dense(np.zeros((n_inputs, n_outputs), np.float32)))
            else:
                layers.append(Dense.start(rng, n_inputs, n_outputs))
        if check_flag(self.normalize, "normalize"):
            layers.append(Normalize())
        return Stack(layers)

    def _nearest(
        self, items: _Side, data: Interactions, given: Interactions | None
    ) -> NDArray[np.int32]:
        n_columns = items.encoding["n_columns"]
        if not n_columns:
            raise ValueError("sampler 'nearest' needs features: fit(X, item_features=...)")
        return nearest_negatives(data, items.matrix[:, :n_columns], given)

    def _set_factors(self, arrays: tuple[NDArray[Any], ...]) -> None:
        self.user_factors_, self.item_factors_ = arrays[:2]
        self.user_table_, self.item_table_, self.user_weights_, self.item_weights_ = arrays[2:]
        for name, value in self.__dict__.get("_learnt", {}).items():
            setattr(self, name, value)

    def encode_users(self, features: Any) -> NDArray[np.float32]:
        """Return the vectors of users that training has not seen, from their features alone.

        Parameters
        ----------
        features : as `user_features` of `fit`
            Any number of rows; a DataFrame needs the columns that `fit` saw.

        Returns
        -------
        float32 array of shape (n, n_outputs)
            Their scores with all items are ``vectors @ model.item_factors_.T``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If a column is missing, or the features are of another kind than in `fit`.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> users = pd.DataFrame({"country": ["x", "y"] * 25})
        >>> model = tr.TwoTower(n_epochs=2).fit(data, user_features=users)
        >>> model.encode_users(pd.DataFrame({"country": ["y", "unheard of"]})).shape
        (2, 64)
        """
        return self._encode("user", features)

    def encode_items(self, features: Any) -> NDArray[np.float32]:
        """Return the vectors of items that training has not seen; see `encode_users`.

        Parameters
        ----------
        features : as `item_features` of `fit`

        Returns
        -------
        float32 array of shape (n, n_outputs)
        """
        return self._encode("item", features)

    def recommend_unseen(
        self, user_features: Any, k: int = 10, *, candidates: Any = None
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the best items for users that training has not seen.

        Parameters
        ----------
        user_features : as in `fit`
            One row for each of the n users.
        k : int, default 10
        candidates : sequence of item ids, default None
            The only items to choose from; None: all.

        Returns
        -------
        ids : array of shape (n, k)
        scores : float32 array of shape (n, k)
            As of `recommend`.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            As of `encode_users` and `recommend`.

        Examples
        --------
        >>> import pandas as pd, tripletrec as tr
        >>> data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
        >>> users = pd.DataFrame({"country": ["x", "y"] * 25})
        >>> model = tr.TwoTower(n_epochs=2).fit(data, user_features=users)
        >>> model.recommend_unseen(pd.DataFrame({"country": ["y"]}), k=3)[0].shape
        (1, 3)
        """
        vectors = self.encode_users(user_features)
        chosen = None if candidates is None else self._items().rows(candidates)
        items, scores = top_k(
            factor_scores(vectors, self.item_factors_),
            np.arange(len(vectors)),
            self.n_items_,
            min(check_count(k, "k"), self.n_items_),
            candidates=chosen,
            n_jobs=self.n_jobs,
        )
        return _present(items, scores, self.item_ids_, single=False)

    def _encode(self, word: str, features: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        encoding, table = getattr(self, f"{word}_encoding_"), getattr(self, f"{word}_table_")
        if not encoding["n_columns"]:
            raise ValueError(f"the model was fitted without {word}_features")
        matrix = encode(encoding, features, f"{word}_features")
        constant = csr_matrix(np.ones((matrix.shape[0], 1), np.float32))
        known = matrix.shape[1] + 1
        n_own = len(table) - known
        groups = self._groups(encoding, n_own)
        rows = hstack([matrix, constant, csr_matrix((matrix.shape[0], n_own))], "csr")
        layer = FeatureEmbedding(table, rows, groups)
        tower = self._tower(getattr(self, f"{word}_widths_"), None)
        tower.flat[0] = getattr(self, f"{word}_weights_")
        return _through(layer, tower, matrix.shape[0])

    def _score_function(self) -> ScoreUsers:
        return factor_scores(self.user_factors_, self.item_factors_)

    def _score_pairs(
        self, users: NDArray[np.int64], items: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = np.einsum(
            "nk,nk->n", self.user_factors_[users], self.item_factors_[items]
        )
        return scores

    def _user_rows(self) -> NDArray[np.float32]:
        return self.user_factors_

    def _item_rows(self) -> NDArray[np.float32]:
        return self.item_factors_

    def _check_loaded(self) -> None:
        for word, n in (("user", self.n_users_), ("item", self.n_items_)):
            widths = getattr(self, f"{word}_widths_")
            if not all(isinstance(each, int) and each > 0 for each in widths) or not widths:
                raise ValueError(f"{word}_widths_ must be integers >= 1, got {widths}")
            n_weights = sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))
            table = getattr(self, f"{word}_table_")
            self._check_arrays(
                {
                    f"{word}_factors_": (n, self.user_factors_.shape[-1]),
                    f"{word}_weights_": (n_weights,),
                    f"{word}_table_": table.shape[:1] + table.shape[-1:],
                }
            )
            encoding = getattr(self, f"{word}_encoding_")
            if not isinstance(encoding["n_columns"], int) or encoding["n_columns"] < 0:
                raise ValueError(f"{word}_encoding_ must know its n_columns, got {encoding}")
        self._users(), self._items()  # checks the ids


def _through(layer: FeatureEmbedding, tower: Stack, n_rows: int) -> NDArray[np.float32]:
    """Return what a tower gives for all rows, block by block."""
    blocks = [
        tower.infer(layer.forward(np.arange(first, min(first + _ROWS, n_rows))))
        for first in range(0, max(n_rows, 1), _ROWS)
    ]
    return np.concatenate(blocks)


def _fitted_arrays(network: Towers) -> tuple[NDArray[Any], ...]:
    users, items = network.users, network.items
    return (
        _through(users, network.user_tower, users.n_rows),
        _through(items, network.item_tower, items.n_rows),
        users.table,
        items.table,
        network.user_tower.flat[0],
        network.item_tower.flat[0],
    )
