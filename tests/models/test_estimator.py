"""The base of all estimators, by itself: parameters, repr, what it borrows from scikit-learn."""

import copy
import pickle

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from tripletrec.models.estimator import Estimator, check_is_fitted


class Bare(Estimator):
    """An estimator with two parameters and nothing else."""

    def __init__(self, depth=3, *, names=("a",)):
        self.depth = depth
        self.names = names

    def fit(self, X, y=None, sample_weight=None):
        self.n_users_ = 1
        return self


def test_parameters():
    model = Bare(depth=4)
    assert model.get_params() == model.get_params(deep=False) == {"depth": 4, "names": ("a",)}
    assert model.set_params(names="x", depth=5) is model
    assert model.get_params() == {"depth": 5, "names": "x"}
    assert model.set_params() is model


def test_none_is_set_if_one_is_unknown():
    model = Bare()
    with pytest.raises(ValueError, match=r"'deep' for estimator Bare\(\).*\['depth', 'names'\]"):
        model.set_params(depth=7, deep=8)
    assert model.depth == 3


def test_repr_names_what_is_not_the_default():
    assert repr(Bare()) == "Bare()"
    assert repr(Bare(3, names=["a"])) == "Bare(names=['a'])"
    assert repr(Bare("3")) == "Bare(depth='3')"


def test_not_fitted():
    with pytest.raises(NotFittedError, match="This Bare instance is not fitted yet. Call 'fit'"):
        check_is_fitted(Bare())
    check_is_fitted(Bare().fit(None))


def test_what_is_borrowed_is_of_the_estimator_itself():
    model = Bare(depth=4)
    assert "<pre>Bare(depth=4)</pre>" in model._repr_html_()
    assert get_tags(model).estimator_type is None
    again = pickle.loads(pickle.dumps(model.fit(None)))
    assert type(again) is Bare and again.n_users_ == 1


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="'Bare' object has no attribute 'depht'") as caught:
        Bare().depht  # noqa: B018
    assert caught.value.name == "depht" and isinstance(caught.value.obj, Bare)
    assert not hasattr(Bare(), "__array__")


class Growing:
    """What adds a user to a model, as another thread may, whenever it is copied."""

    def __init__(self, model):
        self.model = model

    def __reduce__(self):
        self.model.n_users_ += 1
        self.model.n_new_ = 1
        return str, ("copied",)


@pytest.mark.parametrize("take", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize(
    "part", [lambda model: model, lambda model: model.get_metadata_routing.__wrapped__.__self__]
)
def test_a_copy_is_of_one_moment(take, part):
    model = Bare()
    model.first_ = Growing(model)
    model.fit(None)
    again = take(part(model))
    assert vars(again) == {"depth": 3, "names": ("a",), "first_": "copied", "n_users_": 1}
    assert (model.n_users_, model.n_new_) == (2, 1)
