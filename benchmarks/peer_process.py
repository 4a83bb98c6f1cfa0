"""An environment and a process for each library that is compared, and for each version of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["PEERS", "ROOT", "Peer", "PeerError", "Worker", "default_envs", "python_of"]

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).parent / "adapters" / "worker.py"


class PeerError(Exception):
    """What keeps a library from taking part, in one sentence."""


class Peer(NamedTuple):
    """A library: its adapter, what is installed for it (None: our own environment), a module to try."""

    adapter: str
    requirements: Sequence[str] | None
    module: str


def _keras_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["keras"]]


PEERS = {
    "tripletrec": Peer("with_tripletrec", None, "tripletrec"),
    "implicit": Peer("with_implicit", ["implicit"], "implicit"),
    "lightfm": Peer("with_lightfm", ["lightfm-next"], "lightfm"),
    "cornac": Peer("with_cornac", ["cornac"], "cornac"),
    "keras": Peer("with_keras", _keras_requirements(), "jax"),  # keras alone asks for TensorFlow
    "scikit-learn": Peer("with_sklearn", ["scikit-learn"], "sklearn"),
}


def default_envs() -> Path:
    """Return the folder of the environments: in the user's cache folder."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tripletrec" / "peers"


def complaint_of(*command: str) -> str:
    """Run a command; return the last line of its complaint, empty if all is well."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        return str(error)
    lines = (done.stderr or done.stdout).strip().splitlines()
    return (lines or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def python_of(name: str, envs: Path, run: Callable[..., str] = complaint_of) -> str:
    """Return the interpreter of a peer's environment, which is made at the first call."""
    peer = PEERS[name]
    if peer.requirements is None:
        return sys.executable
    folder = envs / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if python.exists() and not run(str(python), "-c", f"import {peer.module}"):
        return str(python)
    print(f"installing {name} into {folder}", flush=True)
    commands = (
        (sys.executable, "-m", "venv", str(folder)),
        (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         *peer.requirements),
        (str(python), "-c", f"import {peer.module}"),
    )  # fmt: skip
    for command in commands:
        if complaint := run(*command):
            raise PeerError(f"{name} is left out: it does not install ({complaint})")
    return str(python)


class Worker:
    """A process of one library. As a context manager, it is gone at the end, whatever happens.

    Parameters
    ----------
    name : str
        What messages call it.
    python : str
        Its interpreter.
    n_threads : int
        Threads of BLAS.
    adapter : str, optional
        A module in `adapters/`; by default that of the peer of this name.
    root : Path, default: this checkout
        The checkout whose tripletrec is imported.
    **environment : str
        Further variables.
    """

    def __init__(
        self,
        name: str,
        python: str,
        n_threads: int,
        adapter: str | None = None,
        root: Path = ROOT,
        **environment: str,
    ) -> None:
        self.name, self.import_seconds = name, 0.0
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        threads = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        search = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [python, str(WORKER), adapter or PEERS[name].adapter],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            start_new_session=True,  # Ctrl-C comes to us alone; we end the workers
            env={**os.environ, "PYTHONPATH": os.pathsep.join(search),
                 **dict.fromkeys(threads, str(n_threads)), **environment},
        )  # fmt: skip

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Send a request, wait for the answer."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"call": call, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._log.seek(0)
            said = self._log.read().strip().splitlines() or ["it said nothing"]
            raise PeerError(f"{self.name} is left out: its process ended in {call} ({said[-1]})")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.name} is left out: {call} failed ({answer['error']})")
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
