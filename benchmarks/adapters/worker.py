"""One library in a process of its own: answers the requests of `peers.py` and `two_versions.py`.

    python worker.py ADAPTER

`ADAPTER` is a module beside this file. Requests and answers are lines of JSON. What the library prints goes
to standard error. Only the standard library is imported here, so that the import time is the library's own.

An adapter has `start() -> versions` (imports the library), and as far as the library can:
`convert(matrix)` to what `fit(data, n_factors, n_epochs, n_threads)` takes;
`full_auc(U, V, train, test, n_threads)`, which returns a function without arguments;
`reach(target, seed) -> dict`. What else it has is called by `own`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def memory_mb(peak: bool) -> float:
    """Return the resident memory of this process in MB, now or at its highest since `forget_peak`."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmHWM" if peak else "VmRSS"].split()[0]) * 1024 / 1e6


def forget_peak() -> None:
    """Let the highest memory be that from now on; where that cannot be, it is that of the whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


class Session:
    """The library and its data."""

    def __init__(self, adapter: str) -> None:
        self.adapter, self.data, self.baseline = adapter, None, 0.0

    def start(self) -> dict[str, Any]:
        """Import the library."""
        started = time.perf_counter()
        self.library = importlib.import_module(self.adapter)
        versions = self.library.start()
        return {"seconds": time.perf_counter() - started, "versions": versions}

    def load(self, path: str) -> dict[str, Any]:
        """Read the training matrix; `seconds` is what the library's own form of it costs."""
        from scipy.sparse import load_npz

        matrix = load_npz(path)
        self.baseline = memory_mb(peak=False)
        forget_peak()
        started = time.perf_counter()
        self.data = self.library.convert(matrix)
        return {"seconds": time.perf_counter() - started, "nnz": int(matrix.nnz)}

    def fit(self, **settings: int) -> dict[str, Any]:
        """Train a new model."""
        started, worked = time.perf_counter(), time.process_time()
        self.library.fit(self.data, **settings)
        return {
            "seconds": time.perf_counter() - started,
            "cpu": time.process_time() - worked,
        }

    def memory(self) -> dict[str, Any]:
        """Return the highest memory since the data was read, also without what was there then."""
        peak = memory_mb(peak=True)
        return {"peak": peak, "above": peak - self.baseline}

    def full_auc(self, folder: str, n_threads: int) -> dict[str, Any]:
        """Time one evaluation of the factors in a folder."""
        import numpy as np
        from scipy.sparse import load_npz

        if self.data is None:
            U, V = (np.load(f"{folder}/{name}.npy") for name in ("users", "items"))
            train, test = (load_npz(f"{folder}/{name}.npz") for name in ("train", "test"))
            self.data = self.library.full_auc(U, V, train, test, n_threads)
        started = time.perf_counter()
        value = float(self.data())
        return {"seconds": time.perf_counter() - started, "value": value}

    def reach(self, target: float, seed: int) -> dict[str, Any]:
        """Train until an AUC is reached."""
        return self.library.reach(target, seed)

    def own(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a function that this adapter alone has."""
        return getattr(self.library, function)(**arguments)


def main() -> None:
    """Answer until the requests end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a library that prints must not disturb the answers
    session = Session(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(session, request.pop("call"))(**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, BrokenPipeError):
        pass
