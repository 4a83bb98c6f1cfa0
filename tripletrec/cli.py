"""The command ``tripletrec``: arguments, progress and exit codes; what it computes is in `reference`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after the command's name; those of the process by default.

    Returns
    -------
    int
        0 after success, 1 if the data are not available or a file cannot be written, 130 after
        Ctrl-C. Bad arguments raise ``SystemExit`` with code 2, as in argparse.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.error("give a command: reproduce")
    try:
        return _reproduce(options, parser.error)
    except KeyboardInterrupt:
        print("tripletrec: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"tripletrec: error: {error}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tripletrec", description="Recommenders learnt from triplets.")
    parser.add_argument("--version", action="version", version=f"tripletrec {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    command = commands.add_parser(
        "reproduce",
        help="train the Keras reference systems and compare with the published numbers",
        description="Train replicas of the published Keras systems on MovieLens-100K and print "
        "published against reproduced AUC, epoch by epoch.",
    )
    command.add_argument("--systems", metavar="K1,K4", help="which systems (default: all)")
    command.add_argument(
        "--seeds", type=int, default=3, help="trainings of each system (default: 3)"
    )
    command.add_argument("--n-jobs", type=int, help="trainings at a time (default: all cores)")
    command.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the curves to a png, svg or pdf"
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to a file")
    command.add_argument(
        "--data-home", metavar="DIR", help="folder of the data (default: TRIPLETREC_DATA or cache)"
    )
    command.add_argument("--quiet", action="store_true", help="no progress on stderr")
    return parser


def _version() -> str:
    try:
        return version("tripletrec")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


def _reproduce(options: argparse.Namespace, refuse: Callable[[str], NoReturn]) -> int:
    from tripletrec import datasets, reference
    from tripletrec._runtime.files import replacing
    from tripletrec._runtime.progress import Progress
    from tripletrec.reference import plots
    from tripletrec.reference.report import n_epochs_in_all

    try:
        systems = _check(options)
        with redirect_stdout(sys.stderr):  # stdout is for the report
            data = datasets.fetch_movielens_100k(options.data_home, verbose=not options.quiet)
    except (ImportError, TypeError, ValueError) as error:
        refuse(str(error))
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
    print(reference.format_report(result), end="")
    if options.json is not None:
        with replacing(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.plot is not None:
        plots.plot_reference(result, options.plot)
    return 0


def _check(options: argparse.Namespace) -> list[str]:
    """Refuse bad options before the training rather than after it; return the systems to train."""
    from tripletrec._checks import check_count, check_n_jobs
    from tripletrec._runtime.files import check_writable
    from tripletrec.reference import plots
    from tripletrec.reference.report import check_systems

    names = None if options.systems is None else options.systems.split(",")
    systems = check_systems(names, "--systems")
    check_count(options.seeds, "--seeds")
    check_n_jobs(options.n_jobs)
    if options.plot is not None:
        plots.check_plot(options.plot)
        check_writable(options.plot, "--plot")
    if options.json is not None:
        check_writable(options.json, "--json")
    return systems


if __name__ == "__main__":
    sys.exit(main())
