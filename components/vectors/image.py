"""Vectors of images from a column of the user's own: read, checked, scaled to length 1."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from feature_repo import columns
from feature_repo.errors import DataError, nearest

LONGEST = 4096  # numbers of a vector


def rows_of(items: pa.Table, column: str) -> list[list[Any] | None]:
    """Return each item's list, None where there is none; refuse a column that holds no lists."""
    have = [f.name for f in items.schema if pa.types.is_list(f.type) or pa.types.is_large_list(f.type)]
    if column not in items.column_names:
        raise DataError(
            f"vectors.image.column: items have no column '{column}'; columns of lists: {', '.join(have) or 'none'}"
            f"{nearest(column, items.column_names)}"
        )
    if column not in have:
        raise DataError(
            f"vectors.image.column: '{column}' holds {items.schema.field(column).type}, no lists of numbers; give "
            "parquet with a list column, or CSV with its separator in data.source.items.lists"
        )
    return [value or None for value in items[column].to_pylist()]


def vectors(ids: Sequence[str], rows: Sequence[list[Any] | None], *, width: int = 0) -> Mapping[str, np.ndarray]:
    """Return the vectors [D] by item, of length 1; one of zeros is none. `width`: the length that is expected, if any.

    Refuses, in one line that names the item: a value that is no finite number, lists of several lengths.
    """
    found: dict[str, np.ndarray] = {}
    first = ""
    for item, row in zip(ids, rows, strict=True):
        if row is None:
            continue
        values = _numbers(item, row)
        width = width or len(values)
        first = first or item
        if len(values) != width:
            raise DataError(
                f"vectors.image.column: item '{item}' has {len(values)} numbers, and '{first}' {width}; allowed: one "
                "length for all"
                if item != first
                else f"vectors.image.column: item '{item}' has {len(values)} numbers; the release's have {width}"
            )
        if length := float(np.linalg.norm(values)):
            found[item] = (values / length).astype(np.float16)
    return found


def _numbers(item: str, row: Sequence[Any]) -> np.ndarray:
    """Read a list of numbers, or of texts that are some."""
    try:
        values = np.asarray([float(one) for one in row], dtype=np.float64)
    except (TypeError, ValueError):
        bad = next(one for one in row if not _is_number(one))
        raise DataError(
            f"vectors.image.column: item '{item}' has {bad!r} in its list; allowed: numbers; leave the whole list out "
            "where an item has no vector"
        ) from None
    if not np.isfinite(values).all() or len(values) > LONGEST:
        bad = f"{len(values)} numbers" if len(values) > LONGEST else str(values[~np.isfinite(values)][0])
        raise DataError(
            f"vectors.image.column: item '{item}' has {bad} in its list; allowed: at most {LONGEST} finite numbers; "
            "leave the whole list out where an item has no vector"
        )
    return values


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def ids(items: pa.Table) -> list[str]:
    """Return the items' ids."""
    return [str(one) for one in items[columns.ITEM_ID].to_pylist()]
