"""MatrixFactorization: the contracts, parts and parameters, the smallest data, what is learnt."""

import math

import numpy as np
import pytest
import scipy.sparse as sp

import tripletrec as tr
from contracts.fit import FitContract
from contracts.histories import HistoriesContract
from contracts.lists import ListsContract
from contracts.parameters import ParametersContract
from contracts.recommend import RecommendContract
from contracts.saved import SavedContract, TamperedContract
from contracts.support import assert_same, catalogue, interactions, negatives_of
from contracts.vectors import VectorsContract
from tiers import quick
from tripletrec import losses, optimizers, sampling, scorers

# A few epochs on pairs without a pattern need not move the loss.
pytestmark = pytest.mark.filterwarnings("ignore:the training loss has not moved")

# One thing that changes for each parameter that must change the result.
ALTERNATIVES = {
    "n_factors": 5,
    "loss": losses.hinge(0.5),
    "scorer": "cosine",
    "optimizer": optimizers.adagrad(0.5),
    "sampler": sampling.popularity(2.0),
    "learning_rate": 0.07,
    "schedule": "cosine",
    "n_epochs": 4,
    "user_l2": 0.5,
    "item_l2": 0.5,
    "negative_l2": 0.5,
    "bias_l2": 0.5,
    "item_bias": False,
    "n_negatives": 2,
    "init_scale": 0.3,
    "random_state": 1,
}
UNCHANGING = {"n_jobs": 2, "verbose": 1}
ONLY_WITH_LISTS = {"batch_size": 7, "dropout": 0.3, "history": 0.3}
ONLY_WITH_VALIDATION = {
    "early_stopping", "validate_every", "validation_metric", "validation_users",
}  # fmt: skip


def make(**overrides):
    return tr.MatrixFactorization(**{"n_factors": 6, "n_epochs": 3, **overrides})


class TestContract(
    ParametersContract,
    FitContract,
    RecommendContract,
    ListsContract,
    HistoriesContract,
    SavedContract,
    TamperedContract,
    VectorsContract,
):
    shared = (300, 700, 70_000)  # fewer triplets in a round are left to one thread

    def make(self, **overrides):
        return make(**overrides)

    # Of one model also when quick.
    def test_same_bits_in_another_process(self, pairs, elsewhere):
        super().test_same_bits_in_another_process(pairs, elsewhere)

    def test_full_disk_leaves_the_older_file(self, fitted, tmp_path, elsewhere):
        super().test_full_disk_leaves_the_older_file(fitted, tmp_path, elsewhere)


@pytest.mark.thorough
class TestNewUsersOfListLosses(HistoriesContract):
    def make(self, **overrides):
        settings = {"n_factors": 6, "n_epochs": 3, "history": 0.0}
        return tr.MatrixFactorization.preset("softmax", **{**settings, **overrides})


class TestContractOfListLosses(FitContract):
    def make(self, **overrides):
        return make(**{"loss": "softmax", "batch_size": 8, **overrides})


@pytest.mark.parametrize("loss", losses.LIST_LOSSES)
@pytest.mark.parametrize("scorer", quick(scorers.SCORERS, "cosine"))
def test_every_list_loss_is_the_same_at_any_number_of_threads(loss, scorer, blocks):
    for n_negatives, dropout in ((None, 0.0), (30, 0.3)):
        fitted = [
            make(
                loss=loss, scorer=scorer, n_negatives=n_negatives, dropout=dropout, n_jobs=n_jobs,
                batch_size=9, n_epochs=2, history=None if scorer == "cosine" else 0.0,
            ).fit(blocks)
            for n_jobs in (1, 2, 4)
        ]  # fmt: skip
        assert_same(fitted[1], fitted[0])
        assert_same(fitted[2], fitted[0])
        assert all(np.isfinite(each).all() for each in arrays(fitted[0]))


@pytest.fixture(scope="module")
def blocks():
    """Enough interactions for several blocks of users and of items."""
    return interactions(40, 300, 2500)


def arrays(model):
    return model.user_factors_, model.item_factors_, model.item_biases_


# -------------------------------------------------------------------- parameters


def test_every_parameter_is_tested_here():
    known = {*ALTERNATIVES, *UNCHANGING, *ONLY_WITH_LISTS, *ONLY_WITH_VALIDATION, "history_dropout"}
    assert known == tr.MatrixFactorization().get_params().keys()


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_parameter_changes_the_result(name, pairs):
    models = make(**{name: ALTERNATIVES[name]}), make()
    changed, plain = ([each.tobytes() for each in arrays(m.fit(pairs))] for m in models)
    assert changed != plain


@pytest.mark.parametrize("name", ONLY_WITH_LISTS)
def test_parameter_changes_the_result_of_list_losses(name, pairs):
    models = make(loss="softmax", **{name: ONLY_WITH_LISTS[name]}), make(loss="softmax")
    changed, plain = ([each.tobytes() for each in arrays(m.fit(pairs))] for m in models)
    assert changed != plain


