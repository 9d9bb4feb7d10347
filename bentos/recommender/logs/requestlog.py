"""The request log: one line for each answer, with the models' inputs, their scores and the items shown.

An answer is appended to a segment of JSON lines, which survives a killed process; segments that are full or old are
turned into parquet (compactor.py) and copied to a store (shipping.py). Readers take both
(feature_repo/logs/request_log.py).

Monitoring reads the log for drift, the parity check replays it (`rows_of`), off-policy evaluation takes its items with
their propensities as impressions. Users are pseudonyms. The names of the columns are in feature_repo/columns.py.
"""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import to_json

from bentos.recommender.logs import json_lines
from bentos.recommender.logs.compactor import Compactor
from bentos.recommender.logs.eventlog import EventLog
from bentos.recommender.logs.leftovers import Leftovers
from bentos.recommender.logs.shipping import Shipping, ShippingStatus
from components.policy.record import CHOICE
from feature_repo import columns
from feature_repo.logs import packed_answer, request_log
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

FOLDER = columns.REQUESTS_FOLDER
# A log that only grows would fill the disk of a pod. Ship the files elsewhere to keep more.
KEEP_BYTES = 512 << 20
SEGMENT_BYTES = 16 << 20  # of an open file; as parquet it is smaller
LONGEST, LONGEST_ITEM = 4096, 160  # bytes of a line without its numbers, and of an item that it shows, about
LONGEST_CANDIDATE = 64  # of an item that a policy could have shown
MAX_AGE_S = 900.0  # of a segment: what is in a store is at most about that old
log = logging.getLogger("intentflow.door")


@dataclass(frozen=True)
class LoggedAnswer:
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
    mirrored: bool = False  # a copy of a request: nobody sees the answer
    trace_id: str | None = None
    catalogue_version: int | None = None  # of the document log; None: it was never read


class RequestLog:
    """Appends answers. A disk that is full costs log lines, which are counted, not answers."""

    def __init__(
        self,
        folder: Path,
        *,
        sample: float = 1.0,  # share of answers; those that were degraded are always kept
        sample_key: str = "",  # hex, of all doors: callers choose ids of requests, and must not choose what is kept
        store: str = "",  # folder or URL that closed files are copied to
        keep_bytes: int = 0,  # of the store, if that is a folder; 0: everything stays
        events: EventLog | None = None,  # whose closed files go there too
        leftovers: Leftovers | None = None,  # what doors that are gone left on a shared volume
        compactor: Compactor | None = None,  # that makes parquet of segments; None: a thread does
        max_age_s: float = MAX_AGE_S,
        on_failure: Callable[[], None] = lambda: None,
        on_turn: Callable[[ShippingStatus], None] = lambda _: None,  # of the thread that compacts and copies
    ) -> None:
        self._lines = json_lines.Lines(
            folder, sync_every_s=1.0, max_bytes=SEGMENT_BYTES, keep_bytes=KEEP_BYTES, max_age_s=max_age_s
        )
        self._sample, self._on_failure = sample, on_failure
        self._sample_key = hashlib.sha256(f"sample {sample_key}".encode()).digest() if sample_key else b""
        leave = [self._lines.leave_old, *([] if events is None else [events.leave_old])]
        self._shipping = Shipping(
            folder,
            store,
            keep_bytes=keep_bytes,
            events=None if events is None else events.folder,
            leftovers=leftovers,
            leave=leave,
            compactor=compactor,
            on_turn=on_turn,
        )

    def append(self, answer: LoggedAnswer) -> None:
        """Write one answer, if it is of the sample."""
        sample = 1.0 if answer.degraded else self._sample
        if sample < 1.0 and not drawn(answer.request_id, sample, key=self._sample_key):
            return
        try:
            line, bodies = packed_line(answer, sample=sample)

            def referring(noted: set[str]) -> bytes:
                new = {key: packed_answer.text_of(body) for key, body in bodies.items() if key not in noted}
                written = to_json(line | {packed_answer.PACKED: new} if new else line)
                noted.update(new)
                return written

            could = answer.asked.get(CHOICE, {}).get("candidates", ())
            shown = LONGEST_ITEM * len(answer.items) + LONGEST_CANDIDATE * len(could)
            packed = sum(map(packed_answer.longest, bodies.values()))
            self._lines.append_referring(referring, most=packed + LONGEST + shown)
        except OSError as error:
            log.error("request %s was answered but not logged: %s", answer.request_id, error)
            self._on_failure()

    def close(self) -> None:
        """Sync and close; with a store what is left goes there, else it is compacted at the next start."""
        self._lines.close()
        self._shipping.close()


