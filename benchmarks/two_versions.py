"""Two versions of tripletrec, timed in turn: has a change made anything slower.

    python benchmarks/two_versions.py --before ../checkout_of_the_version_before
    python benchmarks/two_versions.py --before ../before --cases ml100k k5 --repeats 20 --output ratios.md

Each checkout runs in processes of its own, chosen by PYTHONPATH, all with the interpreter and the packages
of this command. A process keeps running and is asked for one measurement at a time, so that the versions
take turns: before, after, after, before, and so on. A ratio is that of two neighbouring measurements, above 1
where the version after is faster; tables show the median and, in brackets, the least and the most. On a
busy machine the ratios of processor time scatter less than those of the wall clock.

Everything is compiled before it is timed, apart from two cases, of which each measurement is a new process:

first
    The first fit ever: no machine code on disk. Also with all of its process: start, imports, data.
later
    The same in a process that finds the machine code on disk.

MovieLens-100K is fetched once. `softmax` needs a folder with Gowalla's train.npz (`--gowalla`).
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from machine import describe, load, n_cores
from peer_process import ROOT, PeerError, Worker
from peer_tables import markdown, ratio, spread

ADAPTER = "version_cases"
CASES = ("ml100k", "synthetic12m", "softmax", "k5", "evaluate", "recommend", "first", "later")
REPEATS = {"synthetic12m": 6, "softmax": 6, "first": 6}  # of the others: 12


class Sample(NamedTuple):
    """One measurement of either version, in seconds."""

    seconds: float
    cpu: float


Samples = dict[str, dict[str, list[Sample]]]  # by name of what is timed, then by version


class Versions:
    """The two checkouts, and where each keeps its machine code."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.roots: dict[str, Path] = {"before": options.before, "after": options.after}

    def open(self, version: str, cache: Path) -> Worker:
        """Start a process of a version."""
        return Worker(
            version, sys.executable, n_cores(), ADAPTER, self.roots[version],
            NUMBA_CACHE_DIR=str(cache),
        )  # fmt: skip

    def prepare(self, worker: Worker, case: str, warm_up: bool = True) -> list[str]:
        """Import the version and make what is to be timed; return the names of that."""
        root = worker.ask("start")["versions"]
        if Path(root) != self.roots[worker.name]:
            raise PeerError(f"{worker.name} is not {self.roots[worker.name]}: {root} is imported")
        return self.ask(
            worker, "prepare", case=case, warm_up=warm_up, quick=self.options.quick,
            folder=str(self.folder), gowalla=str(self.options.gowalla),
        )["names"]  # fmt: skip

    @staticmethod
    def ask(worker: Worker, function: str, **arguments: Any) -> dict[str, Any]:
        """Call a function of the adapter."""
        return worker.ask("own", function=function, arguments=arguments)

    def in_turn(self, case: str) -> Samples:
        """Time a case whose processes go on running."""
        with ExitStack() as stack:
            workers = {
                version: stack.enter_context(self.open(version, self.folder / version))
                for version in self.roots
            }
            names = {version: self.prepare(each, case) for version, each in workers.items()}
            samples: Samples = {name: {v: [] for v in workers} for name in names["before"]}
            for number in range(self.repeats(case)):
                for name, mine in samples.items():
                    for version in turn(number):
                        answer = self.ask(workers[version], "measure", name=name)
                        mine[version].append(Sample(answer["seconds"], answer["cpu"]))
        return samples

    def new_processes(self, case: str) -> Samples:
        """Time a case of which each measurement is a process of its own."""
        title = "first fit ever" if case == "first" else "first fit of a later process"
        samples: Samples = {
            name: {version: [] for version in self.roots}
            for name in (title, f"{title}, with all of its process")
        }
        if case == "later":
            for version in self.roots:
                self.new_process(version, case, self.folder / f"later-{version}")
        for number in range(self.repeats(case)):
            for version in turn(number):
                cache = f"first-{version}-{number}" if case == "first" else f"later-{version}"
                fit, whole = self.new_process(version, case, self.folder / cache)
                for mine, sample in zip(samples.values(), (fit, whole), strict=True):
                    mine[version].append(sample)
        return samples

    def new_process(self, version: str, case: str, cache: Path) -> tuple[Sample, Sample]:
        """Start a process for one fit; return what the fit took, and all of the process."""
        started = time.perf_counter()
        with self.open(version, cache) as worker:
            (name,) = self.prepare(worker, case, warm_up=False)
            fit = self.ask(worker, "measure", name=name)
            whole = time.perf_counter() - started
            cpu = self.ask(worker, "processor_time")["seconds"]
        return Sample(fit["seconds"], fit["cpu"]), Sample(whole, cpu)

    def repeats(self, case: str) -> int:
        """Return how many pairs of measurements there are of each."""
        return self.options.repeats or REPEATS.get(case, 12)


