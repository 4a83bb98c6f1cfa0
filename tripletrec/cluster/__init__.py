"""Fits on a cluster of machines: the bits of `fit`, whoever learns them; models are in `models`.

The engine is Dask (``pip install distributed pyarrow fsspec``); what it runs knows no engine.
"""

from __future__ import annotations

from tripletrec.cluster.answers import evaluate, recommend
from tripletrec.cluster.fitting import fit

__all__ = ["evaluate", "fit", "recommend"]
