"""Under `leave_one_out` a step is a place in a user's order: the last event tests, the one before it validates."""

import datetime as dt
from collections import defaultdict
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from components.data import leave_one_out
from components.data.arrivals import create_plain
from components.data.database import database
from components.data.ingest import ingest
from components.data.spec import Data, Split
from components.profiles.steps import weeks_of
from feature_repo import files
from pipelines.spec import Recommender

KEY = "00" * 16
SPLIT = {"warmup_steps": 3, "leave_one_out": 4}  # steps 1-3 warm up, 4-7 train, 8 validates, 9 tests
WATCH = {"name": "watch", "event": "watch", "horizon": "24h"}
ZONE = "America/New_York"


def data(folder: Path, rows: list[tuple[str, str, str]], **more: object) -> Data:
    lines = [",".join(row) for row in rows]
    (folder / "plays.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    source = {"type": "csv", "events": {"path": "plays.csv", "timezone": ZONE}}
    return Data.model_validate({"source": source, "step": "day", "timezone": ZONE, "split": SPLIT} | more)


def day(n: int, hour: int = 12) -> str:
    return f"2024-03-{n:02} {hour:02}:00:00"


def moved(folder: Path, rows: list[tuple[str, str, str]]) -> dict[str, list[tuple[str, int]]]:
    """Read the events by user, in their order: item and step."""
    asked = data(folder, rows)
    snapshot = ingest(asked, folder / "tables", key=KEY, base=folder, now=dt.datetime(2024, 6, 1, tzinfo=dt.UTC))
    found = defaultdict(list)
    with database(folder) as db:
        told = db.execute(
            f"SELECT user_id, item_id, timestamp FROM '{folder}/tables/events.parquet' ORDER BY timestamp"
        )
        for user, item, at in told.fetchall():
            found[user].append((item, snapshot.calendar.week(at)))
    assert snapshot.weeks == 9
    layout = weeks_of(files.read_json(folder / "tables/snapshot.json"), asked.split.lengths())
    assert (layout.train, layout.validate, layout.test) == ((4, 5, 6, 7), (8,), (9,))
    return dict(found)


def test_the_last_event_tests_and_the_one_before_validates_whatever_their_days(tmp_path: Path) -> None:
    early = [("ann", item, day(1, hour)) for hour, item in enumerate("abcdefghi", 1)]  # one evening, long ago
    late = [("bob", "x", day(20)), ("bob", "y", day(21)), ("bob", "z", day(25))]
    found = moved(tmp_path, early + late)
    places = {tuple(item for item, _ in events): [step for _, step in events] for events in found.values()}
    assert places[tuple("abcdefghi")] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert places[tuple("xyz")] == [7, 8, 9]


def test_a_row_that_two_files_have_takes_one_place(tmp_path: Path) -> None:
    """Else the copy of a last event stands in the step before it, and the test asks for what training has shown."""
    rows = [("ann", item, day(1 + n)) for n, item in enumerate("abcdefghi")]
    asked = data(tmp_path, rows[:7])
    (tmp_path / "plays.csv").rename(tmp_path / "plays-1.csv")
    data(tmp_path, rows[5:])
    (tmp_path / "plays.csv").rename(tmp_path / "plays-2.csv")
    source = {"type": "csv", "events": {"path": "plays-*.csv", "timezone": ZONE}}
    asked = Data.model_validate(asked.model_dump() | {"source": source})
    now = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    snapshot = ingest(asked, tmp_path / "tables", key=KEY, base=tmp_path, now=now, home=tmp_path / "home")
    with database(tmp_path) as db:
        told = db.execute(f"SELECT item_id, timestamp FROM '{tmp_path}/tables/events.parquet' ORDER BY timestamp")
        places = [(item, snapshot.calendar.week(at)) for item, at in told.fetchall()]
        seen = db.execute(f"SELECT item_id, first_seen FROM '{tmp_path}/tables/items.parquet'").fetchall()
    expected = list(zip("abcdefghi", range(1, 10), strict=True))
    assert (places, snapshot.repeats) == (expected, 2)
    assert sorted((item, snapshot.calendar.week(at)) for item, at in seen) == expected


def test_what_is_older_than_all_training_steps_fills_the_warm_up_in_its_order(tmp_path: Path) -> None:
    items = [f"i{n:02}" for n in range(16)]
    rows = [("ann", item, day(1 + n)) for n, item in enumerate(items)]
    (events,) = moved(tmp_path, rows[::-1]).values()  # the file's order is not the order in time
    assert [item for item, _ in events] == items
    assert [step for _, step in events] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9]


