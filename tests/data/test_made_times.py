"""Times of events that have none: made by order within the user, over declared weeks."""

import datetime as dt
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.data import file_source
from components.data.database import database
from components.data.source_spec import Files

WEEKS, START = 4, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def read(folder: Path, rows: list[str], **made: object) -> list[tuple[str, str, dt.datetime]]:
    """Read rows of user and item; return them as user, item, time in the order of the file."""
    (folder / "plays.csv").write_text("\n".join(["user_id,item_id", *rows, ""]))
    source = Files.model_validate(
        {"type": "csv", "events": {"path": "plays.csv"}, "made_times": {"weeks": WEEKS, **made}}
    )
    with database(folder) as db:
        file_source.read(db, source, folder)
        told = "SELECT user_id, item_id, timestamp, created_at FROM source_events ORDER BY source_row"
        found = db.execute(told).fetchall()
    assert all(timestamp == created for _, _, timestamp, created in found)
    return [(user, item, at) for user, item, at, _ in found]


def week(at: dt.datetime) -> int:
    return (at - START).days // 7 + 1


def test_rows_follow_each_other_in_the_files_order_and_the_last_one_is_in_the_last_week(tmp_path: Path) -> None:
    rows = [f"{user},{item}" for item in "abcdefgh" for user in ("ann", "bob")] + ["cy,a"]
    found = read(tmp_path, rows, order="rows")
    ann = [(item, week(at)) for user, item, at in found if user == "ann"]
    assert ann == [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 3), ("f", 3), ("g", 4), ("h", 4)]
    assert [week(at) for user, _, at in found if user == "cy"] == [4]
    assert sorted(at for user, _, at in found if user == "ann") == [at for user, _, at in found if user == "ann"]


def test_a_random_order_is_the_same_for_the_same_seed_and_another_for_another(tmp_path: Path) -> None:
    rows = [f"ann,{n}" for n in range(20)]
    first, again, other = (read(tmp_path, rows, order="random", seed=seed) for seed in (0, 0, 1))
    assert first == again != other

    def ordered(found: list[tuple[str, str, dt.datetime]]) -> list[str]:
        return [item for _, item, _ in sorted(found, key=lambda row: row[2])]

    assert ordered(first) != [str(n) for n in range(20)] != ordered(other) != ordered(first)
    assert {week(at) for _, _, at in first} == {1, 2, 3, 4}


def test_every_made_time_lies_in_the_declared_weeks(tmp_path: Path) -> None:
    rows = [f"u{n % 97},i{n}" for n in range(3000)]
    for order in ("rows", "random"):
        times = [at for _, _, at in read(tmp_path, rows, order=order, start="2023-05-01")]
        begin = dt.datetime(2023, 5, 1, tzinfo=dt.UTC)
        assert begin <= min(times)
        assert max(times) < begin + dt.timedelta(weeks=WEEKS)


def test_times_are_made_or_read_and_not_both() -> None:
    events = {"path": "a.csv", "columns": {"timestamp": "at"}}
    with pytest.raises(ValidationError, match=r"made_times: events\.columns names a timestamp; drop one of the two"):
        Files.model_validate({"type": "csv", "events": events, "made_times": {}})


def test_a_source_without_made_times_keeps_the_digest_it_had() -> None:
    assert "made_times" not in Files.model_validate({"type": "csv", "events": {"path": "a.csv"}}).model_dump()
