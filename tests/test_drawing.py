"""What pictures share: names as they are written, lines that differ, legends and figures that have room."""

import io
import math

import numpy as np
import pytest

from tripletrec import _drawing as drawing

pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")

NAMES = ["$5 | 10% | $10", "sub_$_$", "$b$_<i>", r"\$ \alpha $x$", "_tmp", "^ { $"]


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    pyplot.close("all")


def texts(figure):
    """Return what stands on a picture."""
    from xml.etree import ElementTree

    file = io.StringIO()
    with pyplot.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    root = ElementTree.fromstring(file.getvalue())
    return [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]


def lines(names, ax=None):
    ax = drawing.as_axes(ax)
    for place, label in enumerate(drawing.labels_of(names)):
        ax.plot([0, 1], [0, place], label=label, **drawing.line_style(place))
    drawing.add_legend(ax)
    return ax


def test_names_stand_in_a_legend_as_they_are():
    found = texts(lines(NAMES).figure)
    assert [name for name in NAMES if name not in found] == ["_tmp"] and " _tmp" in found


def test_a_name_that_is_no_text_can_be_drawn():
    assert texts(lines(["a\udc80", "b"]).figure)[-2:] == ["a?", "b"]


def test_names_are_cut_so_that_they_differ():
    assert drawing.short_names(["a", 3, "x" * 21]) == ["a", "3", "x" * 19 + "…"]
    ends = drawing.short_names(["x" * 30 + "one", "x" * 30 + "two", "b"])
    assert ends == ["x" * 9 + "…" + "x" * 7 + "one", "x" * 9 + "…" + "x" * 7 + "two", "b"]
    alike = drawing.short_names(["x" * 30, "b", "x" * 31])
    assert alike == ["x" * 9 + "…" + "x" * 10 + " #1", "b", "x" * 9 + "…" + "x" * 10 + " #3"]


@pytest.mark.parametrize("name", [None, math.nan, np.datetime64("NaT", "s"), "", " "])
def test_what_has_no_name_is_called_by_its_id(name):
    assert drawing.called(name, 7) == "7"
    assert drawing.called(0, 7) == "0" and drawing.called("$b", 7) == "$b"


def test_lines_differ():
    styles = [drawing.line_style(place) for place in range(36)]
    assert len(set(map(str, styles))) == 36
    assert {each["color"] for each in styles[:6]} == set(drawing.COLORS)
    assert {each["linestyle"] for each in styles[:6]} == {"-"}


@pytest.mark.parametrize("own", [True, False])
def test_a_legend_of_many_fits(own):
    names = [f"{n} {'x' * 30}" for n in range(30)]
    ax = lines(names, None if own else pyplot.subplots()[1])
    if own:
        before = ax.bbox.height
        drawing.make_room(ax)
    figure = ax.figure
    figure.draw_without_rendering()
    (legend,) = figure.legends if own else [ax.get_legend()]
    assert len(legend.get_texts()) == 30
    box = legend.get_window_extent()
    around = figure.bbox if own else ax.bbox
    assert around.x0 <= box.x0 and box.x1 <= around.x1
    assert around.y0 <= box.y0 and box.y1 <= around.y1
    if own:  # below the axes, which are as high as they would be without
        assert box.y1 <= ax.get_tightbbox().y0 and ax.bbox.height > 0.9 * before


def test_a_figure_is_as_high_as_its_rows_need():
    ax = drawing.as_axes(None, drawing.height_of(3))
    ax.set_yticks(range(40))
    drawing.make_room(ax)
    assert ax.figure.get_figheight() == drawing.height_of(40) > drawing.height_of(3)