def test_events_at_one_instant_keep_the_order_of_their_rows(tmp_path: Path) -> None:
    rows = [("ann", item, day(3)) for item in "hgfedcbaz"]
    (events,) = moved(tmp_path, rows).values()
    assert [item for item, _ in events] == list("hgfedcbaz")


def test_no_event_leaves_its_day_where_clocks_change(tmp_path: Path) -> None:
    rows = [(f"u{n}", item, day(12)) for n in range(200) for item in "abcdefghijkl"]  # 10 March 2024: 23 hours
    for events in moved(tmp_path, rows).values():
        assert [step for _, step in events][-6:] == [4, 5, 6, 7, 8, 9]
    with database(tmp_path) as db:
        told = db.execute(f"SELECT timestamp FROM '{tmp_path}/tables/events.parquet'").fetchall()
    hours = {at.astimezone(ZoneInfo(ZONE)).hour for (at,) in told}
    assert hours == set(range(3, 23))


def test_a_row_without_a_user_stays_where_it_is(tmp_path: Path) -> None:
    with database(tmp_path) as db:
        db.execute("""CREATE TABLE source_events AS SELECT * FROM (VALUES
            (NULL, TIMESTAMPTZ '2024-03-01 10:00:00+00', TIMESTAMPTZ '2024-03-01 10:00:00+00', 1),
            ('ann', NULL, NULL, 2), ('ann', TIMESTAMPTZ '2024-03-09 10:00:00+00', NULL, 3)
            ) AS t (user_id, timestamp, created_at, source_row)""")
        create_plain(db)
        leave_one_out.create(db, Split.model_validate(SPLIT), timezone="UTC")
        rows = db.execute("SELECT source_row, timestamp FROM arrived_events ORDER BY source_row").fetchall()
    at = {row: None if moment is None else moment.astimezone(dt.UTC) for row, moment in rows}
    assert at[1] == dt.datetime(2024, 3, 1, 10, tzinfo=dt.UTC)
    assert at[2] is None
    assert at[3] is not None
    assert at[3].date() == dt.date(2024, 3, 9)


def test_another_number_of_training_steps_is_other_data(tmp_path: Path) -> None:
    rows = [("ann", item, day(1 + n)) for n, item in enumerate("abcdefghij")]
    now = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
    digests = {
        ingest(data(tmp_path, rows, split=split), tmp_path / str(n), key=KEY, base=tmp_path, now=now).digest
        for n, split in enumerate([SPLIT, SPLIT | {"leave_one_out": 3}, {"warmup_steps": 3}])
    }
    assert len(digests) == 3


def test_a_split_without_it_keeps_the_digest_it_had(tmp_path: Path) -> None:
    assert "leave_one_out" not in Split().model_dump()
    plain = data(tmp_path, [], split={"warmup_steps": 3}).model_dump()["split"]
    assert plain == {"warmup_steps": 3, "validate_steps": 2, "test_steps": 2}
    told = data(tmp_path, []).model_dump()["split"]
    assert told == {"warmup_steps": 3, "validate_steps": 1, "test_steps": 1, "leave_one_out": 4}
    assert Split.model_validate(told).lengths() == Split.model_validate(SPLIT).lengths()


def test_lengths_of_what_the_protocol_has_one_of_are_refused() -> None:
    with pytest.raises(ValidationError, match="test_steps: under leave_one_out each user has one event"):
        Split.model_validate(SPLIT | {"test_steps": 14})


def test_a_place_is_a_day(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"split\.leave_one_out: needs data\.step: day"):
        data(tmp_path, [], step="hour")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"intents": [{"name": "back", "horizon": "7d"}]}, r"intents\.back\.horizon: 7d is 7 steps"),
        (
            {"intents": [WATCH, {"name": "now", "event": "watch", "horizon": "session"}]},
            r"intents\.now\.horizon: visits",
        ),
        ({"models": {"ranking": {"later_items": True}}}, r"models\.ranking\.later_items: items come by their days"),
    ],
)
def test_what_counts_in_days_is_refused(more: dict[str, object], said: str) -> None:
    base = {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "films",
        "data": {"source": {"type": "movielens"}, "step": "day", "split": SPLIT},
        "intents": [WATCH],
    }
    Recommender.model_validate(base)
    with pytest.raises(ValidationError, match=said):
        Recommender.model_validate(base | more)
