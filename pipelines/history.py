"""A user's events from everywhere, and the row that they give: what parity and `why` hold against the request log.

Events are the last run's clean ones and those that the door took since (its event log). A row is folded anew, event
by event, with `feature_repo.update`; segment and attributes, which no event changes, are the last run's own.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.recommender import eventlog, lines
from bentos.release import RANKING, Release
from feature_repo import artifacts, columns
from feature_repo.calendar import Calendar
from feature_repo.update import Folding, event_of
from feature_repo.vocabulary import Vocabulary
from pipelines import local
from pipelines.environment import Place

RELATIVE, LEAST = 1e-3, 1e-3  # by how much a sum of 32-bit floats may differ
FAMILIES = (columns.TARGET_LISTS, columns.HISTORY_LISTS, columns.RECENT_LISTS, columns.DAILY_LISTS)
GIVEN = (columns.SEGMENT, columns.ATTRIBUTES)  # not made of events
Row = dict[str, Any]


@dataclass(frozen=True)
class Offline:
    """What a release's rows can be made from."""

    clean: Path
    home: Path
    folding: Folding
    users: tuple[str, ...]  # whose rows are wanted

    @classmethod
    def of(cls, place: Place, release: Release, users: Iterable[str]) -> "Offline | None":
        """Take the last run, if its rows mean what the release's do."""
        run = local.last_run(place.home)
        if run is None or not {"clean", "features"} <= run.folders.keys():
            return None
        vocabulary = Vocabulary.load(release.folder / RANKING / "vocabulary")
        calendar = Calendar(**artifacts.read_json(run.folders["clean"] / "snapshot.json")["calendar"])
        theirs = artifacts.read_json(run.folders["features"] / "profiles.json")["vocabulary"]
        if theirs != vocabulary.digest or calendar != release.calendar:
            return None
        folding = Folding(calendar, vocabulary, release.profiles.windows_days, release.ranking.event)
        return cls(run.folders["clean"], place.home, folding, tuple(sorted(set(users))))

    @cached_property
    def batch(self) -> dict[str, list[Row]]:
        """The clean events, by user."""
        return clean_events(self.clean, self.users)

    @cached_property
    def later(self) -> dict[str, list[Row]]:
        """The events that the door took, by user."""
        return accepted(self.home / eventlog.FOLDER)

    def row(self, answer: Mapping[str, Any]) -> Row | None:
        """Fold the row that an answer should have been made from; None where no event of the user is known."""
        user, state_at = str(answer[columns.USER_ID]), int(answer["state_at"])
        batch = [e for e in self.batch.get(user, ()) if e[columns.TIMESTAMP] < state_at]
        arrived = [e for e in self.later.get(user, ()) if e[columns.TIMESTAMP] < state_at]
        # Events of one second after each other: how many of them the row had seen is what it says itself.
        seen = int(answer["numbers"].get("events_total", -1)) - len(batch)
        if 0 <= seen < len(arrived):
            arrived = arrived[:seen]
        events = [event_of(event, self.folding.calendar) for event in [*batch, *arrived]]
        state = self.folding.fold(self.folding.empty(), events)
        if not batch and not arrived:
            return None
        self.folding._move_on(state, max(state_at, int(state["state_at"])))
        # Folding counts items of the vocabulary, the batch counts all; a new event's item counts if it is in it.
        items = {e[columns.ITEM_ID] for e in batch if self._counts(e)}
        new = {e[columns.ITEM_ID] for e in arrived if self._counts(e)} & self.folding.vocabulary.index_of_item.keys()
        state["items_total"] = float(len(items | new))
        return self._windows(state, state_at) | {"state_at": max(state_at, int(state["state_at"]))}

    def _counts(self, event: Row) -> bool:
        return self.folding.item_event in (None, event.get(columns.EVENT))

    def _windows(self, state: Row, state_at: int) -> Row:
        """Sum the windows that end at `state_at`."""
        end = self.folding._day(dt.datetime.fromtimestamp(state_at - 1, dt.UTC))
        sums = {}
        for days in self.folding.windows_days:
            inside = (state["daily_days"] > end - days) & (state["daily_days"] <= end)
            for name in columns.WINDOWED:
                sums[columns.windowed(name, days)] = float(state[f"daily_{name}"][inside].sum(dtype=np.float64))
        return state | sums


def clean_events(clean: Path, users: Sequence[str]) -> dict[str, list[Row]]:
    """Read users' clean events in the order of ingest; times are epoch seconds."""
    found: dict[str, list[Row]] = {}
    table = pq.read_table(clean / "events.parquet", filters=pc.field(columns.USER_ID).isin(list(users)))
    for row in table.to_pylist():
        row[columns.TIMESTAMP] = int(row[columns.TIMESTAMP].timestamp())
        found.setdefault(str(row[columns.USER_ID]), []).append(row)
    return found


def accepted(folder: Path) -> dict[str, list[Row]]:
    """Read the events of a log that were confirmed, each key once, by user in order of arrival."""
    found: dict[str, Row] = {}
    folded: set[str] = set()
    for path in lines.files(folder):
        for line in lines.read(path):
            folded.update(line.get(eventlog.FOLDED, ()))
            if eventlog.KEY in line:
                found.setdefault(line[eventlog.KEY], line)
    by_user: dict[str, list[Row]] = {}
    for key, event in found.items():
        if key in folded:
            by_user.setdefault(str(event[columns.USER_ID]), []).append(event)
    return by_user


def contrasts(answer: Mapping[str, Any], expected: Row) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, served, offline) of every feature that differs; lists are compared by their key."""
    for name, value in answer["numbers"].items():
        if name in expected and name not in GIVEN and not _close(value, expected[name]):
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
    full = family == columns.HISTORY_LISTS and columns.HISTORY_LIMIT in (len(ours), len(theirs))  # ties at its end
    if not full and (odd := sorted(ours.keys() ^ theirs.keys())):
        here = odd[0] in ours
        yield f"{family[0]} {odd[0][0]}", "served" if here else "not served", "no such" if here else "should be"
    for key in sorted(ours.keys() & theirs.keys()):
        for name, value, again in zip(family, ours[key], theirs[key], strict=True):
            if not _close(value, again):
                yield f"{name} of {key[0]}", value, again


def _close(one: Any, other: Any) -> bool:
    return bool(np.isclose(float(one), float(other), rtol=RELATIVE if abs(float(other)) < 1e6 else 0.0, atol=LEAST))
