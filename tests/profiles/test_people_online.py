"""Where items are people, the online store: an event moves both rows as a batch would, and a person leaves both."""
# a fixture of another module is an argument here

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import servers
from components.profiles import steps
from components.profiles.online import materialise
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.online import erase
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import KEY
from feature_repo.rows import UserRows
from feature_repo.update import Event, event_of, mirrored
from tests import people_worlds, worlds
from tests.profiles.online_stores import NUMBER

pytestmark = pytest.mark.world
CALENDAR = Calendar(worlds.FIRST_DAY)
LISTS = (*columns.RECEIVED_LISTS, *columns.HISTORY_LISTS)


class Place:
    """A store of its own, with what fills it."""

    def __init__(self, folder: Path, project: str = "people") -> None:
        self.folder, self.project = folder, project

    def built(self, world: worlds.World, name: str, *, fitted: Path | None = None) -> Path:
        clean, made = world.write(self.folder / name / "clean"), self.folder / name / "profiles"
        steps.run_profiles(
            json.dumps(people_worlds.PROFILES), json.dumps(people_worlds.SPLIT), json.dumps(people_worlds.VOCABULARY),
            clean=clean, destination=made, fitted=fitted,
        )  # fmt: skip
        return made

    def materialise(self, profiles: Path) -> OnlineProfiles:
        folds = materialise.folding(profiles)
        features = materialise.published(self.folder, folds.vocabulary.digest)
        materialise.publish(profiles, features)
        materialise.run(self.project, features, folds)
        return OnlineProfiles.open(self.project, folds)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    store = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv(KEY, "0a" * 16)
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(str(tmp_path / "registry.db"), store))
    monkeypatch.setattr(materialise, "SETTLED_S", 0.0)
    return Place(tmp_path)


@pytest.fixture
def anywhere(server: servers.Server, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The same on each kind of store, on its real server."""
    own = {"path": str(tmp_path / "online.db")} if server.kind == "sqlite" else {}
    settings = servers.settings(str(tmp_path / "registry.db"), server.online_store | own)
    monkeypatch.setenv("INTENTFLOW_FEAST", settings)
    return Place(tmp_path, f"people{next(NUMBER)}")


def world() -> worlds.World:
    """Return ten weeks of messages among seven people, of whom the last never writes."""
    return people_worlds.chatter(5, people=7, weeks=10)


def later(minutes: int, by: str, to: str) -> dict[str, object]:
    """Return a message after all others."""
    last: dt.datetime = max(e["timestamp"] for e in world().events)  # type: ignore[type-var, assignment]
    at = last + dt.timedelta(minutes=minutes)
    return worlds.event(by, to, at, session=f"late {by}", event="message")


def both(*lines: dict[str, object]) -> dict[str, list[Event]]:
    """Return events as the door pushes them, by user."""
    found: dict[str, list[Event]] = {}
    for n, line in enumerate(lines):
        at: Any = line["timestamp"]
        done = dataclasses.replace(event_of(line | {"timestamp": int(at.timestamp())}, CALENDAR), key=f"k{n}")
        found.setdefault(str(line["user_id"]), []).append(done)
        found.setdefault(str(line["item_id"]), []).append(mirrored(done, by=str(line["user_id"])))
    return found


def same(one: UserRows, other: UserRows) -> None:
    """Compare two users' lists by their keys."""
    for names in (columns.RECEIVED_LISTS, columns.HISTORY_LISTS):
        orders = [np.argsort(rows.lists[names[0]].values) for rows in (one, other)]
        for name in names:
            mine, theirs = (rows.lists[name].values[order] for rows, order in zip((one, other), orders, strict=True))
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, err_msg=name)


def test_pushed_events_give_both_rows_that_the_next_batch_gives(place: Place) -> None:
    profiles = place.built(world(), "first")
    online = place.materialise(profiles)
    lines = (later(5, "p00", "p01"), later(9, "p01", "p00"), later(12, "p02", "p06"))
    now = int(lines[-1]["timestamp"].timestamp()) + 1  # type: ignore[attr-defined]
    before = online.read(["p01"], now=now)
    online.push_all(both(*lines))
    pushed = {user: online.read([user], now=now) for user in ("p00", "p01", "p02", "p06")}
    assert pushed["p01"].lists["received_last_at"].values.max() > before.lists["received_last_at"].values.max()
    assert not pushed["p06"].known[0]  # who never acted has no row, as in a batch
    grown = dataclasses.replace(world(), events=[*world().events, *lines])
    online = place.materialise(place.built(grown, "second", fitted=profiles))
    for user in ("p00", "p01", "p02"):
        same(online.read([user], now=now), pushed[user])
    # What was done to somebody silent waits, and counts when they act.
    answer = later(20, "p06", "p02")
    online.push_all(both(answer))
    mine = online.read(["p06"], now=now + 3600)
    assert mine.known[0]
    place_of_p02 = online.folding.vocabulary.index_of_item["p02"]
    assert place_of_p02 in mine.lists["history_items"].values


def test_a_person_leaves_the_lists_of_those_who_met_them_on_every_store(anywhere: Place) -> None:
    name, online = anywhere.project, anywhere.materialise(anywhere.built(world(), "first"))
    online.push_all(both(later(5, "p00", "p01"), later(9, "p01", "p02"), later(12, "p00", "p02")))
    assert erase.erase_items(name, {"p01"}) == 2  # p00's message to them, and theirs that p02 has
    assert erase.erase(name, ["p01"]) > 0
    left = {user: [e.item_id for e in online.made_of([user])[0][1]] for user in ("p00", "p01", "p02")}
    assert left == {"p00": ["p02"], "p01": [], "p02": ["p00"]}
    assert erase.erase_items(name, {"p01"}) == 0
    assert online.read(["p00"], now=later(30, "p00", "p01")["timestamp"].timestamp()).known[0]  # type: ignore[attr-defined]
    online.push_all(both(later(20, "p00", "p03")))  # what is left is folded on, and written as before
    (((_, mine),),) = [online.made_of(["p00"])]
    assert [event.item_id for event in mine] == ["p02", "p03"]


def test_erasing_leaves_another_recommender_in_the_same_store_alone(anywhere: Place) -> None:
    other = Place(anywhere.folder / "other", f"{anywhere.project}x")
    profiles = anywhere.built(world(), "first")
    for one in (anywhere, other):
        one.materialise(profiles).push_all(both(later(5, "p00", "p01")))
    assert erase.erase_items(anywhere.project, {"p01"}) == 1
    assert erase.erase_items(other.project, {"p01"}) == 1


def test_a_batch_has_a_row_of_received_for_whom_it_has_a_row(place: Place) -> None:
    profiles = place.built(world(), "first")
    online = place.materialise(profiles)
    now = int(max(e["timestamp"].timestamp() for e in world().events)) + 2  # type: ignore[attr-defined]
    rows = online.read([f"p0{n}" for n in range(7)], now=now)
    assert rows.known.tolist() == [True] * 6 + [False]
    assert set(LISTS) <= set(rows.lists)
    assert all(len(rows.lists["received_items"].row(b)) for b in range(6))
