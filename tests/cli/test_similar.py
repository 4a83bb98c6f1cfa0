"""``tripletrec similar``."""

import numpy as np

import tripletrec as tr


def test_items_and_users(shop, table, as_json):
    model = tr.load(shop / "model.safetensors")
    given = model.item_ids_[[3, 7]].tolist()
    header, rows = table("similar", shop / "model.safetensors", *given, "-k", "2")
    assert header == ["item", "similar", "rank", "score"]
    assert [row[1] for row in rows] == model.similar_items(given, k=2)[0].ravel().tolist()
    user = model.user_ids_[4].item()
    told = as_json("similar", shop / "model.safetensors", user, "--users", "-k", "2")
    assert told[0]["users"] == model.similar_users(user, k=2)[0].tolist()


def test_fractional_ids_are_printed_in_full(small, tmp_path, table):
    ids = 1234567.25 + np.arange(small.n_items)
    data = tr.Interactions(small.tocsr(), item_ids=ids)
    tr.MatrixFactorization(6, n_epochs=1).fit(data).save(tmp_path / "m")
    row = table("similar", tmp_path / "m", "1234569.25", "-k", "1")[1][0]
    assert row[0] == "1234569.25" and float(row[1]) in ids


def test_unknown_items(shop, failed):
    assert "unknown item id 'nothing'" in failed("similar", shop / "model.safetensors", "nothing")
