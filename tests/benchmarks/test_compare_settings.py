"""Settings in pairs: what is read from a command line, and data from a list of packages."""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

import tripletrec as tr

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def compare(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import compare_settings

    yield compare_settings
    for name in ("compare_settings", "history", "package_data"):
        sys.modules.pop(name, None)


def test_settings_are_read(compare):
    assert compare.settings("") == {}
    read = compare.settings("loss='bpr', n_factors=8, sampler=dynamic(3)")
    assert read == {"loss": "bpr", "n_factors": 8, "sampler": tr.sampling.dynamic(3)}
    for wrong in ("3", "n_factors", "sampler=open('x')", "sampler=dynamic(x)", "a=1)("):
        with pytest.raises(argparse.ArgumentTypeError, match="must be arguments such as"):
            compare.settings(wrong)


def test_users_of_whom_little_is_known(compare):
    data = tr.datasets.make_interactions(50, 30, 400, random_state=0)
    few = compare.thinned(data, 3, seed=1)
    assert (np.diff(few.indptr) == np.minimum(3, np.diff(data.indptr))).all()
    assert few.tocsr().multiply(data.tocsr()).nnz == few.nnz  # no others
    assert (few.tocsr() != compare.thinned(data, 3, seed=2).tocsr()).nnz > 0
    assert compare.thinned(data, 30, seed=1).nnz == data.nnz


def test_packages_are_users(compare, tmp_path, capsys):
    needs = ["libc6 (>= 2.3)", "adduser | passwd", "python3:any", "perl", "x11-common", "tiny"]
    entries = [
        f"Package: p{n}\nDepends: {', '.join(needs[: 5 + (n == 0)])}\n"
        f"Tag: a::b, c::{{d,e}},\n f, g\nSize: {n}\n"
        for n in range(8)
    ]
    path = tmp_path / "Packages.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(entries))
    from package_data import read_packages

    data = read_packages(path, "needs")
    assert data.n_users == 8 and data.nnz == 40
    assert data.item_ids.tolist() == ["adduser", "libc6", "perl", "python3", "x11-common"]
    everyone = "".join(
        f"Package: s{n}\nMaintainer: A <A@x.org>\nUploaders: B <b@x.org>, {n} <{n}@x.org>\n"
        "Build-Depends: gcc (>= 9) [amd64], make, perl <!nodoc>, tar | bsdtar, sed, awk\n\n"
        for n in range(6)
    )
    (sources := tmp_path / "Sources").write_text(everyone, encoding="utf-8")
    builds, uploads = (read_packages(sources, kind) for kind in ("builds", "uploads"))
    assert builds.item_ids.tolist() == ["awk", "gcc", "make", "perl", "sed", "tar"]
    assert uploads.user_ids.tolist() == ["a@x.org", "b@x.org"] and len(uploads) == 12
    assert read_packages(path, "tags").item_ids.tolist() == ["a::b", "c::d", "c::e", "f", "g"]
    compare.main(
        ["loss='bpr', n_factors=6", "n_factors=6", "--data", f"needs:{path}", "--cuts", "1"]
    )
    assert len(capsys.readouterr().out.splitlines()) == 3
    towers = ["loss='bpr'", "", "--model", "TwoTower", "--data", f"tags:{path}", "--cuts", "1"]
    compare.main(towers)
    assert capsys.readouterr().out.endswith("as it is\n")
