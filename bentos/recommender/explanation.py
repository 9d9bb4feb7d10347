"""The values of a user row that concern one item, each with its name and the time that it describes.

A value that is itself a time ("last bought at") has that time; sums and totals have the time of the row's state; the
ranker's reasons are computed for the request and have its time.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bentos.endpoints.schemas import Feature
from bentos.recommender.logs.intake import instant
from feature_repo import columns
from feature_repo.rows import UserRows

TIMES = ("_first_at", "_last_at")  # tails of the names of list columns that hold epoch seconds


def features_of(
    rows: UserRows, *, item_index: int, targets: Mapping[int, str], reasons: Mapping[str, float]
) -> list[Feature]:
    """Return the ranker's reasons, the user's record with the item and its targets, and the profile's numbers."""
    now, state_at = instant(int(rows.now[0])), instant(int(rows.state_at[0]))
    found = [Feature(name=name, value=float(value), at=now) for name, value in reasons.items()]
    if not rows.known[0]:
        return found
    found += _record(rows, columns.HISTORY_LISTS, item_index, "item")
    for target, name in targets.items():
        found += _record(rows, columns.TARGET_LISTS, target, name)
    for name in sorted(rows.numbers, key=_order):
        value = float(rows.numbers[name][0])
        if not math.isfinite(value):  # JSON has no such number
            continue
        at = instant(int(value)) if name in columns.PROFILE_TIMES else state_at
        found.append(Feature(name=name, value=value, at=at))
    return found


def _order(name: str) -> tuple[int, str]:
    """Order the profile's numbers as models see them; a store's order varies."""
    known = columns.profile_columns()
    return known.index(name) if name in known else len(known), name


def _record(rows: UserRows, family: tuple[str, ...], key: int, label: str) -> list[Feature]:
    """Return what the parallel lists of a family hold about one key."""
    keys, *values = family
    if any(name not in rows.lists for name in family):
        return []
    places = np.flatnonzero(rows.lists[keys].row(0) == key)
    return [_feature(rows, name, int(places[0]), label) for name in values] if len(places) else []


def _feature(rows: UserRows, name: str, place: int, label: str) -> Feature:
    value: Any = rows.lists[name].row(0)[place]
    at = int(value) if name.endswith(TIMES) else int(rows.state_at[0])
    return Feature(name=f"{label}: {name}", value=float(value), at=instant(at))
