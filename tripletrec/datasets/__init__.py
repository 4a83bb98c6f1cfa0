"""Data sets: MovieLens-100K, fetched from its publisher, and synthetic interactions."""

from tripletrec.datasets.movielens import MovieLens, fetch_movielens_100k
from tripletrec.datasets.synthetic import make_interactions

__all__ = ["MovieLens", "fetch_movielens_100k", "make_interactions"]
