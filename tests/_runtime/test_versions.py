"""Versions of packages, installed or not."""

import numpy as np

from tripletrec._runtime.versions import version_of


def test_versions():
    assert version_of("numpy") == np.__version__
    assert version_of("tripletrec-not-installed") == "unknown"
