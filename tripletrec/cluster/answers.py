"""Lists and metrics of a fitted model by many workers, some users each; training is in `driver`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tripletrec._checks import check_count, check_cutoffs
from tripletrec._runtime.folders import filling_folder
from tripletrec.cluster.dask_engine import DaskTasks, check_client
from tripletrec.cluster.shuffle import Tasks
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import Evaluation, measuring
from tripletrec.evaluation.metrics import Gains, mean_of
from tripletrec.evaluation.standing import NoUsersError, left_out_of
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.lists import Asked, write_lists
from tripletrec.sampling.draw import ItemsOfUsers

if TYPE_CHECKING:
    import pandas as pd

    from tripletrec.evaluation.measured import Measured

__all__ = ["evaluate", "evaluate_by", "recommend", "recommend_by"]


def recommend(
    model: Any,
    users: Any = None,
    k: int = 10,
    *,
    client: Any,
    out: str | os.PathLike[str],
    exclude: Any = "seen",
    candidates: Any = None,
    batch_size: int = 20_000,
    skip_unknown: bool = False,
) -> int:
    """Have the workers of a Dask cluster write each user's best items: the lists of ``model.recommend_to``.

    Parameters
    ----------
    model : estimator
        Fitted; it is sent to all workers.
    users : id, sequence of ids or None, default None
        None: all.
    k, exclude, candidates, skip_unknown
        As of ``model.recommend_to``.
    client : distributed.Client
    out : path-like
        A new or empty folder, on a disk that all workers see. It gets files of parquet,
        ``part-00000.parquet``, …, each with the users of a batch, in their order: read as one table they are
        that of `recommend_to`. Until all are written they are in a hidden folder within it, and are removed
        if anything goes wrong, Ctrl-C included.
    batch_size : int, default 20,000
        Users of a file.

    Returns
    -------
    int
        How many rows were written: one for each item of each user.

    Raises
    ------
    TypeError, ValueError, ImportError
        As of ``model.recommend_to``, and if there is no client or something in the folder; before anything
        is written.
    OSError
        If a file cannot be written.

    Examples
    --------
    >>> import tripletrec as tr
    >>> from distributed import Client  # doctest: +SKIP
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> tr.cluster.recommend(model, k=20, client=client, out="/shared/lists")  # doctest: +SKIP
    20000000
    """
    options = {"exclude": exclude, "candidates": candidates, "skip_unknown": skip_unknown}
    tasks = DaskTasks(check_client(client))
    return recommend_by(tasks, model, users, k, out, batch_size, options)


def evaluate(
    model: Any,
    test: Any,
    exclude: Any = "seen",
    *,
    client: Any,
    k: int | ArrayLike = (10, 20),
    candidates: Any = None,
    gains: Gains = "binary",
    batch_size: int = 20_000,
) -> Evaluation:
    """Have the workers of a Dask cluster rank: what `tripletrec.evaluate` returns, to the last bit.

    Parameters
    ----------
    model, test, exclude, k, gains
        As of `tripletrec.evaluate`; the model is sent to all workers.
    client : distributed.Client
    candidates : sequence or set of item ids, default None
        The only items that are ranked; None: all.
    batch_size : int, default 20,000
        Users that are sent to a worker at a time.

    Returns
    -------
    Evaluation
        Its ``lists``, if they are asked for, are made on this machine.

    Raises
    ------
    TypeError, ValueError, ImportError
        As of `tripletrec.evaluate`, and if there is no client.

    Examples
    --------
    >>> import tripletrec as tr
    >>> from distributed import Client  # doctest: +SKIP
    >>> client = Client("tcp://scheduler:8786")  # doctest: +SKIP
    >>> tr.cluster.evaluate(model, test, client=client, k=(10, 50)).mean  # doctest: +SKIP
    """
    options = {"k": k, "candidates": candidates, "gains": gains}
    tasks = DaskTasks(check_client(client))
    return evaluate_by(tasks, model, test, exclude, batch_size, options)


def recommend_by(
    tasks: Tasks, model: Any, users: Any, k: int, out: Any, batch: int, options: dict[str, Any]
) -> int:
    """Have workers write the lists of all users to a folder, a file for each batch; return how many rows.

    Parameters
    ----------
    tasks : Tasks
    model : estimator
        Fitted.
    users : id, sequence of ids or None
        None: all.
    k : int
    out : path-like
        A new or empty folder that all workers see.
    batch : int
        Users of a file.
    options : dict
        Further arguments of `recommend_to`: exclude, candidates and skip_unknown.
    """
    check_is_fitted(model)
    check_count(batch, "batch_size")
    asked: Asked = model._asked(users, k, **options)
    with filling_folder(out, "out") as place:
        shared, pairs = tasks.spread(model), tasks.spread(asked.out.pairs)
        asked = asked._replace(out=asked.out._replace(pairs=()))  # which is sent once
        pending = []
        for number, first in enumerate(range(0, len(asked.rows), batch)):
            path, own = str(place / f"part-{number:05}.parquet"), asked.part(first, first + batch)
            pending.append(tasks.submit(_recommend, shared, pairs, path, own))
        return sum(tasks.gather(pending))


def evaluate_by(
    tasks: Tasks,
    model: Any,
    test: Any,
    exclude: Any,
    batch: int,
    options: dict[str, Any],
) -> Evaluation:
    """Have workers evaluate a model, a batch of users each; what comes of it is what `evaluate` gives.

    Parameters
    ----------
    tasks : Tasks
    model, exclude, options
        See `tripletrec.evaluate`.
    test : Interactions, sparse matrix or array
    batch : int
        Users of a task.
    """
    check_count(batch, "batch_size")
    data = as_interactions(test, "test")
    data._check_not_empty("test")
    users = np.flatnonzero(np.diff(data.indptr))
    shared, left_out = tasks.spread(model), tasks.spread(exclude)
    pending = []
    for first in range(0, len(users), batch):
        own = users[first : first + batch]
        part = data[slice(int(data.indptr[own[0]]), int(data.indptr[own[-1] + 1]))]
        pending.append(tasks.submit(_evaluate, shared, part, left_out, options))
    found = _together([each for each in tasks.gather(pending) if each is not None])

    def measure() -> Measured:
        from tripletrec.evaluation.fields import asked_candidates  # here, as in `measuring`
        from tripletrec.evaluation.measured import measured

        cutoffs = check_cutoffs(options.get("k", (10, 20)))
        left_out = left_out_of(model, data, exclude)
        asked = asked_candidates(options.get("candidates"), data)
        return measured(data, cutoffs, options.get("gains", "binary"), left_out, asked)

    return found._with(lambda: measuring.evaluate(model, data, exclude, **options).lists, measure)


def _recommend(
    model: Any, pairs: tuple[ItemsOfUsers | Interactions, ...], path: str, asked: Asked
) -> int:
    asked = asked._replace(out=asked.out._replace(pairs=pairs))
    return write_lists(model._lists(asked), path)


def _evaluate(
    model: Any,
    test: Interactions,
    exclude: Any,
    options: dict[str, Any],
) -> pd.DataFrame | None:
    """Return the metrics of each user; None if no user has a positive that is not excluded."""
    try:
        return measuring.evaluate(model, test, exclude, **options).per_user
    except NoUsersError:
        return None


def _together(parts: list[pd.DataFrame]) -> Evaluation:
    import pandas as pd

    if not parts:
        raise NoUsersError("no user can be evaluated: exclude holds all positives of test")
    per_user = pd.concat(parts)
    means = {name: mean_of(per_user[name].to_numpy()) for name in per_user}
    return Evaluation(pd.Series(means, name="mean"), per_user)
