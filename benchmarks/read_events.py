"""How long it takes, and how much memory, to read a table of events with ids that look like UUIDs.

    python benchmarks/read_events.py                       # 10 million rows, parquet
    python benchmarks/read_events.py --rows 1000000 --format parquet csv

The events are those of `make_events`, repeated at later times until there are enough. Each file is read in a
process of its own, whose peak memory is that of all it did, the imports included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

READ = """if 1:
    import json, resource, sys, time
    began = time.perf_counter()
    from tripletrec import Interactions
    from tripletrec.data import frames, reading  # noqa: F401 - with pandas: read once, not per file
    imported, cpu = time.perf_counter(), time.process_time()
    data = Interactions.read(sys.argv[1], user="user_id", item="item_id", timestamp="time")
    seconds, cpu = time.perf_counter() - imported, time.process_time() - cpu
    again = time.perf_counter()
    n = min(1000, data.n_users, data.n_items)
    small = {"user_id": data.user_ids[:n], "item_id": data.item_ids[:n]}
    Interactions.from_frame(small, user="user_id", item="item_id", like=data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "cpu": cpu, "import": imported - began, "data": repr(data),
                      "like": time.perf_counter() - again, "rows": n, "merged": data.n_merged,
                      "gigabytes": peak / (2**30 if sys.platform == "darwin" else 2**20)}))
    """


def write(folder, n_rows, n_users, n_items, formats):
    """Write the events in some formats; the bytes of each file."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    from tripletrec.datasets import make_events

    n_drawn = min(n_rows, 600_000)
    events = make_events(n_users, n_items, n_drawn, random_state=0).events
    span = events["time"].iloc[-1] - events["time"].iloc[0]
    coded = {name: events[name].astype("category").cat for name in ("user_id", "item_id")}
    rng = np.random.default_rng(0)
    paths = {each: Path(folder, f"events.{each}") for each in formats}
    writers = {}
    for first in range(0, n_rows, n_drawn):
        part = events.assign(time=events["time"] + first // n_drawn * span)
        for name, ids in coded.items():  # others at each repeat: few pairs come again
            part[name] = rng.permutation(ids.categories.to_numpy())[ids.codes]
        table = pa.Table.from_pandas(part[: n_rows - first], preserve_index=False)
        for format_, path in paths.items():
            if format_ not in writers:
                make = parquet.ParquetWriter if format_ == "parquet" else csv.CSVWriter
                writers[format_] = make(path, table.schema)
            writers[format_].write_table(table)
    for writer in writers.values():
        writer.close()
    return {format_: path.stat().st_size for format_, path in paths.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--format", nargs="+", choices=("parquet", "csv"), default=["parquet"])
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sizes = write(folder, given.rows, given.users, given.items, given.format)
        for name in given.format:
            for _ in range(given.repeats):
                command = [sys.executable, "-c", READ, str(Path(folder, f"events.{name}"))]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout)
                print(
                    f"{name}: {given.rows:,} rows, {sizes[name] / 2**20:,.0f} MiB, read in "
                    f"{found['seconds']:.1f} s ({found['cpu']:.1f} of CPU), "
                    f"peak {found['gigabytes']:.2f} GiB "
                    f"(imports {found['import']:.1f} s): {found['data']}, "
                    f"{found['merged']:,} merged; {found['rows']:,} rows like it: {found['like']:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
