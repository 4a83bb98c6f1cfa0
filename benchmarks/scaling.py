"""What a triplet costs, and how much memory a fit takes, from 100,000 interactions to 50 million.

    python benchmarks/scaling.py                      # to 12 million
    python benchmarks/scaling.py --most 5e7           # some 8 GB of memory
    python benchmarks/scaling.py --most 1e8 --disk    # from disk, too

The data are synthetic, of the shape of 300,000 users x 500,000 items x 12 million interactions, larger or
smaller; bpr with SGD (`--optimizer` for another), one verified negative for each positive. Every fit runs in
a process of its own. Time is that of the two fastest epochs in a row by the model's own clock, of three, or
of as many as make two million interactions, and beside it that of the whole `fit`, over all its epochs; the
stages are those of one thread, in seconds on a core. Memory is the highest resident memory during `fit` less
that before the data was read, beside the least that is needed: factors, optimizer state, CSR (8 bytes a row,
8 an interaction) and one permutation (4 an interaction).

With `--disk` each size is also learnt from memory-mapped interactions as if memory were too small, by the
most threads: once with the rows of all users in memory, so that only triplets are read, and once with those
of two of four parts. What of the files stays in memory is up to the system; benchmarks/out_of_core.py limits
it.

Writes docs/scaling.png (`--plot`) and a table to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

from machine import compile_fits, describe, load
from peer_tables import markdown, save

HERE = Path(__file__).parent
STAGES = ("prepare", "draw", "update")
# Parts, and of how many the rows are in memory.
DISK = {"from disk": (8, 8), "users from disk, too": (4, 2)}
Row = dict[str, Any]


def sizes(most: float) -> list[int]:
    """Return numbers of interactions from 100,000 to `most`, about three to a factor of ten."""
    steps = [m * 10**e for e in range(5, 9) for m in (1, 2, 5)]
    return sorted({*(step for step in steps if step < most), int(most)})


def make(n_interactions: int, path: str) -> None:
    """Write synthetic interactions; in a process of its own, whose memory does not count."""
    import scipy.sparse as sp

    import tripletrec as tr

    shape = max(8, n_interactions // 40), max(8, n_interactions // 24)
    data = tr.datasets.make_interactions(*shape, n_interactions, random_state=0)
    sp.save_npz(path, data.tocsr(), compressed=False)


def fit(path: str, n_factors: int, n_jobs: int, n_epochs: int, optimizer: str) -> Row:
    """Return what one fit took."""
    import scipy.sparse as sp

    import tripletrec as tr
    from stages import SETTINGS, Fit

    sys.path.append(str(HERE / "adapters"))
    from worker import forget_peak, memory_mb

    settings = {"n_factors": n_factors, "n_jobs": n_jobs, "n_epochs": n_epochs}
    settings = {**SETTINGS, **settings, "optimizer": optimizer}
    compile_fits(settings)
    before = memory_mb(peak=False)
    data = tr.Interactions(sp.load_npz(path))
    forget_peak()
    model = tr.MatrixFactorization(**settings)
    started = time.perf_counter()
    model.fit(data)
    seconds = time.perf_counter() - started
    memory = memory_mb(peak=True) - before
    epochs = [1e9 * each["seconds"] / each["n_triplets"] for each in model.history_]
    # Of two epochs one buckets the positives anew.
    pairs = [(a + b) / 2 for a, b in pairwise(epochs)] or epochs
    stages = Fit(data, n_factors, optimizer)
    csr = data.indptr.nbytes + data.indices.nbytes + data.values.nbytes
    row = {
        "n": data.nnz, "users": data.n_users, "items": data.n_items, "n_jobs": n_jobs,
        "fit": 1e9 * seconds / (data.nnz * n_epochs), "epoch": min(pairs), "memory": memory,
        "needed": (stages.table_bytes + stages.state_bytes + csr + 4 * data.nnz) / 1e6,
    }  # fmt: skip
    if n_jobs == 1:
        runs = [stages.epoch() for _ in range(3)][1:]
        row.update({name: sum(run[name] for run in runs) / 2 for name in STAGES})
    return row


def fit_from_disk(
    path: str, n_factors: int, n_jobs: int, n_epochs: int, optimizer: str, how: str
) -> Row:
    """Return what one fit from disk took."""
    import scipy.sparse as sp

    import tripletrec as tr
    from stages import SETTINGS
    from tripletrec.training.disk_layout import DiskLayout
    from tripletrec.training.from_disk import DiskTripletTraining

    sys.path.append(str(HERE / "adapters"))
    from worker import forget_peak, memory_mb

    settings = {**SETTINGS, "n_factors": n_factors, "n_epochs": n_epochs, "optimizer": optimizer}
    plan = tr.MatrixFactorization(**settings)._plan()
    folder = Path(path).with_suffix("")
    tr.Interactions(sp.load_npz(path)).to_memory_map(folder)
    compile_fits(settings, from_disk=True)
    before = memory_mb(peak=False)
    data = tr.Interactions.read(folder)
    forget_peak()
    started = time.perf_counter()
    layout = DiskLayout(*DISK[how])
    training = DiskTripletTraining(plan, data, None, None, n_jobs, layout=layout)
    with training.threads():
        records = [training.run_epoch(number) for number in range(1, n_epochs + 1)]
    training.release()
    seconds = time.perf_counter() - started
    epochs = [1e9 * each["seconds"] / each["n_triplets"] for each in records]
    pairs = [(a + b) / 2 for a, b in pairwise(epochs)] or epochs
    return {
        "n": data.nnz, "users": data.n_users, "items": data.n_items, "n_jobs": n_jobs, "how": how,
        "fit": 1e9 * seconds / (data.nnz * n_epochs), "epoch": min(pairs),
        "memory": memory_mb(peak=True) - before,
    }  # fmt: skip


def child(call: str, **arguments: Any) -> Any:
    """Run one of the functions above in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps({"call": call, **arguments})]
    search = os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{call} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def measure(options: argparse.Namespace) -> list[Row]:
    """Return a row for each size and number of threads."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="tripletrec-scaling-") as folder:
        path = str(Path(folder) / "data.npz")
        for n in sizes(options.most):
            child("make", n_interactions=n, path=path)
            for n_jobs in options.threads:
                n_epochs = max(options.epochs, round(2e6 / n))  # short epochs need more of them
                row = child(
                    "fit", path=path, n_factors=options.factors, n_jobs=n_jobs,
                    n_epochs=n_epochs, optimizer=options.optimizer,
                )  # fmt: skip
                rows.append(row)
                print(
                    f"{n:>12,} interactions, {n_jobs} thread{'s' * (n_jobs > 1)}: {row['epoch']:6.1f} ns, "
                    f"{row['memory']:,.0f} MB",
                    flush=True,
                )
            for how in DISK if options.disk and n >= 10**6 else ():
                row = child(
                    "fit_from_disk", path=path, n_factors=options.factors, how=how,
                    n_jobs=max(options.threads), n_epochs=options.epochs,
                    optimizer=options.optimizer,
                )  # fmt: skip
                rows.append(row)
                print(f"{n:>12,} interactions, {how}: {row['epoch']:6.1f} ns", flush=True)
    return rows


def table(rows: list[Row]) -> list[str]:
    """Return the lines of the table."""
    header = [
        "interactions", "users", "items", "threads", "ns per triplet, epoch", *STAGES,
        "whole fit", "peak memory, MB", "needed, MB", "ratio",
    ]  # fmt: skip
    return markdown(
        header,
        (
            [f"{row['n']:,}", f"{row['users']:,}", f"{row['items']:,}",
             f"{row['n_jobs']}{', ' * ('how' in row)}{row.get('how', '')}",
             f"{row['epoch']:.1f}", *(f"{row[s]:.1f}" if s in row else "" for s in STAGES),
             f"{row['fit']:.1f}", f"{row['memory']:,.0f}",
             *((f"{row['needed']:,.0f}", f"{row['memory'] / row['needed']:.2f}")
               if "needed" in row else ("", ""))]
            for row in rows
        ),
    )  # fmt: skip


def draw(rows: list[Row], path: Path, settings: str) -> None:
    """Draw time and memory against the number of interactions."""
    from matplotlib import pyplot

    from tripletrec.reference.plots import _FAINT, _INK, _OURS, _PUBLISHED, _STYLE

    from_disk = [row for row in rows if "how" in row]
    rows = [row for row in rows if "how" not in row]
    one = [row for row in rows if row["n_jobs"] == min(each["n_jobs"] for each in rows)]
    with pyplot.rc_context(_STYLE):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(10.5, 4.2), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.1)
        lines = []
        threads = sorted({row["n_jobs"] for row in rows})
        for n_jobs, color in zip(threads, cycle((_OURS, _PUBLISHED, _INK)), strict=False):
            mine = [row for row in rows if row["n_jobs"] == n_jobs]
            label = f"{n_jobs} thread{'s' * (n_jobs > 1)}"
            lines.append((mine, "epoch", label, color, "-", 2.0))
        for how, color in zip(DISK, ("#8a5a9e", "#c08a3e"), strict=True):
            mine = [row for row in from_disk if row["how"] == how]
            if mine:
                lines.append((mine, "epoch", how, color, "-", 1.5))
        if "draw" in one[0]:
            lines += [(one, stage, stage, _FAINT, "--", 1.0) for stage in STAGES]
        _lines(left, lines)
        _lines(
            right,
            [
                (one, "memory", "highest", _OURS, "-", 2.0),
                (one, "needed", "needed", _FAINT, "--", 1.0),
            ],
        )
        left.set_title("Nanoseconds per triplet")
        right.set_title("Memory of a fit, MB")
        figure.supxlabel(f"interactions ({settings})", fontsize=9.5)
        figure.savefig(path, dpi=160)
        pyplot.close(figure)


def _lines(axis: Any, lines: list[tuple[list[Row], str, str, str, str, float]]) -> None:
    """Draw lines on logarithmic axes, each with its name at its right end."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set(xscale="log", yscale="log")
    ends = []
    for rows, name, label, color, style, width in lines:
        # What is less than a page has no place on a logarithmic axis.
        x, y = [row["n"] for row in rows], [row[name] or math.nan for row in rows]
        axis.plot(x, y, style, color=color, linewidth=width, marker="o", markersize=1.5 + width)
        ends.append([y[-1], label, color])
    low, high = axis.get_ylim()
    gap = (high / low) ** 0.055  # labels keep apart, from the lowest one upwards
    ends.sort()
    for below, above in zip(ends, ends[1:], strict=False):
        above[0] = max(above[0], below[0] * gap)
    right = max(row["n"] for row in lines[0][0])
    for y, label, color in ends:
        axis.annotate(
            label, (right, y), xytext=(8, 0), textcoords="offset points", va="center", color=color,
            annotation_clip=False,
        )  # fmt: skip
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_minor_locator(NullLocator())


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--most", type=float, default=1.2e7, help="interactions, from 1e5")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--optimizer", choices=("sgd", "adagrad", "adam"), default="sgd")
    parser.add_argument("--plot", type=Path, default=HERE.parent / "docs" / "scaling.png")
    parser.add_argument("--disk", action="store_true", help="from disk, too, from a million on")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        request = json.loads(options.child)
        call = {"make": make, "fit": fit, "fit_from_disk": fit_from_disk}[request.pop("call")]
        print(json.dumps(call(**request)))
        return
    if options.most < 1e5:
        parser.error(f"--most must be at least 1e5, got {options.most:g}")
    if find_spec("matplotlib") is None:
        parser.error("the plot needs matplotlib: pip install matplotlib")
    if not options.plot.parent.is_dir():
        parser.error(f"--plot {options.plot}: there is no folder {options.plot.parent}")
    started = load()
    rows = measure(options)
    settings = f"bpr, {options.optimizer}, {options.factors} factors"
    lines = [
        f"## Scaling: {settings}", "", *table(rows), "", *describe(),
        f"Load average before the first run: {started}; the two fastest in a row of {options.epochs} epochs, "
        f"or of more where there are less than {2e6 / options.epochs:,.0f} interactions.",
    ]  # fmt: skip
    print("", *lines, f"\nresults: {save('scaling', lines)}", sep="\n")  # the drawing may fail
    draw(rows, options.plot, settings)
    print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
