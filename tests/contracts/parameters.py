"""The contract of parameters: what scikit-learn asks of an estimator, before `fit` and around it."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import tripletrec as tr
from contracts.support import Contract, assert_same, interactions


class ParametersContract(Contract):
    """Inherit, and give `make`."""

    def test_constructor_stores_and_checks_nothing(self):
        defaults = type(self.make())().get_params()
        strange = {name: object() for name in defaults}
        model = type(self.make())(**strange)
        assert all(getattr(model, name) is value for name, value in strange.items())
        assert vars(model).keys() == defaults.keys()

    def test_set_params(self):
        model, other = self.make(), self.make(**self.other)
        assert model.set_params(**self.other) is model
        assert model.get_params() == other.get_params()
        with pytest.raises(ValueError, match="no_such_parameter"):
            model.set_params(no_such_parameter=1)

    def test_clone_is_unfitted_and_learns_the_same(self, pairs):
        model = self.make(**self.other).fit(pairs)
        copy = clone(model)
        assert not [name for name in vars(copy) if name.endswith("_")]
        assert_same(copy.fit(pairs), model)

    def test_repr(self):
        ((name, value),) = self.other.items()
        assert repr(self.make(**self.other)).startswith(type(self.make()).__name__ + "(")
        assert f"{name}={value!r}" in repr(self.make(**self.other))
        assert isinstance(self.make()._repr_html_(), str)

    def test_what_is_borrowed_from_scikit_learn(self, pairs):
        model = self.make(**self.other)
        word = "sample_weight" if self.takes_sample_weight else "validation"
        assert get_tags(model).input_tags.sparse
        assert set(model._repr_mimebundle_()) >= {"text/plain"}
        assert model.get_metadata_routing() is not None
        with config_context(enable_metadata_routing=True):
            assert model.set_fit_request(**{word: True}) is model
        request = model.get_metadata_routing().fit.requests
        assert request[word] is True and request.get("negatives") is None
        for copy in (clone(model), pickle.loads(pickle.dumps(model)), deepcopy(model)):
            assert type(copy) is type(model)
            assert copy.get_params() == model.get_params()
            assert copy.get_metadata_routing().fit.requests == request
        assert_same(model.fit(pairs), self.make(**self.other).fit(pairs))
        with pytest.raises(AttributeError, match="no_such"):
            model.no_such  # noqa: B018

    def test_in_a_pipeline(self, pairs):
        matrix = pairs.tocsr()
        line = make_pipeline(FunctionTransformer(accept_sparse=True), self.make(**self.other))
        assert_same(line.fit(matrix)[-1], self.make(**self.other).fit(matrix))
        assert 0 <= line.score(matrix) <= 1
        check_is_fitted(line[-1])
        with pytest.raises(NotFittedError):
            check_is_fitted(clone(line[-1]))

    def test_not_fitted(self, pairs, tmp_path):
        model = self.make()
        calls = [
            lambda: model.predict(0, 0),
            lambda: model.recommend(0),
            lambda: model.similar_items(0),
            lambda: model.similar_users(0),
            lambda: model.score(pairs),
            lambda: model.save(tmp_path / "model.safetensors"),
            lambda: tr.full_auc(model, pairs),
            lambda: tr.evaluate(model, pairs),
        ]
        for call in calls:
            with pytest.raises(NotFittedError, match="not fitted"):
                call()
        assert not list(tmp_path.iterdir())

    def test_grid_search(self):
        data = interactions(20, 30, 200)
        ((name, value),) = self.other.items()
        values = [getattr(self.make(), name), value]
        cv = tr.splits.InteractionKFold(3, random_state=0)
        search = GridSearchCV(self.make(), {name: values}, cv=cv)
        search.fit(data)
        assert search.best_params_[name] in values
        assert search.best_estimator_.n_items_ == 30
        scores = cross_val_score(self.make(), data, cv=cv)
        np.testing.assert_array_equal(
            scores, [search.cv_results_[f"split{n}_test_score"][0] for n in range(3)]
        )
