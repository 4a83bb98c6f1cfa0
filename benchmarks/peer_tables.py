"""From samples to markdown tables, and to the files that keep them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = [
    "OURS", "RESULTS", "Samples", "auc_table", "markdown", "per_second", "ratio", "save", "spread",
    "target_table", "thread_lines", "training_table",
]  # fmt: skip

OURS = "tripletrec"
RESULTS = Path(__file__).parent / "results"
Samples = dict[Any, dict[str, Any]]


def save(name: str, lines: Iterable[str]) -> Path:
    """Write a report to benchmarks/results/, named after now; return the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}.md"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return file


def per_second(
    n_positives: int, n_epochs: int, long: float, short: float, convert: float
) -> tuple[float, float]:
    """Return triplets per second, with all set-up and without any.

    Parameters
    ----------
    n_positives, n_epochs : int
        Triplets of an epoch, and epochs of the long fit.
    long, short : float
        Seconds of a fit of `n_epochs` epochs, and of one of a single epoch: the difference is free
        of set-up, whatever the library does in it and without trusting its own clock.
    convert : float
        Seconds from a CSR matrix to what `fit` takes.

    Returns
    -------
    float, float
        The second is NaN where the longer fit was not the slower one.
    """
    pure = long - short
    alone = n_positives * (n_epochs - 1) / pure if pure > 0 else float("nan")
    return n_positives * n_epochs / (long + convert), alone


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Return "median (least-most)", or a dash where nothing was measured."""
    known = [value for value in values if value == value]
    if not known:
        return "-"
    middle, low, high = (
        f"{value:,.{digits}f}" for value in (statistics.median(known), min(known), max(known))
    )
    return middle if len(known) == 1 else f"{middle} ({low}-{high})"


def ratio(ours: Sequence[float], theirs: Sequence[float], digits: int = 1) -> str:
    """Return the spread of the ratios of neighbouring runs, "-" where either is missing."""
    pairs = zip(ours, theirs, strict=False)
    return spread([a / b for a, b in pairs if a == a and b == b and b], digits)


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table, all but the first column to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def training_table(samples: Samples) -> list[str]:
    """Return one row for each library and number of threads."""
    rows = []
    for (name, n_threads), mine in samples.items():
        ours = samples.get((OURS, n_threads))
        first = f"{mine['first']:.2f}" + (
            f" ({mine['compiling']:.1f})" if "compiling" in mine else ""
        )
        against = ["", ""]
        if ours and name != OURS:
            against = [ratio(ours[each], mine[each]) for each in ("included", "excluded")]
        rows.append(
            [f"{name}, {n_threads} thread{'s' * (n_threads > 1)}",
             *(spread(mine[each]) for each in ("included", "excluded")), *against,
             spread(mine["cpu"], 0), f"{mine['import']:.2f}", f"{mine['convert']:.1f}", first,
             f"{mine['above']:,.0f}", f"{mine['peak']:,.0f}"]
        )  # fmt: skip
    header = [
        "", "M triplets/s, set-up included", "excluded", "tripletrec is x as fast, included",
        "excluded", "CPU, ns per triplet of a fit", "import, s", "CSR to its own form, s",
        "first call of 1 epoch, s (nothing compiled)", "peak memory above the data, MB",
        "whole process, MB",
    ]  # fmt: skip
    return markdown(header, rows)


def thread_lines(samples: Samples) -> list[str]:
    """Return what more threads bring each library."""
    counts = sorted({n for _, n in samples})
    return [
        f"{name}: {n} threads are {ratio(samples[name, n]['included'], one['included'], 2)} times as fast "
        f"as {counts[0]}, set-up included; "
        f"{ratio(samples[name, n]['excluded'], one['excluded'], 2)} excluded."
        for n in counts[1:]
        for name in dict.fromkeys(name for name, _ in samples)
        if (one := samples.get((name, counts[0]))) and (name, n) in samples
    ]


def target_table(samples: Samples) -> list[str]:
    """Return one row for each library."""
    rows = []
    ours = [each["seconds"] for each in samples[OURS]["answers"]] if OURS in samples else []
    for name, mine in samples.items():
        answers = mine["answers"]
        seconds = [each["seconds"] for each in answers]
        failed = sum(not each["reached"] for each in answers)
        rows.append(
            [name, spread(seconds, 3), spread((each["epochs"] for each in answers), 0),
             spread((each["value"] for each in answers), 4), failed,
             "" if name == OURS else ratio(seconds, ours, 0)]
        )  # fmt: skip
    header = ["", "seconds", "epochs", "AUC-A", "seeds that did not", "tripletrec is x as fast"]
    return markdown(header, rows)


def auc_table(samples: Samples) -> list[str]:
    """Return one row for each library and number of threads."""
    rows = []
    for (name, n_threads), mine in samples.items():
        ours = samples.get((OURS, n_threads))
        against = ratio(mine["seconds"], ours["seconds"]) if ours and name != OURS else ""
        note = " (first 10 items only: it has no full AUC)" if name == "implicit" else ""
        rows.append(
            [f"{name}{note}, {n_threads} thread{'s' * (n_threads > 1)}",
             spread((1e3 * s for s in mine["seconds"]), 1), f"{mine['value']:.4f}", against]
        )  # fmt: skip
    return markdown(["", "milliseconds", "AUC", "tripletrec is x as fast"], rows)
