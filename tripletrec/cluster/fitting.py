"""`fit` on a cluster: arguments, checkpoint, and the model that comes of it; epochs are in `driver`."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count, check_flag
from tripletrec._runtime.messages import shown
from tripletrec._runtime.progress import Progress
from tripletrec.cluster.dask_engine import DaskEngine, DaskTasks, check_client
from tripletrec.cluster.driver import Driver, ProbeOf
from tripletrec.cluster.engine import Engine
from tripletrec.cluster.events import EventsSource, read_seen
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.pieces import is_table
from tripletrec.cluster.probe import Report
from tripletrec.cluster.sharded import ShardedFactors
from tripletrec.cluster.sources import VALUES, Facts, InteractionsSource, Source
from tripletrec.cluster.store import (
    Axis,
    Committed,
    clear,
    last_epoch,
    read_axis,
    read_items,
    read_meta,
    read_user_rows,
    write_axis,
    write_meta,
)
from tripletrec.cluster.worker import Job
from tripletrec.data.id_codecs import check_savable
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.losses import ListLoss
from tripletrec.models.companions import Sizes
from tripletrec.models.factorization import MatrixFactorization
from tripletrec.models.fingerprints import difference, fingerprint
from tripletrec.models.fit_arguments import check_negatives, check_sample_weight, settle_sampler
from tripletrec.models.saved_state import OptimizerState
from tripletrec.training.dealing import Partition
from tripletrec.training.epoch_layout import EpochLayout
from tripletrec.training.health import warn_at_the_end
from tripletrec.training.plan import FactorPlan
from tripletrec.training.tables import FactorTables

__all__ = ["fit", "fit_with"]

Model = TypeVar("Model", bound=MatrixFactorization)


def fit(
    model: Model,
    source: Any,
    *,
    client: Any,
    user: str = "user",
    item: str = "item",
    value: str | None = None,
    duplicates: Literal["sum", "max", "count"] = "sum",
    checkpoint: str | os.PathLike[str],
    sample_weight: Any = None,
    negatives: Any = None,
    every: int = 1,
    collect: bool = True,
) -> Model:
    """Learn the factors of a model on the workers of a Dask cluster: the bits that ``model.fit`` learns.

    Number and speed of the workers change nothing in the result. Each keeps some of the users, with their
    interactions, in its memory; in an epoch only rows of items travel between workers. After every `every`
    epochs all that is learnt is in the folder `checkpoint`, so that a worker that is lost costs the epochs
    since then, and a fit whose client has ended goes on there when it is called again.

    Parameters
    ----------
    model : MatrixFactorization
        With a loss of triplets. Its `n_jobs` has no effect: a worker learns with as many threads as it has.
    source : path-like, URL, Dask DataFrame, Interactions, sparse matrix or array of shape (n_users, n_items)
        The positives. Files of parquet, which all workers must see, or a Dask DataFrame with a row for each
        event are read by the workers and brought to blocks of users once; users, items and what becomes of
        duplicates are as of ``Interactions.read``, in whatever files, order and number of partitions.
    client : distributed.Client
        Its workers must run the same versions, and make machine code for the same processor; set
        ``NUMBA_CPU_NAME`` in their environment where their processors differ.
    user, item, value : str
        Columns of a table of events; not looked at where the source has none.
    duplicates : {"sum", "max", "count"}, default "sum"
        What becomes of several events of a user and an item, see ``Interactions.from_frame``.
    checkpoint : path-like
        A new or empty folder that the client and all workers can write to, or one that a fit of the same
        model and data has left: a path, or a URL that fsspec knows, such as ``"s3://bucket/folder"``. To
        tell whether the data are the same all rows are compared, by a digest in which neither their order
        nor that of files counts; for it the workers read events once more. What the fit has written is
        removed when it has ended well, if `collect`, or diverged.
    sample_weight, negatives
        As of ``model.fit``; for events "values" or None, and None.
    every : int, default 1
        Epochs from one that is kept in the folder to the next.
    collect : bool, default True
        False: user factors, which may be larger than the client's memory, stay in the folder.
        ``user_factors_`` is then a `tripletrec.cluster.sharded.ShardedFactors`, which reads those of users as
        they are asked for: `recommend` and `evaluate` work, `similar_users` reads all, and `partial_fit` and
        `save` ask for ``model.user_factors_ = np.asarray(model.user_factors_)``. Of events the positives stay
        there, too: ``seen_`` is None, so that `recommend` and `evaluate` leave out only what `exclude` names.

    Returns
    -------
    MatrixFactorization
        The model itself, with all that `fit` leaves.

    Raises
    ------
    TypeError, ValueError
        If an argument or a parameter is not allowed: list-wise losses and `early_stopping` are not.
    ImportError
        If Dask is not installed.
    ConnectionError
        If the scheduler does not answer; what is in the folder stays.
    RuntimeError
        If there is no worker, or workers are lost again and again in one epoch.
    FloatingPointError
        If training diverges.
    KeyboardInterrupt
        After Ctrl-C; the model stays as it was, and the last epoch that was kept stays in the folder.

    Examples
    --------
    Here with two workers on this machine:

    >>> import tripletrec as tr
    >>> from distributed import Client, LocalCluster  # doctest: +SKIP
    >>> data = tr.datasets.make_interactions(2_000, 1_000, 100_000, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=10)
    >>> with LocalCluster(n_workers=2) as workers, Client(workers) as client:  # doctest: +SKIP
    ...     tr.cluster.fit(model, data, client=client, checkpoint="fit-of-today")
    MatrixFactorization(n_epochs=10)
    """
    plan = _check_model(model)
    every, collect = check_count(every, "every"), check_flag(collect, "collect")
    folder = Folder(checkpoint)
    client = check_client(client)
    data: Source
    if is_table(source):
        names = {"user": user, "item": item} | ({} if value is None else {"value": value})
        weighted = _check_of_events(sample_weight, negatives, value)
        if not isinstance(duplicates, str) or duplicates not in ("sum", "max", "count"):
            raise ValueError(
                f"duplicates must be 'sum', 'max' or 'count' on a cluster, got {duplicates!r}"
            )
        data = EventsSource(
            source, names, DaskTasks(client), duplicates=duplicates, weighted=weighted
        )
    else:
        data = _source_of(source, sample_weight, negatives)
    return fit_with(DaskEngine(client), model, plan, data, folder, every=every, collect=collect)


def fit_with(
    engine: Engine,
    model: Model,
    plan: FactorPlan,
    source: Source,
    folder: Folder,
    *,
    every: int = 1,
    collect: bool = True,
) -> Model:
    """Fit a model with any engine.

    Parameters
    ----------
    engine : Engine
    model : MatrixFactorization
    plan : FactorPlan
        What the model makes of its parameters.
    source : Source
    folder : Folder
    every, collect
        See `fit`.
    """
    try:
        work = _begin_or_resume(engine, model, plan, source, folder)
        epoch = last_epoch(folder)
        driver = Driver(engine, work.job, work.probing, every)
        with Progress(
            work.plan.n_epochs, "training", "epoch", shown=bool(model.verbose), done=epoch.number
        ) as progress:
            epoch = driver.run(epoch, lambda record: progress.advance(loss=record["loss"]))
    except FloatingPointError:
        clear(folder)
        raise
    finally:
        with suppress(Exception):  # what has gone wrong before matters more
            engine.close()
    if driver.largest is not None:
        warn_at_the_end(work.plan, epoch.history, driver.largest)
    learnt = _learnt(work, folder, epoch, collect)
    seen = source.seen()
    if seen is None and collect:
        seen = read_seen(folder, work.users, work.items, len(work.dealt.bounds) - 1)
    _become(model, work, learnt, epoch, seen)
    if collect:
        clear(folder)
    return model


class _Work(NamedTuple):
    """What is known when the epochs begin."""

    plan: FactorPlan
    job: Job
    probing: ProbeOf
    users: Axis
    items: Axis
    dealt: Partition


class _Learnt(NamedTuple):
    """What a folder holds at the end."""

    user_factors: Any
    item_factors: NDArray[np.float32]
    item_biases: NDArray[np.float32]
    state: OptimizerState | None


def _check_model(model: Any) -> FactorPlan:
    """Return the plan of a model that can be learnt on a cluster."""
    if type(model) is not MatrixFactorization:
        raise TypeError(
            "model must be a MatrixFactorization, other models are trained on one machine, got "
            f"{shown(model)}"
        )
    plan = model._plan()
    if isinstance(plan.loss, ListLoss):
        raise ValueError(
            f"loss must be one of triplets on a cluster, got {plan.loss.name!r}: list-wise losses are "
            "trained on one machine"
        )
    if model.early_stopping is not None:
        raise ValueError(
            "early_stopping must be None on a cluster, where nothing is validated between epochs, got "
            f"{shown(model.early_stopping)}"
        )
    check_count(model.verbose, "verbose", 0)
    return plan


def _check_of_events(sample_weight: Any, negatives: Any, value: str | None) -> bool:
    """Return whether events are weighted by their values; raise if they are to be by something else."""
    if negatives is not None:
        raise ValueError("negatives must be None for events: give source as Interactions")
    if sample_weight is None:
        return False
    if not isinstance(sample_weight, str) or sample_weight != "values" or value is None:
        raise ValueError(
            'sample_weight must be None for events or, with a column of values, "values", '
            f"got {shown(sample_weight)}"
        )
    return True


def _source_of(source: Any, sample_weight: Any, negatives: Any) -> Source:
    """Return what a fit learns from, checked as `fit` checks it."""
    data = as_interactions(source, "source")
    check_savable(data.user_ids, "user_ids")
    check_savable(data.item_ids, "item_ids")
    data._check_not_empty("source")
    weights = check_sample_weight(sample_weight, data)
    if weights is not None and not weights.all():
        data, weights = data[weights > 0], weights[weights > 0]
    return InteractionsSource(data, weights, check_negatives(negatives, data))


def _begin_or_resume(
    engine: Engine, model: MatrixFactorization, plan: FactorPlan, source: Source, folder: Folder
) -> _Work:
    """Read what the folder has, or write what the epochs need; ask the workers whether they are alike."""
    meta = read_meta(folder)
    if meta is None:
        folder.check_writable()
    elif not isinstance(model.random_state, Integral):
        plan = replace(plan, seed=meta["of"]["fit"]["seed"])
    entries = source.entries()
    if not plan.sampler.by_value:
        entries.pop(VALUES, None)
    of = fingerprint(model, plan, **entries)
    if meta is not None:
        differs = difference(meta["of"], of)
        if differs is not None:
            raise ValueError(
                f"checkpoint {folder} is of another fit: {differs}; delete the folder to begin afresh, or "
                "give another one"
            )
    if meta is None:
        clear(folder)  # what was begun and does not count
        users, items = source.count()
        facts, known = source.facts(), None
    else:
        users, items = read_axis(folder, "user"), read_axis(folder, "item")
        facts, known = Facts(**meta["facts"]), Report(**meta["workers"])
    sizes = Sizes.of_counts(users.counts, items.counts)
    has_given = facts.nnz > 0
    plan = model._plan_for_sizes(plan, sizes, lambda: facts.percentile_rank)
    counted = None if facts.n_given is None else facts
    plan = replace(plan, sampler=settle_sampler(plan, counted, lambda: facts.has_grades))
    epoch_layout = EpochLayout(plan, users.counts, items.counts, given=has_given)
    dealt = epoch_layout.deal_users(users.counts)
    probing = ProbeOf(engine, (plan, has_given, facts.is_weighted), known)
    probing.check()
    if meta is None:
        write_axis(folder, "user", users)
        write_axis(folder, "item", items)
        source.write_blocks(folder, dealt, graded=plan.is_graded)
        workers = None if probing.report is None else probing.report._asdict()
        told = {"of": of, "workers": workers, "facts": facts._asdict()}
        write_meta(folder, told)
    source.release()
    return _Work(plan, Job(folder, epoch_layout, 0), probing, users, items, dealt)


def _learnt(work: _Work, folder: Folder, epoch: Committed, collect: bool) -> _Learnt:
    """Return what is in the folder after an epoch."""
    plan, order, bounds = work.plan, work.dealt.order, work.dealt.bounds
    n, n_state = plan.n_factors, len(plan.optimizer.state)
    items = [read_items(folder, epoch.number, k) for k in range(epoch.n_item_files)]
    rows, table, biases, step_counts = (np.concatenate(each) for each in zip(*items, strict=True))
    by_row = np.argsort(rows)
    no_users = np.empty((0, 1 + n_state, table.shape[2]), np.float32)
    tables = FactorTables(
        no_users, table[by_row], biases[by_row][:, :, None], no_users[:, 0], step_counts[by_row], n
    )
    factors, state = tables.release(), dict(tables.row_state())
    if not collect:
        sharded = ShardedFactors(folder, epoch.number, n, order, bounds)
        return _Learnt(sharded, factors.item_factors, factors.item_biases, None)
    user_factors = np.empty((len(order), n), np.float32)
    state["state.0"] = np.empty((len(order), n_state, 1), np.float32)
    state["step_counts.0"] = np.empty((len(order), step_counts.shape[1]), np.float32)
    for block, (first, last) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        own = order[first:last]
        found = read_user_rows(folder, epoch.number, block)
        tables = FactorTables(
            found[0], table[:0], biases[:0, :, None], found[1], step_counts[:0], n
        )
        user_factors[own] = tables.factors.user_factors
        of_block = tables.row_state()
        for name in ("state.0", "step_counts.0"):
            state[name][own] = of_block[name]
    return _Learnt(
        user_factors, factors.item_factors, factors.item_biases,
        OptimizerState(plan.optimizer.name, state),
    )  # fmt: skip


def _become(
    model: MatrixFactorization,
    work: _Work,
    learnt: _Learnt,
    epoch: Committed,
    seen: Interactions | None,
) -> None:
    """Give a model all fitted attributes, at once."""
    attributes: dict[str, Any] = {
        "n_users_": len(work.users.counts),
        "n_items_": len(work.items.counts),
        "n_features_in_": len(work.items.counts),
        "user_ids_": work.users.ids,
        "item_ids_": work.items.ids,
        "item_counts_": work.items.counts,
        "temperature_": None,
        "user_factors_": learnt.user_factors,
        "item_factors_": learnt.item_factors,
        "item_biases_": learnt.item_biases,
        "_companions": work.plan.companions,
        "history_": epoch.history,
        "best_epoch_": epoch.number,
        "seen_": seen,
    }
    model._become({**attributes, "_optimizer_state": learnt.state, "_of_matrix": False})
