"""Training of all replicas over several seeds, and the report on it; the training of one is in `replica`."""

from __future__ import annotations

import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import numpy as np

from tripletrec._checks import check_count, check_n_jobs
from tripletrec._runtime.threads import ThreadPool
from tripletrec.reference.replica import Run, train_replica
from tripletrec.reference.systems import SYSTEMS, ReferenceSystem

if TYPE_CHECKING:
    from tripletrec.datasets import MovieLens

__all__ = ["check_systems", "format_report", "n_epochs_in_all", "reproduce"]

_WIDTH = 100  # of the report, in characters
_COLUMNS = 10  # epochs side by side


def check_systems(systems: Iterable[str] | None, name: str = "systems") -> list[str]:
    """Return the keys of the systems to train, in the order of `SYSTEMS`; None: all."""
    if systems is None:
        return list(SYSTEMS)
    wanted = list(systems)
    for key in wanted:
        if key not in SYSTEMS:
            raise ValueError(f"{name} must be among {', '.join(SYSTEMS)}, got {key!r}")
    return [key for key in SYSTEMS if key in wanted]


def n_epochs_in_all(systems: Iterable[str], seeds: int) -> int:
    """Return how many times `reproduce` will call ``on_epoch``."""
    return seeds * sum(SYSTEMS[key].n_epochs for key in systems if SYSTEMS[key].recipe)


def reproduce(
    data: MovieLens,
    seeds: int = 3,
    *,
    systems: Iterable[str] | None = None,
    n_jobs: int | None = None,
    on_epoch: Callable[[str, int, Run], None] | None = None,
    extra: Sequence[Callable[[MovieLens, int], dict[str, Any]]] = (),
) -> dict[str, Any]:
    """Train the replicas of the reference systems and compare them with what was published.

    Parameters
    ----------
    data : MovieLens
        What `tripletrec.datasets.fetch_movielens_100k` returns.
    seeds : int, default=3
        Trainings of each system, with ``random_state`` 0, 1, ...
    systems : iterable of str, optional
        Keys of `SYSTEMS`; all by default.
    n_jobs : int, optional
        Number of trainings at a time, in threads; all cores by default. No result depends on it.
    on_epoch : callable, optional
        Called with (system, seed, run) after every epoch, in the thread of that training.
    extra : sequence of callables, default=()
        Each is called with (data, seeds) while the replicas are trained, and returns one more section
        of the report: a dict with ``"title"``, ``"text"`` and any further results.

    Returns
    -------
    dict
        Ready for JSON. ``"systems"`` maps each key to the published and our numbers (``"auc"`` is
        the mean over seeds by epoch, ``"auc_by_seed"`` all of them), ``"seconds_per_epoch"`` (median)
        and ``"verdict"``; ``"sections"`` holds what the functions in `extra` returned.

    Raises
    ------
    ValueError, TypeError
        If `seeds`, `systems` or `n_jobs` is not as above.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> result = tr.reference.reproduce(data, seeds=1, systems=["K1"])  # doctest: +SKIP
    >>> round(result["systems"]["K1"]["auc"][19], 2)  # doctest: +SKIP
    0.92
    """
    seeds, n_threads = check_count(seeds, "seeds"), check_n_jobs(n_jobs)
    keys = check_systems(systems)
    started = time.perf_counter()
    trained = [key for key in keys if SYSTEMS[key].recipe]
    runs, sections = _train_all(trained, seeds, n_threads, data, on_epoch, extra)
    result: dict[str, Any] = {
        "data": "MovieLens-100K, split ua",
        "seeds": seeds,
        "n_jobs": n_threads,
        "systems": {key: _summary(SYSTEMS[key], runs.get(key, [])) for key in keys},
        "sections": sections,
    }
    result["seconds"] = time.perf_counter() - started
    return result


def _train_all(
    keys: Sequence[str],
    seeds: int,
    n_threads: int,
    data: MovieLens,
    on_epoch: Callable[[str, int, Run], None] | None,
    extra: Sequence[Callable[[MovieLens, int], dict[str, Any]]],
) -> tuple[dict[str, list[Run]], list[dict[str, Any]]]:
    """Train the replicas in threads and, meanwhile, the extra sections in this one."""
    stop = threading.Event()

    def train(key: str, seed: int) -> Run:
        def watch(run: Run) -> None:
            if stop.is_set():
                raise CancelledError
            if on_epoch is not None:
                on_epoch(key, seed, run)

        return train_replica(key, data, random_state=seed, on_epoch=watch)

    with ThreadPool(max(1, n_threads - bool(extra)), "tripletrec") as pool:
        try:
            calls = {key: [pool.submit(train, key, seed) for seed in range(seeds)] for key in keys}
            # In the main thread, where Ctrl-C ends them at once. A thread of the pool that has no
            # replica left to train works on them too, from the other end.
            waiting = deque(range(len(extra)))
            helper = pool.submit(_take, waiting.pop, extra, data, seeds)
            sections = _take(waiting.popleft, extra, data, seeds)
            runs = {key: [call.result() for call in each] for key, each in calls.items()}
            sections |= helper.result()
        except BaseException:  # Ctrl-C, too: each thread ends after the epoch under way
            stop.set()
            pool.drop()
            raise
    return runs, [sections[number] for number in sorted(sections)]


def _take(
    next_number: Callable[[], int],
    extra: Sequence[Callable[[MovieLens, int], dict[str, Any]]],
    data: MovieLens,
    seeds: int,
) -> dict[int, dict[str, Any]]:
    """Compute sections until none is left; return them by number."""
    done: dict[int, dict[str, Any]] = {}
    while True:
        try:
            number = next_number()
        except IndexError:
            return done
        done[number] = extra[number](data, seeds)


