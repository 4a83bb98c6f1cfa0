"""Fits on a cluster of machines: the bits of `fit`, whoever learns them; models are in `models`.

The engine is Dask (``pip install 'tripletrec[cluster]'``); what it runs is engine-neutral.
"""

from __future__ import annotations

__all__: list[str] = []