def drawn(request_id: str, sample: float, *, key: bytes = b"") -> bool:
    """Tell whether a request is of the sample; every process with the key says the same, and nobody else can tell.

    >>> drawn("a", 1.0), sum(drawn(str(n), 0.25) for n in range(1000))
    (True, 227)
    """
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8, key=key).digest()) < sample * 2**64


def line_of(answer: LoggedAnswer, *, sample: float = 1.0) -> dict[str, Any]:
    """Return the answer as readers see it; keys are columns.REQUEST_LOG."""
    rows = answer.rows
    told = {
        packed_answer.NUMBERS: {name: float(column[0]) for name, column in rows.numbers.items()},
        packed_answer.LISTS: {name: ragged.row(0).tolist() for name, ragged in rows.lists.items()},
        packed_answer.PROBABILITIES: answer.probabilities.tolist(),
    }
    line = _bare(answer, sample) | told
    return {name: line[name] for name in columns.REQUEST_LOG}


def packed_line(answer: LoggedAnswer, *, sample: float = 1.0) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the answer as an open segment holds it, and what the texts of its keys hold (packed_answer.py)."""
    rows, line = answer.rows, _bare(answer, sample)
    keys, bodies = packed_answer.bodies_of(
        line[columns.USER_ID],
        numbers=rows.numbers,
        lists={name: ragged.row(0) for name, ragged in rows.lists.items()},
        probabilities=np.asarray(answer.probabilities),
    )
    return line | keys, bodies


def _bare(answer: LoggedAnswer, sample: float) -> dict[str, Any]:
    """Return the answer without its numbers."""
    rows = answer.rows
    return {
        columns.REQUEST_ID: answer.request_id,
        "logged_at": dt.datetime.now(dt.UTC),
        "endpoint": answer.endpoint,
        columns.RELEASE: answer.release,
        "policy": answer.policy,
        columns.USER_ID: str(rows.user_id[0]),
        "now": int(rows.now[0]),
        columns.STATE_AT: int(rows.state_at[0]),
        "known": bool(rows.known[0]),
        "rung": answer.rung,
        "degraded": answer.degraded,
        "latency_ms": round(answer.latency_ms, 3),
        "asked": answer.asked,
        packed_answer.ITEMS: answer.items,
        "mirrored": answer.mirrored,
        "trace_id": answer.trace_id,
        "sample": sample,
        columns.CATALOGUE_VERSION: answer.catalogue_version,
    }


def rows_of(line: Mapping[str, Any]) -> UserRows:
    """Return the user row that a logged answer was made from: the same arrays, so the same scores."""
    lists = {}
    for name, values in line["lists"].items():
        row = np.asarray(values, dtype=LIST_TYPES[name])
        lists[name] = Ragged(row, np.asarray([0, len(row)], dtype=np.int64))
    return UserRows(
        user_id=np.asarray([line[columns.USER_ID]], dtype=object),
        now=np.asarray([line["now"]], dtype=np.int64),
        state_at=np.asarray([line[columns.STATE_AT]], dtype=np.int64),
        known=np.asarray([line["known"]]),
        numbers={name: np.asarray([value]) for name, value in line["numbers"].items()},
        lists=lists,
    )


def read(folder: Path, *, since_s: float = 0.0) -> Iterator[dict[str, Any]]:
    """Yield every logged answer, oldest first, of open segments and of parquet files; `since_s` as in answers.read."""
    return request_log.read(folder, since_s=since_s)
