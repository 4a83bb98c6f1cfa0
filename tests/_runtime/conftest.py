"""Fixtures of the tests of what compiles."""

import numba
import pytest


@pytest.fixture
def compiled_anew(monkeypatch, tmp_path):
    """Kernels that a test defines find no machine code on disk, as in the first run of the tests."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
