"""Pictures: what is drawn, on which axes, and what is refused."""

import sys

import numpy as np
import pytest

import tripletrec as tr

pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def parts():
    data = tr.datasets.make_interactions(120, 60, 1500, random_state=0)
    return tr.splits.train_test_split(data, random_state=0)


@pytest.fixture(scope="module")
def model(parts):
    train, test = parts
    model = tr.MatrixFactorization(n_factors=4, n_epochs=4, early_stopping=9, validate_every=1)
    return model.fit(train, validation=test)


def test_a_line_for_each_fit(model, parts):
    plain = tr.MatrixFactorization(n_factors=4, n_epochs=3).fit(parts[0])
    ax = tr.plots.learning_curves({"one": model, "two": plain}, "loss")
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["one", "two"]
    for line, each in zip(lines, (model, plain), strict=True):
        assert line.get_xdata().tolist() == [record["epoch"] for record in each.history_]
        assert line.get_ydata().tolist() == [record["loss"] for record in each.history_]
    assert tr.plots.learning_curves(model).get_ylabel() == "validation auc"
    with pytest.raises(ValueError, match="metric must be in history_ of a model, got 'recall'"):
        tr.plots.learning_curves(model, "recall")


def test_a_model_without_the_metric_has_no_line(model, parts):
    plain = tr.MatrixFactorization(n_factors=4, n_epochs=2).fit(parts[0])
    ax = tr.plots.learning_curves({"one": model, "two": plain}, "validation_auc")
    assert [line.get_label() for line in ax.lines] == ["one", "_kept"]


def test_the_kept_epoch_is_marked_and_a_single_one_is_a_dot(model, parts):
    best = next(each for each in model.history_ if each["epoch"] == model.best_epoch_)
    once = tr.MatrixFactorization(n_factors=4, n_epochs=1).fit(parts[0])
    ax = tr.plots.learning_curves({"one": model, "once": once}, "loss")
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xydata().tolist() for line in dots] == [
        [[model.best_epoch_, best["loss"]]],
        [[1, once.history_[0]["loss"]]],
    ]


def test_names_are_no_formulas_and_no_secrets(model, parts):
    ax = tr.plots.learning_curves({"$a_$_$": model, "_tmp": model})
    ax.figure.draw_without_rendering()
    assert [each.get_text() for each in ax.get_legend().get_texts()] == [r"\$a_\$_\$", " _tmp"]
    ax = tr.plots.item_map(model, n_labels=1, names=["$5 | 10% | $10"] * 60)
    ax.figure.draw_without_rendering()
    assert ax.texts[0].get_text() == r"\$5 | 10% | \$10"


def test_many_models_differ_and_stand_below(model, parts):
    found = tr.evaluate(model, parts[1])
    ax = tr.plots.per_user({f"model {n}": found for n in range(30)})
    lines = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines[:24]}) == 24
    (legend,) = ax.figure.legends
    assert len(legend.get_texts()) == 30 and ax.get_legend() is None


def test_a_single_user_is_a_dot(model, parts):
    test = parts[1].tocsr().toarray()
    test[np.flatnonzero(test.any(axis=1))[1:]] = 0
    line = tr.plots.per_user(tr.evaluate(model, test)).lines[0]
    assert len(line.get_xdata()) == 1 and line.get_marker() == "o"


def test_items_of_the_lists_are_counted(model, parts):
    ax = tr.plots.popularity(model, k=5)
    ids, _ = model.recommend(np.flatnonzero(np.diff(parts[0].indptr)), k=5)
    listed = np.bincount(ids[ids >= 0], minlength=60)
    drawn = np.concatenate([line.get_ydata() for line in ax.lines[:2]])
    assert sorted(drawn) == sorted(listed)
    assert f"{(listed == 0).sum()} of 60 items are in no list" in ax.get_title(loc="left")
    forgetful = tr.MatrixFactorization(n_factors=4, n_epochs=1).fit(parts[0])
    forgetful.seen_ = None
    with pytest.raises(
        ValueError, match="does not know what it was .*, or it was fitted on a cluster"
    ):
        tr.plots.popularity(forgetful)


def test_a_step_for_each_user(model, parts):
    found = tr.evaluate(model, parts[1])
    ax = tr.plots.per_user({"a": found, "b": found}, "ndcg@10")
    values = ax.lines[0].get_xdata()
    np.testing.assert_array_equal(values, np.sort(found.per_user["ndcg@10"].dropna()))
    with pytest.raises(ValueError, match="metric must be one of 'auc', .*, got 'x'"):
        tr.plots.per_user(found, "x")


@pytest.mark.parametrize("n_factors", [1, 2, 4])
def test_a_map_has_a_place_for_each_item(parts, n_factors):
    model = tr.MatrixFactorization(n_factors=n_factors, n_epochs=2).fit(parts[0])
    ax = tr.plots.item_map(model, n_labels=2, names=[f"n{item}" for item in range(60)])
    places = ax.collections[0].get_offsets()
    assert places.shape == (60, 2)
    if n_factors == 2:  # turned, but no longer or shorter
        rows = model.item_factors_ - model.item_factors_.mean(0)
        np.testing.assert_allclose((places**2).sum(1), (rows**2).sum(1), rtol=1e-3, atol=1e-6)
    counts = model.item_counts_
    sizes = ax.collections[0].get_sizes()
    np.testing.assert_allclose(sizes, 4 + 60 * counts / counts.max())
    most = np.argsort(-counts, kind="stable")[:2]
    assert [text.get_text() for text in ax.texts] == [f"n{item}" for item in most]
    with pytest.raises(ValueError, match="names must be of the 60 items, got 1"):
        tr.plots.item_map(model, names=["a"])


