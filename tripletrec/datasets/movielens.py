"""MovieLens-100K with the ``ua`` split, cached and verified at every load; its origins are in `sources`."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tripletrec._checks import check_real
from tripletrec._runtime.files import replacing
from tripletrec._runtime.messages import shown, warn_user
from tripletrec.data.interactions import Interactions
from tripletrec.datasets.sources import (
    GENRES,
    OFFICIAL,
    Sources,
    Tables,
    download_archive,
    download_wheel,
    read_archive,
)

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["MovieLens", "fetch_from", "fetch_movielens_100k", "fingerprint"]

_CACHE_FILE = "movielens-100k.npz"
_ARCHIVE_FILE = "ml-100k.zip"
_DIGEST_LENGTH = 64  # hexadecimal digits of the SHA-256 that the cache file starts with
_N_TEST = 10  # ratings per user in the test part of the split

# What reading from the network, from pip and from broken files may raise.
_FAILURES = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    subprocess.SubprocessError,
    http.client.HTTPException,
)


@dataclass(frozen=True)
class MovieLens:
    """MovieLens-100K. Users are 1 ... 943 and items 1 ... 1682; row and column 0 are empty.

    Attributes
    ----------
    train, test : Interactions of shape (944, 1683)
        The positives of the two parts of the ``ua`` split, with timestamps and values 1.
    ratings : DataFrame
        All 100,000 ratings in their published order: user, item, rating (1 to 5), timestamp
        (seconds since 1970) and split ("train" or "test").
    user_features : DataFrame
        Indexed by user: age (years), gender ("F" or "M"), occupation and zip_code.
    item_features : DataFrame
        Indexed by item: title, release_year (nullable integer, from the title) and one column of
        0 and 1 for each of 18 genres; an item of unknown genre has zeros only.
    """

    train: Interactions
    test: Interactions
    ratings: DataFrame
    user_features: DataFrame
    item_features: DataFrame

    def __repr__(self) -> str:
        return (
            f"MovieLens({len(self.ratings)} ratings of {len(self.user_features)} users and "
            f"{len(self.item_features)} items; positives: {len(self.train)} train, "
            f"{len(self.test)} test)"
        )


def fetch_movielens_100k(
    data_home: str | os.PathLike[str] | None = None,
    *,
    min_rating: float = 4,
    verbose: bool | int = False,
) -> MovieLens:
    """Load MovieLens-100K, from the cache or else from the network.

    The first of these that gives the right data is used: the cache file in `data_home`; an
    ``ml-100k.zip`` that you have put there; the publisher's archive; the copy in the wheel of
    recbole 1.2.1, which ``pip download`` gets from wherever your pip gets its packages. The last
    two write the cache file. Where that is impossible the data are returned all the same, with a
    warning.

    Parameters
    ----------
    data_home : path, optional
        Folder of the cache file. Default: the environment variable ``TRIPLETREC_DATA``, or else
        the folder ``tripletrec`` in the user's cache folder (``~/.cache``, ``~/Library/Caches`` or
        ``%LOCALAPPDATA%``).
    min_rating : float, default 4
        From 1 to 5: a rating of at least this is a positive.
    verbose : bool or int, default False
        Whether to print what is being fetched.

    Returns
    -------
    MovieLens
        ``train`` and ``test`` (`Interactions`), ``ratings``, ``user_features`` and
        ``item_features`` (DataFrames). The test part of the ``ua`` split is the first ten
        ratings of each user.

    Raises
    ------
    OSError
        If no source gives the data; the message says what was tried and where to put the
        archive by hand.
    ValueError
        If `min_rating` is not from 1 to 5.

    Warns
    -----
    UserWarning
        If the cache file cannot be written.

    Notes
    -----
    The licence allows use for research and forbids redistribution without permission: the data
    are no part of this package, and you must not pass them on. Publications must cite [1]_.

    References
    ----------
    .. [1] F. M. Harper and J. A. Konstan (2015). The MovieLens Datasets: History and Context.
       ACM Transactions on Interactive Intelligent Systems 5(4), article 19.
       https://doi.org/10.1145/2827872

    Examples
    --------
    >>> from tripletrec.datasets import fetch_movielens_100k
    >>> data = fetch_movielens_100k()  # doctest: +SKIP
    >>> data  # doctest: +SKIP
    MovieLens(100000 ratings of 943 users and 1682 items; positives: 49906 train, 5469 test)
    """
    return fetch_from(OFFICIAL, data_home, min_rating=min_rating, verbose=verbose)


def fetch_from(
    sources: Sources,
    data_home: str | os.PathLike[str] | None = None,
    *,
    min_rating: float = 4,
    verbose: bool | int = False,
) -> MovieLens:
    """Load a data set of the form of MovieLens-100K as `fetch_movielens_100k` does, from given sources."""
    if not 1 <= check_real(min_rating, "min_rating", "a number from 1 to 5") <= 5:
        raise ValueError(f"min_rating must be a number from 1 to 5, got {min_rating!r}")
    return _as_movielens(_tables(_data_home(data_home), sources, bool(verbose)), min_rating)


def _data_home(data_home: str | os.PathLike[str] | None) -> Path:
    if not (data_home is None or isinstance(data_home, (str, os.PathLike))):
        raise TypeError(f"data_home must be None or the path of a folder, got {shown(data_home)}")
    chosen = data_home if data_home is not None else os.environ.get("TRIPLETREC_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if chosen == "" and data_home is not None:
        raise ValueError("data_home must be None or the path of a folder, got ''")
    try:
        return _user_cache() / "tripletrec"
    except RuntimeError as error:
        raise OSError(
            f"no cache folder for MovieLens-100K ({error}): set data_home or TRIPLETREC_DATA"
        ) from None


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _tables(folder: Path, sources: Sources, verbose: bool) -> Tables:
    """Return verified tables from the first source that has them."""
    cached, archive, failures = folder / _CACHE_FILE, folder / _ARCHIVE_FILE, []
    ways: list[tuple[str, Callable[[], Tables]]] = [
        (f"the cache file {cached}", lambda: _load(cached, sources)),
        (f"the archive {archive}", lambda: read_archive(archive.read_bytes(), sources)),
        (f"the official archive {sources.archive_url}", lambda: download_archive(sources)),
        (f"the wheel {sources.wheel}, with pip", lambda: download_wheel(sources)),
    ]
    for position, (name, read) in enumerate(ways):
        if verbose and position >= 2:
            print(f"MovieLens-100K: fetching {name} ...", flush=True)
        try:
            tables = read()
            if position > 0:
                _verify(tables, sources)  # the cache file is verified where it can be thrown away
        except FileNotFoundError as error:
            failures.append(f"{name}: not there" if position < 2 else f"{name}: {error}")
        except _FAILURES as error:
            failures.append(f"{name}: {_one_line(error)}")
        else:
            if position >= 2:
                _store(folder, tables)
            return tables
    raise OSError(
        "MovieLens-100K is not in the cache and could not be fetched. Tried:\n"
        + "".join(f"  - {failure}\n" for failure in failures)
        + f"What helps: download {sources.archive_url} on any machine and put it, as it is, "
        f"at {archive}; or set data_home (or the environment variable TRIPLETREC_DATA) to a "
        f"folder that has {_CACHE_FILE} or {_ARCHIVE_FILE}."
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _store(folder: Path, tables: Tables) -> None:
    """Write the cache file whole or not at all, however many processes do so at once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / _CACHE_FILE) as temporary:
            temporary.write_bytes(_to_bytes(tables))
    except OSError as error:
        warn_user(
            f"MovieLens-100K was loaded but cannot be kept in {folder} ({_one_line(error)}): it "
            "will be fetched again next time. To avoid that, set data_home or the environment "
            "variable TRIPLETREC_DATA to a folder that you can write to.",
        )


