"""Figures of the reference systems, drawn with matplotlib, which is optional."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tripletrec._checks import check_matplotlib
from tripletrec._runtime.files import replacing
from tripletrec._runtime.messages import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_plot", "draw_reference", "plot_reference"]

_OURS, _PUBLISHED, _INK, _GRID, _FAINT = "#2a6fbb", "#d1602b", "#333333", "#e6e6e6", "#6a6a6a"

_STYLE = {
    "axes.edgecolor": "#9a9a9a",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.size": 9.5,
    "grid.color": _GRID,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise before the training what `plot_reference` would raise after it.

    Parameters
    ----------
    path : path
        File to be written.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the ending of `path` is none of matplotlib's formats.

    Examples
    --------
    >>> check_plot("curves.svg")
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    known = sorted(Figure().canvas.get_supported_filetypes())
    ending = Path(path).suffix.removeprefix(".").lower()
    if ending not in known:
        raise ValueError(f"path must end in one of {', '.join(known)}, got {str(path)!r}")


def plot_reference(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw published AUC against ours, one panel per system.

    Parameters
    ----------
    result : dict
        What `tripletrec.reference.reproduce` returned.
    path : path
        File to write; its ending decides the format (png, svg, pdf). An old file is replaced, and
        only once the new one is whole.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `result` holds no trained system, or the ending of `path` is no format.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> result = tr.reference.reproduce(data, seeds=1, systems=["K1"])  # doctest: +SKIP
    >>> plot_reference(result, "curves.svg")  # doctest: +SKIP
    """
    check_plot(path)
    figure = draw_reference(result)
    from matplotlib import pyplot

    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=160)
    finally:
        pyplot.close(figure)


def draw_reference(result: dict[str, Any]) -> Figure:
    """Return the figure that `plot_reference` writes.

    Parameters
    ----------
    result : dict
        What `tripletrec.reference.reproduce` returned.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If `result` holds no trained system.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.fetch_movielens_100k()  # doctest: +SKIP
    >>> result = tr.reference.reproduce(data, seeds=1, systems=["K1"])  # doctest: +SKIP
    >>> draw_reference(result).axes[0].get_xlabel()  # doctest: +SKIP
    'epoch'
    """
    check_matplotlib()
    from matplotlib import pyplot

    if not isinstance(result, Mapping) or "systems" not in result:
        raise TypeError(f"result must be what reproduce returned, got {shown(result)}")
    trained = {key: each for key, each in result["systems"].items() if "auc" in each}
    if not trained:
        raise ValueError("result must hold at least one trained system")
    n_columns = len(trained) if len(trained) <= 3 else math.ceil(len(trained) / 2)
    n_columns = min(4, n_columns)
    n_rows = math.ceil(len(trained) / n_columns)
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(
            n_rows,
            n_columns,
            figsize=(max(5.5, 3.3 * n_columns), 3.0 * n_rows + 0.5),
            squeeze=False,
            layout="constrained",
        )
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        for axis, (key, system) in zip(axes.flat, trained.items(), strict=False):
            _panel(axis, key, system)
        for axis in axes.flat[len(trained) :]:
            axis.set_visible(False)
        _legend(figure, axes.flat[0], result["seeds"])
    return figure


def _panel(axis: Any, key: str, system: dict[str, Any]) -> None:
    epochs = range(1, len(system["auc"]) + 1)
    low, high = (
        [edge(aucs) for aucs in zip(*system["auc_by_seed"], strict=True)] for edge in (min, max)
    )
    axis.fill_between(epochs, low, high, color=_OURS, alpha=0.2, linewidth=0, label="_")
    marker = "o" if len(epochs) == 1 else ""  # for a single point is no line
    axis.plot(epochs, system["auc"], color=_OURS, linewidth=2, marker=marker, label="ours")
    published = {int(epoch): auc for epoch, auc in system["published"].items()}
    axis.plot(
        list(published),
        list(published.values()),
        color=_PUBLISHED,
        linestyle="none",
        marker="o",
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label="published",
    )
    axis.set_title(key, pad=18)
    axis.text(0.0, 1.03, _caption(system), transform=axis.transAxes, fontsize=8.5, color=_FAINT)
    axis.set_xlabel("epoch")
    axis.set_ylabel(system["protocol"])
    axis.set_xlim(0.5, len(epochs) + 0.5)
    axis.locator_params(axis="x", integer=True, nbins=6)
    axis.locator_params(axis="y", nbins=6, steps=[1, 2, 5, 10])
    axis.margins(y=0.12)


def _caption(system: dict[str, Any]) -> str:
    if "verdict_epoch" not in system:
        return str(system["verdict"])
    ours = system["auc"][system["verdict_epoch"] - 1]
    return f"{system['verdict']}: {ours:.4f}, published {ours - system['difference']:.4f}"


def _legend(figure: Any, axis: Any, seeds: int) -> None:
    from matplotlib.patches import Patch

    handles = list(axis.get_legend_handles_labels()[0])
    labels = ["ours, one seed" if seeds == 1 else f"ours, mean of {seeds} seeds", "published"]
    if seeds > 1:
        handles.append(Patch(color=_OURS, alpha=0.2, linewidth=0))
        labels.append("range over seeds")
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
