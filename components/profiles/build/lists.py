"""Pack rows into lists: a feature view's cells, from rows that an engine has sorted. Arrow and offsets, no copies.

Engines make lists slowly and each in its own way; once rows are in order, a list is where it begins and ends.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feature_repo import columns

CODE = 1 << 32  # users below it; a row's code is cutoff * CODE + user


@dataclass(frozen=True)
class Rows:
    """A user and cutoff a row, in order: by cutoff, then by user."""

    codes: np.ndarray  # [R] int64
    cells: pa.Table  # [R]

    def aligned(self, codes: np.ndarray) -> pa.Table:
        """Return the cells of other rows' codes, null where there is no row.

        >>> rows = Rows(np.array([1, 5]), pa.table({"x": [10, 50]}))
        >>> rows.aligned(np.array([0, 1, 5])).to_pydict()
        {'x': [None, 10, 50]}
        """
        place = np.searchsorted(self.codes, codes)
        found = place < len(self.codes)
        found[found] = self.codes[place[found]] == codes[found]
        return self.cells.take(pa.array(place, mask=~found))


def codes_of(table: pa.Table) -> np.ndarray:
    """Number a table's (cutoff, user) pairs, int64 [N]."""
    return np.asarray(table["cutoff"].to_numpy().astype(np.int64) * CODE + table["user_id"].to_numpy(), dtype=np.int64)


def whole(table: pa.Table) -> Rows:
    """Take a table of one row a user and cutoff, sorted by cutoff and user, as it is."""
    return Rows(
        codes_of(table), table.drop([n for n in ("user_id", "cutoff", columns.STATE_AT) if n in table.column_names])
    )


def in_order(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Sort the integer columns `names` of a table by themselves, dropping the others.

    One number holds a row, and numbers sort several times faster than rows, here as in an engine.

    >>> in_order(pa.table({"a": [2, 1, 1], "b": [0, 9, -3]}), ("a", "b")).to_pydict()
    {'a': [1, 1, 2], 'b': [-3, 9, 0]}
    """
    values = [table[name].to_numpy().astype(np.int64) for name in names]
    if not len(values[0]):
        return table.select(names)
    lows = [int(v.min()) for v in values]
    widths = [(int(v.max()) - low).bit_length() for v, low in zip(values, lows, strict=True)]
    if sum(widths) > 63:
        return table.select(names).sort_by([(name, "ascending") for name in names])
    code = np.zeros(len(values[0]), np.int64)
    for value, low, width in zip(values, lows, widths, strict=True):
        code = (code << width) | (value - low)
    code.sort()
    found: list[np.ndarray] = []
    for low, width in zip(lows[::-1], widths[::-1], strict=True):
        found.append((code & ((1 << width) - 1)) + low)
        code >>= width
    return pa.table(dict(zip(names, map(pa.array, found[::-1]), strict=True)))


def packed(table: pa.Table, names: dict[str, str], kinds: dict[str, pa.DataType], *, limit: int | None = None) -> Rows:
    """Pack a table sorted by cutoff and user into a row each; `names` gives lists their columns, `kinds` their types.

    >>> table = pa.table({"cutoff": [3, 3, 4], "user_id": [0, 0, 0], "key": [7, 8, 7]})
    >>> packed(table, {"ids": "key"}, {"ids": pa.int32()}).cells.to_pydict()
    {'ids': [[7, 8], [7]]}
    """
    codes = codes_of(table)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]])) if len(codes) else np.empty(0, np.int64)
    lengths = np.diff(np.append(starts, len(codes)))
    if limit is not None and len(lengths) and lengths.max() > limit:
        place = np.arange(len(codes)) - np.repeat(starts, lengths)
        table = table.filter(pa.array(place < limit))
        lengths = np.minimum(lengths, limit)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    cells = {
        name: pa.ListArray.from_arrays(offsets, table[column].combine_chunks().cast(kinds[name]))
        for name, column in names.items()
    }
    return Rows(codes[starts], pa.table(cells))
