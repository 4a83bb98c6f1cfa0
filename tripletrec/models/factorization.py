"""MatrixFactorization: parameters and `fit`; plans are in `factor_plans`, scores in `factor_model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from tripletrec._checks import Seed, check_choice
from tripletrec.losses import ListLoss, Loss
from tripletrec.models.factor_plans import PlannedFactorModel
from tripletrec.models.names import (
    FactorLossName,
    FactorSamplerName,
    OptimizerName,
    PresetName,
    ScheduleName,
    ScorerName,
)
from tripletrec.optimizers import Optimizer
from tripletrec.rates import Schedule
from tripletrec.sampling import Sampler
from tripletrec.scorers import Scorer

if TYPE_CHECKING:
    from tripletrec.models.checkpoints import CheckpointPath
    from tripletrec.models.fit_arguments import Callback

__all__ = ["MatrixFactorization"]


class MatrixFactorization(PlannedFactorModel):
    r"""Factor model learnt from triplets of user, positive item and negative item.

    The score of user u and item i is :math:`s_{ui} = U_u \cdot V_i + b_i` (``scorer="dot"``) or the cosine
    of the two rows plus :math:`b_i`. An epoch visits every positive once (in random order), draws
    `n_negatives` negatives j for it and takes a step down the gradient of

    .. math:: L(s_{ui} - s_{uj}) + \tfrac12 (\lambda_u |U_u|^2 + \lambda_i |V_i|^2
              + \lambda_j |V_j|^2 + \lambda_b (b_i^2 + b_j^2)).

    A list-wise loss ("softmax", "bsl", "ccl") compares all positives of a user with many other items
    at once: an epoch visits the users in batches of `batch_size`, and the users of a batch share
    `n_negatives` candidates.

    Each loss brings its own scorer, optimizer, sampler, step size, L2 and so on where they are None, see the
    notes; docs/choosing.md says which loss is good for what.

    The same `random_state` gives the same bits at any `n_jobs`.

    Parameters
    ----------
    n_factors : int, default 64
        Length of a row.
    loss : str, Loss or ListLoss, default "bpr"
        "bpr", "sigmoid", "hinge", "warp", "k-os warp", "softmax", "bsl" or "ccl".
        See `tripletrec.losses`, and `tripletrec.losses.listwise` for the last three;
        ``losses.hinge(margin)`` sets the margin, ``losses.softmax(temperature)`` the temperature,
        ``losses.warp(max_sampled=...)`` how many items are tried until one violates the margin.
    scorer : {"dot", "cosine"}, Scorer or None, default None
        See `tripletrec.scorers`. Here and below None is what the loss is best trained with, see the notes;
        after `fit`, ``companions_`` says what that was.
    optimizer : {"adagrad", "adam", "sgd"}, Optimizer or None, default None
        See `tripletrec.optimizers`, also for the parameters of each.
    sampler : str, Sampler or None, default None
        "unseen", "uniform", "popularity", "explicit", "graded", "dynamic" or "semi_hard".
        See `tripletrec.sampling`; ``sampling.popularity(alpha)``, ``sampling.explicit(share)``,
        ``sampling.graded(share)``, which prefers a user's items of high value to those of low value.
        "dynamic" and "semi_hard" choose each negative among several items by their scores, with losses of
        triplets only.
        None: with a loss of triplets ``sampling.dynamic(c)``, where c goes by the data, see the notes, but
        "unseen" with WARP, which searches by itself. With a list-wise loss ``sampling.popularity(0.5)``.
    learning_rate : float or None, default None
        Step size.
    n_epochs : int or None, default None
        Passes over the positives.
    user_l2, item_l2 : float or None, default None
        L2 of the rows of users and of positive items, applied for each triplet that contains them. With a
        list-wise loss: for each positive.
    negative_l2 : float or None, default None
        L2 of the rows of negative items; with a loss of triplets None: as `item_l2`. With a list-wise loss:
        of the candidates, once for each batch.
    bias_l2 : float or None, default None
        L2 of the item biases, which are in units of the score.
    item_bias : bool, default True
        Whether each item has a learnt bias; without biases a model hardly learns popularity.
    n_negatives : int, "all" or None, default None
        Negatives for each positive and epoch; None: 1. With a list-wise loss: candidates that the users of
        a batch share, at most as many as there are items, drawn by `sampler` ("unseen" and "uniform": without
        replacement, all items with the same probability; all but "uniform" leave out each user's positives);
        "all": all items, the exact loss; None: all items, or 4,096 where there are more than 8,192.
    init_scale : float or None, default None
        Standard deviation of the normal distribution that the factors start from.
    schedule : {"constant", "linear", "cosine"}, Schedule or None, default None
        How the learning rate changes from the first epoch to the last; see `tripletrec.rates`, also for
        a warm-up, as in ``rates.cosine(warmup=0.1)``.
    batch_size : int or None, default None
        Users in a batch; None: 1/64 of all users, but at least 8 and at most 256. For list-wise losses only,
        like `dropout`.
    dropout : float, default 0.0
        Share of a user's factors that are set to zero while learning from that user, in [0, 1).
    history : float or None, default None
        Share a of the history in a user, in [0, 1]; for list-wise losses only. A user is then not only a row
        but also what it did: with the scorer "cosine" :math:`p_u = (1 - a) U_u / |U_u| + a h_u / |h_u|`,
        scaled to length one, where :math:`h_u` is the mean of the rows :math:`V_i / |V_i|` of the user's
        training items; with "dot" :math:`p_u = (1 - a) U_u + a h_u` and :math:`h_u` the mean of the
        :math:`V_i`. All learn at once. Large data need fewer epochs, and users that training has not
        seen are learnt in a few steps from their :math:`h_u` (`recommend_history`, `add_users`).
    history_dropout : float, default 0.5
        Share of the items that are left out of a user's history each time the user is learnt from, in
        [0, 1), so that no item is recommended because it is itself in the history; all remain positives.
    early_stopping : int or None, default None
        With `validation` data: stop after this many epochs without a better `validation_metric` and keep
        the factors of the best epoch. None: run all epochs and keep the last.
    validation_metric : str, default "auc"
        A column of `tripletrec.evaluate`, such as "ndcg@10". Training positives are left out of
        the ranking.
    validate_every : int or None, default None
        Epochs from one validation to the next; the last epoch is always validated. `early_stopping` counts
        epochs, and looks at those that are validated. None: 1, or so many that validation on a sample takes
        some 10 % of the time.
    validation_users : int, "all" or None, default None
        Validate on so many users, a random sample that stays the same. None: on all, unless that makes more
        than 1.6 million scores and would take more than some 10 % of an epoch's time; the sample then depends
        on the data, the parameters and the seed alone, and has 250 users or more.
    n_jobs : int or None, default None
        Largest number of threads; None: as many as pay off, -1: all cores. Data so small that sharing the
        work does not pay get one. Never changes a result.
    random_state : int, RandomState, Generator or None, default 0
        Source of all randomness; None: different in every fit.
    verbose : int, default 0
        1: a progress bar on standard error.

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, n_factors)
        With `history` the mix :math:`p_u`, before it is scaled to length one.
    item_factors_ : float32 array of shape (n_items, n_factors)
    item_biases_ : float32 array of shape (n_items,)
        Zeros without `item_bias`. Item factors and biases are read-only once the model has answered, and user
        factors once it has compared users: to change them, put a changed copy in their place.
    history_ : list of dict
        ``pd.DataFrame(model.history_)`` is a table of it. For each epoch: "epoch" (from 1), "loss" (mean over
        the triplets, before each one's step), "train_auc" (share of the triplets whose positive scored
        higher), "n_triplets", "n_skipped" (draws that found no negative), "seconds", with "warp" and
        "k-os warp" "n_violations" (triplets that led to a step, see `tripletrec.losses.warp`), and, if it was
        validated, "validation_<metric>". With a list-wise loss, "loss" is the mean over the positives, and
        "n_positives" replaces "train_auc", "n_triplets" and "n_skipped".
    best_epoch_ : int
        The epoch whose factors were kept.
    item_counts_ : int64 array of shape (n_items,)
        How many positives each item had in training.
    companions_ : dict
        What was taken for those parameters of the table in the notes that are None, and for the sampler, by
        name; with ``{**model.get_params(), **model.companions_}`` a model learns the same bits.
    temperature_ : float or None
        Of a list-wise loss; None for a loss of triplets.
    seen_ : Interactions or None
        What it was trained on, not a copy. None if it was loaded from a file that does not say it.
    n_users_, n_items_, n_features_in_ : int
        ``n_features_in_`` is the number of items.
    user_ids_, item_ids_ : array or None
        Ids of the training data; None where they are the row numbers.

    Notes
    -----
    What None stands for. A loss of one's own is trained as "bpr" is, a list-wise one as "softmax".

    ============= =========================== ============= =================== ===========================
    parameter     "bpr", own losses; "hinge"  "sigmoid"     "warp", "k-os warp" "softmax", "bsl", "ccl"
    ============= =========================== ============= =================== ===========================
    scorer        "dot"                       "dot"         "dot"               "cosine"
    optimizer     "adagrad"                   "adagrad"     adagrad(1.0)        adam(beta1=0.5, beta2=0.99)
    learning_rate 0.05 to 0.1; 0.025 to 0.05  0.065 to 0.13 0.05                0.005
    n_epochs      20 to 45                    20 to 45      10                  20 to 60
    user_l2       0.05 to 0.2                 0.01 to 0.04  0.3                 0.2
    item_l2       0.01                        0.003         0.3                 0.2
    negative_l2   as item_l2                  as item_l2    as item_l2          0.0
    bias_l2       0.0                         0.0           0.0                 0.8
    init_scale    0.02                        0.02          0.005               0.01
    history       0.0                         0.0           0.0                 0.6
    schedule      "constant"                  "constant"    "constant"          "cosine"
    ============= =========================== ============= =================== ===========================

    How many epochs goes by the density d, the share of positives among all pairs of users and items that have
    some, and by m, the mean number of positives of such an item: with losses of triplets it is
    :math:`20 \max(\min(1.5, (0.003 / d)^{2/3}), 6 / m)`, with list-wise ones
    :math:`20 \max((0.003 / d)^{2/3}, 20 / m)`, in the bounds of the table.

    Four more go by how well the data tell a user's items, the *percentile rank* r [4]_: an item of a user
    is left out, all items are ranked by the users who share others with this one, and r is the share of what
    the user does not have that stands above it; the geometric mean of 200 users, among 20,000 at most. Losses
    of triplets take the hardest of :math:`c = \sqrt{n} / (90\, r^{0.7})` negatives, at most 64, where n is
    the number of items that have some; where c is below 1.5, an easy one ("unseen"). Their learning rate is
    the least one of the table, times :math:`\sqrt{0.01 / r}` where r is below 0.01, at most twice as much,
    their L2 of users the least one times :math:`r / 0.07` where r is above 0.07, at most four times as much.
    With the scorer "cosine" a list-wise loss without a temperature, as "softmax" and "bsl" are, takes
    :math:`1.12\, d^{1/9} / \log(1/r)^{0.9}`, with an r of 0.1 at most, and at most 0.35. That is multiplied
    by :math:`q / 0.22`, from 1 to 3, where q is r over the same rank by popularity, that is with the items
    ranked by their other positives: where neighbours tell no more than that, the rest is noise. Where that
    rank is above 0.85 popularity tells nothing; then neither this nor the L2 of users is higher.

    Where the sampler is given, learning rate and L2 are the least ones; so is the L2 with another optimizer
    than "adagrad" and "adam". An optimizer that is given has a rate of its own: with losses of triplets the
    least one for "adagrad", 0.003 for "adam" ("hinge": 0.0012) and 0.05 for "sgd" ("hinge": 0.025,
    "sigmoid": 0.2, "warp" and "k-os warp": 0.005); with list-wise losses 0.005 for "adam", 0.05 for "adagrad"
    and 0.01 for "sgd".

    Raises
    ------
    TypeError, ValueError
        In `fit`, if a parameter or the data is not allowed; a fitted model stays as it was.
    FloatingPointError
        In `fit`, if training diverges: a loss or factors beyond all sense; a fitted model stays as it was.

    References
    ----------
    .. [1] Rendle, Freudenthaler, Gantner, Schmidt-Thieme. "BPR: Bayesian personalized ranking from
       implicit feedback", UAI 2009.
    .. [2] Milogradskii et al. "Revisiting BPR", RecSys 2024: item biases and an L2 for each role.
    .. [3] Kabbur, Ning, Karypis. "FISM: Factored item similarity models for top-N recommender systems",
       KDD 2013; Mao et al. "SimpleX", CIKM 2021: users as means of what they did.
    .. [4] Hu, Koren, Volinsky. "Collaborative filtering for implicit feedback datasets", ICDM 2008,
       section 6: the percentile rank.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MatrixFactorization(n_factors=16, n_epochs=20).fit(train)
    >>> model.score(test) > 0.6
    True
    >>> ids, scores = model.recommend(7, k=3)
    >>> len(ids)
    3
    """

    def __init__(
        self,
        n_factors: int = 64,
        *,
        loss: FactorLossName | Loss | ListLoss = "bpr",
        scorer: ScorerName | Scorer | None = None,
        optimizer: OptimizerName | Optimizer | None = None,
        sampler: FactorSamplerName | Sampler | None = None,
        learning_rate: float | None = None,
        n_epochs: int | None = None,
        user_l2: float | None = None,
        item_l2: float | None = None,
        negative_l2: float | None = None,
        bias_l2: float | None = None,
        item_bias: bool = True,
        n_negatives: int | Literal["all"] | None = None,
        init_scale: float | None = None,
        schedule: ScheduleName | Schedule | None = None,
        batch_size: int | None = None,
        dropout: float = 0.0,
        history: float | None = None,
        history_dropout: float = 0.5,
        early_stopping: int | None = None,
        validation_metric: str = "auc",
        validate_every: int | None = None,
        validation_users: int | Literal["all"] | None = None,
        n_jobs: int | None = None,
        random_state: Seed = 0,
        verbose: int = 0,
    ) -> None:
        self.n_factors = n_factors
        self.loss = loss
        self.scorer = scorer
        self.optimizer = optimizer
        self.sampler = sampler
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.user_l2 = user_l2
        self.item_l2 = item_l2
        self.negative_l2 = negative_l2
        self.bias_l2 = bias_l2
        self.item_bias = item_bias
        self.n_negatives = n_negatives
        self.init_scale = init_scale
        self.schedule = schedule
        self.batch_size = batch_size
        self.dropout = dropout
        self.history = history
        self.history_dropout = history_dropout
        self.early_stopping = early_stopping
        self.validation_metric = validation_metric
        self.validate_every = validate_every
        self.validation_users = validation_users
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def preset(cls, name: PresetName, **parameters: Any) -> Self:
        """Return an unfitted model with parameters that work well without tuning.

        Parameters
        ----------
        name : {"bpr", "softmax"}
            The loss, which brings all else: ``preset("softmax")`` is ``MatrixFactorization(loss="softmax")``.
            "bpr": the defaults. "softmax": cosine scores and item biases, trained on the softmax over many
            items with Adam and a learning rate that falls to zero, of users who are a mix with their
            `history`; better at the top of the lists.
        **parameters
            Parameters of the constructor.

        Returns
        -------
        MatrixFactorization

        Raises
        ------
        ValueError
            If there is no such preset.

        See Also
        --------
        tripletrec.tuning.tune : parameters chosen on validation data.

        Examples
        --------
        >>> import tripletrec as tr
        >>> tr.MatrixFactorization.preset("softmax", n_epochs=20)
        MatrixFactorization(loss='softmax', n_epochs=20)
        """
        check_choice(name, "preset", *get_args(PresetName))
        return cls(**{"loss": name, **parameters})

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
        """Learn the factors from scratch.

        Parameters
        ----------
        X : Interactions, sparse matrix or array of shape (n_users, n_items)
            The positives: every value other than 0. The values themselves matter only with
            ``sample_weight="values"`` and with ``sampler="graded"``. Memory-mapped interactions (see
            `Interactions.read`) may be larger than memory with a loss of triplets: the same bits are then
            learnt from files beside them, see `docs/scale.md`.
        y : as `X`, or what scikit-learn gives, default None
            The validation data, as `validation`; None and scikit-learn's 1-D y have no effect.
        validation : as `X`, default None
            Held-out positives; `validation_metric` is computed on them as often as `validate_every`
            says.
        callbacks : callable or sequence of callables, default None
            Each is called as ``callback(model, record)`` after every epoch, with the model as fitted so far
            (valid during the call only, in which it may answer and be saved) and the epoch's entry of
            ``history_``. Returning True, Python's or NumPy's, ends training; other answers have no effect.
        sample_weight : array of shape (nnz,), sparse matrix, "values" or "users", default None
            Weight of each positive, >= 0: an array in the order of ``Interactions(X)`` (row by row,
            items ascending), a matrix of the shape of `X`, or "values" for the values of `X` itself.
            "users": :math:`n_u^{-1/2}` for each of the :math:`n_u` positives of a user, scaled to a mean
            of 1, so that those with many do not decide everything: measures are means over users, too.
            A positive of weight 0 counts as absent. None: all weigh 1.
        negatives : as `X`, default None
            Known negatives, such as dislikes. For users who have some, the sampler's `share` of the
            negatives (0.1 if the sampler has none) is drawn from them. With list-wise losses they weigh so
            much among the candidates, see `tripletrec.training.given_weights`. WARP takes none. What they
            are worth says docs/choosing.md.
        checkpoint : path-like or (path-like, float), default None
            File for what is learnt so far, written after every epoch or, of a pair, once so many seconds have
            passed. If a fit of the same model and data has left one, this fit goes on from there and learns
            the same bits. It is written whole or not at all, and removed when the fit has ended well or
            diverged; one of another fit is refused. Callbacks see the epochs that are left.

        Returns
        -------
        MatrixFactorization
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
