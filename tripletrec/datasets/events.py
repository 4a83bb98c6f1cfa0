"""A synthetic shop: tables of events, users and items, tastes that drift; matrices are in `synthetic`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import Seed, check_count, check_random_state, check_share

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Events", "make_events"]

_N_FACTORS = 8
_SIGNAL = 4.0
_TASTE_ROUNDS = 50
_OLD = 0.7  # share of the users and items that are there on the first day
_MISSING = 0.05  # share of the attributes that nobody filled in
_DAY = 86_400_000_000  # microseconds
_KINDS = ("view", "cart", "buy")
_COUNTRIES = ("DE", "FR", "IT", "ES", "PL", "NL", "SE", "AT")
_DEVICES = ("phone", "desktop", "tablet")

Factors = NDArray[np.float32]


class Events(NamedTuple):
    """What `make_events` returns.

    Attributes
    ----------
    events : pandas.DataFrame
        Columns ``user_id``, ``item_id``, ``event`` ("view", "cart" or "buy"), ``price`` and ``time`` (dates
        in UTC), one row per event, ascending in time.
    users : pandas.DataFrame
        Columns ``user_id``, ``country``, ``age``, ``device``, ``joined``; one row per user.
    items : pandas.DataFrame
        Columns ``item_id``, ``category``, ``brand``, ``price``, ``launched``; one row per item.
    """

    events: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


def make_events(
    n_users: int = 1000,
    n_items: int = 500,
    n_events: int = 20_000,
    *,
    n_days: int = 60,
    start: Any = "2024-01-01",
    drift: float = 0.3,
    random_state: Seed = None,
) -> Events:
    r"""Draw the events of a shop over some days, with attributes of its users and items.

    On day :math:`d` of :math:`D` an active user looks at item :math:`i` with probability proportional to

    .. math:: w_{i, d} \; \sigma(4 \, P_u(d) \cdot Q_i - 4), \qquad
        P_u(d) = \cos(\phi) P_u + \sin(\phi) P'_u, \quad \phi = \frac{\pi}{2} \, \mathrm{drift} \, d / D

    where :math:`P, P'` and :math:`Q` are planted factors, and the popularity :math:`w` of an item follows a
    power law and halves every 30 days from its launch, down to a quarter. 70 % of the users and items are
    there on the first day, the others come one after the other. Attributes tell something of the planted
    factors (country, age, category, brand, price), apart from `device`, which tells nothing; one in twenty
    is missing.

    Parameters
    ----------
    n_users, n_items : int, default 1000 and 500
        Rows of the tables of users and items. Not all need have an event.
    n_events : int, default 20000
        Number of events, exactly. A pair of user and item may have several.
    n_days : int, default 60
        Length of the time span.
    start : date-like, default "2024-01-01"
        The first day, anything that ``numpy.datetime64`` takes.
    drift : float, default 0.3
        How far tastes move, from 0 (not at all) to 1 (at the end nothing is left of the taste at the start).
    random_state : int, Generator, RandomState or None, default None
        The same integer always gives the same tables (on one kind of machine).

    Returns
    -------
    Events
        Three tables. Ids look like UUIDs.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range.

    Examples
    --------
    >>> from tripletrec.datasets import make_events
    >>> shop = make_events(50, 30, 400, random_state=0)
    >>> [len(table) for table in shop]
    [400, 50, 30]
    """
    n_users, n_items = check_count(n_users, "n_users"), check_count(n_items, "n_items")
    n_events, n_days = check_count(n_events, "n_events"), check_count(n_days, "n_days")
    check_share(drift, "drift", closed=True)
    seeds = np.random.SeedSequence(check_random_state(random_state)).spawn(n_days + 1)
    shop = _open_shop(n_users, n_items, n_days, drift, np.random.default_rng(seeds[0]))
    bounds = np.linspace(0, n_events, n_days + 1).astype(np.int64)
    days = [
        _draw_day(
            shop, day, int(bounds[day + 1] - bounds[day]), np.random.default_rng(seeds[1 + day])
        )
        for day in range(n_days)
    ]
    return _tables(shop, days, _first_day(start))


class _Shop(NamedTuple):
    """What decides who does what, and when."""

    # At the start and at the end of a whole drift, (n_users, n_factors).
    tastes: tuple[Factors, Factors]
    items: Factors  # (n_items, n_factors)
    activity: NDArray[np.float64]
    popularity: NDArray[np.float64]
    joined: NDArray[np.int64]  # day
    launched: NDArray[np.int64]
    prices: NDArray[np.float64]
    n_days: int
    drift: float
    rng: np.random.Generator


class _Day(NamedTuple):
    """The events of a day, ascending in time."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    kinds: NDArray[np.int64]
    times: NDArray[np.int64]  # microseconds of the day


def _open_shop(
    n_users: int, n_items: int, n_days: int, drift: float, rng: np.random.Generator
) -> _Shop:
    scale = np.float32(_N_FACTORS**-0.25)

    def factors(n: int) -> Factors:
        return rng.standard_normal((n, _N_FACTORS), np.float32) * scale

    def first_days(n: int) -> NDArray[np.int64]:
        late = np.ceil(rng.random(n) * (n_days - 1)).astype(np.int64)
        days: NDArray[np.int64] = np.where(rng.random(n) < _OLD, 0, late)
        days[rng.integers(n)] = 0  # on no day may the shop be empty
        return days

    def power_law(n: int, exponent: float) -> NDArray[np.float64]:
        return rng.permutation(np.arange(1.0, n + 1) ** -exponent)

    items = factors(n_items)
    logarithms = 3.0 + items[:, 0] + 0.3 * rng.standard_normal(n_items)
    prices: NDArray[np.float64] = np.round(np.exp(logarithms), 2).astype(np.float64)
    return _Shop(
        (factors(n_users), factors(n_users)), items, power_law(n_users, 0.5),
        power_law(n_items, 0.8), first_days(n_users), first_days(n_items), prices, n_days, drift, rng,
    )  # fmt: skip


