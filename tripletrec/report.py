"""One page on models and their numbers, of HTML without network and script; the pictures are in `plots`.

The page is made of what the models and `compare` say; its pictures are SVG in the colours of the page, light
or dark.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tripletrec import plots
from tripletrec._checks import Seed, check_count, check_matplotlib, check_random_state, check_utf8
from tripletrec._drawing import called, draw_popularity, make_room
from tripletrec._runtime.files import displayed, with_sentence, writing
from tripletrec._runtime.messages import shown
from tripletrec.data.describing import times_as_texts
from tripletrec.data.id_arrays import plain
from tripletrec.data.interactions import Interactions, as_interactions
from tripletrec.evaluation import compare
from tripletrec.models.estimator import check_is_fitted
from tripletrec.models.listed import item_ids, popularity_of, taken_and_listed
from tripletrec.models.vectors import BiasedFactors
from tripletrec.ranking.exclusion import known_seen, names_seen

if TYPE_CHECKING:
    from tripletrec.evaluation import Comparison

__all__ = ["write_report"]

# Of each model how many users took each item, and in how many lists it is.
_Counts: TypeAlias = Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
_INK = "#010203"  # in the pictures; becomes the colour of the page's text
_MOST_SHAPES = 1000  # of one kind in a picture; more become pixels
_BASELINE = "popularity"  # what it is called
_MOST_NEVER = 20  # items that are named among those that nobody gets

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #d8d8d8; --faint: #666; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --line: #3a3d42; --faint: #9aa0a6; }
}
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); margin: 0 auto; max-width: 68rem; padding: 1.5rem;
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; } p { margin: .4rem 0; }
.faint { color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line);
         white-space: nowrap; vertical-align: top; }
tbody + tbody { border-top: 2px solid var(--faint); }
td.number, th.number { text-align: right; }
.pictures { display: grid; gap: 1rem; }
@media (min-width: 56rem) { .pictures { grid-template-columns: 1fr 1fr; } }
figure { margin: 0; } figcaption { font-size: .9rem; color: var(--faint); }
svg { width: 100%; height: auto; }
.users { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0 2rem; }
.users ol { margin: .2rem 0 .8rem; padding-left: 2rem; overflow-wrap: anywhere; }
.hit { font-weight: 700; }
"""


def write_report(
    path: str | PathLike[str],
    models: Any,
    test: Any,
    exclude: Any = "seen",
    *,
    k: int = 10,
    n_users: int = 10,
    item_names: Mapping[Any, str] | None = None,
    title: str = "Recommendations",
    random_state: Seed = 0,
) -> None:
    """Write a page about one or several models: data, parameters, numbers, pictures, lists of some users.

    Popularity, counted on all that the models were trained on, stands first in all comparisons.

    Parameters
    ----------
    path : path-like
        File of HTML to write; an old one is replaced once the new one is whole.
    models : fitted model or mapping of str to fitted model
        All of the same users and items; none is named "popularity".
    test : Interactions, sparse matrix or array of shape (n_users, n_items)
        What the models are measured by, see `tripletrec.evaluate`.
    exclude : "seen", None, interactions, item ids or ("seen", one of the last two), default "seen"
        What is left out of rankings and lists, see `tripletrec.evaluate`.
    k : int, default 10
        Length of the lists.
    n_users : int, default 10
        How many users are shown with their history and their lists, chosen at random among those in `test`.
    item_names : mapping of item id to str, default None
        What items are called on the page; those without a name (None, NaN, empty, not in it): by their id.
    title : str, default "Recommendations"
    random_state : int, RandomState, Generator or None, default 0
        Source of the choice of users and of what `tripletrec.compare` draws.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError, TypeError
        If an argument is not allowed, or a model does not know what it was trained on.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import tripletrec as tr
    >>> data = tr.datasets.make_interactions(200, 100, 3000, random_state=0)
    >>> train, test = tr.splits.train_test_split(data, random_state=0)
    >>> model = tr.MatrixFactorization(n_epochs=5).fit(train)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = pathlib.Path(folder, "report.html")
    ...     tr.write_report(page, {"mf": model}, test)
    ...     "ndcg@10" in page.read_text(encoding="utf-8")
    True
    """
    named = _named(models)
    k, n_users = check_count(k, "k"), check_count(n_users, "n_users", 0)
    naming = _Naming(item_names)
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {shown(title)}")
    check_matplotlib()
    try:
        with writing(path) as file:  # opened first: what cannot be written is told before the work
            page = _page(named, test, exclude, k, n_users, naming, title, random_state)
            file.write(page.encode("utf-8", "replace"))
    except OSError as error:
        raise with_sentence(error, f"cannot write a report to {displayed(path)}") from error


