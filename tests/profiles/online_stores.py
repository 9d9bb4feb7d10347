"""A recommender's online store on a real server, and what tests look up in it."""

import datetime as dt
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import servers
from components.profiles.online import materialise
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.update import Event
from tests import worlds

CALENDAR = Calendar(worlds.FIRST_DAY)


WINDOWS = (7, 28, 91)


LAST = int(CALENDAR.start(17).timestamp())  # after every batch of these tests


NUMBER = itertools.count()


@dataclass
class Place:
    """A recommender's online store on one of the servers: empty at first."""

    server: servers.Server
    project: str
    home: Path

    def materialise(self, profiles: Path, *, each: materialise.Each = lambda _: None) -> dict[str, int]:
        folds = materialise.folding(profiles)
        features = materialise.published(self.home, folds.vocabulary.digest)
        materialise.publish(profiles, features)
        return materialise.run(self.project, features, folds, each=each)

    def open(self, profiles: Path) -> OnlineProfiles:
        return OnlineProfiles.open(self.project, materialise.folding(profiles))


def end_of(profiles: Path) -> int:
    return int(dt.datetime.fromisoformat(files.read_json(profiles / "profiles.json")["data_end"]).timestamp())


def vocabulary(profiles: Path) -> str:
    return materialise.folding(profiles).vocabulary.digest


def offline(profiles: Path, users: list[str], *, now: int) -> UserRows:
    """The files' newest rows, as point-in-time retrieval returns them."""
    merged: dict[str, dict[str, object]] = {}
    for view in ("user_profile", "user_targets", "user_history"):
        table = pq.read_table(profiles / f"{view}.parquet")
        for row in table.filter(pc.equal(table["week"], pc.max(table["week"]))).to_pylist():
            merged[row["user_id"]] = merged.get(row["user_id"], {}) | row
    rows = [merged[user] | {"now": now} for user in users]
    return UserRows.from_arrow(pa.Table.from_pylist(rows).drop(["week", "event_timestamp"]))


def assert_same(found: UserRows, expected: UserRows, *, rtol: float = 0.0) -> None:
    np.testing.assert_array_equal(found.known, expected.known)
    np.testing.assert_array_equal(found.state_at, expected.state_at)
    for name, values in expected.numbers.items():
        np.testing.assert_allclose(found.numbers[name], values, rtol=rtol, err_msg=name)
    for name, lists in expected.lists.items():
        np.testing.assert_array_equal(found.lists[name].offsets, lists.offsets, err_msg=name)
        np.testing.assert_allclose(found.lists[name].values, lists.values, rtol=rtol, err_msg=name)
        assert found.lists[name].values.dtype == LIST_TYPES[name]


def purchase(item: str, at: int, **values: object) -> Event:
    return Event(item, "purchase", at, f"s{at}", value=7.0, known_at=at, **values)  # type: ignore[arg-type]


def total(profiles: OnlineProfiles, user: str) -> float:
    return float(profiles.read([user], now=LAST + 900).numbers["events_total"][0])
