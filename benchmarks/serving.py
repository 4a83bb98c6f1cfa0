"""What serving a fitted model costs: calls per second, their latency beside NumPy, loading and memory.

    python benchmarks/serving.py                   # all parts
    python benchmarks/serving.py --parts small cold
    python benchmarks/serving.py --items 200000    # in place of a million

Each part runs in a process of its own. ``small`` is 20,000 items, ``large`` a million, of 64 factors;
``cold`` is a new process that loads a model by ``load(path, mmap=True)`` and recommends once; ``load`` loads
500,000 items. Latencies are medians and 99th percentiles; NumPy's are of ``V @ u`` and ``argpartition``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import tripletrec as tr

N_FACTORS = 64
HEAVY = ("numba", "llvmlite", "pandas", "sklearn", "scipy", "threadpoolctl", "safetensors")
COLD = """
import sys, time
import tripletrec as tr
start = time.perf_counter()
model = tr.load(sys.argv[1], mmap=True)
loaded = time.perf_counter()
user = 3 if model.user_ids_ is None else str(model.user_ids_[3])
model.recommend(user)
done = time.perf_counter()
heavy = [name for name in sys.argv[2].split() if name in sys.modules]
print(loaded - start, done - loaded, time.process_time(), ",".join(heavy) or "none")
"""


def model_of(n_users, n_items, preset="bpr", ids=False):
    """Return a model with random factors, as if it had been fitted on so many users and items."""
    data = tr.datasets.make_interactions(100, 100, 600, random_state=0)
    model = tr.MatrixFactorization.preset(preset, n_epochs=1, n_factors=N_FACTORS).fit(data)
    rng = np.random.default_rng(0)
    model.n_users_, model.n_items_, model.n_features_in_ = n_users, n_items, n_items
    for name, shape in (
        ("user_factors_", (n_users, N_FACTORS)),
        ("item_factors_", (n_items, N_FACTORS)),
        ("item_biases_", n_items),
    ):
        setattr(model, name, rng.standard_normal(shape, np.float32))
    if ids:
        for name, n in (("user", n_users), ("item", n_items)):
            numbers = rng.integers(0, 2**63, (n, 2))
            texts = [f"{a:016x}-{b:016x}" for a, b in numbers.tolist()]
            setattr(model, f"{name}_ids_", np.array(texts))
    return model


def memory():
    """Return the resident memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def latencies(call, n):
    """Return the median and the 99th percentile of the seconds of `n` calls, after three more."""
    seconds = []
    for number in range(n + 3):
        start = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - start)
    return np.percentile(seconds[3:], [50, 99])


def calls_per_second(call, n_threads, seconds=2.0):
    """Return how many calls several threads make in all."""
    counts, stop = [0] * n_threads, time.perf_counter() + seconds

    def work(thread):
        while time.perf_counter() < stop:
            call(thread * 1009 + counts[thread])
            counts[thread] += 1

    threads = [threading.Thread(target=work, args=(each,)) for each in range(n_threads)]
    start = time.perf_counter()
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / (time.perf_counter() - start)


def say(what, *numbers):
    """Print a line of the report."""
    print(f"{what:58} {'  '.join(numbers)}", flush=True)


def calls_of(model):
    """Yield what one user may ask for, and its name."""
    n_users, n_items = model.n_users_, model.n_items_
    yield "recommend", lambda number: model.recommend(number % n_users)
    yield "similar_items", lambda number: model.similar_items(number % n_items)


def small(items):
    """Calls per second of a small catalogue, with one calling thread and with eight."""
    for preset in ("bpr", "softmax"):
        model = model_of(20_000, min(items, 20_000), preset).set_params(n_jobs=1)
        for name, call in calls_of(model):
            latencies(call, 50)
            before = memory()
            one, eight = calls_per_second(call, 1), calls_per_second(call, 8)
            say(f"{name}, {model.n_items_:,} items, {preset}, 1 and 8 threads",
                f"{one:,.0f} and {eight:,.0f} calls/s", f"memory +{memory() - before:.1f} MB")  # fmt: skip


