"""Compare stored feature rows with rows built anew from what was known: every column, cell by cell.

Knows tables by their keys and nothing of what the columns mean, so a new column is covered the day it appears.
Which worlds the other rows are built from is `alternative_futures.py`'s matter; the order of the checks is
pipelines/leakage/checks.py's.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import columns
from feature_repo.leak import Leak

WEEK = columns.WEEK
KEYS = {columns.USER_ID: "user", columns.ITEM_INDEX: "item", columns.TARGET_ID: "target"}
LABELS = ("label_ids", "bought")
# No features: made with the label week in view.
KNOWN_AFTER = (*LABELS, columns.ROW_WEIGHT, columns.LABEL_STRENGTH, columns.LABEL_SHOWN)
DIGEST = "digest"  # of what is compared value by value, within a tolerance
WITHOUT_FUTURE = "recomputed without the future"
PERMUTED = "recomputed with another future"
LATE = "rows that became known only later were used"
LABEL_WEEK = "labels recomputed from the week's events"
REFITTED = "fitted again without the weeks after training"
MISSING = "not reproducible from the past"


LAST_BIT = 2e-7  # relative: sums of other blocks of users may differ so much as 32-bit floats


def key_of(names: Collection[str]) -> str | None:
    """Name the column that tells the rows of a week apart, if there is one.

    >>> key_of(["week", "item_index", "price"])
    'item_index'
    """
    return next((name for name in KEYS if name in names), None) if WEEK in names else None


def differences(
    stored: pa.Table, again: pa.Table, *, table: str, how: str, chosen: Collection[str] = (), whole: bool = True
) -> list[Leak]:
    """Compare one week's stored rows with those built again; each column that differs is one leak.

    All columns but labels and weights are compared, or those `chosen`. Rows of `again` that are not stored do not
    count, and not `whole` forgives the reverse: where rows exist because of what happened, another future has other
    rows.
    """
    key = key_of(stored.column_names)
    assert key is not None, f"{table} has no key"
    week = int(stored[WEEK][0].as_py()) if stored.num_rows else None
    stored, again = stored.sort_by(key), again.sort_by(key)
    position = pc.index_in(stored[key], again[key].combine_chunks())
    gone = stored.filter(pc.is_null(position))
    mine = stored.filter(pc.is_valid(position))
    theirs = again.take(pc.drop_null(position))
    found = []
    if gone.num_rows and whole:
        what = f"the row is {MISSING}"
        found.append(Leak(table, "(row)", week, _named(key, gone, 0), how, what, gone.num_rows))
    for name in stored.column_names:
        if name in (key, WEEK) or (name not in chosen if chosen else name in KNOWN_AFTER):
            continue
        if name not in again.column_names:
            found.append(Leak(table, name, week, "", how, MISSING, max(mine.num_rows, 1)))
        elif rows := unequal(mine[name], theirs[name]):
            first = rows[0]
            what = contrast(mine[name][first].as_py(), theirs[name][first].as_py())
            found.append(Leak(table, name, week, _named(key, mine, first), how, what, len(rows)))
    return found


def unequal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> list[int]:
    """List the rows in which two columns differ by more than a float's last bit; NaN equals NaN.

    >>> nan = float("nan")
    >>> unequal(pa.chunked_array([[1.0, nan, 3.0, None]]), pa.chunked_array([[1.0, nan, 4.0, 0.0]]))
    [2, 3]
    """
    left, right = _whole(left), _whole(right)
    if left.equals(right):
        return []
    pairs = zip(left.to_pylist(), right.to_pylist(), strict=True)
    return [row for row, (one, other) in enumerate(pairs) if not same(one, other, tolerance=LAST_BIT)]


def same(one: Any, other: Any, *, tolerance: float = 0.0, least: float = 0.0) -> bool:
    """Tell whether two values are equal, element by element, numbers within a relative tolerance or by `least`.

    >>> same([1, {"a": float("nan")}], [1, {"a": float("nan")}]), same([1], [1, 2])
    (True, False)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], tolerance=tolerance, least=least) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            same(a, b, tolerance=tolerance, least=least) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, float) and isinstance(other, int | float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=least)
    return bool(one == other)


def contrast(stored: Any, again: Any) -> str:
    """Say how two values differ; of lists, where they first do.

    >>> contrast([1, 2, 3], [1, 5, 3])
    'at position 1, 2 is stored, recomputed 5'
    """
    if isinstance(stored, list) and isinstance(again, list):
        pairs = zip(stored, again, strict=False)
        differ = (n for n, (one, other) in enumerate(pairs) if not same(one, other, tolerance=LAST_BIT))
        place = next(differ, None)
        if place is None:
            return f"{len(stored)} values are stored, recomputed {len(again)}"
        return f"at position {place}, {contrast(stored[place], again[place])}"
    return f"{_short(stored)} is stored, recomputed {_short(again)}"


def merged(found: Iterable[Leak]) -> list[Leak]:
    """Keep one leak of each table, column and check, its example the first; `cells` counts all weeks.

    >>> leak = Leak("t", "c", 3, "user a", "h", "w", cells=2)
    >>> [(one.week, one.cells) for one in merged([leak, replace(leak, week=4)])]
    [(3, 4)]
    """
    kept: dict[tuple[str, ...], Leak] = {}
    for leak in found:
        key = (leak.table, leak.column, leak.how, leak.severity)
        kept[key] = replace(kept[key], cells=kept[key].cells + leak.cells) if key in kept else leak
    return list(kept.values())


def fitted(stored: dict[str, Any], again: dict[str, Any], *, table: str, week: int) -> Iterator[Leak]:
    """Compare what was fitted on training weeks, key by key; `week` is the first that fitting must not see."""
    for name in stored.keys() - {DIGEST}:
        if name not in again or not same(stored[name], again[name], tolerance=1e-4, least=1e-5):
            what = contrast(stored[name], again.get(name))
            yield Leak(table, name, week, "", REFITTED, what)


def _named(key: str, table: pa.Table, row: int) -> str:
    return f"{KEYS[key]} {table[key][row].as_py()}"


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], column.type)
    return found


def _short(value: Any, *, most: int = 60) -> str:
    text = np.format_float_positional(value, trim="-", precision=9) if isinstance(value, float) else str(value)
    return text if len(text) <= most else f"{text[:most]}…"
