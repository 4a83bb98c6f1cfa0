"""A tiny data set in both published forms, and a server and a pip that hand it out, for lack of a network."""

import hashlib
import http.server
import io
import subprocess
import threading
import time
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tripletrec.datasets.movielens import fingerprint
from tripletrec.datasets.sources import GENRES, OFFICIAL, read_archive


def invented_ratings():
    rng = np.random.default_rng(5)
    pairs = [(user, item) for user in (1, 2, 3) for item in rng.permutation(16)[:13] + 1]
    return [
        (*pairs[k], int(rng.integers(1, 6)), 880_000_000 + int(rng.integers(1000)))
        for k in rng.permutation(len(pairs))
    ]


USERS = ["1|24|M|technician|85711", "2|53|F|other|T8H1N", "3|7|M|student|00123"]
ITEMS = [("Café au Lait, Le (1993)", {8}), ("unknown", set()), ("Land (1995) (V)", {3, 18})]
ITEMS += [(f"Film {n} (19{n:02d})", {n}) for n in range(4, 17)]


def archive_bytes(ratings):
    data = "".join("\t".join(map(str, row)) + "\n" for row in ratings)
    items = ""
    for number, (title, genres) in enumerate(ITEMS, 1):
        flags = "|".join(str(int(g in genres or (g == 0 and not genres))) for g in range(19))
        items += f"{number}|{title} |01-Jan-1995||http://example|{flags}\n"
    return zipped(
        {
            "ml-100k/u.data": data.encode(),
            "ml-100k/u.user": ("\n".join(USERS) + "\n").encode(),
            "ml-100k/u.item": items.encode("latin-1"),
        }
    )


def wheel_members(ratings):
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    inter += "".join("\t".join(map(str, row)) + "\n" for row in ratings)
    users = "user_id:token\t...\n" + "".join(u.replace("|", "\t") + "\n" for u in USERS)
    items = "item_id:token\t...\n"
    for number, (title, genres) in enumerate(ITEMS, 1):
        head, _, year = title.rpartition(" (")
        head, year = (head, year[:-1]) if year.endswith(")") else ("unkonwn", "unkonwn")
        words = " ".join(GENRES[g - 1] for g in sorted(genres)) or "unknown"
        items += f"{number}\t{head}\t{year}\t{words}\n"
    return {
        "ml-100k.inter": inter.encode(),
        "ml-100k.user": users.encode(),
        "ml-100k.item": items.encode(),
    }


def zipped(members):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return body.getvalue()


@pytest.fixture
def tiny(monkeypatch, pip):
    """The invented set; from its `sources` nothing can be had until a test makes it so."""
    ratings = invented_ratings()
    archive, members = archive_bytes(ratings), wheel_members(ratings)
    digests = {name: hashlib.sha256(member).hexdigest() for name, member in members.items()}
    sources = OFFICIAL._replace(
        archive_url="http://127.0.0.1:9/ml-100k.zip",
        archive_md5=hashlib.md5(archive).hexdigest(),
        wheel_sha256=digests,
    )
    sources = sources._replace(fingerprint=fingerprint(read_archive(archive, sources)))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("TRIPLETREC_DATA", raising=False)
    return SimpleNamespace(
        ratings=ratings,
        archive=archive,
        members=members,
        wheel=wheel_of(members),
        wheel_of=wheel_of,
        sources=sources,
        check=partial(check, ratings),
        damage=damage,
    )


def check(ratings, data):
    """Assert that a data set is the invented one."""
    assert [tuple(row) for row in data.ratings.drop(columns="split").values] == ratings
    assert data.train.space.shape == data.test.space.shape == (4, 17)
    titles = ["Café au Lait, Le (1993)", "unknown", "Land (1995) (V)"]
    assert list(data.item_features.title[:3]) == titles


def damage(kind, content):
    """The bytes as accidents leave them."""
    middle = len(content) // 2
    return {
        "empty": b"",
        "half": content[:middle],
        "one bit": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "longer": content + b"\0",
        "text": b"<html>Please log in to the network</html>",
    }[kind]


def wheel_of(members):
    """The bytes of a wheel with these files."""
    return zipped({OFFICIAL.wheel_folder + name: member for name, member in members.items()})


@pytest.fixture
def pip(monkeypatch):
    """Return a function that lets `pip download` bring a wheel; None: it fails as it does offline."""

    def bring(wheel, log=None):
        def run(command, **options):
            assert command[1:4] == ["-m", "pip", "download"] and options["timeout"] > 0
            if log is not None:
                log.append("pip")
            if wheel is None:
                return SimpleNamespace(
                    returncode=1, stderr="WARNING: no\nERROR: No matching dist\n"
                )
            Path(command[command.index("--dest") + 1], "recbole-1.2.1.whl").write_bytes(wheel)
            return SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(subprocess, "run", run)

    bring(None)
    return bring


@pytest.fixture
def serve(tiny):
    """Return a function that starts a publisher who answers in a given way, and gives its sources."""
    servers = []

    def start(body, *, status=200, length=None, hang=None, pause=0.0):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                try:
                    for byte in body if pause else ():
                        self.wfile.write(bytes([byte]))
                        time.sleep(pause)
                    self.wfile.write(b"" if pause else body)
                except OSError:  # the client has gone
                    return
                if hang is not None:
                    hang.wait(20)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/ml-100k.zip"
        return tiny.sources._replace(archive_url=url)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
