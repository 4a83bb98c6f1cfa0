"""Who interacted with what, and which features they have, in one checked form; nothing is learnt here."""

from tripletrec.data.interactions import Interactions, as_interactions

__all__ = ["Interactions", "as_interactions"]
