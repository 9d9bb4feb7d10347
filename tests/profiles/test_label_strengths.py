"""The strength of the ranker's labels: a number of the events of the label week, and of no other."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.profiles import steps
from components.profiles.training.label_strengths import with_strengths
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError
from tests import worlds

CALENDAR = Calendar("2024-01-01", "America/New_York")
ITEMS = ["pear", "tea"]
DAY = dt.timedelta(days=1)


def happened(folder: Path, *rows: tuple[str, str, dt.datetime, float | None]) -> Path:
    kinds = ["play"] * len(rows)
    users, items, times, strengths = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({
        "user_id": users, "item_id": items, "event": kinds, "strength": pa.array(strengths, pa.float64()),
        "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    pq.write_table(table, folder / "events.parquet")
    return folder / "events.parquet"


def labels(*rows: tuple[str, int, list[int]]) -> pa.Table:
    users, weeks, wanted = (list(column) for column in zip(*rows, strict=True))
    return pa.table({"user_id": users, "week": weeks, "bought": pa.array(wanted, pa.list_(pa.int64()))})


def strengths(rows: pa.Table, events: Path, *, add_up: bool, event: str | None = None) -> list[list[float]]:
    found = with_strengths(
        rows, events, ITEMS, CALENDAR, labels="bought", column="strength", add_up=add_up, event=event
    )
    lists: list[list[float]] = found[columns.LABEL_STRENGTH].to_pylist()
    return lists


@pytest.mark.parametrize(("add_up", "of_ann"), [(True, [5.0, 1.0]), (False, [3.0, 1.0])])
def test_a_label_has_the_strength_of_its_week(tmp_path: Path, add_up: bool, of_ann: list[float]) -> None:
    week = CALENDAR.start
    events = happened(
        tmp_path,
        ("ann", "pear", week(3), 2.0),  # the first instant of the local week
        ("ann", "pear", week(4) - dt.timedelta(seconds=1), 3.0),  # and the last
        ("ann", "pear", week(3) - dt.timedelta(seconds=1), 90.0),
        ("ann", "pear", week(4), 90.0),
        ("ann", "tea", week(3) + DAY, 1.0),
        ("ann", "no item of ours", week(3) + DAY, 90.0),
        ("bob", "tea", week(5), None),
        ("carl", "tea", week(3), 90.0),  # has no row
    )
    rows = labels(("ann", 3, [0, 1]), ("bob", 5, [1]), ("ann", 5, []))
    assert strengths(rows, events, add_up=add_up) == [of_ann, [0.0], []]


def test_a_label_without_its_event_is_refused(tmp_path: Path) -> None:
    events = happened(tmp_path, ("ann", "pear", CALENDAR.start(3), 1.0))
    for kind in (None, "purchase"):
        with pytest.raises(DataError, match="events of some labels are not there"):
            strengths(labels(("ann", 3, [1])), events, add_up=True, event=kind)
    assert strengths(labels(("ann", 3, [0])), events, add_up=True, event="play") == [[1.0]]


def test_events_without_the_column_are_refused(tmp_path: Path) -> None:
    events = happened(tmp_path, ("ann", "pear", CALENDAR.start(3), 1.0))
    with pytest.raises(DataError, match=r"the events hold no quantity; have .*strength"):
        with_strengths(
            labels(("ann", 3, [0])),
            events,
            ITEMS,
            CALENDAR,
            labels="bought",
            column="quantity",
            add_up=True,
            event=None,
        )


def test_the_training_set_has_strengths_where_the_spec_weighs_labels(tmp_path: Path) -> None:
    world = worlds.checkerboard()
    events = [e | {"quantity": float(1 + int(str(e["item_id"])[1:]))} for e in world.events]
    clean = replace(world, events=events).write(tmp_path / "clean")
    profiles, split = tmp_path / "profiles", json.dumps(worlds.SPLIT)
    asked = json.dumps({"windows_days": [7, 28, 91], "segments": {"method": "kmeans", "k": 2}})
    steps.run_profiles(asked, split, json.dumps(worlds.VOCABULARY), clean=clean, destination=profiles)
    weeks = {"train_weeks": 3, "test_every_weeks": 1}
    for name, more in (("plain", {}), ("weighed", {"weight": {"of": "quantity", "scale": "rank"}})):
        steps.run_training_set(
            split, json.dumps(weeks | more), clean=clean, profiles=profiles, destination=tmp_path / name
        )
    plain, weighed = (pq.read_table(tmp_path / name / "ranking.parquet") for name in ("plain", "weighed"))
    assert columns.LABEL_STRENGTH not in plain.column_names
    assert weighed.drop([columns.LABEL_STRENGTH]).equals(plain)
    ids = pq.read_table(profiles / "vocabulary" / "items.parquet")["item_id"].to_pylist()
    for row in weighed.to_pylist():
        assert row[columns.LABEL_STRENGTH] == [1.0 + int(ids[item][1:]) for item in row["bought"]]
