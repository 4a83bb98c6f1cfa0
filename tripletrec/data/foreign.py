"""Tables of other libraries as tables in memory that can be read; what their columns mean is in `frames`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tripletrec.data.columns import check_column, eager, names_of

__all__ = [
    "Dictionary",
    "dictionary_chunks",
    "dictionary_of",
    "in_memory",
    "indexed",
    "need_pyarrow",
]

# Of Ibis and cuDF, Modin, Spark, Dask, and what scans a dataset.
_WAYS = ("to_arrow", "to_pandas", "toPandas", "compute", "to_reader")


class Dictionary:
    """A column of ids as whole numbers: which of some ids each is, -1 where it is missing.

    An id may be there twice, and there may be ids that are in no row.
    """

    def __init__(self, codes: NDArray[np.integer], ids: NDArray[Any]) -> None:
        self.codes, self.ids = codes, ids

    def __len__(self) -> int:
        return len(self.codes)


def in_memory(frame: Any, names: Iterable[Any]) -> Any:
    """Return a table as one of pandas, polars or pyarrow, with at least the columns of these names.

    Parameters
    ----------
    frame : table
        Of these libraries or a dict of columns, which are returned as they are; lazy; wrapped by Narwhals; a
        record batch, a reader or a sequence of batches; a dataset or its scanner; or whatever else gives
        Arrow's stream, or a table of pandas or pyarrow by a method that other libraries have for it.
    names : iterable of column names
    """
    wanted = list(names)
    if hasattr(frame, "to_native"):
        frame = frame.to_native()
    frame = _collected(frame, wanted)
    if _is_at_home(frame):
        return frame
    if isinstance(frame, (list, tuple)) or hasattr(frame, "__next__"):
        batches = frame if isinstance(frame, (list, tuple)) else list(frame)
        return _together(batches, wanted) if batches and all(map(_gives_arrow, batches)) else frame
    if _gives_arrow(frame):
        return _from_arrow(frame, wanted)
    for way in _WAYS:
        if callable(getattr(frame, way, None)) and not isinstance(frame, type):
            return in_memory(getattr(frame, way)(), wanted)
    return frame


def indexed(values: Any) -> tuple[Any, Any]:
    """Return a table or column in memory, and its index as pandas has it; None: it has none.

    Of Dask and cuDF it becomes one of pandas; of Modin it stays what it is.
    """
    if not hasattr(values, "reset_index"):
        return values, None
    way = next((each for each in ("to_pandas", "compute") if hasattr(values, each)), None)
    values = values if way is None else getattr(values, way)()
    return values, values.index


def _collected(frame: Any, wanted: list[Any]) -> Any:
    """Return the named columns of a lazy table or of a dataset of pyarrow; anything else as it is."""
    if hasattr(frame, "collect_schema") or hasattr(frame, "scanner"):
        for name in wanted:  # here, while all are known
            check_column(name, names_of(frame))
    if hasattr(frame, "scanner"):
        return frame.to_table(columns=list(dict.fromkeys(wanted)))
    return eager(frame, wanted)


def dictionary_of(column: Any, name: str) -> Dictionary | None:
    """Return a column of texts in Arrow's memory as a dictionary; None: it is none, or pyarrow is missing."""
    if isinstance(column, Dictionary):
        return column
    if not _gives_arrow(column) and not type(column).__module__.startswith("pyarrow"):
        return None
    if str(getattr(column, "dtype", "")) == "Object":  # of polars, which may abort over it
        return None
    try:
        pa = need_pyarrow("a column")
    except ImportError:
        return None
    array = dictionary_chunks(column, pa)
    if array is None:
        return None
    if not array.num_chunks:
        return Dictionary(np.empty(0, np.int32), np.empty(0, object))
    array = array.unify_dictionaries()
    codes = [each.indices.fill_null(-1).to_numpy() for each in array.chunks]
    try:
        texts = array.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    except (pa.ArrowException, UnicodeDecodeError):
        raise ValueError(f"{name} has texts that are not encoded as UTF-8") from None
    return Dictionary(np.concatenate(codes), texts)


def dictionary_chunks(column: Any, pa: Any) -> Any:
    """Return texts of Arrow as chunks that have dictionaries without nulls; None: the column holds others."""
    try:
        array = _chunked(column, pa)
    except (pa.ArrowException, TypeError):  # of another library, with an old pyarrow
        return None
    values = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if str(values) not in ("string", "large_string", "string_view"):
        return None
    if str(array.type) == "string_view":  # which pyarrow cannot yet number
        try:
            array = array.cast(pa.large_string())
        except pa.ArrowNotImplementedError:  # before 18
            return None
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    chunks = [_plain_dictionary(each, pa) for each in array.chunks]
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.large_string()))


def _chunked(column: Any, pa: Any) -> Any:
    if isinstance(column, pa.ChunkedArray):
        return column
    if hasattr(column, "to_arrow"):  # polars, whose own stream had faults up to 1.33
        column = column.to_arrow()
    if hasattr(column, "__arrow_c_stream__"):
        return pa.chunked_array(column)
    return pa.chunked_array([column if isinstance(column, pa.Array) else pa.array(column)])


def _plain_dictionary(array: Any, pa: Any) -> Any:
    """Return an array of a dictionary as one whose dictionary is of plain texts, with no null among them."""
    texts, codes = array.dictionary.cast(pa.large_string()), array.indices.cast(pa.int32())
    plain = pa.DictionaryArray.from_arrays(codes, texts)
    if not texts.null_count:
        return plain
    plain = plain.cast(pa.large_string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(plain.indices.cast(pa.int32()), plain.dictionary)


def need_pyarrow(what: str) -> Any:
    """Return the module pyarrow, or raise one sentence that says what to install."""
    try:
        return import_module("pyarrow")
    except ImportError:
        raise ImportError(f"{what} needs pyarrow: pip install pyarrow") from None


def _is_at_home(frame: Any) -> bool:
    if isinstance(frame, Mapping) or hasattr(frame, "iloc"):
        return True
    library = type(frame).__module__.partition(".")[0]
    return library in ("polars", "pyarrow") and hasattr(frame, "columns")


def _gives_arrow(frame: Any) -> bool:
    return hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__")


def _from_arrow(frame: Any, wanted: list[Any]) -> Any:
    pa = need_pyarrow(f"a table of the type {type(frame).__name__}")
    try:
        if not hasattr(frame, "__arrow_c_stream__"):
            frame = pa.table(pa.record_batch(frame))
        reader = pa.RecordBatchReader.from_stream(frame)
    except pa.ArrowException:  # a column
        raise TypeError(
            f"frame must be a table with a row for each interaction, got {type(frame)}"
        ) from None
    for name in wanted:
        check_column(name, reader.schema.names)
    kept = [each for each in reader.schema.names if each in wanted]
    schema = pa.schema([reader.schema.field(name) for name in kept])
    return pa.Table.from_batches([each.select(kept) for each in reader], schema)


def _together(batches: Iterable[Any], wanted: list[Any]) -> Any:
    pa = need_pyarrow("a sequence of tables")
    tables = [_from_arrow(each, wanted) for each in batches]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise TypeError(f"the tables of frame do not fit together: {error}") from None
