"""The offline side of a logged answer: the row that it should have been made from, and the user's events.

The row is the batch's own, from the feature files that fill the online store, with the door's later events folded in.
Folding the whole history anew would give another row: a row holds a bounded number of items, and an item that fell out
on the way is not counted again, while the batch counts before it cuts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.recommender.logs import eventlog, json_lines
from bentos.release import Release
from feature_repo import columns, files
from feature_repo.online.provenance import since
from feature_repo.update import RECEIVED, Event, Folding, State, mirrored
from pipelines.environment import Installation

RELATIVE, LEAST = 1e-3, 1e-3  # by how much a sum of 32-bit floats may differ
FAMILIES = (
    columns.TARGET_LISTS,
    columns.HISTORY_LISTS,
    columns.RECEIVED_LISTS,
    columns.RECENT_LISTS,
    columns.DAILY_LISTS,
)
AT_ONCE = 500  # users
Row = dict[str, Any]


@dataclass(frozen=True)
class Offline:
    """What a release's rows are made from offline: the feature files of its vocabulary, and the events after them."""

    folding: Folding
    batch: Mapping[str, State]  # newest rows of the files, by user
    data_end: int  # epoch seconds: what the files know of came before
    later: Mapping[str, list[Row]]  # events that the door took, by user
    digests: Mapping[str, str] = field(default_factory=dict)  # of the newest rows, by user

    @classmethod
    def of(cls, place: Installation, release: Release, users: Iterable[str]) -> "Offline | None":
        """Read the rows of some users, if the files are there and mean what the release's do."""
        from components.profiles.online import materialise, row_stream

        features = materialise.published(place.home, release.vocabulary)
        if not (features / "profiles.json").is_file():
            return None
        folding, end = materialise.folding(features), materialise.data_end(features)
        if folding.calendar != release.calendar or folding.windows_days != release.profiles.windows_days:
            return None
        wanted = pa.array(sorted(set(users)), pa.string())
        batch = {user: cells for part in row_stream.rows(features, wanted, data_end=end, batch=AT_ONCE)
                 for user, cells in part.items()}  # fmt: skip
        later = accepted(place.home / eventlog.FOLDER, both_ends=folding.vocabulary.people)
        fallback = files.digest(files.read_json(features / "profiles.json"))
        told = row_stream.digests(features, fallback=fallback)
        told = told.filter(pc.is_in(told[columns.USER_ID], wanted))
        digests = dict(zip(*(told[name].to_pylist() for name in told.column_names), strict=True))
        return cls(folding, batch, int(end.timestamp()), later, digests)

    def row(self, answer: Mapping[str, Any]) -> State | None:
        """Return the row that an answer should have been made from; None where the files cannot tell.

        They cannot where the row is older than they are, and where they have no such user and no event came since.
        """
        user, state_at = str(answer[columns.USER_ID]), int(answer[columns.STATE_AT])
        if state_at < self.data_end:
            return None
        cells = self.batch.get(user)
        events = [event for event in since(self._pushed(user), self.data_end) if event.at < state_at]
        own = [event for event in events if not event.event.startswith(RECEIVED)]
        if cells is None and not own:
            return None
        state = self.folding.empty() | (cells or {}) | {columns.VOCABULARY: self.folding.vocabulary.digest}
        # Events of one second after each other: how many of them the row had seen is what it says itself.
        seen = int(answer["numbers"].get("events_total", -1)) - int(state["events_total"])
        left_out = own[seen:] if 0 <= seen < len(own) else []
        state = self.folding.fold(state, [event for event in events if event not in left_out])
        return self.folding.moved(state, state_at)

    def _pushed(self, user: str) -> list[Event]:
        """Return the events that the door pushed to a user's row, in order of arrival."""
        lines = self.later.get(user, ())
        return [
            eventlog.pushed(line, self.folding.calendar)
            if line[columns.USER_ID] == user
            else mirrored(eventlog.pushed(line, self.folding.calendar), by=str(line[columns.USER_ID]))
            for line in lines
        ]


def clean_events(clean: Path, users: Sequence[str]) -> dict[str, list[Row]]:
    """Read users' clean events in the order of ingest; times are epoch seconds."""
    found: dict[str, list[Row]] = {}
    table = pq.read_table(clean / "events.parquet", filters=pc.field(columns.USER_ID).isin(list(users)))
    for row in table.to_pylist():
        row[columns.TIMESTAMP] = int(row[columns.TIMESTAMP].timestamp())
        found.setdefault(str(row[columns.USER_ID]), []).append(row)
    return found


def accepted(folder: Path, *, both_ends: bool = False) -> dict[str, list[Row]]:
    """Read the events of a log that were confirmed, each key once, by user in order of arrival.

    `both_ends`: where items are people, also by whom each was done to.
    """
    found: dict[str, Row] = {}
    folded: set[str] = set()
    for path in json_lines.files(folder):
        for line in json_lines.read(path):
            folded.update(line.get(eventlog.FOLDED, ()))
            if eventlog.KEY in line:
                found.setdefault(line[eventlog.KEY], line)
    by_user: dict[str, list[Row]] = {}
    for key, event in found.items():
        if key in folded:
            for name in (columns.USER_ID, columns.ITEM_ID) if both_ends else (columns.USER_ID,):
                by_user.setdefault(str(event[name]), []).append(event)
    return by_user


def contrasts(answer: Mapping[str, Any], expected: Row) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, served, offline) of every feature that differs; lists are compared by their key."""
    for name, value in answer["numbers"].items():
        if name in expected and not _close(value, expected[name]):
            yield name, value, float(expected[name])
    for family in FAMILIES:
        if all(name in answer["lists"] for name in family):
            yield from _of_family(answer["lists"], expected, family)


def _of_family(served: Mapping[str, Any], expected: Row, family: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    """Compare parallel lists at the keys that both have."""
    keys = 2 if family == columns.RECENT_LISTS else 1

    def keyed(row: Mapping[str, Any]) -> dict[tuple[int, ...], tuple[float, ...]]:
        rows = zip(*(np.asarray(row[name], dtype=np.float64).tolist() for name in family), strict=True)
        return {tuple(int(v) for v in values[:keys]): values for values in rows}

    ours, theirs = keyed(served), keyed(expected)
    if odd := sorted(ours.keys() ^ theirs.keys()):
        here = odd[0] in ours
        yield f"{family[0]} {odd[0][0]}", "served" if here else "not served", "no such" if here else "should be"
    for key in sorted(ours.keys() & theirs.keys()):
        for name, value, again in zip(family, ours[key], theirs[key], strict=True):
            if not _close(value, again):
                yield f"{name} of {key[0]}", value, again


def _close(one: Any, other: Any) -> bool:
    return bool(np.isclose(float(one), float(other), rtol=RELATIVE if abs(float(other)) < 1e6 else 0.0, atol=LEAST))
