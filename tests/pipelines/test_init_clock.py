"""`init` proposes the clock's step from how often users come, and lays split and horizons out in it."""

import csv
import datetime as dt
import random
from pathlib import Path

import pytest
import yaml

from pipelines import spec
from pipelines.findings import proposed
from pipelines.init import draft


def log(path: Path, *, days: int, every: int, hours: bool = True) -> Path:
    """Write a log of 20 users who come every so many days, at many times of the day or at midnight."""
    rng, rows = random.Random(0), []
    for day in range(days):
        for user in range(20):
            if (day + user) % every == 0:
                at = dt.datetime(2024, 1, 1) + dt.timedelta(days=day, minutes=rng.randrange(1440) if hours else 0)
                rows.append((f"u{user}", f"i{rng.randrange(6)}", at.isoformat()))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user_id", "item_id", "timestamp"), *rows])
    return path


@pytest.mark.parametrize(
    ("gap_days", "span_days", "times_of_day", "step"),
    [
        (1, 20, 900, "hour"),
        (1, 20, 1, "day"),  # dates alone: no clock of hours
        (2, 20, 900, "day"),  # not every day
        (1, 3, 900, "week"),  # too short for either; who asks is told
        (1, 28, 900, "day"),
        (2, 400, 900, "day"),
        (2.5, 400, 900, "week"),
        (1, 401, 900, "week"),  # too many rows
        (None, 100, 900, "week"),  # nobody came on two days
    ],
)
def test_the_rule(gap_days: float | None, span_days: int, times_of_day: int, step: str) -> None:
    assert proposed(gap_days=gap_days, span_days=span_days, times_of_day=times_of_day) == step


@pytest.mark.parametrize(
    ("days", "every", "step", "horizon", "split"),
    [
        (20, 1, "hour", "24h", {"warmup_steps": 95, "validate_steps": 36, "test_steps": 72}),
        (200, 2, "day", "7d", {"warmup_steps": 38, "validate_steps": 14, "test_steps": 28}),
        (60, 2, "day", "24h", {"warmup_steps": 12, "validate_steps": 4, "test_steps": 9}),
    ],
)
def test_a_draft_counts_in_the_step_that_users_come_in(
    tmp_path: Path, days: int, every: int, step: str, horizon: str, split: dict[str, int]
) -> None:
    made = draft(log(tmp_path / "log.csv", days=days, every=every), name="site", folder=tmp_path)
    document = yaml.safe_load(made.text)
    assert document["data"]["step"] == step
    assert document["data"]["split"] == split
    assert {intent["horizon"] for intent in document["intents"]} == {horizon}
    drafted = spec.parse(document, place="draft")
    steps = drafted.split_slice()
    needed = sum(split.values()) + 1 + 3 * (steps.get("horizon", 1) - 1)
    assert needed <= made.found.period.weeks  # such a split has weeks to train on
    assert f"whole {step}s; the data has {made.found.period.weeks}" in made.text
    assert f"what a user may do within {horizon};" in made.text
    assert any(f"events a user a {step};" in line for line in made.said)
    assert any(line.startswith(f"step: {step}, since") for line in made.said)


def test_dates_alone_are_a_clock_of_days(tmp_path: Path) -> None:
    made = draft(log(tmp_path / "log.csv", days=20, every=1, hours=False), name="site", folder=tmp_path)
    assert yaml.safe_load(made.text)["data"]["step"] == "day"


def test_an_event_late_in_an_hour_is_of_that_hour() -> None:
    import duckdb

    from components.data.snapshot import Period
    from components.data.spec import Data
    from feature_repo.calendar import Calendar
    from pipelines.findings import step_number

    first = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    span = Period(first, first, Calendar("2024-01-01", "UTC", "hour"), 3, False)
    data = Data.model_validate({"source": {"type": "movielens"}, "step": "hour"})
    at = duckdb.sql(f"""
        SELECT {step_number(span, data)} FROM (VALUES (TIMESTAMPTZ '2024-01-01 00:59:59Z'),
            (TIMESTAMPTZ '2024-01-01 01:00:00Z'), (TIMESTAMPTZ '2024-01-01 02:30:00Z')) AS seen(timestamp)""")
    assert [row[0] for row in at.fetchall()] == [1, 2, 3]
