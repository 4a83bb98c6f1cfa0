"""How long it takes to read a folder of parquet into a memory map, and how much memory and disk.

    python benchmarks/large_data.py --out FOLDER
    python benchmarks/read_large.py FOLDER --limit 2e9            # bytes that the process may take
    python benchmarks/read_large.py FOLDER --in-memory            # the same without a memory map

The reading process may take no more memory than the limit: in a control group of its own where there is one
that may be written (Linux, usually as root; files that it reads and writes count, too, but the system can
drop these), else by RLIMIT_DATA. Its own memory (RssAnon) and all that is resident (VmHWM) are looked at all
the time. Disk is the most that the folder's disk lost, which counts what others write.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

GROUPS = Path("/sys/fs/cgroup/memory")

READ = """if 1:
    import json, resource, sys, time
    options = json.loads(sys.argv[1])
    if options["rlimit"]:
        resource.setrlimit(resource.RLIMIT_DATA, (options["rlimit"],) * 2)
    from tripletrec import Interactions
    from tripletrec.data import frames, streaming  # noqa: F401 - with pandas and pyarrow: read once
    began, cpu = time.perf_counter(), time.process_time()
    data = Interactions.read(options["path"], **options["arguments"])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    opened = 0.0
    if data.memory_map:
        began = time.perf_counter()
        Interactions.read(data.memory_map)
        opened = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "cpu": cpu, "merged": data.n_merged, "data": repr(data),
                      "open_seconds": opened}))
    """


@contextmanager
def control_group(limit: int | None) -> Iterator[Path | None]:
    """Make a control group of so much memory; None: it cannot be made, or there is no limit."""
    group = GROUPS / f"tripletrec-{os.getpid()}"
    if limit is None:
        yield None
        return
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(limit))
    except OSError:
        yield None
        return
    try:
        yield group
    finally:
        group.rmdir()


def status(pid: int) -> dict[str, int]:
    """Return what a process takes, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines if line.startswith(("RssAnon:", "VmHWM:")))
    return {each[0][:-1]: int(each[1]) * 1024 for each in fields}


def read(path: str, arguments: dict[str, Any], limit: int | None, disk: Path) -> dict[str, Any]:
    with control_group(limit) as group:
        options = {"path": path, "arguments": arguments, "rlimit": None if group else limit}
        command = [sys.executable, "-c", READ, json.dumps(options)]
        if group is not None:  # the shell joins before it becomes Python
            join = f'echo $$ > "{group}/cgroup.procs" && exec "$@"'
            command = ["sh", "-c", join, "sh", *command]
        free = shutil.disk_usage(disk).free
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        peaks = {"RssAnon": 0, "VmHWM": 0, "disk": 0}
        while process.poll() is None:
            now = {**status(process.pid), "disk": free - shutil.disk_usage(disk).free}
            peaks = {name: max(each, now.get(name, 0)) for name, each in peaks.items()}
            time.sleep(0.02)
        out = process.communicate()[0]
        if process.returncode:
            raise SystemExit(f"it ended with {process.returncode}, under {limit} bytes")
        return {**json.loads(out), **peaks, "limit": limit, "control group": group is not None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--limit", type=float, help="bytes of memory")
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--timestamp", help="the column of times")
    parser.add_argument("--duplicates", default="sum")
    parser.add_argument("--user", default="user")
    parser.add_argument("--item", default="item")
    parser.add_argument("--keep", type=Path, help="the folder of the memory map, which then stays")
    options = parser.parse_args()
    names = ("user", "item", "timestamp", "duplicates")
    arguments = {name: getattr(options, name) for name in names}
    limit = None if options.limit is None else int(options.limit)
    with tempfile.TemporaryDirectory(dir=Path(options.path).resolve().parent) as folder:
        if not options.in_memory:
            arguments["memory_map"] = str(options.keep or Path(folder, "map"))
        found = read(options.path, arguments, limit, Path(folder))
        if not options.in_memory:
            files = Path(arguments["memory_map"]).iterdir()
            found["bytes"] = {each.name: each.stat().st_size for each in files}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
