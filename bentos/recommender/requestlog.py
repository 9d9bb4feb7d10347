"""The request log: one line an answer, with what the models saw, what they said and what was shown.

Monitoring reads it for drift, the parity check replays it (`rows_of`), off-policy evaluation takes items with
their propensities as impressions. Users are pseudonyms. Names of columns live in feature_repo/columns.py.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from bentos.recommender import lines
from feature_repo import columns
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

FOLDER = columns.REQUESTS_FOLDER
# A line holds a whole user row, of 20 to 50 kB; a log that only grows would fill the disk of a pod. Ship the files
# elsewhere to keep more.
KEEP_BYTES = 512 << 20
log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class Served:
    """One answer, as the door hands it to the log."""

    request_id: str
    endpoint: str
    release: str
    policy: str
    rung: str
    rows: UserRows  # of one user
    probabilities: np.ndarray  # [C]
    latency_ms: float
    degraded: str | None = None  # what failed, where a lower rung answered than should
    asked: Mapping[str, Any] = field(default_factory=dict)  # the request without its user
    items: Sequence[Mapping[str, Any]] = ()  # item_id, position, score, source, propensity


class RequestLog:
    """Appends answers. A disk that is full costs log lines, which are counted, not answers."""

    def __init__(self, folder: Path, *, on_failure: Callable[[], None] = lambda: None) -> None:
        self._lines = lines.Lines(folder, sync_every_s=1.0, keep_bytes=KEEP_BYTES)
        self._on_failure = on_failure

    def append(self, served: Served) -> None:
        """Write one answer."""
        try:
            self._lines.append(to_json(line_of(served)))
        except OSError:
            log.exception("request %s was answered but not logged", served.request_id)
            self._on_failure()

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()


def line_of(served: Served) -> dict[str, Any]:
    """Return the answer as the log holds it; keys are columns.REQUEST_LOG."""
    rows = served.rows
    values = (
        served.request_id,
        dt.datetime.now(dt.UTC),
        served.endpoint,
        served.release,
        served.policy,
        str(rows.user_id[0]),
        int(rows.now[0]),
        int(rows.state_at[0]),
        bool(rows.known[0]),
        served.rung,
        served.degraded,
        round(served.latency_ms, 3),
        served.asked,
        {name: float(column[0]) for name, column in rows.numbers.items()},
        {name: ragged.row(0).tolist() for name, ragged in rows.lists.items()},
        served.probabilities.tolist(),
        served.items,
    )
    return dict(zip(columns.REQUEST_LOG, values, strict=True))


def rows_of(line: Mapping[str, Any]) -> UserRows:
    """Return the user row that a logged answer was made from: the same arrays, so the same scores."""
    lists = {}
    for name, values in line["lists"].items():
        row = np.asarray(values, dtype=LIST_TYPES[name])
        lists[name] = Ragged(row, np.asarray([0, len(row)], dtype=np.int64))
    return UserRows(
        user_id=np.asarray([line[columns.USER_ID]], dtype=object),
        now=np.asarray([line["now"]], dtype=np.int64),
        state_at=np.asarray([line["state_at"]], dtype=np.int64),
        known=np.asarray([line["known"]]),
        numbers={name: np.asarray([value]) for name, value in line["numbers"].items()},
        lists=lists,
    )


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield every logged answer, oldest first."""
    for path in lines.files(folder):
        yield from lines.read(path)
