"""A fit from memory-mapped interactions under a limit of memory, beside the same fit in memory.

    python benchmarks/out_of_core.py --folder FOLDER                                  # 10 million, quick
    python benchmarks/out_of_core.py --folder FOLDER --interactions 1e8 --users 2e6 --items 5e5
    python benchmarks/out_of_core.py --folder FOLDER ... --only disk --limit 1e9      # one of the fits

FOLDER keeps the parquet files (see large_data.py), the memory map that `Interactions.read` makes of them, and
what was measured so far with which options, so that a run can be repeated in part; with other options it is
refused. 100 million interactions take 1.1 GB and 1.2
GB there, and a fit some 2 GB more. Every step is a process of its own. Under the limit it is in a control
group of Linux (version 1 or 2, by root), whose memory includes the files that the system keeps; where none
can be made, RLIMIT_DATA limits what the process itself asks for, and TRIPLETREC_MEMORY says how much to plan
with.

Epochs are timed by the model's own clock, in pairs, since one of two buckets the positives. Memory is the
highest anonymous memory of the process, looked at 20 times a second, and disk what its files without a name
take. The digests of what the fits have learnt must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from machine import compile_fits, describe, load
from peer_tables import markdown, save

HERE = Path(__file__).parent
Row = dict[str, Any]


class Watch(threading.Thread):
    """Looks at the memory and the disk that this process takes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.memory = self.disk = 0
        self._end = threading.Event()

    def run(self) -> None:
        while not self._end.wait(0.05):
            self.memory = max(self.memory, anonymous())
            self.disk = max(self.disk, nameless())

    def end(self) -> Row:
        self._end.set()
        self.join()
        return {"memory": self.memory, "disk": self.disk}


def anonymous() -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def nameless() -> int:
    """Return the bytes on disk of open files that have no name any more."""
    n = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError, ValueError):
            status = os.fstat(int(each))
            n += 512 * status.st_blocks if status.st_nlink == 0 else 0
    return n


def make(folder: Path, options: argparse.Namespace) -> Row:
    from large_data import write

    n, n_users, n_items = (int(x) for x in (options.interactions, options.users, options.items))
    write(folder / "parquet", n, n_users, n_items)
    return {}


def read(folder: Path, options: argparse.Namespace) -> Row:
    import tripletrec as tr

    data = tr.Interactions.read(
        folder / "parquet", user="user", item="item", memory_map=folder / "map"
    )
    return {"n": data.nnz, "users": data.n_users, "items": data.n_items}


def fit(folder: Path, options: argparse.Namespace, where: str) -> Row:
    import numpy as np

    import tripletrec as tr

    settings: Row = {
        "n_factors": options.factors, "n_epochs": options.epochs, "n_jobs": options.threads,
        "optimizer": options.optimizer, "sampler": options.sampler, "loss": options.loss,
    }  # fmt: skip
    data = tr.Interactions.read(folder / "map")
    compile_fits(settings, from_disk=where == "disk")
    if where == "memory":
        from scipy.sparse import csr_matrix

        arrays = (np.array(each) for each in (data.values, data.indices, data.indptr))
        data = tr.Interactions(csr_matrix(tuple(arrays), shape=(data.n_users, data.n_items)))
    began = time.perf_counter()
    model = tr.MatrixFactorization(**settings).fit(data)
    seconds = time.perf_counter() - began
    digest = hashlib.sha256()
    for each in (model.user_factors_, model.item_factors_, model.item_biases_):
        for first in range(0, len(each), 2**16):
            digest.update(np.ascontiguousarray(each[first : first + 2**16]).data)
    return {
        "n": data.nnz, "fit": seconds, "epochs": [x["seconds"] for x in model.history_],
        "loss": model.history_[-1]["loss"], "sha256": digest.hexdigest(),
    }  # fmt: skip


# All that what is kept in a folder depends on.
KEPT = (
    "interactions", "users", "items", "factors", "epochs", "threads", "loss", "optimizer", "sampler", "limit",
)  # fmt: skip
STEPS = {
    "parquet": make,
    "map": read,
    "memory": lambda folder, options: fit(folder, options, "memory"),
    "disk": lambda folder, options: fit(folder, options, "disk"),
}
LIMITED = {"map", "disk"}


@contextlib.contextmanager
def group(limit: int) -> Iterator[Path | None]:
    """Give a control group with a limit of memory, or None where none can be made."""
    for root, name in (
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ("/sys/fs/cgroup", "memory.max"),
    ):
        folder = Path(root, f"tripletrec-{os.getpid()}")
        try:
            if not Path(root, "cgroup.procs").exists():
                continue
            folder.mkdir()
            (folder / name).write_text(str(limit))
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        try:
            yield folder
        finally:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return
    yield None


def run(step: str, options: argparse.Namespace) -> Row:
    """Run a step in a process of its own; return what it says, or why it failed."""
    command = [sys.executable, __file__, *sys.argv[1:], "--step", step]
    search = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": search}
    limit = int(options.limit)
    with group(limit) if step in LIMITED else contextlib.nullcontext() as own:
        how = ""
        if step in LIMITED and own is not None:
            how = f"{own.parent} {limit:,}"
            command += ["--group", str(own / "cgroup.procs")]
        elif step in LIMITED:
            how = f"RLIMIT_DATA {limit:,}"
            environment["TRIPLETREC_MEMORY"] = str(limit * 0.85)
            command += ["--data-limit", str(limit)]
        began = time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
        row = {"step": step, "limit": how, "seconds": time.perf_counter() - began}
    if done.returncode:
        return {**row, "failed": f"exit status {done.returncode}"}
    return {**row, **json.loads(done.stdout.splitlines()[-1])}


