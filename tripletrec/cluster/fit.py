"""`fit` on a cluster: its arguments, its checkpoint, and the model that comes of it; epochs are in `driver`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from tripletrec._checks import check_count, check_flag
from tripletrec._runtime.messages import shown
from tripletrec._runtime.progress import Progress
from tripletrec.cluster.driver import Driver, ProbeOf
from tripletrec.cluster.engine import Engine
from tripletrec.cluster.folders import Folder
from tripletrec.cluster.sources import Source
from tripletrec.cluster.store import Axis

__all__ = ["fit"]
