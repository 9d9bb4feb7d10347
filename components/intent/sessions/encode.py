"""What a user's last events say of the visit that goes on: the one encoder of session intents.

Training lays whole histories out as windows, the door one event memory (feature_repo/memory.py); both call `encode`, so
that a model sees the same numbers. A window holds the user's last MEMORY_EVENTS events in the memory's order, the
newest at its right end, and `visit` finds among them those of the visit of the newest. Ids of items and sessions are
only compared, so any numbers do that are equal where the ids are.

Letters: R rows, T events of a window, K kinds, G categories, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from feature_repo.columns import MEMORY_EVENTS
from feature_repo.memory import Remembered

MOST_KINDS, MOST_CATEGORIES, LAST = 20, 30, 3  # kinds and categories told apart, events that are seen one by one
OTHER = 0  # code of a kind or category that is not told apart; of an item: none
NUMBERS = (
    "position",
    "elapsed",
    "gap",
    "items",
    "repeats",
    "repeats_of_kind",
    "views_of_last_item",
    "other_kinds_of_last_item",
    "categories",
    "share_of_last_category",
    "earlier_events",
    "since_earlier",
)


@dataclass(frozen=True)
class Windows:
    """The last events of R rows, oldest first, the newest at T - 1; what lies left of the first is not `valid`."""

    at: np.ndarray  # [R, T] int64, epoch seconds
    kind: np.ndarray  # [R, T] int64, 1..K; OTHER
    item: np.ndarray  # [R, T] int64; 0 of an event without an item
    category: np.ndarray  # [R, T] int64, 1..G; OTHER
    session: np.ndarray  # [R, T] int64
    valid: np.ndarray  # [R, T] bool


@dataclass(frozen=True)
class Codes:
    """What positions of the features mean, and how a visit is told: fitted on training visits, saved with the model."""

    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    category_of: Mapping[str, int] = field(default_factory=dict, repr=False)  # by item id; absent: OTHER
    by_id: bool = False  # a new session id begins a visit
    gap_s: int | None = None  # longer silence begins one; None: it does not
    quiet_s: int = 0  # after so much silence the door takes the visit for over

    @cached_property
    def kind_of(self) -> dict[str, int]:
        """Code by kind."""
        return {kind: code for code, kind in enumerate(self.kinds, start=1)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name the features, F of them."""
        kinds = ("other", *self.kinds)
        return (
            *NUMBERS,
            *(f"n_{kind}" for kind in kinds),
            *(f"had_{kind}" for kind in kinds),
            *(f"earlier_{kind}" for kind in kinds),
            *(f"back_{back}_{kind}" for back in range(1, LAST + 1) for kind in kinds),
            *(f"last_category_{name}" for name in ("other", *self.categories)),
        )

    def document(self) -> dict[str, Any]:
        """Return what a file holds, beside the items' categories."""
        return {
            "kinds": list(self.kinds),
            "categories": list(self.categories),
            "by_id": self.by_id,
            "gap_s": self.gap_s,
            "quiet_s": self.quiet_s,
        }


def window(events: Sequence[Remembered], codes: Codes) -> Windows:
    """Lay one user's memory out as a window of one row."""
    events = list(events)[-MEMORY_EVENTS:]
    T, n = MEMORY_EVENTS, len(events)
    items = {item: code for code, item in enumerate(dict.fromkeys(e.item_id for e in events if e.item_id), start=1)}
    sessions = {name: code for code, name in enumerate(dict.fromkeys(e.session_id for e in events))}

    def cells(values: Sequence[int]) -> np.ndarray:
        found = np.zeros((1, T), dtype=np.int64)
        found[0, T - n :] = values
        return found

    return Windows(
        at=cells([e.at for e in events]),
        kind=cells([codes.kind_of.get(e.event, OTHER) for e in events]),
        item=cells([items.get(e.item_id, 0) for e in events]),
        category=cells([codes.category_of.get(e.item_id, OTHER) for e in events]),
        session=cells([sessions[e.session_id] for e in events]),
        valid=np.arange(T)[None] >= T - n,
    )