def large(items):
    """Latency beside NumPy with a million items, with one BLAS thread and the default number."""
    for preset in ("bpr", "softmax"):
        beside_numpy(model_of(1_000, items, preset), preset)


def beside_numpy(model, preset):
    """Print the latencies of one model and of the product that it makes."""
    from threadpoolctl import threadpool_limits

    U, V, n_items = model.user_factors_, model.item_factors_, model.n_items_

    def product(number):
        return np.argpartition(V @ U[number % len(U)], n_items - 10)

    for threads, n in (("one thread", 1), ("default threads", None)):
        model.set_params(n_jobs=n)
        with threadpool_limits(n):
            plain = latencies(product, 60)
            say(f"NumPy, {n_items:,} items, {threads}", *milliseconds(plain))
            for name, call in calls_of(model):
                call(0)
                before = memory()
                found = latencies(call, 60)
                times, grown = found[0] / plain[0], memory() - before
                about = f"{times:.2f} x NumPy", f"memory +{grown:.1f} MB"
                say(f"{name}, {preset}, {threads}", *milliseconds(found), *about)
    candidates = np.arange(0, n_items, max(1, n_items // 100))[:100]
    few = latencies(lambda number: model.recommend(number, candidates=candidates), 60)
    say(f"recommend, {preset}, {len(candidates)} candidates", *milliseconds(few))


def cold(items):
    """A new process: from its start to the first list."""
    for n_items, preset, ids in (
        (20_000, "bpr", False), (20_000, "softmax", False), (20_000, "bpr", True),
        (min(items, 500_000), "bpr", False),
    ):  # fmt: skip
        with saved(model_of(20_000, n_items, preset, ids)) as path:
            runs = []
            for _ in range(6):
                start = time.perf_counter()
                out = subprocess.run([sys.executable, "-c", COLD, path, " ".join(HEAVY)],
                                     check=True, capture_output=True, encoding="utf-8")  # fmt: skip
                runs.append((time.perf_counter() - start, out.stdout.split()))
            seconds, (loading, answer, cpu, heavy) = min(runs[1:])
            about = f"{n_items:,} items, {preset}{', text ids' if ids else ''}"
            parts = f"load {float(loading):.3f} s, list {float(answer):.3f} s"
            say(
                f"new process, {about}",
                f"{seconds:.2f} s ({float(cpu):.2f} s CPU)",
                parts,
                f"heavy: {heavy}",
            )


def load(items):
    """Loading half a million items in a process that has done it before."""
    for ids in (False, True):
        with saved(model_of(20_000, min(items, 500_000), ids=ids)) as path:
            for mmap in (True, False):
                before = memory()
                models = []
                found = latencies(lambda _, models=models, mmap=mmap, path=path: models.append(
                    tr.load(path, mmap=mmap)), 5)  # fmt: skip
                grown = (memory() - before) / len(models)
                say(f"load {min(items, 500_000):,} items{', text ids' if ids else ''}, mmap={mmap}",
                    *milliseconds(found), f"memory +{grown:.1f} MB a model")  # fmt: skip


def saved(model):
    """Return a context with the path of a saved model."""

    class Saved:
        def __enter__(self):
            self.folder = tempfile.TemporaryDirectory()
            path = str(Path(self.folder.name, "model.safetensors"))
            model.save(path)
            return path

        def __exit__(self, *_):
            self.folder.cleanup()

    return Saved()


def milliseconds(seconds):
    """Return what is shown of a median and a 99th percentile."""
    return f"p50 {seconds[0] * 1e3:.2f} ms", f"p99 {seconds[1] * 1e3:.2f} ms"


PARTS = {each.__name__: each for each in (small, large, cold, load)}


def main():
    """Run the parts that are asked for, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        PARTS[options.parts[0]](options.items)
        return
    print(
        json.dumps(
            {"python": sys.version.split()[0], "numpy": np.__version__, "cores": os.cpu_count()}
        )
    )
    for part in options.parts:
        command = [
            sys.executable,
            __file__,
            "--here",
            "--parts",
            part,
            "--items",
            str(options.items),
        ]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