def inside(options: argparse.Namespace) -> None:
    """Be the process of a step."""
    if options.group:
        Path(options.group).write_text(str(os.getpid()))
    if options.data_limit:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (options.data_limit, options.data_limit))
    watch = Watch()
    watch.start()
    row = STEPS[options.step](options.folder, options)
    print(json.dumps({**row, **watch.end()}))


def table(rows: dict[str, Row]) -> list[str]:
    header = ["step", "limit", "seconds", "per epoch", "ns per triplet", "anonymous memory, MB",
              "scratch on disk, MB", "sha256"]  # fmt: skip
    lines = []
    for step, row in rows.items():
        epochs = row.get("epochs", [])
        pairs = [(a + b) / 2 for a, b in pairwise(epochs)] or epochs
        best = min(pairs, default=0.0)
        shown = [row.get("failed", f"{row['seconds']:,.1f}"), "", "", "", "", ""]
        if "failed" not in row:
            shown[3:5] = f"{row['memory'] / 1e6:,.0f}", f"{row['disk'] / 1e6:,.0f}"
        if epochs:
            shown[1:3] = f"{best:.2f}", f"{1e9 * best / row['n']:.1f}"
            shown[5] = row["sha256"][:16]
        lines.append([step, row["limit"], *shown])
    return markdown(header, lines)


def judge(rows: dict[str, Row]) -> list[str]:
    """Return in words whether the fits agree, and how long the one from disk takes."""
    memory, disk = (rows.get(step, {}) for step in ("memory", "disk"))
    if "sha256" not in memory or "sha256" not in disk:
        return ["not both fits have ended well"]
    same = memory["sha256"] == disk["sha256"]
    best = [
        min(((a + b) / 2 for a, b in pairwise(each["epochs"])), default=each["epochs"][0])
        for each in (disk, memory)
    ]
    return [
        f"what was learnt is {'the same to the bit' if same else 'NOT THE SAME'}",
        f"an epoch from disk takes {best[0] / best[1]:.2f} times that in memory, the whole fit "
        f"{disk['fit'] / memory['fit']:.2f} times",
    ]


def read_kept(file: Path, options: dict[str, Any]) -> dict[str, Row]:
    """Return what a folder's file has of these options; refuse what was measured with others."""
    if not file.exists():
        return {}
    kept = json.loads(file.read_text())
    if "options" not in kept:
        raise ValueError(f"{file} does not tell what it was measured with: give another --folder")
    known = kept["options"]
    others = [f"--{name} {known.get(name)}" for name in options if known.get(name) != options[name]]
    if others:
        raise ValueError(
            f"{file} was measured with other options: give {' '.join(others)}, or another --folder"
        )
    rows: dict[str, Row] = kept["rows"]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--interactions", type=float, default=1e7)
    parser.add_argument("--users", type=float, default=2e5)
    parser.add_argument("--items", type=float, default=5e4)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--loss", default="bpr")
    parser.add_argument("--optimizer", default="adagrad")
    parser.add_argument("--sampler", default="unseen")
    parser.add_argument("--limit", type=float, default=2e9, help="bytes of memory")
    parser.add_argument("--only", nargs="+", choices=STEPS, help="run these steps anew, no others")
    for hidden in ("--step", "--group"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--data-limit", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        inside(options)
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    kept, started = options.folder / "measured.json", load()
    chosen = {name: getattr(options, name) for name in KEPT}
    try:
        rows = read_kept(kept, chosen)
    except ValueError as error:
        parser.error(str(error))
    ours = kept.exists()
    kept.write_text(json.dumps({"options": chosen, "rows": rows}, indent=1))
    for step in STEPS:
        made = step in ("parquet", "map") and "failed" not in rows.get(
            step, {"failed": "never made"}
        )
        made = made and (options.folder / step).exists()
        if step not in options.only if options.only else made:
            continue
        if ours and step in ("parquet", "map"):  # of a run that was stopped, or to be made anew
            shutil.rmtree(options.folder / step, ignore_errors=True)
        rows[step] = run(step, options)
        kept.write_text(json.dumps({"options": chosen, "rows": rows}, indent=1))
        print(step, json.dumps(rows[step]), flush=True)
        if "failed" in rows[step] and step in ("parquet", "map"):
            break
    rows = {step: rows[step] for step in STEPS if step in rows}
    lines = [
        f"## Out of core: {options.interactions:,.0f} interactions, {options.users:,.0f} users, "
        f"{options.items:,.0f} items, {options.factors} factors, {options.loss}, {options.optimizer}, "
        f"{options.sampler}", "", *table(rows), "", *judge(rows), "", *describe(),
        f"Load average before the first run: {started}.",
    ]  # fmt: skip
    print("", *lines, f"\nresults: {save('out_of_core', lines)}", sep="\n")
    return int(any("failed" in row for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
