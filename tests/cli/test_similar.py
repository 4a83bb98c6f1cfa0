"""``tripletrec similar``."""

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


def test_unknown_items(shop, failed):
    assert "unknown item id 'nothing'" in failed("similar", shop / "model.safetensors", "nothing")
