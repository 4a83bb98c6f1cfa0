"""Ids that were typed are those of the model, of whatever kind these are."""

import uuid

import numpy as np
import pytest

import tripletrec as tr
from tripletrec.cli import main
from tripletrec.cli.ids import typed_ids

KINDS = {
    "numbers": (np.arange(4) * 3, "9"),
    "texts": (["00", "1", "b", "c"], "00"),
    "dates": (np.datetime64("2024-01-30") + np.arange(4), "2024-02-01"),
    "uuids": ([uuid.UUID(int=n) for n in range(4)], "00000000-0000-0000-0000-000000000002"),
    "floats": (np.arange(4) / 4, "0.75"),
    "bytes": ([b"a", b"b", b"c", b"d"], "b"),
    "mixed": (["a", 2, "c", 4], "2"),
    "none": (None, "3"),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_ids_are_found_as_they_are_printed(kind):
    ids, text = KINDS[kind]
    known = tr.Interactions(np.eye(4), item_ids=ids)._items
    asked = typed_ids([text, "nothing", "007"], known)
    assert (known.find(asked) >= 0).tolist() == [True, False, False]
    whole = range(4) if ids is None else ids
    assert known.find(asked)[0] == [str(each) for each in whole].index(
        "b'b'" if kind == "bytes" else text
    )


def test_what_is_printed_can_be_typed(small, tmp_path, capsys):
    dates = np.datetime64("2024-01-01") + np.arange(small.n_items)
    model = tr.MatrixFactorization(6, n_epochs=1).fit(
        tr.Interactions(small.tocsr(), item_ids=dates)
    )
    path = str(tmp_path / "m.safetensors")
    model.save(path)
    assert main(["similar", path, "2024-01-05", "-k", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()[1].split("\t")[1]
    assert main(["recommend", path, "--history", printed, "-k", "1"]) == 0
