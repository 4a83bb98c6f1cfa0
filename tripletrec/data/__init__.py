"""Interactions, ids and features in one checked form; nothing is learnt or split here."""

from tripletrec.data.interactions import Interactions, as_interactions

__all__ = ["Interactions", "as_interactions"]