def _draw_day(shop: _Shop, day: int, n: int, rng: np.random.Generator) -> _Day:
    angle = np.pi / 2 * shop.drift * day / shop.n_days
    turn = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    age = day - shop.launched
    fading = np.maximum(0.25, 0.5 ** (age / 30.0))
    items_today = np.cumsum(np.where(age >= 0, shop.popularity * fading, 0.0))
    users_today = np.cumsum(np.where(shop.joined <= day, shop.activity, 0.0))
    users = _draw(users_today, n, rng)
    items, scores = np.empty(n, np.int64), np.empty(n, np.float32)
    open_events, n_rounds = np.arange(n), 0
    while len(open_events):  # about one in five finds an item that is liked in each round
        who, what = users[open_events], _draw(items_today, len(open_events), rng)
        taste = turn[0] * shop.tastes[0][who] + turn[1] * shop.tastes[1][who]
        score = np.einsum("nf,nf->n", taste, shop.items[what])
        liked = rng.random(len(who)) * (1.0 + np.exp(_SIGNAL * (1.0 - score))) < 1.0
        n_rounds += 1
        liked |= n_rounds > _TASTE_ROUNDS  # where there is little to like
        done = open_events[liked]
        items[done], scores[done] = what[liked], score[liked]
        open_events = open_events[~liked]
    # The more it is liked, the likelier an item gets into the cart, and is bought.
    appeal = 1.0 / (1.0 + np.exp(1.5 - scores))
    kinds = (rng.random(n) < 0.5 * appeal).astype(np.int64)
    kinds += kinds * (rng.random(n) < appeal)
    return _Day(users, items, kinds, np.sort(rng.integers(0, _DAY, n)))


def _draw(cumulative: NDArray[np.float64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw `n` positions with probabilities whose running sums are given."""
    drawn = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
    return np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1]))


def _tables(shop: _Shop, days: list[_Day], start: np.datetime64) -> Events:
    import pandas as pd

    rng = shop.rng
    user_ids, item_ids = _uuids(len(shop.activity), rng), _uuids(len(shop.prices), rng)
    users, items, kinds = (
        np.concatenate([getattr(day, name) for day in days]) for name in ("users", "items", "kinds")
    )
    times = [
        start + np.timedelta64(number, "D") + day.times.astype("m8[us]")
        for number, day in enumerate(days)
    ]
    events = pd.DataFrame({
        "user_id": user_ids[users],
        "item_id": item_ids[items],
        "event": np.array(_KINDS, object)[kinds],
        "price": shop.prices[items],
        "time": _in_utc(np.concatenate(times)),
    })  # fmt: skip
    tastes = shop.tastes[0]
    age = 40 + 12 * tastes[:, 1] + rng.normal(0, 5, len(tastes))
    user_table = pd.DataFrame({
        "user_id": user_ids,
        "country": _named(_COUNTRIES, tastes[:, : len(_COUNTRIES)].argmax(axis=1), rng),
        "age": _with_gaps(np.clip(age, 16, 99).round(), rng),
        "device": _named(_DEVICES, rng.integers(len(_DEVICES), size=len(tastes)), rng),
        "joined": _in_utc(start + shop.joined.astype("m8[D]")),
    })  # fmt: skip
    category = np.abs(shop.items).argmax(axis=1) * 2 + (shop.items.sum(axis=1) > 0)
    brand = category * 3 + rng.integers(3, size=len(category))
    item_table = pd.DataFrame({
        "item_id": item_ids,
        "category": _named([f"category {n:02}" for n in range(2 * _N_FACTORS)], category, rng),
        "brand": _named([f"brand {n:02}" for n in range(6 * _N_FACTORS)], brand, rng),
        "price": _with_gaps(shop.prices, rng),
        "launched": _in_utc(start + shop.launched.astype("m8[D]")),
    })  # fmt: skip
    return Events(events, user_table, item_table)


def _first_day(start: Any) -> np.datetime64:
    try:
        day = np.datetime64(start, "us")
    except (ValueError, TypeError):
        day = np.datetime64("NaT", "us")
    if np.isnat(day):
        raise ValueError(f"start must be a date, got {start!r}")
    return day


def _in_utc(dates: NDArray[Any]) -> Any:
    import pandas as pd

    return pd.DatetimeIndex(dates.astype("M8[us]")).tz_localize("UTC")


def _uuids(n: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return random ids that look like UUIDs, as objects."""
    text = rng.bytes(16 * n).hex()
    cuts = (0, 8, 12, 16, 20, 32)
    ids = np.empty(n, object)
    for number in range(n):
        one = text[32 * number : 32 * number + 32]
        ids[number] = "-".join([one[a:b] for a, b in zip(cuts, cuts[1:], strict=False)])
    return ids


def _named(names: Any, numbers: NDArray[np.integer], rng: np.random.Generator) -> NDArray[Any]:
    chosen: NDArray[Any] = np.array(names, object)[numbers]
    chosen[rng.random(len(chosen)) < _MISSING] = None
    return chosen


def _with_gaps(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return np.where(rng.random(len(values)) < _MISSING, np.nan, values)
