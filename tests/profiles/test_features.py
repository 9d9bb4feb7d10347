"""The build gives the same rows however it is cut up, and only those that were asked for."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.profiles import profile_folder, steps
from components.profiles.build import blocks, feature_files, plan
from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from tests import worlds
from tests.profiles.conftest import PROFILES, SPLIT, Made

pytestmark = pytest.mark.world

VIEWS = ("user_profile", "user_targets", "user_history", "user_daily")
STATES = ("item_state", "target_state")
VOCABULARY = json.dumps(worlds.VOCABULARY)


def rows_of(profiles: Path, view: str, *, week: int | None = None) -> pa.Table:
    """Read a view's rows in an order of their own."""
    table = pq.read_table(profiles / f"{view}.parquet")
    key = next(name for name in ("user_id", "item_index", "target_id") if name in table.column_names)
    found = table if week is None else table.filter(pc.equal(table["week"], week))
    return found.sort_by([("week", "ascending"), (key, "ascending")])


def newest(made: Made, clean: Path, folder: Path) -> Path:
    """Build the newest rows of a clean folder under the vocabulary and segments of `made`."""
    steps.run_profiles(PROFILES, SPLIT, VOCABULARY, clean=clean, destination=folder, fitted=made.profiles,
                       training=False)  # fmt: skip
    return folder


def digests_of(profiles: Path) -> dict[str, int]:
    table = pq.read_table(profiles / "row_digests.parquet")
    return dict(zip(table["user_id"].to_pylist(), table["row_digest"].to_pylist(), strict=True))


def test_small_blocks_give_the_same_rows(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_EVENTS", 300)  # four blocks
    steps.run_profiles(PROFILES, SPLIT, VOCABULARY, clean=made.clean, destination=tmp_path / "profiles")
    for view in (*VIEWS, *STATES):
        assert rows_of(made.profiles, view).equals(rows_of(tmp_path / "profiles", view)), view
    assert digests_of(made.profiles) == digests_of(tmp_path / "profiles")


def test_rows_for_serving_alone_are_the_newest_of_a_whole_build(made: Made, tmp_path: Path) -> None:
    served = newest(made, made.clean, tmp_path / "newest")
    for view in (*VIEWS, *STATES):
        assert rows_of(served, view).equals(rows_of(made.profiles, view, week=17)), view
    assert digests_of(served) == digests_of(made.profiles)
    assert files.read_json(served / "profiles.json") == files.read_json(made.profiles / "profiles.json")


def test_one_more_event_changes_the_digest_of_its_user_alone(made: Made, tmp_path: Path) -> None:
    last = max(e["timestamp"] for e in made.world.events)  # type: ignore[type-var]
    assert isinstance(last, dt.datetime)
    more = worlds.event("u03", "i1", last - dt.timedelta(days=2), session="more", created_at=last)
    clean = dataclasses.replace(made.world, events=[*made.world.events, more]).write(tmp_path / "clean")
    before, after = digests_of(made.profiles), digests_of(newest(made, clean, tmp_path / "newest"))
    assert {user for user in before if before[user] != after[user]} == {"u03"}


def test_a_digest_stays_when_only_time_passes(made: Made, tmp_path: Path) -> None:
    """A user silent for longer than anything that a row forgets, while others shop on for a week."""
    world = worlds.checkerboard(weeks=18)
    silent = [e for e in world.events if e["user_id"] != "u03" or e["timestamp"] < Calendar("2024-01-01").start(2)]  # type: ignore[operator]
    found = []
    for weeks in (17, 18):
        events = [e for e in silent if e["timestamp"] < Calendar("2024-01-01").start(weeks + 1)]  # type: ignore[operator]
        clean = dataclasses.replace(world, events=events, weeks=weeks).write(tmp_path / f"clean{weeks}")
        found.append(digests_of(newest(made, clean, tmp_path / f"newest{weeks}")))
    assert found[0]["u03"] == found[1]["u03"]
    assert found[0]["u05"] != found[1]["u05"]


def test_sampled_users_have_training_rows_and_everyone_those_that_judge(tmp_path: Path) -> None:
    world = worlds.checkerboard(users=130, weeks=9)
    spec = json.dumps({"windows_days": [7], "segments": {"k": 2}, "train_users": 100})
    steps.run_profiles(
        spec, SPLIT, VOCABULARY, clean=world.write(tmp_path / "clean"), destination=tmp_path / "profiles"
    )
    for view in ("user_profile", "user_targets", "user_history"):
        rows = rows_of(tmp_path / "profiles", view)
        users = {w: rows.filter(pc.equal(rows["week"], w)).num_rows for w in (5, 6, 8, 10)}
        assert users == {5: 100, 6: 130, 8: 130, 10: 130}, view  # train, validate, test, newest


def test_a_user_nobody_declared_counts_for_items_and_has_no_row(made: Made, tmp_path: Path) -> None:
    world = dataclasses.replace(made.world, users=[u for u in made.world.users if u != "u03"])
    served = newest(made, world.write(tmp_path / "clean"), tmp_path / "newest")
    assert "u03" not in rows_of(served, "user_profile")["user_id"].to_pylist()
    assert rows_of(served, "item_state").equals(rows_of(made.profiles, "item_state", week=17))


def test_an_item_of_no_catalogue_is_one_more_item_that_the_user_had(made: Made, tmp_path: Path) -> None:
    last = max(e["timestamp"] for e in made.world.events)  # type: ignore[type-var]
    assert isinstance(last, dt.datetime)
    strange = [worlds.event("u03", f"strange{n}", last, session="more") for n in (1, 2)]
    clean = dataclasses.replace(made.world, events=[*made.world.events, *strange]).write(tmp_path / "clean")

    def items(profiles: Path) -> Any:
        rows = rows_of(profiles, "user_profile", week=17)
        return rows.filter(pc.equal(rows["user_id"], "u03"))["items_total"][0].as_py()

    assert items(newest(made, clean, tmp_path / "newest")) == items(made.profiles) + 2


def test_a_zone_whose_days_start_at_odd_seconds_is_refused() -> None:
    calendar = Calendar("1970-01-05", "Africa/Monrovia")  # 44 minutes and 30 seconds behind UTC until 1972
    with pytest.raises(DataError, match=r"data\.timezone: .*Africa/Monrovia"):
        plan.days(calendar, 1)


def test_the_sample_of_users_is_the_same_every_time() -> None:
    assert profile_folder._sampled(1_000, 10).equals(profile_folder._sampled(1_000, 10))
    assert profile_folder._sampled(5, None).to_pylist() == [0, 1, 2, 3, 4]


def test_sums_add_up_however_many_blocks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files.Sums, "ROWS", 1)
    sums = feature_files.Sums({"sold": ("week",)})
    for value in (1.0, 2.0, 4.0, 8.0):
        sums.add({"sold": pa.table({"value": [value, 0.5], "week": [1, 2]})})
    assert sorted(sums.all()["sold"].to_pylist(), key=lambda row: row["week"]) == [
        {"value": 15.0, "week": 1},
        {"value": 2.0, "week": 2},
    ]
