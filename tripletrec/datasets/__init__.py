"""Data sets: MovieLens-100K, fetched when asked for, and synthetic interactions; none is in the package."""

from tripletrec.datasets.movielens import MovieLens, fetch_movielens_100k
from tripletrec.datasets.synthetic import make_interactions

__all__ = ["MovieLens", "fetch_movielens_100k", "make_interactions"]
