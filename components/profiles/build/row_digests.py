"""A digest a user row, over all that time alone does not move: users whose digest stays need not be written online.

State moves on by decay and by the clock, at every reader alike; what remains is what events did. Computed on whole
columns: a number a cell, mixed with its column and place, added up a row.
"""

import zlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from feature_repo import columns

FILE, COLUMN = "row_digests.parquet", "row_digest"  # of users' newest rows
# Sums that a reader moves on by decay, and the instants that every row gets anew.
MOVED_BY_TIME = ("_slow", "_fast")
NULL = np.uint64(0x9E3779B97F4A7C15)  # stands for a cell that is null: no count, no instant, no text's checksum
INSTANTS = (columns.STATE_AT, columns.EVENT_TIMESTAMP, columns.WEEK)


def of_cells(cells: pa.Table, *, start: np.ndarray | None = None) -> np.ndarray:
    """Digest the rows of a table, uint64 [R]; `start` holds those of the rows' other cells.

    >>> a, b = of_cells(pa.table({"x": [1, 1], "y": [[2, 3], [3, 2]]}))
    >>> bool(a == b)
    False
    >>> len(set(of_cells(pa.table({"x": [0, 1, None]})).tolist())), len(set(of_cells(pa.table({"x": ["", None]}))))
    (3, 2)
    >>> c, d = of_cells(pa.table({"value_slow": [1.0, 2.0]}))
    >>> bool(c == d)
    True
    """
    total = np.zeros(cells.num_rows, np.uint64) if start is None else start.copy()
    for name in cells.column_names:
        if name in INSTANTS or name.endswith(MOVED_BY_TIME):
            continue
        column, salt = _one(cells[name]), np.uint64(zlib.crc32(name.encode()))
        if pa.types.is_list(column.type):
            total += _of_lists(column, salt)
        else:
            total += _mixed(_bits(column) + (salt << np.uint64(32)))
    return _mixed(total)


def of_texts(texts: Mapping[str, str]) -> np.uint64:
    """Digest what all rows share."""
    found = sum(zlib.crc32(f"{name}={text}".encode()) for name, text in sorted(texts.items()))
    return np.uint64(found)


def _of_lists(column: pa.ListArray, salt: np.uint64) -> np.ndarray:
    lengths = np.asarray(pa.compute.fill_null(pa.compute.list_value_length(column), 0)).astype(np.int64)
    ends = np.cumsum(lengths)
    place = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    cells = _mixed(_bits(column.flatten()) + _mixed(place.astype(np.uint64) + (salt << np.uint64(32))))
    sums = np.concatenate([[np.uint64(0)], np.cumsum(cells, dtype=np.uint64)])  # wraps around, and so do differences
    return np.asarray(sums[ends] - sums[ends - lengths], dtype=np.uint64)


def _bits(column: pa.Array) -> np.ndarray:
    """Return the cells as uint64; null is a number of its own."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        unique = column.dictionary_encode()
        texts = unique.dictionary.cast(pa.binary()).to_pylist()
        known = np.asarray([*(zlib.crc32(text) for text in texts), NULL], np.uint64)
        return np.asarray(known[np.asarray(pa.compute.fill_null(unique.indices, len(known) - 1))], dtype=np.uint64)
    values = np.asarray(pa.compute.fill_null(column, 0))
    if values.dtype.kind == "f":
        values = values.astype(np.float64).view(np.uint64)
    bits = values.astype(np.uint64)
    return np.where(np.asarray(column.is_null()), NULL, bits) if column.null_count else bits


def _mixed(values: np.ndarray) -> np.ndarray:
    """Scramble 64 bits (splitmix64's finaliser)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
