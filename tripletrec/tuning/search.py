"""`tune`: trials of parameters on validation data, the poor ones cut short; spaces are in `spaces`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, NamedTuple

import numpy as np

from tripletrec._checks import Seed, check_choice, check_count, check_positive, check_random_state
from tripletrec._runtime.messages import said_by, shown
from tripletrec._runtime.progress import Progress
from tripletrec.evaluation import check_metric, mean_metric
from tripletrec.models.fit_arguments import check_callbacks
from tripletrec.tuning.fits import Fits, check_times, read_fits
from tripletrec.tuning.pruning import pruning_callback
from tripletrec.tuning.result import Model, Tuning, quiet, table_of
from tripletrec.tuning.spaces import (
    Space,
    check_drawn,
    check_template,
    default_space,
    models_of,
    need_optuna,
    read_space,
)
from tripletrec.tuning.studies import study_name

__all__ = ["tune"]


def tune(
    model: Model,
    space: Any,
    X: Any,
    *,
    validation: Any = 0.1,
    metric: str = "ndcg@10",
    n_trials: int = 50,
    timeout: float | None = None,
    storage: Any = None,
    refit: Literal["all", "train"] | None = "all",
    random_state: Seed = 0,
    verbose: int = 1,
    **fit_params: Any,
) -> Tuning[Model]:
    """Choose a model's parameters by what they are worth on validation data, with Optuna.

    The first trial is the model as it is, if the space has its values; a parameter that goes by the data has
    the value that `fit` takes. After nine more at random, parameters are drawn by a tree-structured Parzen
    estimator (Bergstra et al., NeurIPS 2011). A trial ends early if, at a twentieth of its epochs, the metric
    has been worse so far than that of half of the earlier trials there.

    Parameters
    ----------
    model : estimator
        Not fitted, not changed; what the space does not have is as in this one.
    space : None, dict or callable
        None: `tripletrec.tuning.default_space`. A dict has for each parameter a range ``(low, high)`` of
        whole numbers or floats, ``(low, high, "log")``, a list of choices (parts such as samplers, too), or a
        distribution of Optuna. A function takes a trial of Optuna and returns a dict of parameters.
    X : Interactions, sparse matrix or array of shape (n_users, n_items)
        What is learnt from.
    validation : as `X`, or a share, default 0.1
        Positives to measure on. A share is cut from `X` at random; a cut by time, such as that of
        `splits.time_split`, tells more.
    metric : str, default "ndcg@10"
        A column of `evaluate`; the higher, the better.
    n_trials : int, default 50
        How many in all, those found in `storage` included.
    timeout : float, default None
        Seconds after which no trial begins, but for the first.
    storage : str or optuna storage, default None
        Such as ``"sqlite:///tuning.db"``: trials are kept there, and the next call with the same arguments
        goes on from them, with the trials that it would have had without the interruption: one that was
        interrupted is run again, one that ended with an error is not. One process at a time: two that run at
        once may try the same. Other models, spaces, data, arguments of `fit` (but for callbacks) and seeds
        have studies of their own there. Of functions, as a space or in parts such as losses, their code
        counts, and what they read of their own module. None: in memory.
    refit : {"all", "train"} or None, default "all"
        What the best model is fitted on in the end: "all": `X` and the validation data, without `callbacks`;
        where these or `early_stopping` ended the best trial, with as many epochs as were best. "train": `X`
        alone, with `callbacks`; the same bits as in its trial, unless the `random_state` of `model` is None,
        or a generator, which goes on from fit to fit. None: nothing.
    random_state : int, RandomState, Generator or None, default 0
        Of the drawn parameters and the share. The same seed gives the same trials, at any `n_jobs`. The
        model's own seed is a parameter of `model`.
    verbose : int, default 1
        1: a progress bar on standard error.
    **fit_params
        For `fit` of each trial and of the best model, such as ``item_features=``. One ``sample_weight`` for
        each interaction of `X` is cut with it where `validation` is a share; else, with ``refit="all"``,
        weights must be of pairs, such as Interactions of both. No ``checkpoint``.

    Returns
    -------
    Tuning
        ``.best_model``, ``.best_params``, ``.best_value``, ``.trials`` (a DataFrame) and ``.importance`` (a
        Series).

    Raises
    ------
    ImportError
        If Optuna is not installed: ``pip install optuna``.
    ValueError, TypeError
        If an argument is not as above, a trial's parameters are not allowed, or no trial was completed. What
        could not be fitted in the end is told before the first trial.

    Warns
    -----
    UserWarning
        If validation data are in `X`, too.

    See Also
    --------
    default_space : what is searched if no space is given.
    pruning_callback : cuts trials of a study of your own short.
    MatrixFactorization.preset : parameters that need no search.

    Notes
    -----
    The metric of a trial is computed on all validation data after its last epoch (with `early_stopping`, of
    its best one). Trials whose training diverges are pruned. The best of many trials flatters: measure the
    refitted model on test data that no trial has seen. An error during the search, or the refit, has a note
    that says what was best until then.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(60, 40, 500, random_state=3)
    >>> model, space = tr.MatrixFactorization(n_epochs=3), {"n_factors": [4, 8]}
    >>> found = tr.tune(model, space, data, n_trials=3, verbose=0)  # doctest: +SKIP
    >>> found.best_model.recommend(7, k=3)[0].shape  # doctest: +SKIP
    (3,)
    """
    optuna = need_optuna()
    check_template(model)
    check_metric(metric, "metric")
    n_trials, seed = check_count(n_trials, "n_trials"), check_random_state(random_state)
    if timeout is not None:
        timeout = check_positive(timeout, "timeout")
    check_choice(refit, "refit", "all", "train", None)
    if "validation" in fit_params or "callbacks" in fit_params and not model._learns_in_epochs:
        raise TypeError("validation and callbacks are not for a model without epochs")
    check_callbacks(fit_params.get("callbacks"))
    fits = read_fits(X, validation, seed, fit_params, on_all=refit == "all")
    if not callable(space):
        given = default_space(model, fits.data, **fits.params) if space is None else space
        space = read_space(given, model)
    if refit == "all":
        check_times([model] if callable(space) else models_of(space, model), fits)
    job = _Job(model, space, fits, metric)
    with quiet():
        study = optuna.create_study(
            storage=_storage(storage),
            study_name=None if storage is None else job.name(seed, fit_params),
            load_if_exists=True,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        )
        with _telling_the_best(study, job):
            _search(study, job, n_trials, timeout, seed, bool(check_count(verbose, "verbose", 0)))
    best = _best_of(study)
    params = job.parameters(best)
    with _telling_the_best(study, job):
        tuned = _refitted(job.made(params), job, best, refit)
    return Tuning(tuned, params, float(best.value), table_of(study), study)


class _Job(NamedTuple):
    """What all trials have in common."""

    model: Any
    space: Space | Callable[[Any], dict[str, Any]]
    fits: Fits
    metric: str

    def made(self, params: dict[str, Any]) -> Any:
        """Return an unfitted model with some parameters in place of the template's."""
        kind = type(self.model)
        return kind(**{**self.model.get_params(), **params})

    def asked(self, study: Any) -> Any:
        """Return a new trial."""
        if callable(self.space):
            return study.ask()
        return study.ask({name: each.distribution for name, each in self.space.items()})

    def drawn(self, trial: Any) -> dict[str, Any]:
        """Return the parameters of a trial that begins."""
        if not callable(self.space):
            return self.parameters(trial)
        params = check_drawn(self.space(trial), self.model)
        trial.set_user_attr("parameters", {name: shown(each) for name, each in params.items()})
        return params

    def parameters(self, trial: Any) -> dict[str, Any]:
        """Return the parameters of a trial that has ended."""
        if not callable(self.space):
            return {name: each.value(trial.params[name]) for name, each in self.space.items()}
        from optuna.trial import FixedTrial

        return dict(self.space(FixedTrial(trial.params, trial.number)))

    def of_template(self) -> dict[str, Any]:
        """Return what would have been drawn for the template's parameters, as far as the space has them."""
        if callable(self.space):
            return {}
        found: dict[str, Any] = {}
        # None itself, if the space has it, before what it stands for.
        for params in (
            self.model._settled_params(self.fits.data, **self.fits.params),
            self.model.get_params(),
        ):
            for name, each in self.space.items():
                with suppress(LookupError):
                    found[name] = each.drawn(params[name])
        return found

    def name(self, seed: int, fit_params: dict[str, Any]) -> str:
        """Return a name that other models, spaces, data, arguments of `fit` and seeds do not have."""
        data = self.fits.data, self.fits.held_out
        return study_name(self.model, self.space, self.metric, seed, data, fit_params)


