"""What a parameter may be while models are tuned; trials of it are in `search`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral
from typing import Any, NamedTuple

from tripletrec._checks import is_number
from tripletrec._runtime.messages import shown
from tripletrec.losses import ListLoss, Loss, check_loss
from tripletrec.losses.listwise import TunedNumber, tuned_number_of
from tripletrec.models.estimator import Estimator
from tripletrec.sampling import dynamic

__all__ = [
    "Choice",
    "Space",
    "check_drawn",
    "check_template",
    "default_space",
    "models_of",
    "need_optuna",
    "read_space",
]

_FORMS = "(low, high), (low, high, 'log'), a list of choices or a distribution of Optuna"  # of a parameter
_TEMPERATURES = (0.07, 0.1, 0.14, 0.2, 0.28, 0.36)  # of cosines, as long as the data are not known
_SHARES = (0.5, 0.5**0.5, 2.0**0.5, 2.0)  # of the temperature, or of the weight of negatives
# By how much a value may be smaller or larger than the model's.
_WIDTHS = {"learning_rate": 3.0, "n_epochs": 2.0, "user_l2": 3.0, "item_l2": 3.0}


def need_optuna() -> Any:
    """Return the module optuna, or raise one sentence that says what to install."""
    try:
        import optuna
    except ImportError:
        raise ImportError("tune needs Optuna, which is not installed: pip install optuna") from None
    return optuna


def default_space(model: Any, X: Any = None, **fit_params: Any) -> dict[str, Any]:
    """Return the space that `tune` searches if none is given.

    Ranges lie around the values that the model has, so that a preset is refined and not left.

    Parameters
    ----------
    model : estimator
    X : Interactions, sparse matrix or array, default None
        What is learnt from: what the model leaves open until it knows the data, such as how many epochs
        "softmax" takes, is what a fit on these takes. None: the most epochs, and a sampler left open.
    **fit_params
        Other arguments of that fit, such as ``negatives=``.

    Returns
    -------
    dict
        The learning rate, L2, the number of factors and of epochs; with losses of triplets the learning-rate
        schedule, the L2 of biases and, unless they search for their negatives, the sampler; with list-wise
        losses and networks the dropout and the share of the history; with "softmax" and "bsl" the
        temperature, from half to twice the model's, with "ccl" the weight of negatives likewise. Of `EASE`
        its L2.

    Raises
    ------
    ValueError, TypeError
        If the model has nothing to be tuned, or is none.

    Examples
    --------
    >>> import tripletrec as tr
    >>> default_space(tr.MatrixFactorization())["n_factors"]
    [32, 64, 128]
    """
    check_template(model)
    given = model._settled_params(X, **fit_params)
    space: dict[str, Any] = {}
    for name, width in _WIDTHS.items():
        if given.get(name):
            space[name] = _around(given[name], width)
        elif name in given:
            space[name] = (1e-4, 0.1, "log")
    for name in ("n_factors", "n_user_factors", "n_item_factors"):
        if name in given:
            space[name] = [max(1, given[name] // 2), given[name], 2 * given[name]]
    if "loss" in given:
        space |= _of_loss(given, cosine=model._is_cosine())
    elif "l2" in given:
        space["l2"] = _around(given["l2"], 20.0)
    if not space:
        raise ValueError(f"{type(model).__name__} has no parameter to be tuned: give a space")
    return space


def _of_loss(given: Mapping[str, Any], *, cosine: bool) -> dict[str, Any]:
    """Return the part of a space that depends on the kind of loss."""
    loss = check_loss(given["loss"], search=True)
    listwise = isinstance(loss, ListLoss)
    space: dict[str, Any] = {}
    tuned = tuned_number_of(loss) if isinstance(loss, ListLoss) else None
    if tuned is not None:
        space["loss"] = [given["loss"], *_siblings(tuned, cosine=cosine)]
    if isinstance(loss, Loss):
        space |= _of_triplets(given, loss)
    if listwise and "history" in given:
        space["history"] = sorted({0.0, 0.3, 0.8, given["history"]})
    if "dropout" in given and (listwise or "hidden" in given):
        space["dropout"] = (0.0, 0.5)
    return space


def _siblings(tuned: TunedNumber, *, cosine: bool) -> list[ListLoss]:
    """Return a loss with other numbers; None is a temperature that goes by the data if scores are cosines."""
    if tuned.value is None and cosine:
        return [tuned.replace(each) for each in _TEMPERATURES]
    return [tuned.replace(each) for each in _near(1.0 if tuned.value is None else tuned.value)]


def _near(value: float) -> list[float]:
    return [float(f"{share * value:.3g}") for share in _SHARES] if value else []


def _of_triplets(given: Mapping[str, Any], loss: Loss) -> dict[str, Any]:
    space = {"schedule": _with(given["schedule"], "constant", "linear")}
    if not loss.searches:  # more candidates: a better top of the list, a worse full AUC
        space["sampler"] = _with(given["sampler"], "unseen", dynamic(4), dynamic(16))
    if "bias_l2" in given:
        space["bias_l2"] = _with(given["bias_l2"], 0.0, 0.01)
    return space


def _with(value: Any, *others: Any) -> list[Any]:
    return [value, *(each for each in others if each != value)]


def _around(value: Any, factor: float) -> tuple[Any, Any, str]:
    if isinstance(value, int):
        return max(1, int(value / factor)), max(2, int(value * factor)), "log"
    return float(f"{value / factor:.3g}"), float(f"{value * factor:.3g}"), "log"


class Choice(NamedTuple):
    """A parameter's distribution, and what its values stand for if they are names of other things."""

    distribution: Any
    meaning: Mapping[str, Any]

    def value(self, drawn: Any) -> Any:
        """Return the parameter that a drawn value stands for."""
        return self.meaning.get(drawn, drawn) if isinstance(drawn, str) else drawn

    def drawn(self, value: Any) -> Any:
        """Return what would have been drawn for a parameter; raise LookupError if nothing would."""
        for name, each in self.meaning.items():
            if each is value or each == value:
                return name
        if not _contains(self.distribution, value):
            raise LookupError
        return value


