"""``tripletrec reproduce``: the published Keras systems again; what it computes is in `reference`."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tripletrec.cli.options import UsageError, add_command, check_output_path
from tripletrec.cli.printing import print_json

__all__ = ["NAME", "add_parser", "run"]

NAME = "reproduce"


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        NAME,
        run,
        "train the Keras reference systems and compare with the published numbers",
        "Train replicas of the published Keras systems on MovieLens-100K and print "
        "published against reproduced AUC, epoch by epoch.",
        "tripletrec reproduce --systems K1 --seeds 1 --plot reference.png",
        json=False,
    )
    parser.add_argument("--systems", metavar="K1,K4", help="which systems (default: all)")
    parser.add_argument(
        "--seeds", type=int, default=3, help="trainings of each system (default: 3)"
    )
    parser.add_argument(
        "--jobs",
        "--n-jobs",
        dest="n_jobs",
        metavar="N",
        type=int,
        help="trainings at a time (default: all cores)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the curves to a png, svg or pdf"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write all numbers to a file; without a file: print them instead of the report",
    )
    parser.add_argument(
        "--data-home", metavar="DIR", help="folder of the data (default: TRIPLETREC_DATA or cache)"
    )


def run(options: argparse.Namespace) -> None:
    """Fetch, train, report."""
    from tripletrec import datasets, reference
    from tripletrec._runtime.files import replacing
    from tripletrec._runtime.progress import Forgiving, Progress
    from tripletrec.reference import plots
    from tripletrec.reference.report import n_epochs_in_all

    try:
        systems = _check(options)
    except (ImportError, TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
    if options.plot is not None:
        check_output_path(options.plot, (), "--plot")
    if options.json not in (None, "-"):
        check_output_path(options.json, (), "--json")
    stderr: Any = None if sys.stderr is None else Forgiving(sys.stderr)
    with redirect_stdout(stderr):  # stdout is for the report
        data = datasets.fetch_movielens_100k(options.data_home, verbose=not options.quiet)
    total = n_epochs_in_all(systems, options.seeds)
    with Progress(total, "training", "epoch", shown=not options.quiet) as progress:
        result = reference.reproduce(
            data,
            options.seeds,
            systems=systems,
            n_jobs=options.n_jobs,
            on_epoch=lambda system, seed, run: progress.advance(**{f"{system} AUC": run.auc[-1]}),
            extra=reference.SECTIONS if options.systems is None else (),
        )
    if options.json == "-":
        print_json(result)
    else:
        print(reference.format_report(result), end="")
    if options.json not in (None, "-"):
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.plot is not None:
        plots.plot_reference(result, options.plot)


def _check(options: argparse.Namespace) -> list[str]:
    """Refuse bad options before the training rather than after it; return the systems to train."""
    from tripletrec._checks import check_count, check_n_jobs
    from tripletrec.reference import plots
    from tripletrec.reference.report import check_systems

    names = None if options.systems is None else options.systems.split(",")
    systems = check_systems(names, "--systems")
    check_count(options.seeds, "--seeds")
    check_n_jobs(options.n_jobs)
    if options.plot is not None:
        plots.check_plot(options.plot)
    return systems