def test_parameters_of_the_parts_change_the_result(pairs):
    groups = [
        ("loss", [losses.hinge(m) for m in (0.5, 1.0, 2.0)]),
        ("optimizer", [optimizers.adagrad(h) for h in (0.1, 0.2)]),
        (
            "optimizer",
            [
                optimizers.adam(),
                optimizers.adam(beta1=0.8),
                optimizers.adam(beta2=0.9),
                optimizers.adam(epsilon=0.1),
            ],
        ),
        ("sampler", [sampling.popularity(a) for a in (0.0, 0.5, 1.0)]),
        ("sampler", list(sampling.SAMPLERS)[:3]),
        ("sampler", [sampling.dynamic(3), sampling.dynamic(8), sampling.semi_hard(3)]),
    ]
    for name, parts in groups:
        models = [make(**{name: part, "learning_rate": 0.1}) for part in parts]
        results = {model.fit(pairs).user_factors_.tobytes() for model in models}
        assert len(results) == len(parts)
    given = negatives_of(pairs)
    shares = [sampling.explicit(share) for share in (0.3, 0.5, 1.0)]
    results = {make(sampler=s).fit(pairs, negatives=given).user_factors_.tobytes() for s in shares}
    assert len(results) == 3


@pytest.mark.parametrize("name", UNCHANGING)
def test_parameter_changes_nothing(name, pairs):
    assert_same(make(**{name: UNCHANGING[name]}).fit(pairs), make().fit(pairs))


def test_names_stand_for_the_defaults_of_the_parts(pairs):
    for name, named, part in [
        ("loss", "hinge", losses.hinge(1.0)),
        ("loss", "bpr", losses.BPR),
        ("scorer", "cosine", scorers.COSINE),
        ("optimizer", "adam", optimizers.adam(0.9, 0.999, 1e-7)),
        ("optimizer", "sgd", optimizers.SGD),
        ("sampler", "popularity", sampling.popularity(0.75)),
        ("sampler", "unseen", sampling.UNSEEN),
        ("sampler", "dynamic", sampling.dynamic(8)),
    ]:
        assert_same(make(**{name: part}).fit(pairs), make(**{name: named}).fit(pairs))
    assert_same(
        make(item_l2=0.3, negative_l2=0.3).fit(pairs),
        make(item_l2=0.3, negative_l2=None).fit(pairs),
    )
    of_default = make(user_l2=0.05).fit(pairs)  # which otherwise goes by the data
    assert_same(make(sampler=sampling.popularity(0)).fit(pairs), of_default)
    assert make(sampler="semi_hard")._plan().sampler == sampling.semi_hard(8)


@pytest.mark.thorough  # by a kernel of its own
def test_semi_hard_stands_for_eight_candidates(pairs):
    models = (make(sampler=each).fit(pairs) for each in ("semi_hard", sampling.semi_hard(8)))
    assert_same(*models)


def test_without_item_bias(pairs):
    model = make(item_bias=False).fit(pairs)
    assert not model.item_biases_.any()


def test_what_is_learnt(pairs):
    model = make(n_factors=7).fit(pairs)
    for array, shape in zip(arrays(model), [(30, 7), (40, 7), (40,)], strict=True):
        assert array.shape == shape and array.dtype == np.float32
        assert array.flags.writeable
    assert model.best_epoch_ == 3
    own = {name for name in vars(model) if name.endswith("_")}
    assert own == {
        "user_factors_", "item_factors_", "item_biases_", "history_", "best_epoch_", "n_users_",
        "n_items_", "n_features_in_", "user_ids_", "item_ids_", "seen_", "item_counts_", "temperature_",
    }  # fmt: skip


# -------------------------------------------------------------------- bad input

