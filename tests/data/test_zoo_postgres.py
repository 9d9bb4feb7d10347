"""Tables of a real PostgreSQL: each of its types read to the known truth, or refused in one line with the cure."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy

from components.data import sql
from components.data.source_spec import Sql
from feature_repo.errors import DataError
from tests.data import zoo
from tests.data.test_zoo_tables import AT, BIG, NUMBERS, TEXTS, TRUTH

Row = tuple[Any, ...]
PLAIN = {"user_id": "bigint", "timestamp": "timestamptz", "value": "double precision"}
HELD: dict[str, list[Any]] = {"user_id": NUMBERS, "timestamp": zoo.TIMES, "value": [n + 0.25 for n in range(8)]}
SECONDS = [int(at.timestamp()) for at in zoo.TIMES]


@pytest.fixture
def ask(server, tmp_path: Path) -> Iterator[Callable[..., list[Row]]]:
    """Fill the table `events`, one column of it as asked, and read it."""
    url = server.get_uri().replace("postgresql:", "postgresql+psycopg:")
    engine = sqlalchemy.create_engine(url)

    def read(column: str, kind: str, values: list[Any], *, query: str = "", **more: Any) -> list[Row]:
        kinds, held = PLAIN | {column: kind}, HELD | {column: values}
        marks = ", ".join(f"CAST(:{name} AS {kinds[name]})" for name in kinds)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS events"))
            made = ", ".join(f"{name} {kinds[name]}" for name in kinds)
            connection.execute(sqlalchemy.text(f"CREATE TABLE events ({made}, item_id text)"))
            for n in range(8):
                row = {name: values[n] for name, values in held.items()} | {"item": f"i{n}"}
                connection.execute(sqlalchemy.text(f"INSERT INTO events VALUES ({marks}, :item)"), row)
        origin: Mapping[str, Any] = {"query": query} if query else {"table": "events"}
        source = Sql.model_validate({"type": "sql", "url_env": "SHOP", "events": {**origin, **more}})
        work = tmp_path / "work"
        work.mkdir()
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            sql.read(db, source, work, {"SHOP": url})
            return zoo.events(db)

    yield read
    engine.dispose()


IDS = {
    **dict.fromkeys(("smallint", "bigint", "real", "double precision", "numeric", "numeric(12,2)"), NUMBERS),
    **dict.fromkeys(("text", "varchar(9)", "char(9)", "jsonb"), TEXTS),
    "bytea": [one.encode() for one in TEXTS],
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_every_type_are_the_same_people(kind: str, ask: Callable[..., list[Row]]) -> None:
    assert ask("user_id", kind, IDS[kind]) == TRUTH


TIMES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "aware": ("timestamptz", zoo.TIMES, {}),
    "naive": ("timestamp", AT, {}),
    "text": ("text", [at.isoformat() for at in zoo.TIMES], {}),
    "seconds": ("bigint", SECONDS, {"timestamps": "epoch_s"}),
    "numeric seconds": ("numeric(20,3)", SECONDS, {"timestamps": "epoch_s"}),
    "milliseconds": ("double precision", [1000 * one for one in SECONDS], {"timestamps": "epoch_ms"}),
}


@pytest.mark.parametrize("case", TIMES)
def test_times_of_every_type_are_the_same_instants(case: str, ask: Callable[..., list[Row]]) -> None:
    kind, values, more = TIMES[case]
    assert ask("timestamp", kind, values, **more) == TRUTH


@pytest.mark.parametrize("kind", ["real", "numeric", "numeric(9,2)", "text"])
def test_amounts_of_every_type_are_the_same_numbers(kind: str, ask: Callable[..., list[Row]]) -> None:
    assert ask("value", kind, [str(n + 0.25) for n in range(8)]) == TRUTH


def test_days_are_their_midnights(ask: Callable[..., list[Row]]) -> None:
    midnight = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)
    assert {row[3] for row in ask("timestamp", "date", ["2024-01-02"] * 8)} == {midnight}


@pytest.mark.parametrize("ids", [BIG, [10**45 + n for n in range(8)]])
def test_ids_beyond_floats_stay_exact(ids: list[int], ask: Callable[..., list[Row]]) -> None:
    assert [row[0] for row in ask("user_id", "numeric", ids)] == list(map(str, ids))


@pytest.mark.parametrize("kind", ["numeric", "double precision"])
def test_a_user_that_is_no_number_is_nobody(kind: str, ask: Callable[..., list[Row]]) -> None:
    assert [row[0] for row in ask("user_id", kind, ["NaN", *NUMBERS[1:]])] == [None, *TEXTS[1:]]


REFUSED: dict[str, tuple[str, str, list[Any], str]] = {
    "lists as ids": ("user_id", "text[]", ["{1}"] * 8, r"has type VARCHAR\[\], which is no id; map another to user_id"),
    "yes and no as ids": ("user_id", "boolean", [True, False] * 4, "has type BOOLEAN, which is no id; map another"),
    "rounded ids": ("user_id", "double precision", list(map(float, BIG)), "in row 1, which is no exact id"),
    "never": ("timestamp", "timestamptz", ["infinity", *zoo.TIMES[1:]], "too large .* leave such rows out, by a view"),
    "long ago": ("timestamp", "timestamp", ["0044-03-15 BC", *AT[1:]], "too small .* leave such rows out, by a view"),
    "times of day": ("timestamp", "time", ["10:00"] * 8, "holds '10:00:00' in row 1, which is no timestamp"),
    "spans": ("timestamp", "interval", ["1 day"] * 8, "holds '1 day, 0:00:00' in row 1, which is no timestamp"),
    "money": ("value", "money", ["1.25"] * 8, r"holds '\$1.25' in row 1, which is no number"),
    "infinite amounts": ("value", "numeric", ["Infinity"] * 8, "holds 'inf' in row 1, which is no finite number"),
    "objects as amounts": ("value", "jsonb", ['{"a": 1}'] * 8, "in row 1, which is no number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(case: str, ask: Callable[..., list[Row]]) -> None:
    *filled, says = REFUSED[case]
    with pytest.raises(DataError, match=f"^data.source.events: .*{says}") as error:
        ask(*filled)
    assert "\n" not in str(error.value)


def test_a_query_with_two_columns_of_one_name_is_refused(ask: Callable[..., list[Row]]) -> None:
    query = "SELECT a.*, b.user_id FROM events a JOIN events b ON a.item_id = b.item_id"
    with pytest.raises(DataError, match="the result names 'user_id' twice; name one of them otherwise, with AS"):
        ask("user_id", "bigint", NUMBERS, query=query)
