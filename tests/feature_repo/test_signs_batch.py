"""Kinds of events: folding a stream equals the batch, and labels and vocabularies count what was wanted."""

import datetime as dt
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.rows import LIST_TYPES
from feature_repo.signs import STRIDE
from feature_repo.update import Event, Folding, event_of
from feature_repo.vocabulary import Vocabulary
from tests import worlds
from tests.signs import SIGNS, VOCABULARY, scattered

CALENDAR = Calendar(worlds.FIRST_DAY)
WINDOWS = (7, 28)


def built(folder: Path, world: worlds.World) -> Path:
    steps.run_profiles(
        json.dumps({"windows_days": WINDOWS, "segments": {"k": 2}}),
        json.dumps({"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}),
        json.dumps(VOCABULARY),
        clean=world.write(folder / "clean"),
        destination=folder / "profiles",
    )
    return folder / "profiles"


@pytest.mark.world
@pytest.mark.parametrize("seed", [0, 1])
def test_folding_events_of_every_kind_equals_the_batch(tmp_path: Path, seed: int) -> None:
    world = scattered(seed)
    profiles = built(tmp_path, world)
    folding = Folding(CALENDAR, Vocabulary.load(profiles / "vocabulary"), WINDOWS)
    assert folding.vocabulary.signs == SIGNS
    end = max(int(e["timestamp"].timestamp()) for e in world.events) + 1  # type: ignore[attr-defined]
    by_user: dict[str, list[Event]] = defaultdict(list)
    for e in sorted(world.events, key=lambda e: str(e["timestamp"])):
        by_user[str(e["user_id"])].append(event_of(e | {"timestamp": e["timestamp"].timestamp()}, CALENDAR))  # type: ignore[attr-defined]
    batch: dict[str, dict[str, Any]] = defaultdict(dict)
    for view in ("user_profile", "user_targets", "user_history", "user_daily"):
        for row in pq.read_table(profiles / f"{view}.parquet").to_pylist():
            if row["week"] == world.weeks + 1:
                batch[row["user_id"]] |= row
    assert batch.keys() == set(world.users)
    seen: set[int] = set()
    for user, events in by_user.items():
        state = folding.moved(folding.fold(folding.empty(), events), end)
        for name in ("events_total", "sessions_total", "items_total", "weeks_total", "sessions_slow"):
            assert state[name] == pytest.approx(batch[user][name], rel=1e-5), (user, name)
        for name in (*columns.TARGET_LISTS, *columns.HISTORY_LISTS, *columns.RECENT_LISTS):
            theirs = np.asarray(batch[user].get(name) or [], dtype=LIST_TYPES[name])
            np.testing.assert_allclose(state[name], theirs, rtol=1e-4, err_msg=f"{user} {name}")
        seen |= {int(key) // STRIDE for key in state["history_items"]}
    assert "search" not in SIGNS.numbers
    assert seen == set(SIGNS.numbers.values())  # every kind that says something of an item was there
    assert batch["u99"]["events_total"] == 2
    assert not batch["u99"].get("history_items")


@pytest.mark.world
@pytest.mark.parametrize("late", [False, True])
def test_labels_popularity_and_prices_are_of_what_was_wanted(tmp_path: Path, late: bool) -> None:
    world = scattered(4, users=12, late=late)
    profiles = built(tmp_path, world)
    known = Vocabulary.load(profiles / "vocabulary")
    weeks: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    active: dict[int, set[str]] = defaultdict(set)
    priced: dict[object, list[Any]] = defaultdict(list)
    for e in world.events:
        at = e["timestamp"]
        assert isinstance(at, dt.datetime)
        week, user = CALENDAR.week(at), str(e["user_id"])
        active[week].add(user)
        if e["event"] == "purchase":
            priced[e["item_id"]].append(e)
        if e["item_id"] in known.index_of_item:
            weeks[user, known.index_of_item[str(e["item_id"])], week].add(str(e["event"]))
    shares = SIGNS.wanted
    worth = {
        key: max((shares[k] for k in kinds & shares.keys() if not (k == "purchase" and "return" in kinds)), default=0.0)
        for key, kinds in weeks.items()
    }
    found = {
        (row["user_id"], row["key"], row["week"]): row["worth"]
        for row in pq.read_table(profiles / "keyed_items.parquet").to_pylist()
    }
    expected = {key: value for key, value in worth.items() if value and key[2] >= 2}
    assert found == pytest.approx(expected)
    shown = {
        (row["user_id"], row["key"], row["week"]) for row in pq.read_table(profiles / "keyed_shown.parquet").to_pylist()
    }
    assert shown == {key for key, kinds in weeks.items() if "impression" in kinds and key[2] >= 2}
    state = pq.read_table(profiles / "item_state.parquet").to_pylist()
    if not late:
        last = world.weeks
        for row in (row for row in state if row["week"] == last + 1):
            users = sum(value for (_, item, week), value in worth.items() if (item, week) == (row["item_index"], last))
            assert row["share_1w"] == pytest.approx(users / len(active[last]), abs=1e-6)
            seen = 0.0  # of the users that were active, aged
            everyone = sum(0.96 ** (last + 1 - week) * len(users) for week, users in active.items())
            for (_, item, week), kinds in weeks.items():
                seen += 0.96 ** (last + 1 - week) * ("impression" in kinds and item == row["item_index"])
            assert row["shown_slow"] == pytest.approx(seen / everyone, abs=1e-6)
            mine = priced[known.item_ids[row["item_index"]]]
            paid = [(e, 0.8 ** (last + 1 - CALENDAR.week(e["timestamp"]))) for e in mine]
            value, quantity = (sum(e[name] * aged for e, aged in paid) for name in ("value", "quantity"))
            assert (row["price"] or 0.0) == pytest.approx(value / quantity if paid else 0.0, rel=1e-4)


@pytest.mark.world
def test_vocabularies_count_what_was_wanted(tmp_path: Path) -> None:
    """An item that was only ever skipped is recommended to nobody."""
    world = scattered(2, users=12)
    only = [e | {"event": "skip"} if e["item_id"] == "i3" else e for e in world.events]
    profiles = built(tmp_path, worlds.World(only, world.items, world.users, world.weeks))
    known = Vocabulary.load(profiles / "vocabulary")
    assert "i3" not in known.index_of_item
    assert len(known.item_ids) == 7
