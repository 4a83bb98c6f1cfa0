"""Pictures of models and of their numbers, by matplotlib, which is optional; pages of them are in `report`.

Each function draws on axes, given or new, and returns them: ``axes.figure.savefig(path)`` writes them to a
file; `reference_figure` has several panels, and returns a figure of its own. Text and lines take
matplotlib's own colours, so that style sheets, dark ones too, work as usual. Names are written as they
are, but long ones are shortened. A legend of more than eight lines is below new axes, for which the figure
grows, and within axes that are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_count
from tripletrec._drawing import (
    COLORS,
    LABEL_SIZE,
    add_legend,
    as_axes,
    called,
    draw_popularity,
    labels_of,
    line_style,
    literal,
    make_room,
    short_names,
)
from tripletrec._runtime.messages import shown
from tripletrec.data.columns import to_array
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.listed import item_counts, item_ids, taken_and_listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tripletrec.evaluation import Comparison

__all__ = [
    "comparison",
    "item_map",
    "learning_curves",
    "per_user",
    "popularity",
    "reference_figure",
]


def learning_curves(models: Any, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a number of each epoch's record, for one or several fits.

    Parameters
    ----------
    models : fitted model or mapping of str to fitted model
        One line for each; the epoch whose factors were kept is marked.
    metric : str, default None
        Entry of ``history_``, such as "loss" or "validation_auc"; epochs without it are passed over. None:
        what the first model was validated by, else "loss".
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If no epoch has the metric.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
    >>> tr.plots.learning_curves(model).get_ylabel()
    'loss'
    """
    named = _fitted(models)
    histories = {name: _history_of(model) for name, model in named.items()}
    if metric is None:
        of_first = next(iter(histories.values()))
        validated = [key for each in of_first for key in each if key.startswith("validation_")]
        metric = validated[0] if validated else "loss"
    points = {
        name: [(each["epoch"], each[metric]) for each in history if metric in each]
        for name, history in histories.items()
    }
    if not any(points.values()):
        raise ValueError(f"metric must be in history_ of a model, got {shown(metric)}")
    drawn_on = as_axes(ax)
    for place, (name, label) in enumerate(zip(points, labels_of(points), strict=True)):
        _curve(drawn_on, label, points[name], named[name].best_epoch_, line_style(place))
    ylabel = literal(metric.replace("validation_", "validation "))
    drawn_on.set(xlabel="epoch", ylabel=ylabel)
    drawn_on.locator_params(axis="x", integer=True)
    return _with_legend(drawn_on, len(named) > 1, own=ax is None)


def _history_of(model: Any) -> list[Any]:
    if not hasattr(model, "history_"):
        raise TypeError(f"models must learn in epochs, got {shown(model)}")
    return list(model.history_)


def _curve(
    ax: Any, label: str, points: list[tuple[int, float]], kept: int, style: dict[str, Any]
) -> None:
    """Draw a line, and a dot at the epoch that was kept, or where one point makes no line."""
    if not points:
        return
    ax.plot(*zip(*points, strict=True), label=label, linewidth=2, **style)
    dots = [each for each in points if each[0] == kept or len(points) == 1]
    if dots:
        ax.plot(*zip(*dots, strict=True), "o", color=style["color"], label="_kept")