Space = dict[str, Choice]


def read_space(space: Any, model: Any) -> Space:
    """Return the distribution of each parameter of a space; raise if a trial could not be fitted.

    That is if the model has no such parameter, or refuses a choice or an end of a range beside the first
    choices of all others, which is a trial that may come.
    """
    if not isinstance(space, Mapping) or not space:
        raise TypeError(
            f"space must be None, a function of a trial, or a dict from parameters to {_FORMS}, "
            f"got {shown(space)}"
        )
    _check_names("space has", space, model)
    choices = {name: _choice(name, each) for name, each in space.items()}
    _check_allowed(models_of(choices, model))
    return choices


def check_template(model: Any) -> None:
    """Raise TypeError unless models can be made like one."""
    if not isinstance(model, Estimator):
        raise TypeError(
            f"model must be a model of tripletrec, such as MatrixFactorization(), got {shown(model)}"
        )


def check_drawn(params: Any, model: Any) -> dict[str, Any]:
    """Return the parameters that a function gave as a space drew for a trial, or raise."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"space, a function, must return a dict of parameters for each trial, got {shown(params)}"
        )
    _check_names("space has drawn", params, model)
    _check_allowed([type(model)(**{**_params_to_check(model), **params})])
    return dict(params)


def _check_names(what: str, params: Mapping[Any, Any], model: Any) -> None:
    known = model.get_params()
    for name in params:
        if name not in known:
            raise ValueError(
                f"{what} {shown(name)}, which is no parameter of {type(model).__name__}; there are "
                f"{', '.join(known)}"
            )


def models_of(space: Space, model: Any) -> Iterator[Any]:
    """Yield models such as trials may have: each choice or end of a range, beside the first of all others."""
    ends = {name: _ends(each) for name, each in space.items()}
    first = _params_to_check(model) | {name: each[0] for name, each in ends.items()}
    for name, values in ends.items():
        for value in values:
            yield type(model)(**{**first, name: value})


def _params_to_check(model: Any) -> dict[str, Any]:
    """Return a model's parameters without its generator of random numbers, which checks would advance."""
    params: dict[str, Any] = model.get_params()
    return {**params, "random_state": 0} if "random_state" in params else params


def _check_allowed(models: Iterable[Any]) -> None:
    for each in models:
        try:
            each._check_parameters()
        except (ValueError, TypeError) as error:
            raise type(error)(f"space has a trial that the model refuses: {error}") from None


def _ends(choice: Choice) -> list[Any]:
    """Return the choices, or the least and the most of a range."""
    each = choice.distribution
    drawn = each.choices if hasattr(each, "choices") else (each.low, each.high)
    return [choice.value(value) for value in drawn]


def _choice(name: str, given: Any) -> Choice:
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    if isinstance(given, BaseDistribution):
        return Choice(given, {})
    if isinstance(given, (list, range)) and len(given):
        # Optuna's storages keep nothing but plain values: of others, a name.
        labels = [
            each if _is_plain(each) else f"{place}: {_label(each)}"
            for place, each in enumerate(given)
        ]
        meaning = {str(label): each for label, each in zip(labels, given, strict=True)}
        parts = {label: each for label, each in meaning.items() if not _is_plain(each)}
        return Choice(CategoricalDistribution(labels), parts)
    if isinstance(given, tuple) and len(given) in (2, 3) and given[2:] in ((), ("log",)):
        return Choice(_range(name, *given[:2], log=len(given) == 3), {})
    raise ValueError(f"space[{name!r}] must be {_FORMS}, got {shown(given)}")


def _range(name: str, low: Any, high: Any, *, log: bool) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    for each in (low, high):
        if not is_number(each):
            raise ValueError(f"space[{name!r}] must be {_FORMS}, got {shown((low, high))}")
    if not low <= high or log and low <= 0:
        what = "0 < low <= high with 'log'" if log else "low <= high"
        raise ValueError(f"space[{name!r}] must have {what}, got {shown((low, high))}")
    if isinstance(low, Integral) and isinstance(high, Integral):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _contains(distribution: Any, value: Any) -> bool:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return any(each is value or type(each) is type(value) and each == value for each in choices)
    if not is_number(value):
        return False
    return bool(distribution.low <= float(value) <= distribution.high)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _label(value: Any) -> str:
    """Return a name of a part such as a sampler, without what changes from process to process."""
    text, name = shown(value, 40), getattr(value, "name", None)
    return name if isinstance(name, str) and " at 0x" in repr(value) else text
