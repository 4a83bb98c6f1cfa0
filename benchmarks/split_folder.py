"""Folders of a split: SciPy's CSR matrices train.npz, valid.npz and test.npz, as a command's argument."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

__all__ = ["PARTS", "split_folder"]

PARTS = ("train", "valid", "test")


def split_folder(text: str, parts: Sequence[str] = PARTS) -> Path:
    """Return a folder that has these parts; `type` of an argument of argparse, which is refused otherwise."""
    folder = Path(text)
    missing = [f"{part}.npz" for part in parts if not (folder / f"{part}.npz").is_file()]
    if missing:
        raise argparse.ArgumentTypeError(
            f"must be a folder with {', '.join(f'{part}.npz' for part in parts)}; {text} has no "
            f"{' and no '.join(missing)}"
        )
    return folder
