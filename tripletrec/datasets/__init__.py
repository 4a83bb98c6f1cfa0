"""Data sets: MovieLens-100K, fetched when asked for, and synthetic ones; none is in the package."""

from tripletrec.datasets.events import Events, make_events
from tripletrec.datasets.movielens import MovieLens, fetch_movielens_100k
from tripletrec.datasets.synthetic import make_interactions

__all__ = ["Events", "MovieLens", "fetch_movielens_100k", "make_events", "make_interactions"]
