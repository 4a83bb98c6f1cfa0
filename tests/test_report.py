"""The page on models: what stands on it, that it needs nothing else, and what is refused."""

import math
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

import tripletrec as tr
from tripletrec import report

pytest.importorskip("matplotlib", reason="needs matplotlib")

VOID = {"meta", "path", "use", "image", "circle", "rect", "line"}


class Page(HTMLParser):
    """Checks that all that is opened is closed; collects ids, sources and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.sources, self.tags, self.text = [], [], [], Counter(), ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.sources += [found[name] for name in ("src", "href", "xlink:href") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def parts():
    events = tr.datasets.make_events(150, 60, 2500, random_state=0).events
    seconds = events["time"].astype("int64") / 1e6
    events = events.assign(time=seconds + 0.25)
    data = tr.Interactions.from_frame(events, user="user_id", item="item_id", timestamp="time")
    return tr.splits.train_test_split(data, random_state=0)


@pytest.fixture(scope="module")
def models(parts):
    train, test = parts
    one = tr.MatrixFactorization(n_factors=4, n_epochs=3, early_stopping=5)
    two = tr.MatrixFactorization(n_factors=4, n_epochs=2, loss="hinge")
    return {"one & only": one.fit(train, validation=test), "two": two.fit(train)}


@pytest.fixture(scope="module")
def path(models, parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    names = dict.fromkeys(parts[0].item_ids, math.nan) | {parts[0].item_ids[1]: None}
    names[parts[0].item_ids[0]] = "<b>Star & Co</b>"
    tr.write_report(path, models, parts[1], n_users=4, item_names=names, title="My <shop>")
    return path


def test_the_page_is_whole_and_needs_nothing_else(path):
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags["script"] == page.tags["link"] == 0 and "@import" not in text
    assert all(each.startswith(("#", "data:")) for each in page.sources)
    assert not re.findall(r"url\((?!#)", text)
    assert max(Counter(page.ids).values()) == 1
    used = {each[1:] for each in page.sources if each[0] == "#"} | set(
        re.findall(r"url\(#(.*?)\)", text)
    )
    assert used <= set(page.ids)
    # Two of all models, three of each but that popularity has no map and was not trained in epochs.
    assert page.tags["svg"] == page.tags["figure"] == 2 + 1 + 3 + 2
    assert "<title>My &lt;shop&gt;</title>" in text and "one & only" in page.text
    assert "<b>" not in text and "nan" not in page.text and "None" not in page.text


def test_pictures_are_drawn(path):
    page = Page(path.read_text(encoding="utf-8"))
    for words, n in (("first principal direction", 2), ("validation auc", 1), ("one & only", 5)):
        assert page.text.count(words) >= n, words
    assert page.tags["image"] + page.tags["path"] + page.tags["use"] > 50


@pytest.mark.thorough
def test_a_training_of_one_epoch_has_no_picture(models, parts, tmp_path):
    once = tr.MatrixFactorization(n_factors=4, n_epochs=1).fit(parts[0])
    for name, given in (("once", {"once": once}), ("more", {"once": once} | models)):
        tr.write_report(tmp_path / name, given, parts[1], n_users=1)
        found = "<figcaption>Training<" in (tmp_path / name).read_text(encoding="utf-8")
        assert found == (name == "more")


def test_rows_that_belong_together_are_a_body():
    rows = [("a", 1), ("b", 2), ("c", 3)]
    cells = [f"<tr><td>{name}</td><td class=number>{n}</td></tr>" for name, n in rows]
    for n_together, bodies in ((None, ["".join(cells)]), (2, ["".join(cells[:2]), cells[2]])):
        found = report._table(["x", "y"], rows, n_together=n_together)
        assert "".join(f"<tbody>{body}</tbody>" for body in bodies) + "</table>" in found
    assert "<tbody></tbody></table>" in report._table(["x"], [])


def test_numbers_are_those_of_compare(path, models, parts):
    page = Page(path.read_text(encoding="utf-8"))
    popular = tr.Popularity().fit(parts[0])
    table = tr.compare({"popularity": popular, **models}, parts[1]).table
    for column in ("mean", "low", "high"):
        for value in table[column]:
            assert f"{value:.4f}" in page.text
    for value in table["difference"].dropna():
        assert f"{value:+.4f}" in page.text


def test_times_are_told_in_full(path, parts):
    page = path.read_text(encoding="utf-8")
    for each in parts:
        assert f">{each.timestamps.min()}<" in page and f">{each.timestamps.max()}<" in page


def test_what_was_seen_may_be_left_in(models, parts, tmp_path):
    train, test = parts
    more = "seen", train.item_ids[:1]
    for exclude, said in ((None, "is not left out"), (more, "is left out, and more")):
        tr.write_report(tmp_path / "page", models["two"], test, exclude, n_users=2)
        page = Page((tmp_path / "page").read_text(encoding="utf-8")).text
        assert f"what users had in training {said}." in page
        means = tr.evaluate(models["two"], test, exclude, k=10).mean
        assert all(f"{mean:.4f}" in page for mean in means)
        for user in re.findall(r"User ([-0-9a-f]{36})", page):
            assert "".join(models["two"].recommend(user, exclude=exclude)[0]) in page


def test_users_with_what_they_get(path, models, parts):
    page = Page(path.read_text(encoding="utf-8"))
    users = re.findall(r"User ([-0-9a-f]{36})", page.text)
    assert len(users) == len(set(users)) == 4
    for user in users:
        for model in models.values():
            ids, _ = model.recommend(user, k=10)
            assert all(each in page.text or each == parts[0].item_ids[0] for each in ids)


@pytest.mark.thorough
def test_the_seed_decides_on_users_and_intervals(models, parts, tmp_path):
    every = {"popularity": tr.Popularity().fit(parts[0]), "two": models["two"]}
    users = []
    for seed in (0, 1):
        path = tmp_path / f"{seed}"
        tr.write_report(path, models["two"], parts[1], n_users=5, random_state=seed)
        page = Page(path.read_text(encoding="utf-8"))
        table = tr.compare(every, parts[1], k=10, random_state=seed).table
        assert all(f"{value:.4f}" in page.text for value in table["low"])
        users.append(set(re.findall(r"User ([-0-9a-f]{36})", page.text)))
    assert len(users[0]) == len(users[1]) == 5 and users[0] != users[1]


@pytest.mark.thorough
def test_names_are_no_formulas(models, parts, tmp_path):
    path, names = tmp_path / "page.html", dict.fromkeys(parts[0].item_ids, "$5 | 10% | $10")
    named = {"$b$_<i>": models["two"], "_tmp": models["one & only"]}
    tr.write_report(path, named, parts[1], n_users=1, item_names=names)
    page = Page(path.read_text(encoding="utf-8"))
    # In each table and list, and in the pictures of all models.
    assert page.text.count("$b$_<i>") > 12 and page.text.count(" _tmp") >= 2
    assert page.text.count("$5 | 10% | $10") > 15 and r"\$" not in page.text


@pytest.mark.thorough
def test_one_model_and_an_old_page(models, parts, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    tr.write_report(path, models["two"], parts[1], n_users=0, k=3)
    page = Page(path.read_text(encoding="utf-8"))
    assert "MatrixFactorization" in page.text and "ndcg@3" in page.text and "0 users" in page.text
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.thorough
@pytest.mark.parametrize("make", [tr.MLPMatcher, tr.TwoTower, tr.EASE, tr.Popularity])
def test_models_of_every_class(make, parts, tmp_path):
    model = make(n_epochs=1) if make in (tr.MLPMatcher, tr.TwoTower) else make()
    tr.write_report(tmp_path / "page.html", model.fit(parts[0]), parts[1], n_users=1, k=3)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert Page(text).tags["svg"] == 4 + (make is tr.TwoTower)
    assert text.count("Map of the items") == (make is tr.TwoTower)


@pytest.mark.thorough
def test_many_items_are_drawn_as_pixels(tmp_path):
    data = tr.datasets.make_interactions(50, 1500, 3000, random_state=0)
    train, test = tr.splits.train_test_split(data, random_state=0)
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(train)
    tr.write_report(tmp_path / "page.html", model, test, n_users=0)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    # The map, and of both models the items that nobody gets.
    assert text.count("data:image/png") == 3 and len(text) < 500_000


def test_what_is_refused_leaves_no_page(models, parts, tmp_path):
    path = tmp_path / "page.html"
    two = models["two"]
    with pytest.raises(ValueError, match="models must hold at least one model"):
        tr.write_report(path, {}, parts[1])
    for wrong, message in (
        ({"title": None}, "title must be a string, got None"),
        ({"item_names": ["a"]}, "item_names must be a mapping"),
    ):
        with pytest.raises(TypeError, match=message):
            tr.write_report(tmp_path / "page.html", models, parts[1], **wrong)
    with pytest.raises(ValueError, match="models must not be named 'popularity'.*another name"):
        tr.write_report(path, {**models, "popularity": models["two"]}, parts[1])
    with pytest.raises(ValueError, match=r"names of models must be text in UTF-8, got 'm\\udce9'"):
        tr.write_report(path, {"m\udce9": models["two"]}, parts[1])
    with pytest.raises(TypeError, match="models must have names that are strings, got 1"):
        tr.write_report(path, {1: models["two"]}, parts[1])
    with pytest.raises(ValueError, match="n_users must be"):
        tr.write_report(path, two, parts[1], n_users=-1)
    with pytest.raises(ValueError, match="k must be"):
        tr.write_report(path, two, parts[1], k=0)
    two.save(tmp_path / "model", seen=False)
    silent = tr.load(tmp_path / "model")
    for named in ({"silent": silent}, {"two": two, "silent": silent}):
        with pytest.raises(ValueError, match="^silent does not know what .* with collect=False"):
            tr.write_report(path, named, "told before the test is looked at")
    with pytest.raises(OSError, match="cannot write a report to"):
        tr.write_report(tmp_path / "no such folder" / "page.html", two, parts[1], n_users=1)
    assert not path.exists()


@pytest.mark.thorough
def test_the_order_of_models_changes_no_number(models, parts, tmp_path):
    """Of models that were trained on other events, too: popularity is of all of them."""
    test = parts[1]
    more = tr.Popularity().fit(test[test.rows % 2 == 0])
    named, wanted = {"two": models["two"], "more": more}, []
    for n, order in enumerate((named, dict(reversed(named.items())))):
        with pytest.warns(UserWarning, match="trained on too|evaluated on"):
            tr.write_report(tmp_path / f"{n}", order, test, n_users=1)
        text = Page((tmp_path / f"{n}").read_text(encoding="utf-8")).text
        wanted.append(sorted(re.findall(r"[+-]?0\.\d{4}", text.partition("Pictures")[0])))
    assert wanted[0] == wanted[1]


@pytest.mark.thorough
def test_a_browser_shows_it(path, tmp_path):
    browser = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if browser is None:
        pytest.skip("needs Chromium")
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             f"--user-data-dir={tmp_path / 'profile'}", "--window-size=400,900"]  # fmt: skip
    subprocess.run(
        [browser, *flags, f"--screenshot={picture}", path.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    from matplotlib.image import imread

    pixels = imread(picture)
    assert (
        pixels.shape[:2] == (900, 400)
        and np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 10
    )
