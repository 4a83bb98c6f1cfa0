"""Default spaces, and what a space may be."""

import numpy as np
import pytest
from sklearn.base import clone

import tripletrec as tr
from tripletrec.models.companions import (
    Sizes,
    epochs_for,
    percentile_rank_of,
    temperature_for,
)
from tripletrec.tuning.spaces import check_drawn, default_space, read_space


def test_default_spaces_lie_around_the_model():
    softmax = tr.MatrixFactorization.preset("softmax")
    warp = tr.MatrixFactorization(loss="warp")
    for model in (tr.MatrixFactorization(), softmax, warp, tr.TwoTower(), tr.MLPMatcher()):
        space = default_space(model)
        known = model._settled_params()
        assert set(space) <= set(known)
        for name in ("learning_rate", "n_epochs", "user_l2", "item_l2"):
            low, high, how = space[name]
            assert how == "log"
            assert low < known[name] < high or known[name] == 0.0 < low
    assert "sampler" in default_space(tr.MatrixFactorization())
    assert "sampler" not in default_space(warp) and "schedule" in default_space(warp)
    easy = default_space(tr.MatrixFactorization(sampler="unseen", schedule="linear"))
    assert easy["sampler"].count("unseen") == 1 and easy["schedule"] == ["linear", "constant"]
    assert "sampler" not in default_space(softmax) and "dropout" in default_space(softmax)


def test_default_spaces_of_data(small):
    model = tr.MatrixFactorization(loss="softmax")
    n_epochs = epochs_for(Sizes.of(small), tr.losses.softmax())
    assert (
        default_space(model, small)["n_epochs"]
        == default_space(model.set_params(n_epochs=n_epochs))["n_epochs"]
    )
    users = np.repeat(np.arange(400), 5)
    alike = tr.Interactions.from_arrays(users, 5 * (users % 40) + np.tile(np.arange(5), 400))
    triplets = tr.MatrixFactorization()
    hard, *others = default_space(triplets, alike)["sampler"]
    assert default_space(triplets)["sampler"][:2] == [None, "unseen"]
    assert hard.name == "dynamic"
    assert others == ["unseen", tr.sampling.dynamic(4), tr.sampling.dynamic(16)]
    disliked = tr.Interactions.from_arrays([0], [7], shape=(400, 200))
    assert default_space(triplets, alike, negatives=disliked)["sampler"] == [hard, *others]


@pytest.mark.parametrize("loss", ["softmax", "bsl"])
@pytest.mark.parametrize("kind", [tr.MatrixFactorization, tr.TwoTower])
def test_temperatures_lie_around_that_of_the_data(kind, loss, small):
    sizes, rank = Sizes.of(small), percentile_rank_of(small)
    taken = temperature_for(sizes, rank, in_batches=kind is tr.TwoTower)  # by fit
    own, *others = default_space(kind(loss=loss), small)["loss"]
    assert (own.name, own.temperature) == (loss, taken)
    near = [each.temperature / taken for each in others]
    assert near == pytest.approx([0.5, 0.707, 1.414, 2.0], rel=1e-2)
    assert [each.parameters for each in others] == 4 * [own.parameters]
    assert default_space(kind(loss=loss))["loss"][0] == loss  # as long as the data are not known
    given = default_space(kind(loss=tr.losses.softmax(0.4)), small)["loss"]
    assert [each.temperature for each in given] == [0.4, 0.2, 0.283, 0.566, 0.8]


def test_losses_lie_around_the_model():
    dot = default_space(tr.MatrixFactorization(loss="softmax", scorer="dot"))["loss"]
    assert [each.temperature for each in dot[1:]] == [0.5, 0.707, 1.41, 2.0]
    own, *others = default_space(tr.MatrixFactorization(loss=tr.losses.ccl(0.3, 40.0)))["loss"]
    assert own == tr.losses.ccl(0.3, 40.0)
    assert [each.parameters for each in others] == [
        (0.3, each) for each in (20.0, 28.3, 56.6, 80.0)
    ]


