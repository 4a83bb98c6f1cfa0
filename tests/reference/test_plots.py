"""Figures of the reference systems: what is drawn, and what is refused."""

import sys

import numpy as np
import pytest

from tiers import quick
from tripletrec.reference import SYSTEMS, report
from tripletrec.reference.plots import check_plot, draw_reference, plot_reference
from tripletrec.reference.replica import Run


def result_of(*keys):
    """What `reproduce` returns, without a training."""
    systems = {}
    for key in keys:
        n_epochs = SYSTEMS[key].n_epochs
        curves = [[0.5 + 0.01 * (seed + epoch) for epoch in range(n_epochs)] for seed in range(2)]
        runs = [Run(auc=curve, loss=[0.5] * n_epochs, seconds=[0.1] * n_epochs) for curve in curves]
        systems[key] = report._summary(SYSTEMS[key], runs)
    return {"seeds": 2, "systems": systems}


@pytest.mark.parametrize(
    "keys", quick([["K1"], ["K1", "K2", "K4"], ["K1", "K2", "K3", "K4", "K5"]], ["K1", "K2", "K4"])
)
def test_one_panel_for_each_system(keys, tmp_path):
    pytest.importorskip("matplotlib")
    plot_reference(result_of(*keys), tmp_path / "curves.svg")
    drawn = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    for key in keys:
        assert f"<!-- {key} -->" in drawn
    assert "<!-- ours, mean of 2 seeds -->" in drawn and "<!-- published -->" in drawn


def test_what_a_panel_shows():
    pytest.importorskip("matplotlib")
    result = result_of("K1", "K6", "K4", "K2")
    result["systems"]["K6"] = {"title": "not trained"}
    figure = draw_reference(result)
    k1 = figure.axes[0]
    shown = [axis.get_title("left") for axis in figure.axes if axis.get_visible()]
    assert shown == ["K1", "K4", "K2"]
    system = result["systems"]["K1"]
    ours, published = k1.lines
    assert list(ours.get_xdata()) == list(range(1, 21)) and k1.get_xlim() == (0.5, 20.5)
    np.testing.assert_allclose(ours.get_ydata(), system["auc"])
    assert dict(zip(*published.get_data(), strict=True)) == SYSTEMS["K1"].published
    (spread,) = k1.collections
    heights = spread.get_paths()[0].vertices
    assert {tuple(each) for each in heights.round(9)} >= {(1.0, 0.5), (1.0, 0.51), (20.0, 0.7)}
    (caption,) = (text.get_text() for text in k1.texts)
    assert caption == "below: 0.6950, published 0.9154"


def test_a_single_epoch_is_a_dot():
    pytest.importorskip("matplotlib")
    result = result_of("K1")
    system = result["systems"]["K1"]
    system |= {
        "auc": system["auc"][:1],
        "auc_by_seed": [each[:1] for each in system["auc_by_seed"]],
    }
    system.pop("verdict_epoch", None)
    lines = [line for line in draw_reference(result).axes[0].lines if line.get_label() == "ours"]
    assert [line.get_marker() for line in lines] == ["o"]


def test_what_cannot_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="result must hold at least one trained system"):
        plot_reference({"seeds": 1, "systems": {}}, tmp_path / "x.png")
    for path in ("x.docx", "x"):
        with pytest.raises(ValueError, match=f"path must end in one of .*png.*, got .*{path}"):
            plot_reference(result_of("K1"), tmp_path / path)
    assert list(tmp_path.iterdir()) == []
    check_plot(tmp_path / "x.PNG")


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="plots need matplotlib: pip install matplotlib"):
        check_plot("curves.svg")
