"""Files that are damaged, folders that go, a disk that is full."""

import hashlib
import json
import pickle
import resource
import shutil
from pathlib import Path

import numba
from engine import make, measure

cache = Path(numba.config.CACHE_DIR)
results = {}


def again(name):
    results[name] = measure(make(1, 2.0)["scaled"])


def with_checksum(content):
    return hashlib.sha256(content).digest() + content


again("first")
(file,) = cache.rglob("*.nbc")
whole = file.read_bytes()
flipped = bytearray(whole)
flipped[len(whole) // 2] ^= 4
for name, content in {
    "truncated": whole[:-1],
    "cut in the checksum": whole[:20],
    "empty": b"",
    "a bit flipped": bytes(flipped),
    "another pickle": pickle.dumps({"a": 1}),
    "another pickle with a checksum": with_checksum(pickle.dumps({"a": 1})),
    "a pickle that cannot be read": with_checksum(b"cno_such_module\nno_such_name\n."),
}.items():
    file.write_bytes(content)
    again(name)
    again(f"after {name}")
file.unlink()
file.mkdir()
again("a folder in its place")
shutil.rmtree(cache)
again("no folder")
again("after no folder")
shutil.rmtree(cache)
cache.write_text("a file where the folder was")
again("no place for a folder")
cache.unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
again("a full disk")
results["left behind"] = [each.name for each in cache.rglob("*") if each.is_file()]
print(json.dumps(results))
