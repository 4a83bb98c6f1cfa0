"""An epoch with features: `TwoTower` beside LightFM's hybrid, with the same features and as many factors.

Both get the encoded features of users and items, a constant, and factors of users' and items' own. Processes
take turns, so that a busy machine slows both alike. What is measured is processor time, or with more threads
than one the time that passes, of some epochs beyond the first; set-up is left out. "bpr" is the like of like,
one sampled negative for each positive; list-wise losses compare each positive with hundreds of items.

    python benchmarks/feature_epochs.py
    python benchmarks/feature_epochs.py --data shop --repeats 5 --threads 2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import scipy.sparse as sp

import peer_tables
from cold_items import movielens, synthetic
from machine import describe, load
from peer_process import PeerError, Worker, default_envs, python_of
from tripletrec.models.towers import learn_columns

CASES = (
    ("tripletrec", {"loss": "bpr"}),
    ("tripletrec", {"loss": "softmax"}),
    ("tripletrec", {"loss": "softmax", "history": 0.0}),
    ("lightfm", {"loss": "bpr"}),
    ("lightfm", {"loss": "warp"}),
)


def save(folder: Path, data: str) -> int:
    """Write positives and encoded features; return the number of positives."""
    shop = movielens() if data == "movielens" else synthetic()
    sp.save_npz(folder / "positives.npz", shop.data.tocsr())
    for word, frame in (("user", shop.users), ("item", shop.items)):
        columns = learn_columns(frame, None, shop.data, word, own=False, combine="sum").matrix
        sp.save_npz(folder / f"{word}s.npz", columns[:, :-1])  # the last one is the constant
    return len(shop.data)


def main() -> None:
    """Print a row for each case: milliseconds an epoch, and how they compare with LightFM's bpr and warp."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", choices=("movielens", "shop"), default="movielens")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--envs", type=Path, default=default_envs(), help="environments of peers")
    options = parser.parse_args()
    before, versions = load(), {}
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        n = save(Path(folder), options.data)
        for _ in range(options.repeats):
            for library, settings in CASES:
                name = " ".join([library, *map(str, settings.values())])
                try:
                    python = python_of(library, options.envs)
                    with Worker(library, python, options.threads) as worker:
                        versions[library] = worker.ask("start")["versions"]
                        arguments = {"folder": folder, "settings": settings}
                        arguments |= {"n_epochs": options.epochs, "n_threads": options.threads}
                        answer = worker.ask("own", function="hybrid", arguments=arguments)
                except PeerError as error:
                    print(error)
                    continue
                seconds.setdefault(name, []).append(answer["seconds"])
    lines = [
        f"{options.data}, {n:,} positives, {options.threads} thread(s), medians of {options.repeats}"
    ]
    for name, each in seconds.items():
        ratios = [
            f"{statistics.median(theirs) / statistics.median(each):5.1f} x {peer}"
            for peer, theirs in seconds.items()
            if peer.startswith("lightfm") and not name.startswith("lightfm")
        ]
        lines.append(
            f"    {name:<28}{statistics.median(each) * 1e3:7.0f} ms   " + "   ".join(ratios)
        )
    others = [each for library, each in versions.items() if library != "tripletrec"]
    lines += ["", *describe(*others), f"Load average before the first run: {before}."]
    print(*lines, f"\nresults: {peer_tables.save('feature_epochs', lines)}", sep="\n")


if __name__ == "__main__":
    main()