def test_names_on_a_map_keep_clear_of_each_other(parts):
    model = tr.MatrixFactorization(n_factors=2, n_epochs=2).fit(parts[0])
    popular = np.arange(60) < 2  # two items at one place
    model.item_factors_[:] = popular[:, None]
    model.item_counts_ = 1 + popular
    ax = tr.plots.item_map(model, n_labels=2, names=["first", "second", *"x" * 58])
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not boxes[0].overlaps(boxes[1])
    assert all(ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 for box in boxes)


def test_long_names_are_cut(parts):
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(parts[0])
    ax = tr.plots.item_map(model, n_labels=1, names=["x" * 50] * 60)
    assert ax.texts[0].get_text() == "x" * 19 + "…"


def test_items_without_a_name_have_their_id(parts):
    model = tr.MatrixFactorization(n_factors=2, n_epochs=1).fit(parts[0])
    ax = tr.plots.item_map(model, n_labels=3, names=[None, float("nan"), ""] * 20)
    most = np.argsort(-model.item_counts_, kind="stable")[:3]
    assert [each.get_text() for each in ax.texts] == list(map(str, most))


def test_axes_that_are_given_are_drawn_on(model, parts):
    _, ax = pyplot.subplots()
    found = tr.evaluate(model, parts[1])
    assert tr.plots.learning_curves(model, ax=ax) is ax
    assert tr.plots.per_user(found, ax=ax) is ax
    assert tr.plots.popularity(model, ax=ax) is ax
    assert tr.plots.item_map(model, ax=ax) is ax
    assert len(pyplot.get_fignums()) == 1


def test_compared_models(model, parts):
    models = {"popular": tr.Popularity().fit(parts[0]), "mf": model}
    compared = tr.compare(models, parts[1], k=5, n_permutations=100)
    ax = tr.plots.comparison(compared, "recall@5")
    assert [each.get_text() for each in ax.get_yticklabels()] == ["popular", "mf"]
    assert ax.lines[0].get_xdata().tolist() == compared.mean["recall@5"].tolist()
    long = tr.compare({"$b$ " + "x" * 300: model, "sub_$_$": model}, parts[1], n_permutations=100)
    figure = tr.plots.comparison(long).figure
    figure.draw_without_rendering()
    labels = figure.axes[0].get_yticklabels()
    assert [each.get_text() for each in labels] == [rf"\$b\$ {'x' * 15}…", r"sub_\$_\$"]
    assert all(each.get_window_extent().x0 >= 0 for each in labels)


def test_the_reference_figure():
    known = {"published": {1: 0.8}, "protocol": "AUC-A", "verdict": "as published"}
    curves = {"auc": [0.7, 0.8], "auc_by_seed": [[0.7, 0.8], [0.71, 0.79]]}
    figure = tr.plots.reference_figure(
        {"seeds": 2, "systems": {"K1": {**known, **curves}, "K6": {}}}
    )
    panel, *others = figure.axes
    assert panel.get_title(loc="left") == "K1" and others == []
    assert panel.lines[0].get_ydata().tolist() == curves["auc"]
    with pytest.raises(ValueError, match="result must hold at least one trained system"):
        tr.plots.reference_figure({"seeds": 1, "systems": {}})


def test_nothing_to_draw(model):
    for draw in (tr.plots.learning_curves, tr.plots.per_user):
        with pytest.raises(ValueError, match="must hold at least one"):
            draw({})


def test_what_is_no_model_or_number(model):
    ease = tr.EASE().fit(model.seen_)
    for draw, given, message in (
        (tr.plots.learning_curves, 3, "model must be a fitted model, got 3"),
        (tr.plots.learning_curves, ease, "models must learn in epochs, got EASE"),
        (tr.plots.popularity, None, "model must be a fitted model, got None"),
        (tr.plots.item_map, [model], "model must be a fitted model, got"),
        (
            tr.plots.comparison,
            model,
            "compared must be what compare returned, got MatrixFactorization",
        ),
        (
            tr.plots.per_user,
            model,
            "evaluations must be what evaluate returned, got MatrixFactorization",
        ),
        (tr.plots.reference_figure, {}, "result must be what reproduce returned, got {}"),
    ):
        with pytest.raises(TypeError, match=message):
            draw(given)
    with pytest.raises(TypeError, match="ax must be None or axes of matplotlib, got 3"):
        tr.plots.popularity(model, ax=3)
    with pytest.raises(TypeError, match="names must be a sequence of values, got 3"):
        tr.plots.item_map(model, names=3)


def test_without_matplotlib(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="plots need matplotlib: pip install matplotlib"):
        tr.plots.learning_curves(model)
