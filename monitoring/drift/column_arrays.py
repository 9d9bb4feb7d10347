"""Columns of Arrow tables as the numpy arrays that signals are measured of.

Letters: N values.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import columns


def codes(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Return a column's values as codes, int32 [N], -1 of null, and the values by code."""
    coded = column.combine_chunks().dictionary_encode()
    return pc.fill_null(coded.indices, -1).to_numpy().astype(np.int32), coded.dictionary


def seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return times as epoch seconds, int64 [N]."""
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() // 1_000_000)


def whole(column: pa.ChunkedArray) -> np.ndarray:
    """Return whole numbers, or times as epoch seconds, 0 of null, int64 [N]."""
    kind = column.type
    column = column.cast(pa.timestamp("s", tz="UTC")) if pa.types.is_timestamp(kind) else column
    return np.asarray(pc.fill_null(column.cast(pa.int64()), 0).to_numpy())


def weights(table: pa.Table) -> np.ndarray:
    """Return what each row stands for, float64 [N]."""
    if columns.ROW_WEIGHT not in table.column_names:
        return np.ones(table.num_rows)
    return np.asarray(table[columns.ROW_WEIGHT].to_numpy(), dtype=np.float64)