def comparison(compared: Comparison, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw the mean of a metric of each model that was compared, with its interval.

    Parameters
    ----------
    compared : Comparison
        What `tripletrec.compare` returned.
    metric : str, default None
        Such as "ndcg@10"; None: the first of the NDCGs.
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such metric.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> models = {"popular": tr.Popularity().fit(train), "ease": tr.EASE(l2=50.0).fit(train)}
    >>> compared = tr.compare(models, test, n_permutations=100)
    >>> tr.plots.comparison(compared).get_xlabel()
    'ndcg@10, 95 % intervals'
    """
    from tripletrec.evaluation import Comparison

    if not isinstance(compared, Comparison):
        raise TypeError(f"compared must be what compare returned, got {shown(compared)}")
    axes: Axes = compared.plot(metric, ax)
    return axes


def popularity(model: Any, k: int = 10, ax: Axes | None = None) -> Axes:
    """Draw how often each item is recommended against how popular it was in training.

    A model that knows nothing but popularity fills its lists with the items on the right; one that knows
    its users comes nearer to the line, on which items are recommended as often as they were taken.

    Parameters
    ----------
    model : fitted model
        Its training items are left out of the lists of their users.
    k : int, default 10
        Length of the lists.
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the model does not know what it was trained on: its file was saved with ``seen=False``, or it was
        fitted on a cluster with ``collect=False``.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
    >>> tr.plots.popularity(model).get_xlabel()
    'users in training'
    """
    return draw_popularity(*taken_and_listed(model, check_count(k, "k")), k, ax)


def per_user(evaluations: Any, metric: str = "auc", ax: Axes | None = None) -> Axes:
    """Draw how a metric is distributed over users: the share of users with at most so much of it.

    Parameters
    ----------
    evaluations : Evaluation or mapping of str to Evaluation
        What `tripletrec.evaluate` returned; one line for each.
    metric : str, default "auc"
        Column of ``per_user``.
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there is no such metric, or no user has it.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(train)
    >>> tr.plots.per_user(tr.evaluate(model, test)).get_xlabel()
    'auc'
    """
    from tripletrec.evaluation import Evaluation

    named = _named(evaluations, "evaluations")
    for each in named.values():
        if not isinstance(each, Evaluation):
            raise TypeError(f"evaluations must be what evaluate returned, got {shown(each)}")
    drawn_on = as_axes(ax)
    for place, (label, each) in enumerate(zip(labels_of(named), named.values(), strict=True)):
        if not isinstance(metric, str) or metric not in each.per_user:
            known = ", ".join(map(repr, each.per_user))
            raise ValueError(f"metric must be one of {known}, got {shown(metric)}")
        values = np.sort(each.per_user[metric].dropna().to_numpy())
        if not len(values):
            raise ValueError(f"no user has the metric {metric!r}")
        shares = np.arange(1, len(values) + 1) / len(values)
        style, marker = line_style(place), "o" if len(values) == 1 else ""
        drawn_on.step(
            values, shares, where="post", linewidth=2, label=label, marker=marker, **style
        )
        drawn_on.axvline(values.mean(), color=style["color"], linestyle=":", label="_mean")
    drawn_on.set(xlabel=metric, ylabel="share of users with at most so much", ylim=(0, 1.02))
    return _with_legend(drawn_on, len(named) > 1, own=ax is None)


def reference_figure(result: Any) -> Figure:
    """Draw the published AUC of the reference systems against ours, with a panel for each.

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
    >>> tr.plots.reference_figure(result).savefig("curves.svg")  # doctest: +SKIP
    """
    from tripletrec.reference.plots import draw_reference

    return draw_reference(result)


def item_map(model: Any, n_labels: int = 15, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the items on a map: the first two principal directions of their vectors.

    Parameters
    ----------
    model : fitted model
        One with vectors, see ``model.item_vectors``. Items of similar users lie near each other.
    n_labels : int, default 15
        So many of the most popular items have their name beside them.
    names : sequence of str, default None
        Name of each item; None: its id, as where a name is missing or blank.
    ax : matplotlib.axes.Axes, default None
        Axes to draw on; None: those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If the model has no vectors.
    ValueError
        If there are not as many names as items.

    Examples
    --------
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(data)
    >>> len(tr.plots.item_map(model, n_labels=3).texts)
    3
    """
    check_is_fitted(model)
    vectors, counts = model.item_vectors(), item_counts(model)
    if model._has_biases:
        vectors = vectors[:, :-1]
    ids = item_ids(model)
    names = ids if names is None else to_array(names, "names")
    if len(names) != len(vectors):
        raise ValueError(f"names must be of the {len(vectors)} items, got {len(names)}")
    places = _principal_directions(vectors)
    ax = as_axes(ax)
    sizes = 4 + 60 * counts / max(1, counts.max(initial=1))
    ax.scatter(places[:, 0], places[:, 1], s=sizes, color=COLORS[0], alpha=0.8, linewidths=0)
    chosen = np.argsort(-counts, kind="stable")[: check_count(n_labels, "n_labels", 0)]
    _label(ax, places[chosen], short_names(called(names[item], ids[item]) for item in chosen))
    ax.set(xlabel="first principal direction", ylabel="second", xticks=[], yticks=[])
    return ax


def _label(ax: Any, places: NDArray[np.float64], names: list[str]) -> None:
    """Write names beside places, each on that side where it covers the least of those before it."""
    ax.autoscale_view()
    points = ax.transData.transform(places) * 72 / ax.figure.dpi
    window, far = ax.bbox.get_points() * 72 / ax.figure.dpi, 1e6
    # The lower left and the upper right corners, of what is left and right of the axes first.
    taken = np.array([[(-far, -far), (window[0, 0], far)], [(window[1, 0], -far), (far, far)]])
    for place, point, name in zip(places, points, names, strict=True):
        size = np.array([0.6 * len(name), 1.2]) * LABEL_SIZE
        sides = np.array([(x, y) for y in (1, -1) for x in (1, -1)])
        corners = [point + 3 * side + np.minimum(side, 0) * size for side in sides]
        boxes = np.array([(corner, corner + size) for corner in corners])
        shared = np.minimum(boxes[:, None, 1], taken[:, 1]) - np.maximum(
            boxes[:, None, 0], taken[:, 0]
        )
        best = int(np.prod(np.maximum(shared, 0), axis=2).sum(axis=1).argmin())
        x, y = sides[best]
        taken = np.concatenate([taken, boxes[best : best + 1]])
        ax.annotate(
            literal(name), place, xytext=(3 * x, 3 * y), textcoords="offset points", fontsize=LABEL_SIZE,
            ha="left" if x > 0 else "right", va="bottom" if y > 0 else "top",
        )  # fmt: skip


def _principal_directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the places of rows along the two directions in which they differ most."""
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    places: NDArray[np.float64] = centred @ directions[:, : -(1 + min(2, vectors.shape[1])) : -1]
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _named(given: Any, word: str) -> dict[str, Any]:
    named = dict(given) if isinstance(given, Mapping) else {"": given}
    if not named:
        raise ValueError(f"{word} must hold at least one {word.removesuffix('s')}, got none")
    return named


def _fitted(models: Any) -> dict[str, Any]:
    named = _named(models, "models")
    for each in named.values():
        check_is_fitted(each)
    return named


def _with_legend(ax: Any, shown: bool, own: bool) -> Any:
    """Return axes with a legend if they need one, for which a figure of our own has room."""
    if shown:
        add_legend(ax)
    if own:
        make_room(ax)
    return ax
