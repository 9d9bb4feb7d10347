"""Rows at a cutoff hold what was known at it: events that became known late count from when they did, as of then."""

import dataclasses
import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.build import blocks
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.clock import Step
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.profiles.reference import Reference

pytestmark = pytest.mark.world

WINDOWS = (7, 28)
SPLIT = json.dumps({"warmup_weeks": 2, "validate_weeks": 1, "test_weeks": 2})
PROFILES = json.dumps({"windows_days": WINDOWS, "segments": {"k": 2}})


def late_world(seed: int, timezone: str, *, step: Step = "week", n: int = 9) -> worlds.World:
    """Scatter events of which a third became known late: lines of one session hours to weeks apart."""
    world = worlds.scattered(seed, users=5, weeks=n, timezone=timezone, step=step)
    rng = random.Random(seed)
    events = []
    for event in world.events:
        at = event["timestamp"]
        assert isinstance(at, dt.datetime)
        late = rng.choice([0, 0, 0, 0, -1, 30, 9 * 24, rng.randrange(24 * 7 * 6)])  # hours
        events.append(event | {"created_at": at + dt.timedelta(hours=late)})
    return dataclasses.replace(world, events=events)


def windows(step: Step) -> tuple[float, ...]:
    """Return the windows; where hours are counted, one of six hours too."""
    return (0.25, *WINDOWS) if step == "hour" else WINDOWS


def built(world: worlds.World, folder: Path) -> Path:
    """Build the profiles of a world."""
    clean = world.write(folder / "clean")
    profiles = json.dumps(json.loads(PROFILES) | {"windows_days": windows(world.step)})
    steps.run_profiles(profiles, SPLIT, json.dumps(worlds.VOCABULARY), clean=clean, destination=folder / "profiles")
    return folder / "profiles"


def rows_of(profiles: Path, view: str) -> list[dict[str, Any]]:
    """Read a view's rows."""
    return list(pq.read_table(profiles / f"{view}.parquet").to_pylist())


def assert_like(row: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        mine = row[name]
        if isinstance(value, list):
            np.testing.assert_allclose(np.asarray(mine or []), np.asarray(value), rtol=1e-5, err_msg=name)
        else:
            assert mine == (value if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)), name


@pytest.mark.parametrize(
    ("seed", "timezone", "step", "n"),
    [
        (2, "America/New_York", "week", 9),
        (3, "Asia/Kolkata", "week", 9),
        (4, "Europe/Berlin", "day", 40),
        (5, "Asia/Kolkata", "hour", 60),
    ],
)
def test_every_row_is_what_its_cutoff_knew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, timezone: str, step: Step, n: int
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_EVENTS", 40)  # some users a block
    world = late_world(seed, timezone, step=step, n=n)
    profiles = built(world, tmp_path)
    vocabulary = Vocabulary.load(profiles / "vocabulary")
    slow = Reference(world.events, world.calendar, vocabulary, windows(step))
    for view in ("user_profile", "user_targets", "user_history", "user_daily"):
        for row in rows_of(profiles, view):
            user, at, cutoff = row["user_id"], row["event_timestamp"], row["week"]
            end_day = slow.span(at - dt.timedelta(seconds=1))
            assert row["state_at"] == int(at.timestamp())
            if view == "user_profile":
                assert_like(row, slow.profile(user, at, cutoff, end_day))
            elif view == "user_targets":
                assert_like(row, slow.lists(user, at, cutoff, "target") | slow.recent(user, at, cutoff))
            elif view == "user_history":
                assert_like(row, slow.lists(user, at, cutoff, "history"))
            else:
                assert_like(row, slow.daily(user, at, end_day))
                latest = max((e["timestamp"], e["session_id"]) for e in slow.known(at, user))
                assert row[columns.LAST_SESSION] == latest[1]
    for family, key in (("item", "item_index"), ("target", "target_id")):
        rows = rows_of(profiles, f"{family}_state")
        for week in {row["week"] for row in rows}:
            mine = {row[key]: row for row in rows if row["week"] == week}
            at = next(iter(mine.values()))["event_timestamp"]
            expected = slow.state(at, week, family)
            assert mine.keys() == expected.keys()
            for number, values in expected.items():
                assert_like(mine[number], values)


def test_every_user_with_a_known_event_has_a_row(tmp_path: Path) -> None:
    world = late_world(4, "UTC")
    profiles = built(world, tmp_path)
    found = {(r["user_id"], r["week"]) for r in rows_of(profiles, "user_profile")}
    for week in {week for _, week in found}:
        at = next(r["event_timestamp"] for r in rows_of(profiles, "user_profile") if r["week"] == week)
        slow = Reference(world.events, Calendar(worlds.FIRST_DAY), Vocabulary.load(profiles / "vocabulary"), WINDOWS)
        assert {u for u, w in found if w == week} == {e["user_id"] for e in slow.known(at)}


def test_a_late_event_counts_by_its_own_week_from_the_cutoff_after_it_became_known(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=4, weeks=10)
    at = Calendar(worlds.FIRST_DAY).start(3) + dt.timedelta(hours=20)
    known = Calendar(worlds.FIRST_DAY).start(6) + dt.timedelta(hours=1)
    late = worlds.event("u00", "i1", at, session="late", created_at=known)
    profiles = built(dataclasses.replace(world, events=[*world.events, late]), tmp_path)
    odd = Vocabulary.load(profiles / "vocabulary").index_of_item["i1"]
    rows = {r["week"]: r for r in rows_of(profiles, "user_history") if r["user_id"] == "u00"}
    assert odd not in rows[6]["history_items"]  # known an hour after this cutoff
    place = rows[7]["history_items"].index(odd)
    assert rows[7]["history_last_at"][place] == int(at.timestamp())
    assert rows[7]["history_slow"][place] == pytest.approx(columns.SLOW_DECAY**4)


def test_labels_hold_what_happened_whenever_it_became_known(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=4, weeks=10)
    at = Calendar(worlds.FIRST_DAY).start(9) + dt.timedelta(hours=20)
    late = worlds.event("u00", "i1", at, session="late", created_at=at + dt.timedelta(days=40))
    again = worlds.event("u00", "i1", at, session="late", created_at=at)  # the same week, known in time
    profiles = built(dataclasses.replace(world, events=[*world.events, late, again]), tmp_path)
    odd = Vocabulary.load(profiles / "vocabulary").index_of_item["i1"]
    bought = [r for r in rows_of(profiles, "keyed_items") if (r["user_id"], r["key"], r["week"]) == ("u00", odd, 9)]
    assert len(bought) == 1


def test_the_newest_row_knows_what_arrived_after_the_last_event(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=4, weeks=10)
    last = max(e["timestamp"] for e in world.events)  # type: ignore[type-var]
    assert isinstance(last, dt.datetime)
    arrival = last + dt.timedelta(days=10)
    late = worlds.event("u00", "i1", last - dt.timedelta(days=20), session="late", created_at=arrival)
    profiles = built(dataclasses.replace(world, events=[*world.events, late]), tmp_path)
    newest = max(rows_of(profiles, "user_profile"), key=lambda r: (r["state_at"], r["user_id"] == "u00"))
    assert newest["state_at"] == int(arrival.timestamp()) + 1
    assert newest["week"] == Calendar(worlds.FIRST_DAY).week(arrival) + 1
    assert newest["events_total"] == 1 + sum(e["user_id"] == "u00" for e in world.events)
