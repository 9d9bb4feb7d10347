"""Which visits a model learns from and which judge it: those that begin in the clock's training and test steps.

Purged: a visit that has not ended when the next part begins is in no part, since its labels look into that time. Nor is
one whose end the data does not show: what came after its last event is not known yet.

Letters: N events, V visits, R rows.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.intent.sessions.visits import History, Rows
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError

PARTS = ("train", "validate", "test")


def parts(events: History, split: Mapping[str, Sequence[int]], calendar: Calendar, *, quiet_s: int) -> np.ndarray:
    """Return each visit's place in PARTS, int8 [V]; -1 of those that are in none."""
    V = int(events.visit.max()) + 1
    begin = np.full(V, np.iinfo(np.int64).max)
    np.minimum.at(begin, events.visit, events.at)
    end = np.zeros(V, dtype=np.int64)
    np.maximum.at(end, events.visit, events.at)
    step = calendar.weeks(begin)
    found = np.full(V, -1, dtype=np.int8)
    for place, (part, following) in enumerate(zip(PARTS, (*PARTS[1:], None), strict=True)):
        if not split[part]:
            continue
        inside = np.isin(step, split[part])
        if following is not None and split[following]:
            inside &= end < int(calendar.start(min(split[following])).timestamp())
        found[inside] = place
    found[end + quiet_s >= int(events.at.max())] = -1
    return found


def inside(events: History, weeks: Sequence[int], calendar: Calendar, *, quiet_s: int) -> np.ndarray:
    """Mark the visits that begin in some steps and whose end the data shows, bool [V]."""
    V = int(events.visit.max()) + 1
    begin, end = np.full(V, np.iinfo(np.int64).max), np.zeros(V, dtype=np.int64)
    np.minimum.at(begin, events.visit, events.at)
    np.maximum.at(end, events.visit, events.at)
    return np.asarray(np.isin(calendar.weeks(begin), weeks) & (end + quiet_s < int(events.at.max())))


def require_rows(rows: Rows, part: np.ndarray, events: History, *, what: str) -> None:
    """Refuse data in which no visit goes on, or a part without any row; `part` is of visits, [V]."""
    length = np.bincount(events.visit)
    spans = np.zeros(len(length), dtype=np.int64)
    order = np.lexsort((events.at, events.visit))
    within = np.diff(events.visit[order]) == 0
    np.maximum.at(spans, events.visit[order][1:][within], np.diff(events.at[order])[within])
    if not (spans > 0).any():
        raise DataError(
            f"sessions: none of the {len(length):,} visits, {what}, has events at two times, so nothing ever follows "
            "within one; give times to the second, a data.session_gap that joins what belongs together, or intents "
            "without `horizon: session`"
        )
    for place, name in enumerate(PARTS):
        if not (part[rows.visit] == place).any():
            raise DataError(
                f"sessions: no visit begins and ends in the {name} steps; give the source more steps of events, or "
                f"data.split more {name} steps"
            )