def _named(models: Any) -> dict[str, Any]:
    named = dict(models) if isinstance(models, Mapping) else {type(models).__name__: models}
    if not named:
        raise ValueError("models must hold at least one model, got none")
    for name, each in named.items():
        if not isinstance(name, str):
            raise TypeError(f"models must have names that are strings, got {shown(name)}")
        check_utf8(name, "names of models")
        if name == _BASELINE:
            raise ValueError(
                f"models must not be named {name!r}, the name of what they stand beside: give another name"
            )
        check_is_fitted(each)
        known_seen(each, name)
    return named


def _page(
    named: dict[str, Any],
    test: Any,
    exclude: Any,
    k: int,
    n_users: int,
    naming: _Naming,
    title: str,
    random_state: Seed,
) -> str:
    first = next(iter(named.values()))
    seen, test = first.seen_, as_interactions(test, "test", first._space())
    every = {_BASELINE: popularity_of(list(named.values())), **named}
    comparison = compare(every, test, exclude, k=k, random_state=random_state)
    users = _some_users(test, n_users, random_state)
    counts = {name: taken_and_listed(each, k, exclude) for name, each in every.items()}
    sections = [
        _numbers(comparison, exclude, k),
        _pictures(every, comparison, counts, k, naming),
        _data(seen, test),
        *(_card(name, each) for name, each in named.items()),
        _lists_of(users, named, seen, test, exclude, k, naming),
        _never(named, counts, k, naming),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{''.join(sections)}</body></html>\n"
    )


class _Naming:
    """What items are called."""

    def __init__(self, names: Mapping[Any, str] | None) -> None:
        if names is not None and not hasattr(names, "get"):
            raise TypeError(
                f"item_names must be a mapping of item ids to names, got {shown(names)}"
            )
        self._names = {} if names is None else names

    def __call__(self, item: Any) -> str:
        item = plain(item)
        return called(self._names.get(item), item)


def _numbers(comparison: Comparison, exclude: Any, k: int) -> str:
    """Return the means with their intervals, the differences to popularity, and what the lists are like."""
    interval = f"{100 * comparison.level:g} % interval"
    header = ["model", "metric", "mean", interval, "beside popularity", interval, "p"]
    rows = []
    for (metric, name), row in comparison.table.iterrows():
        cells = [name, metric, f"{row['mean']:.4f}", _between(row["low"], row["high"])]
        if not np.isnan(row["difference"]):
            low, high = row["difference_low"], row["difference_high"]
            cells += [f"{row['difference']:+.4f}", _between(low, high), f"{row['p_corrected']:.2g}"]
        rows.append(cells + [""] * (len(header) - len(cells)))
    lists = [
        (name, *(f"{value:.3f}" for value in each.lists.loc[k]))
        for name, each in comparison.results.items()
    ]
    names = [
        each.replace("_", " ") for each in next(iter(comparison.results.values())).lists.columns
    ]
    return (
        "<h2>Numbers</h2>"
        f'<p class="faint">Means over users of the test part; {_left_out(exclude)}. '
        "Intervals are of a bootstrap over users, p-values of paired differences, corrected for the number "
        f"of models.</p>{_table(header, rows, n_texts=2, n_together=len(lists))}"
        f"<h3>The lists of {k} items together</h3>"
        f"{_table(['model', *names], lists)}"
    )


