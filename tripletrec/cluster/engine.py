"""What the driver asks of an engine, and one that runs all in this process; that of Dask is `dask_engine`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tripletrec.cluster.worker import LostError

__all__ = ["Engine", "SerialEngine"]


class Engine(Protocol):
    """Workers with memory of their own, and tasks that run where they are told to."""

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker there is, by its name; it waits a while for the first one."""

    def open(self, workers: Sequence[str]) -> None:
        """Give these workers memory for the fit, as far as they have none."""

    def send(self, worker: str, value: Any) -> Any:
        """Send a value to a worker, even a large one; return what stands for it in `submit`."""

    def submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have ``function(memory, *arguments)`` called by a worker; return what stands for the result.

        Among the arguments may be results of tasks, which go from worker to worker.
        """

    def gather(self, results: Sequence[Any]) -> list[Any]:
        """Return results when all are there.

        Raises
        ------
        LostError
            If a worker that was opened is lost.
        """

    def close(self) -> None:
        """Let the workers drop what they have of the fit, and tasks that have not begun."""


class _Result:
    """What a task has returned, and where; as bytes, so that whoever gets it gets a copy."""

    def __init__(self, worker: str, value: Any) -> None:
        self.worker, self._bytes = worker, pickle.dumps(value, 5)
        self.size = len(self._bytes)

    def value(self) -> Any:
        """Return a copy of the result."""
        return pickle.loads(self._bytes)


class SerialEngine:
    """Workers that are dicts in this process; each task is run when it is submitted.

    For tests and simulations: it counts what a network would carry.

    Parameters
    ----------
    n_workers, n_threads : int
    before : callable, default None
        ``before(engine, worker, function, arguments)`` is called before each task; it may `lose` workers, or
        raise.

    Attributes
    ----------
    carried : dict of int
        Bytes that a network would have carried: by name of a function what workers got from others; "sent" is
        what they got from the driver, "gathered" what came back to it.
    """

    def __init__(
        self,
        n_workers: int,
        n_threads: int = 1,
        before: Callable[[SerialEngine, str, Callable[..., Any], tuple[Any, ...]], None]
        | None = None,
    ) -> None:
        self._threads = {f"worker {n}": n_threads for n in range(n_workers)}
        self._memory: dict[str, dict[str, Any]] = {}
        self._before, self._opened = before, set[str]()
        self.carried: dict[str, int] = {}

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker."""
        return dict(self._threads)

    def open(self, workers: Sequence[str]) -> None:
        """Give workers memory, as far as they have none."""
        self._opened = set(workers)
        for worker in workers:
            self._memory.setdefault(worker, {})

    def add(self, worker: str, n_threads: int = 1) -> None:
        """Let a worker begin."""
        self._threads[worker] = n_threads

    def lose(self, worker: str) -> None:
        """Let a worker end with all that it has, as by ``kill -9``."""
        self._threads.pop(worker, None)
        self._memory.pop(worker, None)

    def send(self, worker: str, value: Any) -> Any:
        """Return a copy of a value for a worker."""
        result = _Result(worker, value)
        self._count("sent", result.size)
        return result

    def submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function at once; what it raises is raised when the result is gathered."""
        if self._before is not None:
            self._before(self, worker, function, arguments)
        broken = self._broken(worker, arguments)
        if broken is not None:
            return broken
        self._count_fetched(worker, function.__name__, arguments)
        values = []
        for each in arguments:
            values.append(each.value() if isinstance(each, _Result) else each)
        try:
            return _Result(worker, function(self._memory.get(worker, {}), *values))
        except Exception as error:
            return error

    def _broken(self, worker: str, arguments: tuple[Any, ...]) -> Exception | None:
        """Return why a task cannot run, if so."""
        for each in arguments:
            if isinstance(each, Exception):
                return each
        needed = {worker, *(each.worker for each in arguments if isinstance(each, _Result))}
        lost = needed - self._threads.keys()
        return LostError(f"{', '.join(sorted(lost))} is lost") if lost else None

    def _count_fetched(self, worker: str, name: str, arguments: tuple[Any, ...]) -> None:
        found = {id(each): each for each in arguments if isinstance(each, _Result)}
        self._count(name, sum(each.size for each in found.values() if each.worker != worker))

    def gather(self, results: Sequence[Any]) -> list[Any]:
        """Return results, or raise what the first task that failed has raised."""
        lost = self._opened - self._threads.keys()
        if lost:
            self._opened -= lost
            raise LostError(f"{', '.join(sorted(lost))} is lost")
        for each in results:
            if isinstance(each, Exception):
                raise each
        self._count("gathered", sum(each.size for each in results))
        return [each.value() for each in results]

    def _count(self, name: str, n_bytes: int) -> None:
        self.carried[name] = self.carried.get(name, 0) + n_bytes

    def close(self) -> None:
        """Drop what the workers have of the fit."""
        self._memory.clear()
