"""Scores, ranks and best lists of users, a batch of users at a time; metrics are in `evaluation`."""

__all__: list[str] = []
