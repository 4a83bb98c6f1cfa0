"""tripletrec beside implicit, LightFM, Cornac, Keras 3 and scikit-learn, each in its own environment.

    python benchmarks/peers.py --data ml100k
    python benchmarks/peers.py --data synthetic --repeats 3
    python benchmarks/peers.py --data FOLDER          # train.npz and test.npz, SciPy CSR of users x items

Every library runs in a process of its own, and all are measured in turn, again and again, so that a slow
minute of the machine slows all of them. The tables show medians of the ratios of neighbouring runs, with
the least and the most. Nothing is asserted. There are three parts (`--parts`):

training
    bpr with SGD (LightFM: Adagrad), one verified negative for each positive and epoch, item biases, equal
    factors. Triplets per second are positives x negatives x epochs over seconds: of the whole call of
    `fit`, from a CSR matrix in memory to a fitted model ("included"), and of the epochs after the first
    ("excluded": the time of a fit of many epochs less that of a single epoch, so that no library's own
    clock is trusted). implicit and Cornac drop the triplets whose negative turns out to be a known
    positive; these are counted all the same.
target
    MovieLens-100K: seconds of training to a full AUC of .9154 (AUC-A: training positives count as negatives),
    with everything compiled and without evaluation. tripletrec has the settings of `reference.NATIVE["K1"]`.
auc
    Full AUC of given factors. With `synthetic`: 50,000 users x 20,000 items, 64 factors, 5 positives each.

Results are written to benchmarks/results/ as well. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from machine import describe, load, n_cores
from peer_data import auc_data, training_data
from peer_process import PEERS, PeerError, Worker, default_envs, python_of
from peer_tables import (
    OURS,
    RESULTS,
    Samples,
    auc_table,
    per_second,
    target_table,
    thread_lines,
    training_table,
)
from split_folder import split_folder

TARGET = 0.9154
TRAINERS = (OURS, "implicit", "lightfm", "cornac")
MEASURED = ("included", "answers", "seconds")  # once for each repetition


class Comparison:
    """One run of the command: which libraries take part, and what has been measured."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.cache = folder / "numba"
        self.pythons: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.lines: list[str] = []
        self.raw: dict[str, Any] = {}
        self.stopped = False
        given = dict(each.split("=", 1) for each in options.python)
        for name in dict.fromkeys([OURS, *options.peers]):
            try:
                self.pythons[name] = given.get(name) or python_of(name, options.envs)
            except PeerError as error:
                self.say(str(error))

    def say(self, *lines: str) -> None:
        """Print lines, and keep them for the file."""
        print(*lines, sep="\n", flush=True)
        self.lines += lines

    def open(self, stack: ExitStack, name: str, n_threads: int) -> Worker:
        """Start a worker and import its library; what this took is in `worker.import_seconds`."""
        worker = Worker(name, self.pythons[name], n_threads, NUMBA_CACHE_DIR=str(self.cache))
        stack.enter_context(worker)
        started = worker.ask("start")
        worker.import_seconds = started["seconds"]
        self.versions[name] = started["versions"]
        return worker

    def in_turn(self, workers: dict[Any, Worker], step: Any, samples: Samples) -> None:
        """Call `step(key, worker)` for each; one that fails is reported, and left out from then on."""
        for key, worker in list(workers.items()):
            try:
                step(key, worker)
            except PeerError as error:
                self.say(str(error))
                del workers[key]
                samples.pop(key, None)

    def repeat(self, workers: dict[Any, Worker], measure: Any, samples: Samples) -> None:
        """Measure in turn, again and again; Ctrl-C ends that, and what was measured so far is kept."""
        try:
            for _ in range(self.options.repeats):
                self.in_turn(workers, measure, samples)
        except KeyboardInterrupt:
            self.stopped = True
            for key in [key for key, mine in samples.items() if not any(map(mine.get, MEASURED))]:
                del samples[key]

    # -- training ------------------------------------------------------------------------------------

    def training(self) -> None:
        """Triplets per second, memory, import and first call."""
        train, _ = training_data(self.options.data, self.options.quick)
        path = self.folder / "train.npz"
        sp.save_npz(path, train, compressed=False)
        shape = f"{train.shape[0]:,} users x {train.shape[1]:,} items, {train.nnz:,} positives"
        for n_factors in self.options.factors:
            if self.stopped:
                break
            samples = self._measure_training(path, n_factors)
            self.raw[f"training, {n_factors} factors"] = named(samples)
            self.say("", f"## Training: {shape}, {n_factors} factors", "")
            self.say(*training_table(samples), "")
            self.say(*thread_lines(samples))

    def _measure_training(self, path: Path, n_factors: int) -> Samples:
        epochs, samples = self.options.epochs, Samples()
        self.cache = self.folder / f"numba-{n_factors}"  # empty, so that compiling can be timed
        compiling = self._compile(path, n_factors)
        keys = [
            (name, n) for n in self.options.threads for name in self.pythons if name in TRAINERS
        ]
        with ExitStack() as stack:
            workers: dict[Any, Worker] = dict.fromkeys(keys)  # type: ignore[arg-type]

            def prepare(key: Any, _: None) -> None:
                name, n_threads = key
                worker = workers[key] = self.open(stack, name, n_threads)
                found = worker.ask("load", path=str(path))
                first = worker.ask("fit", n_factors=n_factors, n_epochs=1, n_threads=n_threads)
                samples[key] = {
                    "import": worker.import_seconds, "convert": found["seconds"],
                    "first": first["seconds"], "nnz": found["nnz"], "included": [], "excluded": [],
                    "cpu": [],
                }  # fmt: skip
                if name == OURS:
                    samples[key]["compiling"] = compiling
                    # A first fit is NumPy's in part: compile what the others run, and run it once.
                    worker.ask("own", function="by_kernels", arguments={})
                    worker.ask("fit", n_factors=n_factors, n_epochs=epochs, n_threads=n_threads)

            def measure(key: Any, worker: Worker) -> None:
                if key[0] in self.options.once and samples[key]["included"]:
                    return
                short, long = (
                    worker.ask("fit", n_factors=n_factors, n_epochs=n, n_threads=key[1])
                    for n in (1, epochs)
                )
                mine = samples[key]
                mine.update(worker.ask("memory"))  # before what tells that the library was measured
                included, excluded = per_second(
                    mine["nnz"], epochs, long["seconds"], short["seconds"], mine["convert"]
                )
                mine["included"].append(included / 1e6)
                mine["excluded"].append(excluded / 1e6)
                mine["cpu"].append(1e9 * long["cpu"] / (mine["nnz"] * epochs))

            self.in_turn(workers, prepare, samples)
            self.repeat(workers, measure, samples)
        return samples

    def _compile(self, path: Path, n_factors: int) -> float:
        """Return the seconds of our first call, with nothing compiled; later processes find the code."""
        with ExitStack() as stack:
            worker = self.open(stack, OURS, 1)
            worker.ask("load", path=str(path))
            return worker.ask("fit", n_factors=n_factors, n_epochs=1, n_threads=1)["seconds"]

    # -- the other two -------------------------------------------------------------------------------

    def target(self) -> None:
        """Measure the time to a given AUC on MovieLens-100K."""
        names = [name for name in (OURS, "keras") if name in self.pythons]
        samples: Samples = {name: {"answers": []} for name in names}
        with ExitStack() as stack:
            workers: dict[Any, Worker] = dict.fromkeys(names)  # type: ignore[arg-type]

            def prepare(name: str, _: None) -> None:
                workers[name] = self.open(stack, name, n_cores())

            def measure(name: str, worker: Worker) -> None:
                answers = samples[name]["answers"]
                answers.append(worker.ask("reach", target=TARGET, seed=len(answers)))

            self.in_turn(workers, prepare, samples)
            self.repeat(workers, measure, samples)
        self.raw["target"] = named(samples)
        self.say("", f"## Seconds of training to AUC-A {TARGET:.4f}, MovieLens-100K, warm", "")
        self.say(*target_table(samples))

    def auc(self) -> None:
        """Time the full AUC of given factors."""
        title, arrays = auc_data(self.options.data, self.options.quick)
        for name, array in arrays.items():
            if sp.issparse(array):
                sp.save_npz(self.folder / f"{name}.npz", array)
            else:
                np.save(self.folder / f"{name}.npy", array)
        able = [OURS, "lightfm", "implicit"]
        if arrays["test"].nnz * arrays["test"].shape[1] < 1e8:  # else it takes minutes each time
            able.append("scikit-learn")
        keys = [(name, n) for n in self.options.threads for name in able if name in self.pythons]
        samples: Samples = {key: {"seconds": [], "value": 0.0} for key in keys}
        with ExitStack() as stack:
            workers: dict[Any, Worker] = dict.fromkeys(keys)  # type: ignore[arg-type]

            def evaluate(key: Any, worker: Worker) -> dict[str, Any]:
                return worker.ask("full_auc", folder=str(self.folder), n_threads=key[1])

            def prepare(key: Any, _: None) -> None:
                workers[key] = self.open(stack, *key)
                if self.options.warm_up or key[0] == OURS:
                    evaluate(key, workers[key])

            def measure(key: Any, worker: Worker) -> None:
                if key[0] in self.options.once and samples[key]["seconds"]:
                    return
                answer = evaluate(key, worker)
                samples[key]["seconds"].append(answer["seconds"])
                samples[key]["value"] = answer["value"]

            self.in_turn(workers, prepare, samples)
            self.repeat(workers, measure, samples)
        self.raw["auc"] = named(samples)
        self.say("", f"## {title}", "", *auc_table(samples))


