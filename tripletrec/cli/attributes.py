"""Tables of what is known of users or items, from files; events are in `columns`."""

from __future__ import annotations

import argparse
from typing import Any

from tripletrec._runtime.messages import shown_names
from tripletrec.cli.columns import guess

__all__ = ["read_attributes"]


def read_attributes(options: argparse.Namespace, path: str, word: str, form: Any) -> Any:
    """Return a table of what is known of users or items, indexed by id.

    Parameters
    ----------
    options : argparse.Namespace
        Its `user` or `item` is the column of ids, if it is one of this file.
    path : str
        One file of columns.
    word : {"user", "item"}
        Whose attributes they are.
    form : Form
        Of the ids that they are looked up by.
    """
    import numpy as np
    import pandas as pd

    from tripletrec.data.columns import missing_from
    from tripletrec.data.delimited import read_whole, text_ids
    from tripletrec.data.missing import HINT
    from tripletrec.data.paths import find_files
    from tripletrec.data.reading import read_header

    files = find_files(path)
    if len(files.paths) > 1 or files.format == "npz":
        raise ValueError(f"attributes must be in one file of columns, got {path!r}")
    header = read_header(files)
    asked = getattr(options, word)
    column = asked if asked in header else guess(word, header)
    if column is None:
        raise ValueError(
            f"no column of {path!r} looks like that of the {word}s: give --{word}; "
            f"there are {shown_names(header, 400)}"
        )
    if files.format == "parquet":
        return pd.read_parquet(path).set_index(column)
    frame = read_whole(files.paths[0], files.format, column)
    missing = frame[column].isna().to_numpy()
    if missing.any():
        if not options.drop_missing:
            raise missing_from(f"column {column!r} of {path!r}", "id", missing, HINT)
        frame = frame[~missing]
    texts = frame.pop(column).to_numpy(object)
    found = text_ids(np.arange(len(texts)), texts, form)
    return frame.set_index(pd.Index(found.ids, name=column))
