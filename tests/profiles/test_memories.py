"""Event memories of training cutoffs come through Feast, and hold nothing of what came after the cutoff."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.training import memories, training_set
from feature_repo import columns, files, memory
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from tests import worlds
from tests.profiles.conftest import Made
from tests.profiles.test_late import SPLIT, WINDOWS, late_world

pytestmark = pytest.mark.world


def built(world: worlds.World, folder: Path, **more: object) -> Path:
    """Build the profiles of a world whose spec keeps the memories of training weeks."""
    spec = {"windows_days": WINDOWS, "segments": {"k": 2}, "memory": "training"} | more
    clean = world.write(folder / "clean")
    steps.run_profiles(json.dumps(spec), SPLIT, json.dumps(worlds.VOCABULARY), clean=clean,
                       destination=folder / "profiles")  # fmt: skip
    return folder / "profiles"


def known_before(world: worlds.World, user: str, at: dt.datetime) -> list[memory.Remembered]:
    """Say what was known of a user before an instant, slowly."""
    found = [e for e in world.events if e["user_id"] == user and e["timestamp"] < at and e["created_at"] < at]  # type: ignore[operator]
    return sorted(
        memory.Remembered(
            int(e["timestamp"].timestamp()),  # type: ignore[attr-defined]
            str(e["session_id"]),
            str(e["item_id"]),
            str(e["event"]),
            float(e["value"]),  # type: ignore[arg-type]
        )
        for e in found
    )[-64:]


@pytest.mark.parametrize("more", [{}, {"silent_one_in": 4}])
def test_a_training_row_remembers_what_was_known_before_its_week_and_no_more(
    tmp_path: Path, more: dict[str, object]
) -> None:
    world = late_world(3, "UTC")
    profiles = built(world, tmp_path, **more)
    calendar = Calendar(worlds.FIRST_DAY)
    pairs = pq.read_table(profiles / "user_profile.parquet", columns=[columns.USER_ID, columns.WEEK])
    users = pa.table({columns.USER_ID: world.users})
    wanted = training_set.entities(pairs, users, tuple(range(3, 9)))
    rows = memories.retrieve(profiles, wanted, windows_days=WINDOWS).to_pylist()
    assert [row["week"] for row in rows] == wanted.week.tolist()
    assert len(rows) > 10
    for row in rows:
        at = calendar.start(row["week"])
        found = memory.decode(row[columns.MEMORY])
        assert found == known_before(world, row["user_id"], at), row
        assert not any(e.at >= at.timestamp() for e in found)


def test_a_planted_event_of_the_label_week_is_in_no_memory_of_its_cutoff(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=24, weeks=9)
    calendar = Calendar(worlds.FIRST_DAY)
    planted = worlds.event("u03", "planted", calendar.start(6) + dt.timedelta(seconds=1), session="x")
    world.events.append(planted)
    profiles = built(world, tmp_path)
    wanted = training_set.Entities(pa.array(["u03"] * 2), np.asarray([6, 7]))
    rows = memories.retrieve(profiles, wanted, windows_days=WINDOWS).to_pylist()
    held = [any(e.item_id == "planted" for e in memory.decode(row[columns.MEMORY])) for row in rows]
    assert held == [False, True]


def test_memories_that_were_not_kept_are_no_empty_ones(made: Made) -> None:
    wanted = training_set.Entities(pa.array(["u03"]), np.asarray([6]))
    with pytest.raises(DataError, match=r"kept of newest rows only.*set profiles.memory: training"):
        memories.retrieve(made.profiles, wanted, windows_days=(7, 28, 91))
    assert not (made.profiles / "user_memory.parquet").exists()
    assert files.read_json(made.profiles / "profiles.json")["memory"] == "newest"


def test_no_model_is_given_the_memory(made: Made) -> None:
    for name in ("intent", "ranking"):
        names = pq.read_schema(made.rows / f"{name}.parquet").names
        assert columns.MEMORY not in names
        assert columns.LAST_SESSION not in names
    dropped = files.read_json(made.rows / "features.json")
    assert columns.MEMORY not in json.dumps(dropped)