@pytest.mark.parametrize("name", tr.losses.LIST_LOSSES)
def test_numbers_of_a_built_in_list_loss_are_tuned_and_those_of_ones_own_are_not(name):
    loss = tr.losses.LIST_LOSSES[name]()
    assert len(default_space(tr.MatrixFactorization(loss=loss))["loss"]) > 1
    own = loss._replace(reduce=tr.losses.part(lambda *numbers: (0.0, 0.0)))
    assert "loss" not in default_space(tr.MatrixFactorization(loss=own))


def test_default_spaces_of_data_draw_nothing(small):
    random = np.random.RandomState(3)
    default_space(tr.MatrixFactorization(loss="softmax", random_state=random), small)
    assert random.randint(2**31) == np.random.RandomState(3).randint(2**31)


def test_default_spaces_are_allowed():
    pytest.importorskip("optuna")
    warp = tr.MatrixFactorization(loss="warp")
    for model in (tr.MatrixFactorization(), warp, tr.TwoTower(), tr.MLPMatcher()):
        for name, choice in read_space(default_space(model), model).items():
            for drawn in getattr(choice.distribution, "choices", ()):
                clone(model).set_params(**{name: choice.value(drawn)})._check_parameters()


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("n_factors", (1, 8), "IntDistribution(high=8, log=False, low=1, step=1)"),
        (
            "user_l2", (0.1, 1, "log"),
            "FloatDistribution(high=1.0, log=True, low=0.1, step=None)",
        ),
        ("schedule", ["cosine", None], "CategoricalDistribution(choices=('cosine', None))"),
    ],
)  # fmt: skip
def test_forms(name, given, text):
    pytest.importorskip("optuna")
    assert repr(read_space({name: given}, tr.MatrixFactorization())[name][0]) == text


@pytest.mark.parametrize("model", [None, tr.MatrixFactorization, "mf"])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match="model must be a model of tripletrec, such as"):
        default_space(model)


def test_parts_have_names_that_do_not_change():
    pytest.importorskip("optuna")
    samplers = [tr.sampling.dynamic(2), tr.sampling.dynamic(4)]
    adam = tr.optimizers.adam(beta1=0.5)
    space = {"sampler": samplers, "optimizer": [adam, "sgd"]}
    sampler, optimizer = read_space(space, tr.MatrixFactorization()).values()
    assert len(set(sampler.distribution.choices)) == 2
    assert "0x" not in str(optimizer.distribution)
    for each in samplers:
        assert sampler.value(sampler.drawn(each)) is each
    assert optimizer.value(optimizer.drawn("sgd")) == "sgd"
    with pytest.raises(LookupError):
        sampler.drawn("popularity")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space must be None, a function"),
        ([1], "space must be None, a function"),
        ({"magic": [1]}, "'magic', which is no parameter of MatrixFactorization"),
        ({"n_factors": []}, r"space\['n_factors'\] must be \(low, high\)"),
        ({"n_factors": (1, 2, 3)}, r"space\['n_factors'\] must be \(low, high\)"),
        ({"n_factors": ("a", "b")}, r"space\['n_factors'\] must be \(low, high\)"),
        ({"n_factors": (8, 2)}, "must have low <= high, got"),
        ({"user_l2": (0.0, 1.0, "log")}, "must have 0 < low <= high with 'log'"),
    ],
)
def test_what_is_no_space(space, message):
    pytest.importorskip("optuna")
    with pytest.raises((ValueError, TypeError), match=message):
        read_space(space, tr.MatrixFactorization())


def test_checking_what_a_function_drew_draws_no_random_number():
    generator = np.random.default_rng(0)
    template = tr.MatrixFactorization(random_state=generator)
    assert check_drawn({"n_factors": 3}, template) == {"n_factors": 3}
    assert generator.integers(1000) == np.random.default_rng(0).integers(1000)
