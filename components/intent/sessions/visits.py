"""Visits from a table of events: who was there when, what followed within the visit, and windows to encode.

A visit is a session of the data's own, or what lies between two silences longer than a gap. A row stands after each
instant at which its user did something, with all events of that instant, so that no order among them is a label. Its
label looks at the later events of the visit and nowhere else. Events count as they happened: the door is told of them
within the visit, whenever a file brings them.

Letters: N events, V visits, R rows, T events of a window, C session intents.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from components.intent.sessions.encode import (
    MOST_CATEGORIES,
    MOST_KINDS,
    OTHER,
    Codes,
    Windows,
)
from components.intent.sessions.spec import USUAL_GAP_S, SessionIntent
from feature_repo import columns
from feature_repo.columns import MEMORY_EVENTS
from feature_repo.errors import DataError

COLUMNS = (columns.USER_ID, columns.TIMESTAMP, columns.SESSION_ID, columns.ITEM_ID, columns.EVENT, columns.VALUE)
QUIETEST = 0.99  # share of the silences within visits that are shorter than what ends one


@dataclass(frozen=True)
class History:
    """Events of all users in the order of their memories, user by user; numbers stand for ids and kinds."""

    user: np.ndarray  # [N] int64, by first appearance
    at: np.ndarray  # [N] int64, epoch seconds
    session: np.ndarray  # [N] int64
    item: np.ndarray  # [N] int64, 0: none
    kind: np.ndarray  # [N] int64, a place in `kinds`
    kinds: tuple[str, ...]
    item_ids: tuple[str, ...]  # by item - 1
    user_ids: tuple[str, ...]  # by user
    sessions_told: bool  # the data names sessions itself
    visit: np.ndarray  # [N] int64, user by user; -1 until `cut`

    def __len__(self) -> int:
        return len(self.user)


def history(events: pa.Table, *, timezone: str) -> History:
    """Order the canonical events; a source without sessions has one a user and local day, which is no visit."""
    table = events.select([name for name in COLUMNS if name in events.column_names]).to_pandas()
    if not len(table):
        raise DataError("sessions: there are no events; nothing can be learnt of visits")
    stamps = pd.to_datetime(table[columns.TIMESTAMP], utc=True)
    table["at"] = stamps.astype("datetime64[s, UTC]").astype("int64")
    day = stamps.dt.tz_convert(timezone).dt.strftime("%Y-%m-%d")
    own = table[columns.SESSION_ID].fillna("").astype(str)
    told = bool((own != table[columns.USER_ID].astype(str) + " " + day).any())
    table[columns.SESSION_ID] = own
    for name in (columns.ITEM_ID, columns.EVENT):
        table[name] = table[name].astype("string").fillna("").astype(str)
    if columns.VALUE not in table:
        table[columns.VALUE] = 0.0
    table = table.sort_values("at", kind="stable")
    user, user_ids = pd.factorize(table[columns.USER_ID])
    session, _ = pd.factorize(table[columns.SESSION_ID], sort=True)
    item, item_ids = pd.factorize(table[columns.ITEM_ID], sort=True)
    kind, kinds = pd.factorize(table[columns.EVENT], sort=True)
    value = table[columns.VALUE].fillna(0.0).to_numpy()
    order = np.lexsort((value, kind, item, session, table["at"].to_numpy(), user))
    named = [str(one) for one in item_ids]
    first_is_none = bool(named) and named[0] == ""
    return History(
        user=user[order].astype(np.int64),
        at=table["at"].to_numpy()[order],
        session=session[order].astype(np.int64),
        item=item[order].astype(np.int64) + (0 if first_is_none else 1),
        kind=kind[order].astype(np.int64),
        kinds=tuple(map(str, kinds)),
        item_ids=tuple(named[1:] if first_is_none else named),
        user_ids=tuple(map(str, user_ids)),
        sessions_told=told,
        visit=np.full(len(order), -1, dtype=np.int64),
    )


def cut(events: History, *, gap_s: int | None) -> tuple[History, int | None]:
    """Cut the histories into visits; return them and the gap that was used, None where session ids alone tell.

    A gap that the spec declares ends visits in any case; without one, and without sessions of the data's own, half an
    hour of silence does.
    """
    used = gap_s if gap_s is not None or events.sessions_told else USUAL_GAP_S
    keys = (events.user, events.session) if events.sessions_told else (events.user,)
    order = np.lexsort((np.arange(len(events)), *reversed(keys)))  # stable within a user's session
    new = np.zeros(len(events), dtype=bool)
    new[0] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    if used is not None:
        new[1:] |= np.diff(events.at[order]) > used
    number = np.cumsum(new) - 1
    visit = np.empty(len(events), dtype=np.int64)
    visit[order] = number
    return replace(events, visit=visit), used


def codes(events: History, part: np.ndarray, categories: dict[str, str], *, gap_s: int | None) -> Codes:
    """Fit what features tell apart on the events of training visits, bool [N]; `categories` are by item id."""
    counts = np.bincount(events.kind[part], minlength=len(events.kinds))
    common = [k for k in np.argsort(-counts, kind="stable")[:MOST_KINDS] if counts[k]]
    kinds = tuple(sorted(events.kinds[k] for k in common))
    items = np.bincount(events.item[part], minlength=len(events.item_ids) + 1)[1:]
    weight: dict[str, int] = {}
    for item, n in zip(events.item_ids, items.tolist(), strict=True):
        if n and item in categories:
            weight[categories[item]] = weight.get(categories[item], 0) + n
    named = tuple(sorted(sorted(weight, key=lambda name: (-weight[name], name))[:MOST_CATEGORIES]))
    code = {name: place for place, name in enumerate(named, start=1)}
    of = {item: code[name] for item, name in categories.items() if name in code}
    return Codes(kinds, named, of, by_id=events.sessions_told, gap_s=gap_s, quiet_s=quiet(events, part, gap_s))


def quiet(events: History, part: np.ndarray, gap_s: int | None) -> int:
    """Return after how much silence a visit counts as over: the gap, or what is longer than nearly all within one."""
    if gap_s is not None:
        return gap_s
    order = np.lexsort((events.at, events.visit))
    order = order[part[order]]
    within = np.diff(events.visit[order]) == 0
    silences = np.diff(events.at[order])[within]
    return max(USUAL_GAP_S, int(np.quantile(silences, QUIETEST)) if len(silences) else 0)


@dataclass(frozen=True)
class Rows:
    """Where a model is asked: after which events, what then followed, and in which part of the split."""

    event: np.ndarray  # [R] int64, the newest event of the row
    labels: np.ndarray  # [R, C] uint8
    position: np.ndarray  # [R] int64, events of the visit so far
    visit: np.ndarray  # [R] int64
    user: np.ndarray  # [R] int64

    def __len__(self) -> int:
        return len(self.event)

    def take(self, index: np.ndarray) -> "Rows":
        """Return some rows."""
        return Rows(*(getattr(self, name)[index] for name in ("event", "labels", "position", "visit", "user")))


def rows(events: History, intents: Sequence[SessionIntent], *, positions: int = MEMORY_EVENTS) -> Rows:
    """Make a row after each instant of a user at which a visit has at most `positions` events, with its labels."""
    N, V = len(events), int(events.visit.max()) + 1
    order = np.lexsort((np.arange(N), events.visit))
    starts = np.searchsorted(events.visit[order], np.arange(V))
    place = np.empty(N, dtype=np.int64)  # within the visit, from 0
    place[order] = np.arange(N) - starts[events.visit[order]]
    length = np.bincount(events.visit, minlength=V)
    changes = np.ones(N, dtype=bool)
    changes[:-1] = (events.user[1:] != events.user[:-1]) | (events.at[1:] != events.at[:-1])
    at = np.flatnonzero(changes & (place < positions))
    labels = np.zeros((len(at), len(intents)), dtype=np.uint8)
    visit, where = events.visit[at], place[at]
    for c, intent in enumerate(intents):
        if intent.ends or intent.event is None:
            follows = where < length[visit] - 1
            labels[:, c] = ~follows if intent.ends else follows
            continue
        of_kind = np.flatnonzero(events.kind == _kind(events, intent))
        latest = np.full(V, -1, dtype=np.int64)
        np.maximum.at(latest, events.visit[of_kind], place[of_kind])
        labels[:, c] = latest[visit] > where
    return Rows(at, labels, where + 1, visit, events.user[at])


def _kind(events: History, intent: SessionIntent) -> int:
    if intent.event not in events.kinds:
        have = ", ".join(kind or "''" for kind in events.kinds[:20])
        raise DataError(f"intents.{intent.name}.event: no event is of the kind '{intent.event}'; have {have}")
    return events.kinds.index(intent.event)


def windows(events: History, newest: np.ndarray, fitted: Codes) -> Windows:
    """Lay out the last events of users up to some events [R], as memories hold them."""
    T = MEMORY_EVENTS
    index = newest[:, None] - np.arange(T - 1, -1, -1)  # [R, T]
    first = np.searchsorted(events.user, events.user[newest])  # [R]
    valid = index >= first[:, None]
    index = np.maximum(index, 0)
    kind_code = np.asarray([fitted.kind_of.get(kind, OTHER) for kind in events.kinds], dtype=np.int64)
    category_code = np.zeros(len(events.item_ids) + 1, dtype=np.int64)
    category_code[1:] = [fitted.category_of.get(item, OTHER) for item in events.item_ids]

    def cells(values: np.ndarray) -> np.ndarray:
        return np.where(valid, values[index], 0)

    return Windows(
        at=cells(events.at),
        kind=cells(kind_code[events.kind]),
        item=cells(events.item),
        category=cells(category_code[events.item]),
        session=cells(events.session),
        valid=valid,
    )
