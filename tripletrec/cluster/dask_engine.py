"""Dask as an engine: workers of a `distributed.Client`, each with memory of its own for one fit."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tripletrec._runtime.messages import said_by, shown
from tripletrec.cluster.worker import LostError

__all__ = ["DaskEngine", "DaskTasks", "check_client"]

# Of this process, which may be several workers': by fit and worker. A fit's is dropped with its `_Lease`.
_MEMORY: dict[tuple[str, str], dict[str, Any]] = {}


class DaskEngine:
    """See `engine.Engine`.

    Parameters
    ----------
    client : distributed.Client
    patience : float, default 30.0
        Seconds to wait for the scheduler's answer, and for a first worker.
    poll : float, default 0.2
        Seconds after which it is asked again whether all workers are still there.
    """

    def __init__(self, client: Any, *, patience: float = 30.0, poll: float = 0.2) -> None:
        self._client, self._patience, self._poll = client, patience, poll
        self._fit = secrets.token_hex(8)
        self._leases: dict[str, Any] = {}
        self._asked: set[str] = set()  # workers, of which each may be lost

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker, by its address.

        Raises
        ------
        ConnectionError
            If the scheduler does not answer.
        RuntimeError
            If there is no worker.
        """
        until = time.monotonic() + self._patience
        while not (found := self._threads()):
            if time.monotonic() > until:
                raise RuntimeError(
                    f"client must have workers, got none within {self._patience:g} s: start some, or scale "
                    "the cluster up"
                )
            time.sleep(self._poll)
        return found

    def open(self, workers: Sequence[str]) -> None:
        """Give workers memory for the fit, which ends with the client or with `close`."""
        self._asked = set(workers)
        self._leases = {
            each: self._leases.get(each) or self.submit(each, _make_lease, self._fit, each)
            for each in workers
        }

    def send(self, worker: str, value: Any) -> Any:
        """Return a future of a value that has been sent to a worker."""
        self._asked.add(worker)
        try:
            (sent,) = self._client.scatter([value], workers=[worker], hash=False)
        except Exception as error:  # what is raised depends on when the worker ended
            if worker not in self._threads():
                raise LostError(f"worker {worker} is lost") from error
            raise
        return sent

    def submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a future."""
        self._asked.add(worker)
        return self._client.submit(
            _call, function, self._fit, *arguments, key=f"{function.__name__}-{secrets.token_hex(16)}",
            workers=[worker], allow_other_workers=False, pure=False, retries=0,
        )  # fmt: skip

    def gather(self, results: Sequence[Any]) -> list[Any]:
        """Return results when all are there; see `engine.Engine`."""
        from distributed import wait

        try:
            pending = list(results)
            while pending:
                with suppress(TimeoutError):
                    pending = list(wait(pending, timeout=self._poll).not_done)
                self._check(results)
            return [each.result(timeout=self._patience) for each in results]
        except TimeoutError as error:
            raise LostError(f"a result did not come within {self._patience:g} s") from error
        except BaseException as error:
            with suppress(Exception):
                self._client.cancel(list(results))
            if _is_of_dask(error):
                raise LostError(said_by(error)) from error
            raise

    def close(self) -> None:
        """Let the workers drop what they have of the fit."""
        self._leases = {}

    def _check(self, results: Sequence[Any]) -> None:
        """Raise if workers are lost, or a task has failed."""
        lost = self._asked - self._threads().keys()
        if lost:
            self._asked -= lost
            self._leases = {k: v for k, v in self._leases.items() if k not in lost}
            raise LostError(f"worker {', '.join(sorted(lost))} is lost")
        for each in results:
            if each.status == "error":
                error = each.exception()
                raise error
            if each.status in ("cancelled", "lost"):
                raise LostError(f"a task was {each.status}")

    def _threads(self) -> dict[str, int]:
        client = self._client
        try:
            found = client.sync(client.scheduler.ncores, callback_timeout=self._patience)
        except Exception as error:  # what is raised depends on when the scheduler ended
            raise ConnectionError(
                f"the scheduler of {shown(client)} does not answer ({said_by(error)}): connect a new client, "
                "and call fit again with the same checkpoint to go on from the last epoch in it"
            ) from error
        return {str(name): int(n) for name, n in found.items()}


class DaskTasks:
    """Tasks on any workers, which Dask repeats if a worker is lost; see `shuffle.Tasks`.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.n_workers = max(1, len(DaskEngine(client).workers()))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a future."""
        key = f"{function.__name__}-{secrets.token_hex(16)}"
        return self._client.submit(function, *arguments, key=key, pure=False)

    def gather(self, results: Sequence[Any]) -> list[Any]:
        """Return results, or raise what a task has raised; then those that have not begun are given up."""
        try:
            found: list[Any] = self._client.gather(list(results))
        except BaseException:
            with suppress(Exception):
                self._client.cancel(list(results))
            raise
        return found

    def started(self, pieces: list[Any]) -> list[Any]:
        """Return pieces of a source, those of a Dask DataFrame as futures."""
        return [self._client.compute(each) if hasattr(each, "compute") else each for each in pieces]

    def spread(self, value: Any) -> Any:
        """Return a future of a value that is on all workers."""
        return self._client.scatter([value], broadcast=True, hash=False)[0]


def _is_of_dask(error: BaseException) -> bool:
    """Tell whether an error is none of ours: a task or its result was lost on the way."""
    return any(each.__module__.startswith("distributed.") for each in type(error).__mro__)


class _Lease:
    """Lives on a worker for as long as the client wants it; with it ends the memory of a fit."""

    def __init__(self, key: tuple[str, str]) -> None:
        self._key = key
        _MEMORY[key] = {}

    def __del__(self) -> None:
        _MEMORY.pop(self._key, None)

    def __reduce__(self) -> Any:
        raise TypeError("a lease stays where it is")


def _make_lease(memory: dict[str, Any], fit: str, worker: str) -> _Lease:
    return _Lease((fit, worker))


def _call(function: Callable[..., Any], fit: str, *arguments: Any) -> Any:
    """Call a function with the memory that this worker has for a fit."""
    from distributed import get_worker

    memory = _MEMORY.get((fit, get_worker().address), {})
    return function(memory, *arguments)


def check_client(client: Any) -> Any:
    """Return a client of Dask that is connected.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError, ValueError
        If it is no client, or closed, or asynchronous.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ImportError(
            "tripletrec.cluster needs Dask, which is not installed: pip install distributed"
        ) from None
    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client, got {shown(client)}")
    if client.asynchronous:
        raise ValueError(
            "client must not be asynchronous: make it with Client(..., asynchronous=False)"
        )
    if client.status != "running":
        raise ValueError(
            f"client must be connected to a scheduler, got one that is {client.status}"
        )
    return client