COUNTS = ("n_factors", "n_epochs", "n_negatives")
COUNT = "must be an integer >= 1, got"
RATE = "must be a finite number > 0, got"
L2 = "must be a finite number >= 0, got"
WRONG_VALUES = [
    *((name, value, f"{name} {COUNT} {value}") for name in COUNTS
      for value in (0, -1)),
    *((name, value, f"{name} {RATE} {value}") for name in ("learning_rate", "init_scale")
      for value in (0, -0.1, math.nan, math.inf)),
    *((name, value, f"{name} {L2} {value}")
      for name in ("user_l2", "item_l2", "negative_l2", "bias_l2")
      for value in (-0.1, math.nan, math.inf)),
    ("loss", "brp", "loss must be one of 'bpr', 'sigmoid', 'hinge',? .*or a Loss, got 'brp'"),
    ("scorer", "DOT", "scorer must be one of 'dot', 'cosine' or a Scorer, got 'DOT'"),
    ("optimizer", "", "optimizer must be one of 'sgd', 'adagrad', 'adam' or an Optimizer, got ''"),
    ("sampler", "all", "sampler must be one of 'uniform', .* 'graded', 'dynamic', 'semi_hard'"),
    ("sampler", "nearest", "sampler 'nearest' compares features of items, which this model does not"),
    ("sampler", "explicit", "takes negatives from the argument negatives of fit, which is missing"),
    ("validation_metric", "f1", "validation_metric must be one of auc, mrr, precision@k"),
    ("validation_metric", "ndcg", "with an integer k from 1 to 2147483647, got 'ndcg'"),
    ("validation_metric", "ndcg@0", "with an integer k from 1 to 2147483647, got 'ndcg@0'"),
    ("validation_metric", 5, "with an integer k from 1 to 2147483647, got 5"),
    ("early_stopping", 2, r"early_stopping needs validation data: fit\(X, validation=...\)"),
    ("n_jobs", 0, "n_jobs must be None or an integer other than 0, got 0"),
    ("random_state", -1, r"random_state must be from 0 to 2\*\*63 - 1, got -1"),
    ("random_state", 2**63, r"random_state must be from 0 to 2\*\*63 - 1, got 9223372036854775808"),
    ("verbose", -1, "verbose must be an integer >= 0, got -1"),
]  # fmt: skip
WRONG_TYPES = [
    *((name, value, f"{name} {COUNT} {value!r}") for name in COUNTS
      for value in (2.0, "2", 1j, True)),
    *((name, value, f"{name} {RATE} {value!r}") for name in ("learning_rate", "init_scale")
      for value in ("0.1", True, 1j)),
    *((name, value, f"{name} {L2} {value!r}") for name in ("user_l2", "item_l2", "bias_l2")
      for value in ("0.1", False)),
    ("negative_l2", "0.1", f"negative_l2 {L2} '0.1'"),
    ("item_bias", 1, "item_bias must be True or False, got 1"),
    ("item_bias", "no", "item_bias must be True or False, got 'no'"),
    ("loss", 3, "loss must be one of 'bpr', 'sigmoid', 'hinge',? .*or a Loss, got 3"),
    ("loss", losses.Loss, "loss must be one of 'bpr', 'sigmoid', 'hinge',? .*or a Loss, got <class"),
    ("scorer", 1, "scorer must be one of 'dot', 'cosine' or a Scorer, got 1"),
    ("loss", None, "loss must be one of 'bpr', .* or a Loss, got None"),
    ("optimizer", losses.BPR, "optimizer must be one of 'sgd', 'adagrad', 'adam' or an Optimizer"),
    ("sampler", ["unseen"], r"sampler must be one of 'uniform', .* got \['unseen'\]"),
    ("n_jobs", 1.0, "n_jobs must be None or an integer other than 0, got 1.0"),
    ("n_jobs", True, "n_jobs must be None or an integer other than 0, got True"),
    ("random_state", "0", "random_state must be None, an integer, a RandomState or a Generator"),
    ("random_state", 1.0, "random_state must be None, an integer, a RandomState or a Generator"),
    ("verbose", None, "verbose must be an integer >= 0, got None"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "message"), WRONG_VALUES)
def test_wrong_values(name, value, message, refused, pairs):
    refused(ValueError, message, pairs, params={name: value})


@pytest.mark.parametrize(("name", "value", "message"), WRONG_TYPES)
def test_wrong_types(name, value, message, refused, pairs):
    refused(TypeError, message, pairs, params={name: value})


# -------------------------------------------------------------------- sizes and shapes


def test_user_with_all_items_is_counted():
    dense = np.zeros((3, 4))
    dense[0] = 1
    dense[1, :2] = 1
    model = make(n_epochs=2, n_negatives=3).fit(dense)
    for record in model.history_:
        assert record["n_skipped"] == 12 and record["n_triplets"] == 6
    everything = make(n_epochs=2).fit(np.ones((3, 4)))
    for record in everything.history_:
        assert record["n_skipped"] == 12 and record["n_triplets"] == 0
        assert record["loss"] == 0.0 and record["train_auc"] == 0.5
    start = make(n_epochs=1).fit(np.ones((3, 4)))
    np.testing.assert_array_equal(everything.user_factors_, start.user_factors_)