def _left_out(exclude: Any) -> str:
    seen = "what users had in training"
    if names_seen(exclude):
        return f"{seen} is left out{', and more' if isinstance(exclude, tuple) else ''}"
    return f"{seen} is not left out" if exclude is None else f"other than {seen} is left out"


def _between(low: float, high: float) -> str:
    return f"{low:.4f} … {high:.4f}"


def _pictures(
    every: Mapping[str, Any], comparison: Comparison, counts: _Counts, k: int, naming: _Naming
) -> str:
    figures: list[tuple[str, Callable[..., Any]]] = [
        ("Means and their intervals", comparison.plot),
        ("How users fare", partial(plots.per_user, comparison.results, f"ndcg@{k}")),
    ]
    trained = {name: each for name, each in every.items() if len(getattr(each, "history_", ())) > 1}
    if trained:
        figures.append(("Training", partial(plots.learning_curves, trained)))
    for name, of_items in counts.items():
        draw = partial(draw_popularity, *of_items, k)
        figures.append((f"Popularity and lists, {name}", draw))
    for name, each in every.items():
        if isinstance(each, BiasedFactors):
            called = [naming(item) for item in item_ids(each)]
            figures.append(
                (f"Map of the items, {name}", partial(plots.item_map, each, names=called))
            )
    drawn = [
        f"<figure><figcaption>{escape(caption)}</figcaption>{_svg(draw, number)}</figure>"
        for number, (caption, draw) in enumerate(figures)
    ]
    return f'<h2>Pictures</h2><div class="pictures">{"".join(drawn)}</div>'


