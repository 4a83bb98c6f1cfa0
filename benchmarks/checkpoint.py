"""What checkpoints cost a fit: after every epoch, every 30 seconds, and none, in turn.

    python benchmarks/checkpoint.py                  # some minutes
    python benchmarks/checkpoint.py --quick          # seconds, smaller data

The data are synthetic, of the shape of Gowalla in the split of the LightGCN literature: 29,858 users x 40,981
items, 810,128 positives; the models have 64 factors. Seconds are medians (least-most) of whole fits; what is
learnt must be the same bits. The file lies in `--folder`, by default that of temporary files.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tripletrec as tr
from machine import by_kernels, describe, load
from peer_tables import spread

GOWALLA = (29_858, 40_981, 810_128)
SMALL = (3_000, 6_000, 60_000)
MODELS = {
    "bpr": lambda n: tr.MatrixFactorization(n_epochs=n),
    "bpr, adam, 8 negatives": lambda n: tr.MatrixFactorization(
        n_epochs=n, optimizer="adam", n_negatives=8
    ),
}


def size_of_a_checkpoint(model: tr.MatrixFactorization, data: tr.Interactions, path: Path) -> int:
    sizes = [0]
    model.fit(
        data,
        checkpoint=path,
        callbacks=lambda model, record: path.exists() and sizes.append(path.stat().st_size),
    )
    return sizes[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller data")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the checkpoint lies")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error(
            f"--epochs must be at least 2, got {options.epochs}: a checkpoint lies between two"
        )
    if options.folder and not options.folder.is_dir():
        parser.error(f"--folder must be a folder, got {options.folder}")
    print(*describe(), f"load {load()}", sep="\n", file=sys.stderr)
    by_kernels()
    data = tr.datasets.make_interactions(*(SMALL if options.quick else GOWALLA), random_state=0)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder, "fit.checkpoint")
        kinds = {"none": None, "every epoch": path, "every 30 s": (path, 30)}
        for name, make in MODELS.items():
            size = size_of_a_checkpoint(make(3), data, path)
            seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
            factors = []
            for _ in range(options.repeats):
                for kind, checkpoint in kinds.items():
                    started = time.perf_counter()
                    model = make(options.epochs).fit(data, checkpoint=checkpoint)
                    seconds[kind].append(time.perf_counter() - started)
                    factors.append(model.item_factors_)
            assert all(np.array_equal(each, factors[0]) for each in factors)
            print(f"{name}: {options.epochs} epochs, a file of {size / 1e6:.0f} MB")
            for kind, each in seconds.items():
                more = np.median(each) - np.median(seconds["none"])
                print(
                    f"  {kind:12} {spread(each)} s, {more / (options.epochs - 1):+.3f} s an epoch"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
