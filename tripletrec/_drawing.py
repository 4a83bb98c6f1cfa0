"""What pictures share: axes, lines that differ, names as they are, legends that fit; `plots` draws."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_matplotlib
from tripletrec._runtime.messages import shown
from tripletrec.data.columns import is_missing

__all__ = [
    "COLORS",
    "LABEL_SIZE",
    "add_legend",
    "as_axes",
    "called",
    "draw_popularity",
    "height_of",
    "labels_of",
    "line_style",
    "literal",
    "make_room",
    "short_names",
]

# Of Okabe and Ito, "Color Universal Design", 2008: colour-blind readers tell them apart, on white and black.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 4)))
LABEL_SIZE = 8  # points of a name on a map, or in a long legend
# Its handles are long enough for all dashes.
_LONG_LEGEND: dict[str, Any] = {"fontsize": LABEL_SIZE, "handlelength": 4.0}
_ROW = 1.7 * LABEL_SIZE  # points from a line of a long legend to the next
_LONGEST = 20  # letters of a name
_MOST_INSIDE = 8  # entries of a legend that leave room for lines


def as_axes(ax: Any, height: float | None = None) -> Any:
    """Return axes, those of a new figure of so many inches where none are given."""
    if ax is not None:
        if not hasattr(ax, "annotate"):
            raise TypeError(f"ax must be None or axes of matplotlib, got {shown(ax)}")
        return ax
    check_matplotlib()
    from matplotlib import pyplot

    size = None if height is None else (6, height)
    _, ax = pyplot.subplots(figsize=size, layout="constrained")
    ax.spines[["right", "top"]].set_visible(False)
    return ax


def line_style(place: int) -> dict[str, Any]:
    """Return what a line looks like, by its place among others: all colours, then these with other dashes."""
    rounds, color = divmod(place, len(COLORS))
    return {"color": COLORS[color], "linestyle": _DASHES[rounds % len(_DASHES)]}


def called(name: Any, item: Any) -> str:
    """Return what an item is called: by its id where its name is missing or blank."""
    text = "" if is_missing(name) else str(name)
    return text if text.strip() else str(item)


def literal(text: str) -> str:
    """Return what matplotlib writes as `text`: what is between two dollars would be a formula.

    What is no UTF-8, as in names of files, is a question mark.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")


def short_names(names: Iterable[Any]) -> list[str]:
    """Return names without their ends, without their middles where they would be alike, or numbered."""
    whole = [str(each) for each in names]
    for n_last in (0, _LONGEST // 2):
        found = [_short(each, n_last) for each in whole]
        if len(set(found)) == len(set(whole)):
            return found
    often = Counter(found)
    return [f"{each} #{n}" if often[each] > 1 else each for n, each in enumerate(found, 1)]


def _short(name: str, n_last: int) -> str:
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 1 - n_last]}…{name[len(name) - n_last :]}"


def labels_of(names: Iterable[Any]) -> list[str]:
    """Return labels of lines; matplotlib has none in a legend that begins with an underscore."""
    return [literal(f" {each}" if each[:1] == "_" else each) for each in short_names(names)]


def add_legend(ax: Any) -> None:
    """Add a legend; one of many entries is small, and has as many columns as it needs."""
    n = len(ax.get_legend_handles_labels()[1])
    if n <= _MOST_INSIDE:
        ax.legend(frameon=False)
        return
    height = ax.bbox.height * 72 / ax.figure.dpi
    n_rows = max(1, int(height / _ROW) - 1)
    ax.legend(ncols=math.ceil(n / n_rows), **_LONG_LEGEND)


def make_room(ax: Any) -> None:
    """Let the figure grow, which holds nothing but these axes, until what is written on it fits."""
    figure, legend = ax.figure, ax.get_legend()
    height = max(figure.get_figheight(), height_of(len(ax.get_yticks())))
    if legend is not None and len(legend.get_texts()) > _MOST_INSIDE:
        names = [each.get_text() for each in legend.get_texts()]
        legend.remove()
        column = (0.6 * max(map(len, names)) + 7) * LABEL_SIZE
        n_columns = max(1, int(figure.get_figwidth() * 72 / column))
        figure.legend(loc="outside lower center", ncols=n_columns, frameon=False, **_LONG_LEGEND)
        height += math.ceil(len(names) / n_columns) * _ROW / 72
    figure.set_figheight(height)


def height_of(n_rows: int) -> float:
    """Return how many inches a picture with so many rows of text is high."""
    return 0.8 + 0.3 * n_rows


def draw_popularity(
    taken: NDArray[np.int64], listed: NDArray[np.int64], k: int, ax: Any = None
) -> Any:
    """Draw how often items are recommended against how often they were taken.

    Parameters
    ----------
    taken, listed : int64 arrays of shape (n_items,)
        From `taken_and_listed`.
    k : int
        Length of the lists.
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> import numpy as np
    >>> draw_popularity(np.array([3, 1]), np.array([2, 0]), k=1).get_title(loc="left")
    '1 of 2 items are in no list'
    """
    ax = as_axes(ax)
    never = listed == 0
    ax.plot(taken[~never], listed[~never], ".", color=COLORS[0], alpha=0.7, markeredgewidth=0)
    ax.set_xscale("symlog", linthresh=1)
    ax.set_yscale("symlog", linthresh=1)
    ax.plot(taken[never], listed[never], ".", color=COLORS[1], alpha=0.7, markeredgewidth=0)
    # Of equal shares of all that is recommended and of all that was taken.
    share = listed.sum() / max(1, taken.sum())
    ends = np.array([1, max(2, int(taken.max(initial=1)))])
    ax.plot(ends, ends * share, "--", color=COLORS[2], linewidth=1, label="equal shares")
    ax.set(xlabel="users in training", ylabel=f"lists of {k} that hold the item")
    ax.set_title(f"{int(never.sum()):,} of {len(never):,} items are in no list", loc="left")
    ax.set_xlim(left=-0.2)
    ax.set_ylim(bottom=-0.2)
    add_legend(ax)
    return ax
