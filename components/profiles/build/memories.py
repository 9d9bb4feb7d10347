"""Pack the rows of `last_events` into event memories, a text a user and cutoff, on whole columns.

The text is that of feature_repo/memory.py, which reads it; a test compares the two writers. Arrow joins texts a hundred
times faster than Python, and every user has one.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.profiles.build import lists
from components.profiles.build.lists import Rows
from feature_repo import columns, memory, views

FILE = f"{views.MEMORIES}.parquet"  # of the training cutoffs, where the spec asks for it
LINES = "lines"
LARGE = pa.large_string()  # the texts of a block may exceed 2 GiB
CELL, LINE = pa.scalar("\t", LARGE), pa.scalar("\n", LARGE)
HEADS = [pa.scalar(form.decode(), LARGE) for form in memory.VERSIONS]  # without texts, and with them


def packed(table: pa.Table, item_ids: pa.Array) -> Rows:
    """Pack a table sorted by cutoff, user and the order of a memory; items are told by their place in `item_ids`."""
    texts = {
        "session": _escaped(table["session_id"]),
        "item": _escaped(item_ids).take(table["item_id"].combine_chunks()),
        "event": _escaped(table["event"]),
    }
    cells = [table["at"].cast(pa.string()), *texts.values(), table["value"].cast(pa.string())]
    written = columns.TEXT in table.column_names
    cells += [_escaped(table[columns.TEXT])] if written else []
    lines = pc.binary_join_element_wise(*(_flat(cell).cast(LARGE) for cell in cells), CELL)
    keyed = table.select(["cutoff", "user_id"]).append_column(LINES, lines)
    rows = lists.packed(keyed, {LINES: LINES}, {LINES: LARGE})
    found = pc.binary_join_element_wise(HEADS[written], pc.binary_join(_flat(rows.cells[LINES]), LINE), LINE)
    return Rows(rows.codes, pa.table({columns.MEMORY: _flat(found).cast(pa.large_binary()).cast(pa.binary())}))


def aligned(rows: Rows, codes: np.ndarray) -> pa.Array:
    """Return the memories of rows' codes, the empty one where a user has none."""
    return pc.fill_null(_flat(rows.aligned(codes)[columns.MEMORY]), memory.EMPTY)


def _escaped(texts: pa.ChunkedArray | pa.Array) -> pa.Array:
    found = _flat(texts).cast(pa.string())
    if not pc.any(pc.match_substring_regex(found, r"[\\\t\n]")).as_py():
        return found
    for raw, written in memory.ESCAPES:
        found = pc.replace_substring(found, raw, written)
    return found


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
