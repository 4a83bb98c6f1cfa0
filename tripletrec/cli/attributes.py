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
    from tripletrec.data.foreign import Dictionary
    from tripletrec.data.frames import id_column
    from tripletrec.data.missing import HINT, lacking, taken
    from tripletrec.data.parquet import read_whole_parquet
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
    label, is_text = f"column {column!r} of {path!r}", files.format != "parquet"
    if is_text:
        frame = read_whole(files.paths[0], files.format, column)
        ids = frame.pop(column)
    else:
        ids, frame = read_whole_parquet(files.paths[0], column)
        ids = id_column(ids, label)
    missing = lacking(ids)
    if missing.any():
        if not options.drop_missing:
            raise missing_from(label, "id", missing, HINT)
        ids, frame = taken(ids, ids, ~missing), frame[~missing]
    if is_text:
        ids = text_ids(np.arange(len(ids)), ids.to_numpy(object), form)
    if isinstance(ids, Dictionary):
        ids = ids.ids[ids.codes]
    return frame.set_index(pd.Index(ids, name=column))
