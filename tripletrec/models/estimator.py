"""The base of all estimators: what scikit-learn asks of one, without importing it; no `fit`, no answers.

Importing ``sklearn.base`` takes longer than everything else that a first fit needs. Parameters need nothing
from it; whatever else its `BaseEstimator` offers (tags, the HTML representation, metadata routing) is
borrowed from there on demand, by which time scikit-learn has usually been imported anyway.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tripletrec._runtime.messages import shown

__all__ = ["Estimator", "check_is_fitted"]

_BORROWED = {
    "_get_metadata_request",
    "_repr_html_",
    "_repr_mimebundle_",
    "get_metadata_routing",
    "set_fit_request",
    "set_partial_fit_request",
    "set_predict_request",
    "set_score_request",
}


class Estimator:
    """Base of the estimators.

    The constructor of a subclass stores its parameters under their names and does nothing else.
    """

    _learns_in_epochs: ClassVar[bool] = False  # of which there are records, callbacks, checkpoints
    _takes_features: ClassVar[bool] = False  # in `fit`, of users and of items

    def _check_parameters(self) -> None:
        """Raise unless `fit` would take the parameters, as far as they can be checked without data."""
        raise NotImplementedError

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor by name.

        Parameters
        ----------
        deep : bool, default True
            Accepted for scikit-learn's sake: no parameter is itself an estimator.

        Returns
        -------
        dict

        Examples
        --------
        >>> import tripletrec as tr
        >>> tr.MatrixFactorization(n_factors=8).get_params()["n_factors"]
        8
        """
        return {name: getattr(self, name) for name in self._get_param_names()}

    def _settled_params(self, X: Any = None, **fit_params: Any) -> dict[str, Any]:
        """Return the parameters, each with what it stands for if it is None.

        What goes by the data is as `fit` takes it, with `X` and these arguments.
        """
        return self.get_params()

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor; they are checked in `fit`.

        Parameters
        ----------
        **params
            New values by name.

        Returns
        -------
        Estimator
            The model itself.

        Raises
        ------
        ValueError
            If there is no such parameter; then none is set.

        Examples
        --------
        >>> import tripletrec as tr
        >>> tr.MatrixFactorization().set_params(n_factors=8).n_factors
        8
        """
        known = self._get_param_names()
        for name in params:
            if name not in known:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}. Valid parameters are: {known!r}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Name the parameters that are not the default."""
        parameters = inspect.signature(type(self)).parameters.values()
        changed = [
            f"{each.name}={value!r}"
            for each in parameters
            if repr(value := getattr(self, each.name, each.default)) != repr(each.default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()

    def __getstate__(self) -> dict[str, Any]:
        # Of one moment: another thread may change the model while it is copied.
        return dict(vars(self))

    def _borrow(self, name: str) -> Any:
        if name not in _BORROWED:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )
        kind: Any = type(self)
        twin: Any = object.__new__(_twin(kind))
        twin.__dict__ = vars(self)
        value = getattr(twin, name)
        if not callable(value):
            return value

        @wraps(value)
        def borrowed(*arguments: Any, **options: Any) -> Any:
            answer = value(*arguments, **options)
            return self if answer is twin else answer

        return borrowed

    if TYPE_CHECKING:  # to a type checker `__getattr__` would mean that models have any attribute
        get_metadata_routing: Callable[[], Any]
        set_fit_request: Callable[..., Self]
        set_partial_fit_request: Callable[..., Self]
        set_predict_request: Callable[..., Self]
        set_score_request: Callable[..., Self]
    else:
        __getattr__ = _borrow


@cache
def _twin(kind: type) -> type:
    """Return the class as it would be if it inherited from scikit-learn's."""
    from sklearn.base import BaseEstimator

    def reduce(self: Any, protocol: int) -> Any:
        return object.__new__, (kind,), self.__getstate__()

    own = {"__module__": kind.__module__, "__reduce_ex__": reduce}
    return type(kind.__name__, (kind, BaseEstimator), own)


def check_is_fitted(model: Any) -> None:
    """Raise scikit-learn's NotFittedError unless the model is fitted, TypeError unless it is a model."""
    if not isinstance(model, Estimator):
        raise TypeError(f"model must be a fitted model, got {shown(model)}")
    if "n_users_" not in vars(model):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(
            f"This {type(model).__name__} instance is not fitted yet. Call 'fit' with appropriate "
            "arguments before using this estimator."
        )