def _svg(draw: Callable[..., Any], number: int) -> str:
    """Return a picture as SVG whose text has the colour of the page's."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colors = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": str(number), "font.size": 10, **colors}
    ):
        figure = Figure(figsize=(6, 4.2), layout="constrained")
        ax = figure.add_subplot()
        ax.spines[["right", "top"]].set_visible(False)
        draw(ax=ax)
        make_room(ax)
        # A shape for each of many items would make a page of many megabytes.
        for many in ax.collections:
            many.set_rasterized(np.size(many.get_offsets()) > 2 * _MOST_SHAPES)
        for line in ax.lines:
            line.set_rasterized(
                line.get_marker() == "." and np.size(line.get_xdata()) > _MOST_SHAPES
            )
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, dpi=150, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    # Several pictures in one page: each id once.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>p{number}-", svg)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)


def _data(seen: Interactions, test: Interactions) -> str:
    parts = {"training": times_as_texts(seen.describe()), "test": times_as_texts(test.describe())}
    names = list(parts["training"])
    rows = [
        (name.replace("_", " "), *(_cell(each.get(name)) for each in parts.values()))
        for name in names
        if any(each.get(name) is not None for each in parts.values())
    ]
    return f"<h2>Data</h2>{_table(['', *parts], rows)}"


def _card(name: str, model: Any) -> str:
    """Return what a model is: its parameters, and what was learnt."""
    defaults = type(model)().get_params()
    rows = [
        (key, _cell(value), "" if _cell(value) == _cell(defaults[key]) else _cell(defaults[key]))
        for key, value in model.get_params().items()
    ]
    history = getattr(model, "history_", None)
    learnt = f"{model.n_users_:,} users, {model.n_items_:,} items"
    if history:
        seconds = sum(each.get("seconds", 0.0) for each in history)
        learnt += (
            f", {len(history)} epochs in {seconds:.1f} s, the factors of epoch {model.best_epoch_}"
        )
    return (
        f"<h2>{escape(name)}: {type(model).__name__}</h2><p>{escape(learnt)}</p>"
        f"<details><summary>Parameters</summary>"
        f"{_table(['parameter', 'value', 'default, where it is another'], rows, n_texts=3)}</details>"
    )


def _some_users(test: Interactions, n: int, random_state: Seed) -> list[int]:
    users = np.flatnonzero(np.diff(test.indptr))
    rng = np.random.default_rng(check_random_state(random_state))
    return sorted(rng.choice(users, min(n, len(users)), replace=False).tolist())


def _lists_of(
    users: list[int],
    named: Mapping[str, Any],
    seen: Interactions,
    test: Interactions,
    exclude: Any,
    k: int,
    naming: _Naming,
) -> str:
    """Return some users with what they had, what they took later and what they are recommended."""
    blocks = []
    for row in users:
        user = row if test.user_ids is None else test.user_ids[row]
        held_out = _items_of(test, row)
        history = _items_of(seen, row)[:k]
        columns: list[tuple[str, list[Any], list[Any]]] = [("had", history, [])]
        for name, model in named.items():
            ids, scores = model.recommend(user, k=k, exclude=exclude)
            columns.append((name, list(ids[np.isfinite(scores)]), held_out))
        lists = "".join(
            f"<div><h3>{escape(head)}</h3><ol>{_entries(items, hits, naming)}</ol></div>"
            for head, items, hits in columns
        )
        blocks.append(f'<h3>User {escape(str(user))}</h3><div class="users">{lists}</div>')
    return (
        f"<h2>{len(users)} users</h2>"
        f'<p class="faint">At most {k} items that each one had in training, the latest first if there are '
        "times, and the lists; items that the user took in the test part are bold.</p>"
        f"{''.join(blocks)}"
    )


def _entries(items: Iterable[Any], hits: Iterable[Any], naming: _Naming) -> str:
    found = set(hits)
    return "".join(
        f"<li{' class=hit' if item in found else ''}>{escape(naming(item))}</li>" for item in items
    )


def _items_of(data: Interactions, row: int) -> list[Any]:
    """Return the items of a user, the latest first if there are times."""
    own = slice(data.indptr[row], data.indptr[row + 1])
    items = data.indices[own]
    if data.timestamps is not None:
        items = items[np.argsort(data.timestamps[own], kind="stable")[::-1]]
    return list(items if data.item_ids is None else data.item_ids[items])


def _never(named: Mapping[str, Any], counts: _Counts, k: int, naming: _Naming) -> str:
    """Return the items that are in nobody's list, the most popular of them by name."""
    sections = []
    for name, model in named.items():
        taken, listed = counts[name]
        never = np.flatnonzero(listed == 0)
        first = never[np.argsort(-taken[never], kind="stable")][:_MOST_NEVER]
        ids = item_ids(model)
        rows = [(naming(ids[item]), f"{taken[item]:,}") for item in first]
        sections.append(
            f"<h3>{escape(name)}: {len(never):,} of {len(listed):,} items</h3>"
            + (_table(["item", "users in training"], rows) if rows else "")
        )
    return (
        f"<h2>Items that nobody gets</h2>"
        f'<p class="faint">In no list of {k} of a user of the training data; {_MOST_NEVER} at most are '
        f"named, the most popular first.</p>{''.join(sections)}"
    )


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _table(
    header: Iterable[Any],
    rows: Sequence[Iterable[Any]],
    n_texts: int = 1,
    n_together: int | None = None,
) -> str:
    """Return a table; all but the first columns hold numbers, and so many rows belong together."""

    def cells(row: Iterable[Any], tag: str) -> str:
        return "".join(
            f"<{tag}{'' if place < n_texts else ' class=number'}>{escape(str(cell))}</{tag}>"
            for place, cell in enumerate(row)
        )

    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    step = n_together or max(1, len(lines))
    bodies = ["".join(lines[at : at + step]) for at in range(0, len(lines), step)]
    head = f"<thead><tr>{cells(header, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{"</tbody><tbody>".join(bodies)}</tbody></table></div>'