def visit(windows: Windows, codes: Codes) -> np.ndarray:
    """Mark the events of the visit that the newest event is in, bool [R, T]."""
    same = windows.valid & (windows.session == windows.session[:, -1:]) if codes.by_id else windows.valid
    if codes.gap_s is None:
        return np.asarray(same)
    mine = np.zeros_like(same)
    following = windows.at[:, -1].copy()  # [R] instant of the visit's event after this one
    open_ = np.ones(len(same), dtype=bool)
    for place in range(same.shape[1] - 1, -1, -1):
        open_ &= ~same[:, place] | (following - windows.at[:, place] <= codes.gap_s)
        mine[:, place] = same[:, place] & open_
        following = np.where(mine[:, place], windows.at[:, place], following)
    return mine


def encode(windows: Windows, codes: Codes) -> np.ndarray:
    """Encode windows whose newest event is valid, float32 [R, F]: what the visit held so far, as of that event."""
    mine = visit(windows, codes)
    at, item, kind = windows.at, windows.item, windows.kind
    K = len(codes.kinds) + 1
    newest, n = at[:, -1], mine.sum(axis=1)
    first = np.where(mine, at, newest[:, None]).min(axis=1)
    before = mine[:, :-1]
    previous = np.where(before, at[:, :-1], first[:, None]).max(axis=1)
    earlier = windows.valid & ~mine & (at <= first[:, None])
    had_earlier = earlier.any(axis=1)
    earlier_at = np.where(earlier, at, 0).max(axis=1)
    last = item[:, -1:]
    of_last = before & (item[:, :-1] == last) & (last > 0)
    as_last = of_last & (kind[:, :-1] == kind[:, -1:])
    items = _distinct(np.where(mine, item, 0))
    with_item = (mine & (item > 0)).sum(axis=1)
    category = windows.category
    numbers = [
        n,
        newest - first,
        newest - previous,
        items,
        with_item - items,
        with_item - _distinct(np.where(mine & (item > 0), item * K + kind, 0)),
        as_last.sum(axis=1),
        (of_last & ~as_last).sum(axis=1),
        _distinct(np.where(mine, category, 0)),
    ]
    share = (mine & (category == category[:, -1:])).sum(axis=1) / n
    since = np.where(had_earlier, first - earlier_at, 0)
    counts = np.stack([(mine & (kind == code)).sum(axis=1) for code in range(K)], axis=1)  # [R, K + 1]
    past = np.stack([(earlier & (kind == code)).sum(axis=1) for code in range(K)], axis=1)
    parts = [
        np.log1p(np.stack(numbers, axis=1)),
        share[:, None],
        np.log1p(np.stack([earlier.sum(axis=1), since], axis=1)),
        np.log1p(counts),
        counts > 0,
        np.log1p(past),
        *(_one_hot(_back(mine, kind, steps), K) for steps in range(LAST)),
        _one_hot(category[:, -1], len(codes.categories) + 1),
    ]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=1)


def _distinct(values: np.ndarray) -> np.ndarray:
    """Count the distinct values above 0 of each row, int64 [R].

    >>> _distinct(np.array([[0, 3, 3, 5], [0, 0, 0, 0]])).tolist()
    [2, 0]
    """
    ordered = np.sort(values, axis=1)
    changes = (ordered[:, 1:] != ordered[:, :-1]) & (ordered[:, 1:] > 0)
    return np.asarray(changes.sum(axis=1) + (ordered[:, 0] > 0))


def _back(mine: np.ndarray, kind: np.ndarray, steps: int) -> np.ndarray:
    """Return the kind of the visit's event so many before its newest, int64 [R]; -1 where there is none."""
    rank = np.cumsum(mine[:, ::-1], axis=1)[:, ::-1]  # 1 of the newest
    wanted = mine & (rank == steps + 1)
    return np.where(wanted.any(axis=1), (kind * wanted).sum(axis=1), -1)


def _one_hot(codes: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(codes[:, None] == np.arange(n))
