"""The name of a study in a storage, by all that its trials depend on; the trials are in `search`."""

from __future__ import annotations

from typing import Any

from tripletrec._runtime.digests import digest_content
from tripletrec.data.digests import digest_data
from tripletrec.data.feature_tables import as_frame, is_table
from tripletrec.data.interactions import Interactions

__all__ = ["study_name"]

_WITHOUT_EFFECT = {"n_jobs", "verbose"}


def study_name(
    model: Any,
    space: Any,
    metric: str,
    seed: int,
    data: tuple[Interactions, Interactions],
    fit_params: dict[str, Any],
) -> str:
    """Return a name that a study has in common with those that would run the same trials.

    Parameters
    ----------
    model : estimator
        The template.
    space : callable or dict of str to Choice
        Of a function its code, and what it reads, is looked at as far as that can be told.
    metric : str
    seed : int
        Of the search.
    data : tuple of Interactions
        What trials learn from, and what they are measured on.
    fit_params : dict
        Other arguments of their fits; callbacks do not count.
    """
    kind = type(model)
    of = {
        "model": f"{kind.__module__}.{kind.__qualname__}",
        "parameters": {
            name: each for name, each in model.get_params().items() if name not in _WITHOUT_EFFECT
        },
        "space": space,
        "metric": metric,
        "seed": seed,
        "data": [digest_data(each, whole=True) for each in data],
        "fit": {
            name: _content_of(name, each)
            for name, each in fit_params.items()
            if name != "callbacks" and each is not None
        },
    }
    return f"{kind.__name__} {metric} {digest_content(of).hex()[:12]}"


def _content_of(name: str, given: Any) -> Any:
    """Return an argument of `fit` as plain values and arrays."""
    if isinstance(given, Interactions):
        return digest_data(given, whole=True)
    if hasattr(given, "tocsr"):
        rows = given.tocsr()
        return rows.shape, rows.indptr, rows.indices, rows.data
    if is_table(given):
        frame = as_frame(given, name)
        columns = {label: frame[label].to_numpy() for label in frame.columns}
        return frame.index.names, frame.index.to_numpy(), columns
    return given
