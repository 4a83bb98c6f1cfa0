"""Lists and metrics of a fitted model by many workers, some users each; training is in `driver`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tripletrec._checks import check_count
from tripletrec._runtime.messages import shown
from tripletrec.cluster.shuffle import Engine
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import Evaluation
from tripletrec.evaluation.metrics import mean_of
from tripletrec.evaluation.standing import NoUsersError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate_by", "recommend_by"]


def recommend_by(
    engine: Engine, model: Any, users: Any, k: int, out: Any, batch: int, options: dict[str, Any]
) -> int:
    """Have workers write the lists of all users to a folder, a file for each batch; return how many rows.

    Parameters
    ----------
    engine : Engine
    model : estimator
        Fitted.
    users : sequence of ids or None
        None: all.
    k : int
    out : path-like
        A new or empty folder that all workers see.
    batch : int
        Users of a file.
    options : dict
        Further arguments of `recommend_to`.
    """
    check_count(k, "k")
    check_count(batch, "batch_size")
    asked = users
    if users is None:
        asked = np.arange(model.n_users_) if model.user_ids_ is None else model.user_ids_
    folder = _new_folder(out)
    shared = engine.spread(model)
    tasks = []
    for number, first in enumerate(range(0, len(asked), batch)):
        path = str(folder / f"part-{number:05}.parquet")
        own = asked[first : first + batch]
        tasks.append(engine.submit(_recommend, shared, path, own, k, options))
    return sum(engine.gather(tasks))


def evaluate_by(
    engine: Engine,
    model: Any,
    test: Any,
    exclude: Any,
    batch: int,
    evaluate: Callable[..., Evaluation],
    options: dict[str, Any],
) -> Evaluation:
    """Have workers evaluate a model, a batch of users each; what comes of it is what `evaluate` gives.

    Parameters
    ----------
    engine : Engine
    model, exclude, options
        See `tripletrec.evaluate`.
    test : Interactions, sparse matrix or array
    batch : int
        Users of a task.
    evaluate : callable
        `tripletrec.evaluate`.
    """
    check_count(batch, "batch_size")
    data = as_interactions(test, "test")
    data.check_not_empty("test")
    users = np.flatnonzero(np.diff(data.indptr))
    shared, left_out = engine.spread(model), engine.spread(exclude)
    tasks = []
    for first in range(0, len(users), batch):
        own = users[first : first + batch]
        part = data[slice(int(data.indptr[own[0]]), int(data.indptr[own[-1] + 1]))]
        tasks.append(engine.submit(_evaluate, evaluate, shared, part, left_out, options))
    return _together([each for each in engine.gather(tasks) if each is not None])


def _recommend(model: Any, path: str, users: Any, k: int, options: dict[str, Any]) -> int:
    n_rows: int = model.recommend_to(path, users, k, **options)
    return n_rows


def _evaluate(
    evaluate: Callable[..., Evaluation],
    model: Any,
    test: Interactions,
    exclude: Any,
    options: dict[str, Any],
) -> pd.DataFrame | None:
    """Return the metrics of each user; None if no user has a positive that is not excluded."""
    try:
        return evaluate(model, test, exclude, **options).per_user
    except NoUsersError:
        return None


def _together(parts: list[pd.DataFrame]) -> Evaluation:
    import pandas as pd

    if not parts:
        raise NoUsersError("no user can be evaluated: exclude holds all positives of test")
    per_user = pd.concat(parts)
    means = {name: mean_of(per_user[name].to_numpy()) for name in per_user}
    return Evaluation(pd.Series(means, name="mean"), per_user)


def _new_folder(out: Any) -> Path:
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"out must be the path of a folder, got {shown(out)}")
    folder = Path(os.path.abspath(os.fspath(out)))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out must be a new or empty folder, got {str(folder)!r}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