def _load(path: Path, sources: Sources) -> Tables:
    """Read the cache file; throw it away if it is not what was written."""
    content = path.read_bytes()
    try:
        tables = _from_bytes(content)
        _verify(tables, sources)
    except _FAILURES as error:
        with suppress(OSError):
            path.unlink()
        raise ValueError(f"damaged, thrown away ({_one_line(error)})") from None
    return tables


def _to_bytes(tables: Tables) -> bytes:
    """Return a digest followed by an ``.npz`` file (which may start with foreign bytes)."""
    body = io.BytesIO()
    np.savez(body, **tables._asdict())
    return hashlib.sha256(body.getvalue()).hexdigest().encode("ascii") + body.getvalue()


def _from_bytes(content: bytes) -> Tables:
    digest, body = content[:_DIGEST_LENGTH], content[_DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode("ascii") != digest:
        raise ValueError("the contents do not match the checksum")
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        return Tables(**{name: arrays[name] for name in Tables._fields})


def _test_rows(users: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the first ten ratings of each user, in the published order."""
    order = np.argsort(users, kind="stable")
    in_order = users[order]
    rank = np.arange(len(users)) - np.searchsorted(in_order, in_order, side="left")
    test = np.empty(len(users), bool)
    test[order] = rank < _N_TEST
    return test


def fingerprint(tables: Tables) -> dict[str, Any]:
    """Return figures that tell a data set from others."""
    users, items, ratings = tables.ratings[:, :3].T
    test = _test_rows(users)
    order = np.lexsort((items, users))
    first = tables.ratings[order[~test[order]][:3], :3]
    return {
        "users": len(tables.age),
        "items": len(tables.title),
        "train ratings": int((~test).sum()),
        "test ratings": int(test.sum()),
        "mean train rating": round(float(ratings[~test].mean()), 6),
        "mean test rating": round(float(ratings[test].mean()), 6),
        "train ratings >= 4": int((ratings[~test] >= 4).sum()),
        "test ratings >= 4": int((ratings[test] >= 4).sum()),
        "first train ratings": first.tolist(),
        "sum of ages": int(tables.age.sum()),
        "sum of genres": int(tables.genres.sum()),
    }


def _verify(tables: Tables, sources: Sources) -> None:
    for what, found in fingerprint(tables).items():
        expected = sources.fingerprint[what]
        if found != expected:
            raise ValueError(f"not MovieLens-100K: {what} {found}, expected {expected}")


def _as_movielens(tables: Tables, min_rating: float) -> MovieLens:
    import pandas as pd

    users, items, ratings, times = tables.ratings.T.astype(np.int64)
    test = _test_rows(tables.ratings[:, 0])
    shape = len(tables.age) + 1, len(tables.title) + 1

    def positives(part: NDArray[np.bool_]) -> Interactions:
        kept = part & (ratings >= min_rating)
        return Interactions.from_arrays(
            users[kept], items[kept], timestamps=times[kept], shape=shape
        )

    names = np.array(["train", "test"], dtype=object)
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings, "timestamp": times})
    frame["split"] = names[test.astype(np.int64)]
    people = {name: getattr(tables, name) for name in ("age", "gender", "occupation", "zip_code")}
    years = pd.Series(tables.release_year, dtype="Int64", index=range(1, shape[1]))
    films = pd.DataFrame(tables.genres, columns=GENRES, index=years.index)
    films.insert(0, "title", tables.title.astype(object))
    films.insert(1, "release_year", years.where(years > 0))
    return MovieLens(
        train=positives(~test),
        test=positives(test),
        ratings=frame,
        user_features=pd.DataFrame(people, index=pd.RangeIndex(1, shape[0], name="user")),
        item_features=films.rename_axis("item"),
    )
