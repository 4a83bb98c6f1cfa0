"""``tripletrec report``."""

import pytest

import tripletrec as tr

pytest.importorskip("matplotlib", reason="needs matplotlib")


def test_a_page_with_names_of_items(shop, command, tmp_path):
    page, items = tmp_path / "report.html", tmp_path / "names.csv"
    ids = (shop / "items.csv").read_text().splitlines()
    column = ids[0].split(",").index("item_id")
    names = "".join(f"{line.split(',')[column]},Thing {n}\n" for n, line in enumerate(ids[1:]))
    items.write_text(f"item_id,name\n{names}")
    code, out, err = command(
        "report", shop / "model.safetensors", "--test", shop / "parts/test.csv", "-k", 5, "-o", page,
        "--items", items, "--title", "Our shop",
    )  # fmt: skip
    assert (code, out) == (0, "") and f"wrote {page}" in err
    text = page.read_text(encoding="utf-8")
    assert "<h1>Our shop</h1>" in text and "Thing 1" in text and "ndcg@5" in text
    assert "model.safetensors: MatrixFactorization" in text


@pytest.mark.thorough
@pytest.mark.parametrize("number", ["7000001", "Thing"])
def test_items_without_a_name_are_called_by_their_id(number, shop, command, tmp_path):
    page, items = tmp_path / "report.html", tmp_path / "names.csv"
    ids = tr.load(shop / "model.safetensors").item_ids_.tolist()
    items.write_text(
        "item_id,name\n" + "".join(f"{each},\n" for each in ids[1:]) + f"{ids[0]},{number}\n"
    )
    arguments = [shop / "model.safetensors", "--test", shop / "parts/test.csv", "-o", page]
    assert command("report", *arguments, "--items", items)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert f">{number}<" in text and ">nan<" not in text and f">{ids[1]}<" in text


@pytest.mark.thorough
def test_ids_keep_their_leading_zeros(command, tmp_path):
    events, names, page = tmp_path / "e.csv", tmp_path / "names.csv", tmp_path / "report.html"
    events.write_text("user,item\n01,007\n01,008\n02,007\n03,009\n")
    names.write_text("item,name\n007,Seven\n")
    path = tmp_path / "m.st"
    assert command("fit", events, "--model", "popularity", "-o", path)[0] == 0
    assert tr.load(path).item_ids_.tolist() == ["007", "008", "009"]
    arguments = ["report", path, "--test", events, "--with-seen", "-o", page, "--items", names]
    assert command(*arguments)[0] == 0
    assert ">Seven<" in page.read_text(encoding="utf-8")


@pytest.mark.thorough
def test_what_users_had_may_be_left_in(shop, command, tmp_path):
    page, test = tmp_path / "report.html", shop / "parts/test.csv"
    arguments = ["report", shop / "model.safetensors", "--test", test, "-o", page, "--with-seen"]
    assert command(*arguments)[0] == 0
    assert "what users had in training is not left out" in page.read_text(encoding="utf-8")
    silent = tmp_path / "silent"
    tr.load(shop / "model.safetensors").save(silent, seen=False)
    code, _, said = command("report", silent, "--test", test, "-o", page)
    assert code == 1 and "written with --no-seen: fit it without --no-seen\n" in said


@pytest.mark.thorough
def test_as_json(shop, as_json, tmp_path):
    page = tmp_path / "report.html"
    arguments = [shop / "model.safetensors", "--test", shop / "parts/test.csv", "-o", page]
    assert as_json("report", *arguments) == {"models": ["model.safetensors"], "output": str(page)}


def test_what_is_refused(shop, refused, failed, tmp_path):
    model, test = shop / "model.safetensors", shop / "parts/test.csv"
    assert "-o must not be a file that is read" in refused(
        "report", model, "--test", test, "-o", model
    )
    page = tmp_path / "report.html"
    arguments = ["report", model, "--test", test, "-o", page, "--items", shop / "items.csv"]
    assert "no column of" in failed(*arguments, "--name", "nothing")
    assert "--name is a column of --items" in refused(*arguments[:-2], "--name", "brand")
    items = tmp_path / "items.csv"
    for text, message in (
        ("item_id,name\na,b,c\n", "row 1 below the header has more fields: 'c'"),
        (
            "item_id,name\n,b\nNA,c\n",
            "missing id at position 0, and 1 in all: --drop-missing leaves out",
        ),
        ('item_id,name\n"a,b\n', "cannot read"),
    ):
        items.write_text(text)
        assert message in failed(*arguments[:-1], items)
    items.write_text("item_id,name\n7,a\n")
    assert "names no item of the models: it has ids such as '7', they such as" in failed(
        *arguments[:-1], items
    )
    items.write_bytes("item_id,name\na,ü\n".encode("latin-1"))
    assert f"cannot read '{items}'" in failed(*arguments[:-1], items)
    assert not page.exists()