def _summary(system: ReferenceSystem, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the published and our numbers of a system, as plain data."""
    summary: dict[str, Any] = {
        "title": system.title,
        "protocol": system.protocol,
        "note": system.note,
        "published_before": system.published_before,
        "published": {str(epoch): auc for epoch, auc in system.published.items()},
        "published_loss": list(system.published_loss),
        "published_test_loss": list(system.published_test_loss),
        "verdict": "no number published",
    }
    if runs:
        aucs = np.array([run.auc for run in runs])
        summary |= {
            "auc_before": float(np.mean([run.auc_before for run in runs])),
            "auc": aucs.mean(axis=0).tolist(),
            "auc_spread": (np.ptp(aucs, axis=0) / 2.0).tolist(),
            "auc_by_seed": aucs.tolist(),
            "loss": np.mean([run.loss for run in runs], axis=0).tolist(),
            "test_loss": np.mean([run.test_loss for run in runs], axis=0).tolist(),
            "seconds_per_epoch": float(np.median([run.seconds for run in runs])),
        }
        summary |= _verdict(system, summary["auc"])
    return summary


def _verdict(system: ReferenceSystem, aucs: Sequence[float]) -> dict[str, Any]:
    """Compare at the last epoch for which there are both numbers."""
    common = [epoch for epoch in system.published if epoch <= len(aucs)]
    if not common:
        return {"verdict": "no number published"}
    epoch = max(common)
    difference = aucs[epoch - 1] - system.published[epoch]
    word = "beats" if difference > 0.0 else "below"
    if abs(difference) <= system.tolerance:
        word = "reproduced"
    return {"verdict": word, "verdict_epoch": epoch, "difference": difference}


def format_report(result: dict[str, Any]) -> str:
    """Return the result of `reproduce` as text for a terminal.

    Parameters
    ----------
    result : dict
        What `reproduce` returned.

    Returns
    -------
    str
        One block per system, the extra sections, and a summary.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> result = tr.reference.reproduce(data, seeds=1, systems=["K1"])  # doctest: +SKIP
    >>> print(tr.reference.format_report(result))  # doctest: +SKIP
    """
    head = (
        f"The Keras reference systems on {result['data']}: published AUC against replicas in NumPy "
        f"with the same semantics (mini-batches, dense optimizer). Mean of {result['seeds']} "
        f"seed(s), ± half the range over seeds; {result['n_jobs']} trainings at a time, "
        f"{result['seconds']:.0f} s in all."
    )
    blocks = [_wrap(head, "")]
    blocks += [_block(key, system) for key, system in result["systems"].items()]
    blocks += [f"{section['title']}\n{section['text']}" for section in result["sections"]]
    return "\n\n".join([*blocks, _overview(result)]) + "\n"


def _block(key: str, system: dict[str, Any]) -> str:
    lines = [f"{key}: {system['title']} ({system['protocol']})"]
    if "auc" in system:
        lines += _epochs(system)
        lines.append(f"    untrained      {_number(system['auc_before'])}{_before(system)}")
        for name, label in (("loss", "training loss"), ("test_loss", "test triplets")):
            lines += _losses(label, system[name], system[f"published_{name}"])
        lines.append(f"    time           {system['seconds_per_epoch']:.2f} s per epoch")
    lines.append(f"    verdict        {_conclusion(system)}")
    if system["note"]:
        lines.append(_wrap(system["note"], "    "))
    return "\n".join(lines)


def _epochs(system: dict[str, Any]) -> list[str]:
    lines = []
    n_epochs = len(system["auc"])
    for start in range(0, n_epochs, _COLUMNS):
        epochs = range(start, min(start + _COLUMNS, n_epochs))
        published = [system["published"].get(str(epoch + 1)) for epoch in epochs]
        rows = {"epoch": [f"{epoch + 1:6d}" for epoch in epochs]}
        if any(published):
            rows["published"] = [_number(auc) if auc else " " * 6 for auc in published]
        rows["ours"] = [_number(system["auc"][epoch]) for epoch in epochs]
        rows["±"] = [_number(system["auc_spread"][epoch]) for epoch in epochs]
        lines += [f"    {label:<15}" + " ".join(row).rstrip() for label, row in rows.items()]
    return lines


def _losses(label: str, ours: Sequence[float], published: Sequence[float]) -> list[str]:
    if not ours:
        return []
    line = f"    {label:<15}{_number(ours[0])} ...{_number(ours[-1])}"
    if published:
        line += f"  (published {_number(published[0])} ...{_number(published[-1])})"
    return [line]


def _before(system: dict[str, Any]) -> str:
    published = system["published_before"]
    return "" if published is None else f"  (published {_number(published).strip()})"


def _conclusion(system: dict[str, Any]) -> str:
    if "verdict_epoch" not in system:
        return str(system["verdict"])
    epoch = system["verdict_epoch"]
    ours, published = system["auc"][epoch - 1], system["published"][str(epoch)]
    return (
        f"{system['verdict']}: {_number(ours).strip()} after epoch {epoch}, published "
        f"{_number(published).strip()} ({system['difference']:+.4f})"
    )


def _overview(result: dict[str, Any]) -> str:
    width = max(len(key) for key in result["systems"])
    lines = [f"{key:<{width}}  {_conclusion(system)}" for key, system in result["systems"].items()]
    return "\n".join(["Summary", *lines])


def _number(value: float) -> str:
    """Format with four decimals in six characters, without the zero before the point."""
    return f"{value:.4f}".replace("0.", ".", 1).rjust(6)


def _wrap(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