def _search(
    study: Any, job: _Job, n_trials: int, timeout: float | None, seed: int, shows: bool
) -> None:
    """Run trials until there are enough of them, or time is over."""
    import optuna

    started = time.monotonic()
    done = _n_done(study)
    with Progress(n_trials, "tuning", "trial", shown=shows, done=min(done, n_trials)) as progress:
        while done < n_trials:
            number = _n_settled(study)
            if not number and not _is_waiting(study) and (template := job.of_template()):
                study.enqueue_trial(template)
            # Of its own for each trial, so that a search that goes on draws what it would have drawn; what
            # runs elsewhere, or was killed, has no say (constant_liar).
            own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
            study.sampler = optuna.samplers.TPESampler(seed=own, constant_liar=False)
            _try(study, job)
            done += 1
            progress.advance(**_best_so_far(study, job.metric))
            if timeout is not None and time.monotonic() - started >= timeout:
                return


def _try(study: Any, job: _Job) -> None:
    """Run a trial and tell the study how it ended."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    trial, epochs = job.asked(study), _Count()
    try:
        value = _value_of(job.made(job.drawn(trial)), job, trial, epochs)
    except (TrialPruned, FloatingPointError):
        trial.set_user_attr("epochs", epochs.n)
        study.tell(trial, state=TrialState.PRUNED)
    except BaseException as error:
        if not isinstance(error, Exception):  # but Ctrl-C or an exit
            trial.set_user_attr("interrupted", True)
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        trial.set_user_attr("epochs", epochs.n)
        study.tell(trial, value)


class _Count:
    """Counts the epochs of a fit."""

    n = 0

    def __call__(self, model: Any, record: dict[str, Any]) -> bool:
        self.n = record["epoch"]
        return False


def _value_of(model: Any, job: _Job, trial: Any, epochs: _Count) -> float:
    """Fit a model and return its metric on all validation data."""
    data, held_out, params, _ = job.fits
    if not model._learns_in_epochs:
        model.fit(data, **params)
    else:
        model.set_params(validation_metric=job.metric, verbose=0)
        callbacks = [epochs, pruning_callback(trial), *check_callbacks(params.get("callbacks"))]
        model.fit(data, validation=held_out, **{**params, "callbacks": callbacks})
        trial.set_user_attr("best_epoch", int(model.best_epoch_))
    value = mean_metric(model, held_out, data, job.metric, model.get_params().get("n_jobs"))
    if math.isnan(value):
        raise ValueError(
            f"{job.metric} is undefined on the validation data: no user has a negative"
        )
    return value


def _refitted(model: Any, job: _Job, best: Any, refit: str | None) -> Any:
    """Return the best model, fitted on what `refit` says."""
    if refit is None:
        return model
    data, held_out, params, params_of_all = job.fits
    if refit == "all":
        if _ended_early(model, job, best):
            model.set_params(early_stopping=None, n_epochs=best.user_attrs["best_epoch"])
        without = {name: each for name, each in params_of_all.items() if name != "callbacks"}
        return model.fit(job.fits.together(), **without)
    if not (model._learns_in_epochs and (model.early_stopping or params.get("callbacks"))):
        return model.fit(data, **params)
    metric = model.validation_metric
    model.set_params(validation_metric=job.metric)
    model.fit(data, validation=held_out, **params)
    return model.set_params(validation_metric=metric)


def _ended_early(model: Any, job: _Job, best: Any) -> bool:
    """Return whether the best trial has, or may have, kept an epoch before the last of its model."""
    if not model._learns_in_epochs:
        return False
    if model.early_stopping is not None:
        return True
    planned = model._settled_params(job.fits.data, **job.fits.params)["n_epochs"]
    return bool(best.user_attrs["best_epoch"] < planned)


@contextmanager
def _telling_the_best(study: Any, job: _Job) -> Iterator[None]:
    """Add to an error, an interruption too, what was best until then: without a storage it would be lost."""
    try:
        yield
    except BaseException as error:
        if done := _completed(study):
            best = max(done, key=_rank)
            error.add_note(
                f"the best of the {len(done)} trials that tune completed had {job.metric} {best.value:.4f} "
                f"with {best.user_attrs.get('parameters', best.params)}"
            )
        raise


def _n_done(study: Any) -> int:
    return sum(
        each.state.name in ("COMPLETE", "PRUNED") for each in study.get_trials(deepcopy=False)
    )


def _n_settled(study: Any) -> int:
    """Return how many trials need not be run again: done, or ended with an error of their own."""
    return sum(
        each.state.is_finished() and "interrupted" not in each.user_attrs
        for each in study.get_trials(deepcopy=False)
    )


def _is_waiting(study: Any) -> bool:
    return any(each.state.name == "WAITING" for each in study.get_trials(deepcopy=False))


def _best_so_far(study: Any, metric: str) -> dict[str, float]:
    values = [each.value for each in _completed(study)]
    return {f"best {metric}": max(values)} if values else {}


def _completed(study: Any) -> list[Any]:
    return [each for each in study.get_trials(deepcopy=False) if each.state.name == "COMPLETE"]


def _rank(trial: Any) -> tuple[float, int]:
    return trial.value, -trial.number


def _best_of(study: Any) -> Any:
    finished = _completed(study)
    if not finished:
        raise ValueError(
            f"none of the {len(study.get_trials())} trials was completed: training diverged in all, "
            "so choose a space of lower learning rates"
        )
    return max(finished, key=_rank)


def _storage(storage: Any) -> Any:
    """Return what keeps the trials; raise unless it can be opened."""
    from optuna.storages import get_storage

    try:
        return None if storage is None else get_storage(storage)
    except Exception as error:  # of the database's library, which has classes of its own
        raise ValueError(
            f"storage must be a URL such as 'sqlite:///tuning.db' of a database that opens, got "
            f"{shown(storage)} ({said_by(error)})"
        ) from error