def named(samples: Samples) -> dict[str, Any]:
    """Return the samples under names that JSON can hold."""
    return {
        " ".join(map(str, key)) if isinstance(key, tuple) else key: value
        for key, value in samples.items()
    }


def known(data: str) -> str:
    """Return the name of data, as an argument of argparse: refused if there are no such data."""
    return data if data in ("ml100k", "synthetic") else str(split_folder(data, ("train", "test")))


def parse() -> argparse.Namespace:
    """Return the options, with the defaults that depend on the data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=known, default="ml100k", help="ml100k, synthetic, or a folder"
    )
    others = [name for name in PEERS if name != OURS]
    parser.add_argument("--peers", nargs="*", choices=others, default=others)
    parser.add_argument("--parts", nargs="+", choices=("training", "target", "auc"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--once",
        nargs="*",
        choices=others,
        default=[],
        help="slow ones, in the first repetition only",
    )
    parser.add_argument("--factors", type=int, nargs="+", default=[64])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, help="of the long fit, at least 2")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the synthetic data, few epochs"
    )
    parser.add_argument("--envs", type=Path, default=default_envs(), help="default: %(default)s")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PEER=PATH", help="its own interpreter"
    )
    options = parser.parse_args()
    for each in options.python:
        if "=" in each and shutil.which(each.partition("=")[2]) is None:
            parser.error(f"--python {each}: there is no such interpreter")
        if each.partition("=")[0] not in PEERS or "=" not in each:
            parser.error(f"--python must be PEER=PATH with one of {others}, got {each!r}")
    small = options.data == "ml100k"
    options.epochs = options.epochs or (30 if small else 10 if options.data != "synthetic" else 3)
    if options.quick:
        options.epochs = min(options.epochs, 10)
    if options.epochs < 2 or options.repeats < 1 or min(options.threads + options.factors) < 1:
        parser.error("--epochs must be at least 2, --repeats, --threads and --factors at least 1")
    options.parts = options.parts or (
        ["training", "target", "auc"] if small else ["training", "auc"]
    )
    options.warm_up = small
    return options


def main() -> None:
    """Run the parts; print and write the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the workers end with us
    options = parse()
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"peers-{Path(options.data).name}-{datetime.now():%Y%m%d-%H%M%S}"
    with tempfile.TemporaryDirectory(prefix="tripletrec-peers-") as folder:
        comparison = Comparison(options, Path(folder))
        started = load()
        try:
            for part in options.parts:
                if not comparison.stopped:
                    getattr(comparison, part)()
        except PeerError as error:
            comparison.say(str(error))
        except KeyboardInterrupt:
            comparison.stopped = True
        if comparison.stopped:
            comparison.say("", "Stopped: what would follow was not measured.")
        comparison.say(
            "",
            *describe(*(text for name, text in comparison.versions.items() if name != OURS)),
            f"Load average before the first run: {started}, after the last: {load()}; "
            f"repetitions in turn: {options.repeats}; epochs of a fit: {options.epochs}.",
        )
    stem.with_suffix(".md").write_text("\n".join(comparison.lines) + "\n", "utf-8")
    stem.with_suffix(".json").write_text(json.dumps(comparison.raw, indent=1), "utf-8")
    print(f"\nresults: {stem.with_suffix('.md')}")


if __name__ == "__main__":
    main()
