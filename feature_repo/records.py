"""What models see of a user row that holds its records by item and kind: the one reading of training and serving.

Interest is weighted and what was taken back is left out; the records by kind lie beside it, and the items that the
user may not be shown. Rows of recommenders without declared kinds are returned as they are.

Letters: B rows, N records over all rows.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from feature_repo import columns
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.signs import MOST_KINDS, STRIDE, Signs

# What `read` adds to a row: its records after what was taken back, and the items that the user may not be shown.
KIND_OF, ITEM_OF, SLOW_OF, LAST_OF = RECORDS = ("record_kinds", "record_items", "record_slow", "record_last_at")
BARRED = "barred_items"


def read(rows: UserRows, signs: Signs) -> UserRows:
    """Return rows whose history is the interest of the user, with RECORDS and BARRED beside it.

    Rows of recommenders without declared kinds, and rows that were read already, are returned as they are.
    """
    if not signs or BARRED in rows.lists:
        return rows
    keys = rows.lists["history_items"]
    row, n_rows = keys.row_of_value(), len(rows)
    kind, item = np.divmod(keys.values.astype(np.int64), STRIDE)
    place = row * STRIDE + item  # of user and item
    values = {name: rows.lists[name].values.astype(np.float64) for name in columns.HISTORY_LISTS[1:]}
    kept, stands = _after_undoing(kind, place, values, signs)
    for name in ("history_weeks", "history_slow", "history_fast"):
        values[name] = values[name] * kept
    bars = np.isin(kind, [signs.numbers[one] for one in (*signs.hides, *signs.once)]) & stands
    barred_row, barred_item = np.divmod(np.unique(place[bars]), STRIDE)
    lists = dict(rows.lists) | _interest(kind, place, values, signs, n_rows=n_rows)
    lists[KIND_OF] = Ragged(kind.astype(np.int32), keys.offsets)
    lists[ITEM_OF] = Ragged(item.astype(np.int32), keys.offsets)
    lists[SLOW_OF] = Ragged(values["history_slow"], keys.offsets)
    lists[LAST_OF] = Ragged(rows.lists["history_last_at"].values, keys.offsets)
    lists[BARRED] = Ragged(barred_item.astype(np.int32), np.searchsorted(barred_row, np.arange(n_rows + 1)))
    return replace(rows, lists=lists)


def _after_undoing(
    kind: np.ndarray, place: np.ndarray, values: Mapping[str, np.ndarray], signs: Signs
) -> tuple[np.ndarray, np.ndarray]:
    """Return what share of each record is left, float64 [N], and whether it was not taken back since, bool [N].

    Of a kind that happened in three weeks and was taken back in one, two thirds are left.
    """
    kept, stands = np.ones(len(kind)), np.ones(len(kind), dtype=bool)
    for undoing, undone in signs.undoes:
        mine, theirs = (np.flatnonzero(kind == signs.numbers[one]) for one in (undone, undoing))
        order = theirs[np.argsort(place[theirs])]
        if not len(mine) or not len(order):
            continue
        found = order[np.minimum(np.searchsorted(place[order], place[mine]), len(order) - 1)]
        both = place[found] == place[mine]
        mine, found = mine[both], found[both]
        weeks, back = values["history_weeks"][mine], values["history_weeks"][found]
        kept[mine] = np.clip(kept[mine] - back / weeks, 0.0, 1.0)
        stands[mine] &= values["history_last_at"][mine] > values["history_last_at"][found]
    return kept, stands


def _interest(
    kind: np.ndarray, place: np.ndarray, values: Mapping[str, np.ndarray], signs: Signs, *, n_rows: int
) -> dict[str, Ragged]:
    """Join the records of each user's wanted items into history lists: weighted sums, and of the weeks the most."""
    share = np.zeros(MOST_KINDS)
    share[[signs.numbers[one] for one in signs.wanted]] = list(signs.wanted.values())
    mine = np.flatnonzero((share[kind] > 0) & (values["history_weeks"] > 0))
    code, index = np.unique(place[mine], return_inverse=True)
    found: dict[str, np.ndarray] = {
        name: np.bincount(index, share[kind[mine]] * values[name][mine], minlength=len(code))
        for name in ("history_slow", "history_fast")
    }
    found["history_weeks"] = np.zeros(len(code))
    np.maximum.at(found["history_weeks"], index, values["history_weeks"][mine])
    found["history_first_at"], found["history_last_at"] = np.full(len(code), np.inf), np.zeros(len(code))
    np.minimum.at(found["history_first_at"], index, values["history_first_at"][mine])
    np.maximum.at(found["history_last_at"], index, values["history_last_at"][mine])
    row, found["history_items"] = np.divmod(code, STRIDE)
    order = np.lexsort((found["history_items"], -found["history_slow"], row))  # as rows without kinds are ordered
    offsets = np.searchsorted(row, np.arange(n_rows + 1))
    return {name: Ragged(found[name][order].astype(LIST_TYPES[name]), offsets) for name in columns.HISTORY_LISTS}
