"""The rule learnt_volume on tables: groups, occasions, what is meant, what cannot be asked."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from components.data import learnt_volume
from components.data.derived import with_occasions
from components.data.measures import Activity, Measurement
from components.data.rules import LearntVolume
from components.occasions import Occasion
from feature_repo.calendar import Calendar
from feature_repo.errors import SpecError

MONDAY = dt.date(2024, 1, 1)
WEEKS, USERS = 10, 60
FEAST = Occasion(name="Feast", first=dt.date(2024, 3, 8), last=dt.date(2024, 3, 9))  # in week 10


@pytest.fixture
def db() -> duckdb.DuckDBPyConnection:
    """Sixty users buy once a week for ten weeks; in the last one the twenty of country B do not."""
    found = duckdb.connect()
    found.execute("SET TimeZone = 'UTC'")
    found.execute(f"""CREATE TABLE checked_events AS SELECT 'u' || u AS user_id, 'i' || (u % 2) AS item_id,
        'purchase' AS event, TIMESTAMPTZ '2024-01-02 12:00:00+00' + INTERVAL (7 * w) DAY AS timestamp
        FROM range({USERS}) t(u), range({WEEKS}) s(w) WHERE w < {WEEKS - 1} OR u % 3 > 0""")
    found.execute(f"""CREATE TABLE good_users AS SELECT 'u' || u AS user_id, CASE WHEN u % 3 = 0 THEN 'B' ELSE 'A' END
        AS country, ['x'] AS tags, u AS source_row FROM range({USERS}) t(u)""")
    found.execute("CREATE TABLE good_items AS SELECT 'i' || i AS item_id, 'c' || i AS category FROM range(2) t(i)")
    return found


def asked(db: duckdb.DuckDBPyConnection, **rule: Any) -> Measurement:
    last = dt.datetime(2024, 3, 10, 12, tzinfo=dt.UTC)
    activity = Activity({}, {}, Calendar(MONDAY.isoformat()), WEEKS, True, last)
    return learnt_volume.measure(
        db, LearntVolume(expect="learnt_volume", **rule), activity, called="learnt_volume(users.country)"
    )


def test_a_group_that_is_gone_is_named_where_all_events_hide_it(db: duckdb.DuckDBPyConnection) -> None:
    found = asked(db, by=["users.country", "items.category", "event"])
    assert found.value == 1
    assert found.found.startswith("week 10: users.country B has 0, 20 are usual (")
    assert asked(db, by=["items.category"]).value == 0  # a third less is not yet large
    assert asked(db).found == "week 10 is as usual in 1 of 1 groups that can be judged"


def test_a_kind_is_counted_alone(db: duckdb.DuckDBPyConnection) -> None:
    db.execute("INSERT INTO checked_events SELECT user_id, item_id, 'view', timestamp FROM checked_events")
    db.execute("DELETE FROM checked_events WHERE event = 'view' AND timestamp > TIMESTAMPTZ '2024-03-04 00:00:00+00'")
    assert asked(db, event="purchase").value == 0
    assert asked(db, event="view").found.startswith("week 10: events has 0, 60 are usual")


def test_a_rule_is_named_by_what_it_counts() -> None:
    assert LearntVolume(expect="learnt_volume").shown == []
    assert LearntVolume(expect="learnt_volume", event="view", by=["users.country"]).shown == ["view", "users.country"]


def test_an_occasion_explains_the_week_and_is_no_past(db: duckdb.DuckDBPyConnection) -> None:
    found = asked(db, by=["users.country"], occasions=[FEAST])
    assert (found.value, found.note) == (None, "Feast (monitoring.calendar) explains whatever week 10 has")
    earlier = Occasion(name="Sale", first=dt.date(2024, 1, 8), last=dt.date(2024, 2, 4))  # weeks 2 to 5: four are left
    assert asked(db, by=["users.country"], occasions=[earlier]).value is None


def test_what_is_meant_begins_a_past_of_its_own(db: duckdb.DuckDBPyConnection) -> None:
    found = asked(db, by=["users.country"], since=dt.date(2024, 2, 5))
    assert found.value is None
    assert found.note == "5 weeks of enough users are no past to compare with; 6 with 20 users are needed"


def test_the_recommenders_calendar_is_spared_unless_the_rule_has_its_own() -> None:
    none, own = LearntVolume(expect="learnt_volume"), LearntVolume(expect="learnt_volume", occasions=[])
    first, second = with_occasions({"events": [none, own]}, [FEAST])["events"]
    assert (first.occasions, second.occasions) == ([FEAST], [])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("by", "line"),
    [
        ("users.contry", "by: no column 'contry' in users; have country, tags; did you mean 'country'?"),
        ("users.tags", "by: 'users.tags' holds lists; name a column of single values"),
    ],
)
def test_what_is_no_group_is_refused_with_one_line(db: duckdb.DuckDBPyConnection, by: str, line: str) -> None:
    with pytest.raises(SpecError) as caught:
        asked(db, by=[by])
    assert str(caught.value) == f"data.contract.events: learnt_volume(users.country): {line}"


def test_a_group_of_another_table_is_refused_with_the_spec() -> None:
    with pytest.raises(ValueError, match=r"'offers\.x' is no group; use event, users\.<column> or items\.<column>"):
        LearntVolume(expect="learnt_volume", by=["offers.x"])