def turn(number: int) -> tuple[str, str]:
    """Return which version comes first in a repetition: before, after; after, before; and so on."""
    return ("after", "before") if number % 2 else ("before", "after")


def table(samples: Samples) -> list[str]:
    """Return one row for each thing that was timed."""
    rows = []
    for name, mine in samples.items():
        before, after = mine["before"], mine["after"]
        digits = 3 if min(each.seconds for each in before) < 10 else 1
        rows.append(
            [name, *(spread((s.seconds for s in each), digits) for each in (before, after)),
             ratio([s.seconds for s in before], [s.seconds for s in after], 3),
             ratio([s.cpu for s in before], [s.cpu for s in after], 3), len(before)]
        )  # fmt: skip
    header = [
        "", "before, s", "after, s", "after is x as fast", "by processor time", "pairs",
    ]  # fmt: skip
    return markdown(header, rows)


def commit(root: Path) -> str:
    """Return the commit of a checkout, with "-dirty" where files differ from it."""
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=9")
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="a checkout")
    parser.add_argument("--after", type=Path, default=ROOT, help="a checkout; default: this one")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--repeats", type=int, help="pairs of measurements; default: 6 or 12")
    gowalla = ROOT.parent / "shared" / "data" / "gowalla"
    parser.add_argument("--gowalla", type=Path, default=gowalla, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="small data, to try the command out")
    parser.add_argument("--output", type=Path, help="a file for the tables")
    options = parser.parse_args()
    if options.repeats is not None and options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    for name in ("before", "after"):
        root = getattr(options, name).resolve()
        if not (root / "tripletrec" / "__init__.py").is_file():
            parser.error(f"--{name} must be a checkout with a folder tripletrec, got {root}")
        setattr(options, name, root)
    return options


def main() -> None:
    """Time the cases; print a table of each, and write them where that is asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the workers end with us
    options, lines, started = parse(), [], load()

    def say(*more: str) -> None:
        print(*more, sep="\n", flush=True)
        lines.extend(more)

    with tempfile.TemporaryDirectory(prefix="tripletrec-versions-") as folder:
        versions = Versions(options, Path(folder))
        for case in options.cases:
            if case == "softmax" and not (options.gowalla / "train.npz").is_file():
                say("", f"softmax is left out: no train.npz in {options.gowalla}")
                continue
            own = case in ("first", "later")
            try:
                samples = versions.new_processes(case) if own else versions.in_turn(case)
            except PeerError as error:
                say("", f"{case}: {error}")
            else:
                say("", *table(samples))
    commits = (f"{name} {commit(root)}" for name, root in versions.roots.items())
    say(
        "",
        *describe(),
        f"Commits: {', '.join(commits)}. Load average before the first run: {started}, "
        f"after the last: {load()}.",
    )
    if options.output:
        options.output.write_text("\n".join(lines).strip() + "\n", "utf-8")


if __name__ == "__main__":
    main()
