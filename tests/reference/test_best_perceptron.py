"""The best perceptron beside K5."""

import tripletrec as tr
from tripletrec.reference.best_perceptron import BEST, train_perceptron
from tripletrec.reference.replica import known_and_first_item


def test_the_last_auc_is_that_of_the_fitted_model(tiny_movielens):
    curve = train_perceptron(tiny_movielens, n_epochs=2)
    model = tr.MLPMatcher(random_state=0, **{**BEST, "n_epochs": 2}).fit(tiny_movielens.train)
    hidden = known_and_first_item(tiny_movielens.train)
    assert len(curve["auc"]) == len(curve["seconds"]) == 2
    assert curve["auc"][-1] == tr.full_auc(model, tiny_movielens.test, hidden)
