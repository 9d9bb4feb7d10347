"""The last served window: the user rows that the service answered from lately, read from its request log.

A log holds one row for each answer (columns.REQUEST_LOG), with the user row and the scores. The unit of monitoring is a
user-week, so a user who asked ten times in a week counts once, with the row of the last answer.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.logs import request_log
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

DAY_S = 86_400
DAYS = 28  # of the log, back from its latest `now`


@dataclass(frozen=True)
class ServedWindow:
    """User rows as served, all known, one a user and week, with the scores that were made from them."""

    rows: UserRows
    probabilities: np.ndarray  # [B, C], targets in the order of the release's vocabulary


def last_window(folder: Path, *, calendar: Calendar, targets: int, limit: int) -> ServedWindow | None:
    """Read the last `DAYS` days of a log, by the data's clock, at most `limit` user-weeks; None where there are none.

    Answers scored by a release with another number of targets are left out, and those that no model scored (the
    ladder's lower rungs): their scores mean something else.
    The log is read backwards and no further than twice the limit, so that its length costs nothing.
    """
    found: dict[tuple[str, int], _Answer] = {}
    since = 0
    # What a router mirrored nobody asked for.
    seen = (line for line in request_log.read(folder, newest_first=True) if not line.get("mirrored"))
    for line in itertools.islice(seen, 2 * limit):
        if len(found) == limit:
            break
        now = int(line["now"])
        since = max(since, now - DAYS * DAY_S)
        if line["rung"] in columns.MODELLED and len(line["probabilities"]) == targets:
            week = int(calendar.upcoming(np.asarray([now]))[0])
            found.setdefault((line[columns.USER_ID], week), _Answer.of(line))
    kept = [answer for _, answer in sorted(found.items()) if answer.now > since]
    return _stacked(kept) if kept else None


@dataclass(frozen=True)
class _Answer:
    """What is kept of a line: lists of Python objects would need ten times the memory."""

    user_id: str
    now: int
    state_at: int
    numbers: Mapping[str, float]
    lists: Mapping[str, np.ndarray]
    probabilities: np.ndarray  # [C]

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> "_Answer":
        lists = {name: np.asarray(line["lists"][name], dtype=LIST_TYPES[name]) for name in columns.RECENT_LISTS}
        probabilities = np.asarray(line["probabilities"], dtype=np.float32)
        now, state_at = int(line["now"]), int(line[columns.STATE_AT])
        return cls(line[columns.USER_ID], now, state_at, line["numbers"], lists, probabilities)


def _stacked(kept: Sequence[_Answer]) -> ServedWindow:
    """Stack answers; numbers that an older release did not have are zeros."""
    rows = UserRows(
        user_id=np.asarray([a.user_id for a in kept], dtype=object),
        now=np.asarray([a.now for a in kept], dtype=np.int64),
        state_at=np.asarray([a.state_at for a in kept], dtype=np.int64),
        known=np.ones(len(kept), dtype=bool),
        numbers={
            name: np.asarray([a.numbers.get(name, 0.0) for a in kept], dtype=np.float64)
            for name in dict.fromkeys(name for a in kept for name in a.numbers)
        },
        lists={name: _ragged([a.lists[name] for a in kept]) for name in columns.RECENT_LISTS},
    )
    return ServedWindow(rows, np.stack([a.probabilities for a in kept]).astype(np.float64))


def _ragged(lists: Sequence[np.ndarray]) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in lists])]).astype(np.int64)
    return Ragged(np.concatenate(lists), offsets)