@pytest.mark.parametrize("sampler", quick(["uniform", "unseen", "popularity"], "unseen"))
@pytest.mark.parametrize(
    "dense",
    [
        np.ones((1, 1)),
        np.array([[1, 0]]),
        np.array([[1], [0]]),
        np.array([[1, 0], [0, 0]]),
        np.eye(2),
        np.diag([1, 0, 0, 1, 0]),
        np.ones((1, 300)) * (np.arange(300) % 2),
        np.ones((300, 1)),
        np.ones((300, 2)) * [1, 0],
    ],
    ids=lambda dense: "x".join(map(str, dense.shape)) if isinstance(dense, np.ndarray) else dense,
)
def test_smallest_data(dense, sampler):
    model = make(sampler=sampler).fit(dense)
    assert model.predict(0, 0).shape == (1,)
    ids, scores = model.recommend(np.arange(len(dense)), k=3, exclude=None)
    assert ids.shape == (len(dense), min(3, dense.shape[1])) and np.isfinite(scores).all()
    assert model.recommend(0, k=3, exclude=dense)[0].shape == (min(3, int((dense[0] == 0).sum())),)
    for similar, n in ((model.similar_users, len(dense)), (model.similar_items, dense.shape[1])):
        assert len(similar(0, k=2)[0]) == min(2, n - 1)
    given = 1 - dense
    if given.any():
        make(sampler=sampler).fit(dense, negatives=given)


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_users_without_interactions_are_ranked_by_the_biases(pairs, loss):
    """Nothing is learnt of them, so that their factors are zero; an unseen item may have been a negative."""
    wider = sp.csr_matrix(pairs.tocsr())
    wider.resize((33, 40))
    before, after = (make(n_epochs=n, loss=loss).fit(wider) for n in (1, 4))
    for model in (before, after):
        assert not model.user_factors_[30:].any()
        np.testing.assert_array_equal(model.predict(31, np.arange(40)), model.item_biases_)
    assert (before.user_factors_[:30] != after.user_factors_[:30]).all()


def test_predictions_read_the_factors(seasoned):
    model = seasoned
    U, V, b = arrays(model)
    np.testing.assert_allclose(
        model.predict([3, 4], [5, 6]), (U[3:5] * V[5:7]).sum(1) + b[5:7], rtol=1e-5
    )
    lengths = np.linalg.norm(V, axis=1)
    ids, cosines = model.similar_items(7, k=39)
    np.testing.assert_allclose(cosines, (V @ V[7] / lengths / lengths[7])[ids], rtol=1e-4)


def test_cosine_scores_are_cosines(pairs):
    model = make(scorer="cosine", item_bias=False).fit(pairs)
    scores = model.predict(3, np.arange(40))
    U, V, _ = arrays(model)
    expected = V @ U[3] / np.linalg.norm(V, axis=1) / np.linalg.norm(U[3])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


# -------------------------------------------------------------------- learning, for any seed


def planted(item_exponent, rng):
    """Return training and test data of planted tastes, and a seed for the model."""
    seeds = rng.integers(2**31, size=3).tolist()
    data = tr.datasets.make_interactions(
        120, 150, 4000, n_factors=3, user_exponent=0.2, item_exponent=item_exponent, signal=8.0,
        random_state=seeds[0],
    )  # fmt: skip
    return *tr.splits.train_test_split(data, 0.2, random_state=seeds[1]), seeds[2]


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("scorer", quick(scorers.SCORERS, "dot"))
def test_learns_taste_beyond_popularity(loss, scorer, rng):
    train, test, seed = planted(0.3, rng)
    popularity = np.bincount(train.indices, minlength=150).astype(float)
    baseline = tr.full_auc(lambda users: np.tile(popularity, (len(users), 1)), test, train)
    for sampler in list(sampling.SAMPLERS)[:3]:
        model = make(
            loss=loss, scorer=scorer, sampler=sampler, n_factors=8, n_epochs=30, random_state=seed
        )
        learnt_auc = model.fit(train).score(test, exclude=train)
        assert learnt_auc > baseline + 0.05


def test_given_negatives_teach(rng):
    """Items that a user is said to dislike end below those he is not known to have met."""
    data = interactions(60, 80, 600, seed=int(rng.integers(2**31)))
    given = sp.coo_matrix(negatives_of(data, rng))
    plain, taught = (
        make(n_factors=16, n_epochs=40, random_state=seed) for seed in rng.integers(2**31, size=2)
    )
    plain.fit(data)
    taught.fit(data, negatives=given)

    def places(model):
        order = np.argsort(np.argsort(catalogue(model), axis=1), axis=1)
        return order[given.row, given.col].mean()

    assert places(taught) < places(plain) - 5


def test_weights_teach(rng):
    """Of two halves of the positives, the heavier one comes to the top."""
    data = interactions(60, 80, 1200, seed=int(rng.integers(2**31)))
    heavy = rng.random(data.nnz) < 0.5
    seed = int(rng.integers(2**31))
    model = make(n_factors=4, n_epochs=30, user_l2=0.05, random_state=seed)
    model.fit(data, sample_weight=np.where(heavy, 10.0, 0.1))
    scores = model.predict(data.rows, data.indices)
    assert scores[heavy].mean() > scores[~heavy].mean() + 0.5
