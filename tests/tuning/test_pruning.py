"""`pruning_callback`, in a loop of one's own."""

import numpy as np
import pytest

import tripletrec as tr

optuna = pytest.importorskip("optuna")


def model(n_epochs=4, **parameters):
    return tr.MatrixFactorization(4, n_epochs=n_epochs, **parameters)


def test_trials_report_twentieths_of_their_epochs(small):
    train, valid = tr.splits.train_test_split(small, random_state=0)

    def objective(trial):
        mf = model(n_epochs=trial.suggest_int("n_epochs", 3, 6))
        mf.fit(train, validation=valid, callbacks=tr.pruning_callback(trial))
        return mf.history_[-1]["validation_auc"]

    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=2)
    n_epochs = study.trials[0].params["n_epochs"]
    assert len(study.trials[0].intermediate_values) == n_epochs
    assert max(study.trials[0].intermediate_values) == 20
    trial = study.ask()
    callback = tr.pruning_callback(trial)
    # As many epochs as suit the loss.
    model(None, early_stopping=2).fit(train, validation=valid, callbacks=callback)
    assert study.trials[2].intermediate_values
    with pytest.raises(ValueError, match="pruning_callback needs the argument validation"):
        model().fit(train, callbacks=tr.pruning_callback(study.ask()))


def test_epochs_that_are_not_validated_report_nothing(small):
    train, valid = tr.splits.train_test_split(small, random_state=0)
    study = optuna.create_study(direction="maximize")
    mf = model(5, validate_every=2)
    mf.fit(train, validation=valid, callbacks=tr.pruning_callback(study.ask()))
    expected = [mf.history_[epoch - 1]["validation_auc"] for epoch in (2, 4, 5)]
    assert study.trials[0].intermediate_values == dict(zip((8, 16, 20), expected, strict=True))


@pytest.mark.parametrize("kind", [tr.TwoTower, tr.MLPMatcher, tr.MatrixFactorization])
def test_epochs_by_the_data_are_counted(kind):
    """Of all models, whose number of epochs may be None: the last one is the twentieth twentieth."""
    users = np.repeat(np.arange(30), 2)
    few = tr.Interactions.from_arrays(users, np.arange(60) % 53, shape=(40, 400))
    wide = tr.Interactions.from_arrays(np.repeat(np.arange(10), 60), np.arange(600) % 590)
    for data in (few, wide):
        train, valid = tr.splits.train_test_split(data, random_state=0)
        study = optuna.create_study(direction="maximize")
        trial = study.ask()
        fitted = kind().fit(train, validation=valid, callbacks=tr.pruning_callback(trial))
        values = study.trials[0].intermediate_values
        assert max(values) == 20 and len(values) == min(20, len(fitted.history_))
        with pytest.raises(ValueError, match="pruning_callback needs the argument validation"):
            kind().fit(train, callbacks=tr.pruning_callback(study.ask()))


def test_poor_trials_are_pruned(small):
    train, valid = tr.splits.train_test_split(small, random_state=0)
    pruner = optuna.pruners.ThresholdPruner(lower=1.1)  # no AUC reaches it
    trial = optuna.create_study(direction="maximize", pruner=pruner).ask()
    untouched = model()
    with pytest.raises(optuna.TrialPruned, match="after 1 epochs"):
        untouched.fit(train, validation=valid, callbacks=tr.pruning_callback(trial))
    assert not hasattr(untouched, "item_factors_")
