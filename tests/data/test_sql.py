"""Databases as sources: sqlite for what any database must do, a real PostgreSQL for its types and its absence."""

import datetime as dt
import decimal
from pathlib import Path

import pytest
import sqlalchemy

from components.data.ingest import ingest, source_digest
from components.data.spec import Data
from feature_repo.errors import DataError, ServerError, SpecError

pytestmark = pytest.mark.process

KEY = "00" * 16
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
UTC = dt.UTC
SPLIT = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
ORDERS = [  # customer, sku, at (Berlin), cents, pieces
    (10, "tea", dt.datetime(2024, 1, 1, 10), 350, decimal.Decimal("1.5")),
    (2, "milk", dt.datetime(2024, 1, 8, 0, 30), 120, decimal.Decimal("1")),
    (10, "tea", dt.datetime(2024, 1, 15, 9), 350, None),
    (7, "bread", dt.datetime(2024, 1, 22, 9), 200, decimal.Decimal("2")),
]
COLUMNS = {"user_id": "customer", "item_id": "sku", "timestamp": "at", "value": "cents", "quantity": "pieces"}


def _data(**changes) -> Data:
    events = {"table": "orders", "columns": COLUMNS, "timezone": "Europe/Berlin", "units": {"value": 0.01}}
    source = {"type": "sql", "url_env": "SHOP_URL", "events": events} | changes
    return Data.model_validate({"source": source, "split": SPLIT})


def _fill(url: str) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS orders"))
        kind = "TIMESTAMP" if engine.dialect.name == "postgresql" else "TEXT"
        connection.execute(
            sqlalchemy.text(
                f'CREATE TABLE orders (customer INTEGER, sku TEXT, "at" {kind}, cents INTEGER, pieces NUMERIC)'
            )
        )
        _add(connection, *ORDERS)
    return engine


def _add(connection, *orders) -> None:
    for customer, sku, at, cents, pieces in orders:
        row = {"a": customer, "b": sku, "c": at, "d": cents, "e": pieces}
        if connection.dialect.name == "sqlite":
            row |= {"c": at.isoformat(), "e": None if pieces is None else float(pieces)}
        connection.execute(sqlalchemy.text("INSERT INTO orders VALUES (:a, :b, :c, :d, :e)"), row)


@pytest.fixture
def sqlite(tmp_path, monkeypatch) -> sqlalchemy.Engine:
    """A database file with four orders, and its URL in the environment."""
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    monkeypatch.setenv("SHOP_URL", url)
    return _fill(url)


@pytest.fixture
def postgres(server, monkeypatch) -> sqlalchemy.Engine:
    """Four orders on the server, and its URL in the environment, as people write it."""
    monkeypatch.setenv("SHOP_URL", server.get_uri())
    return _fill(server.get_uri().replace("postgresql:", "postgresql+psycopg:"))


def _orders(folder: Path, rows) -> list[tuple]:
    return [(r["item_id"], r["timestamp"], r["value"], r["quantity"]) for r in rows(folder / "events.parquet")]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_table_is_read_with_its_zone_and_units(database, request, tmp_path, rows):
    request.getfixturevalue(database)
    snapshot = ingest(_data(), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    assert (snapshot.source, snapshot.rows["events"], snapshot.rows["items"]) == ("sql", 4, 3)
    assert _orders(tmp_path / "tables", rows) == [
        ("tea", dt.datetime(2024, 1, 1, 9, tzinfo=UTC), 3.5, 1.5),
        ("milk", dt.datetime(2024, 1, 7, 23, 30, tzinfo=UTC), 1.2, 1.0),
        ("tea", dt.datetime(2024, 1, 15, 8, tzinfo=UTC), 3.5, 1.0),
        ("bread", dt.datetime(2024, 1, 22, 8, tzinfo=UTC), 2.0, 2.0),
    ]


def test_the_types_of_postgres_are_read(postgres, tmp_path, rows):
    with postgres.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS catalogue"))
        connection.execute(
            sqlalchemy.text(
                "CREATE TABLE catalogue (sku TEXT, name TEXT, tags TEXT[], price NUMERIC(8,2), code UUID, facts JSONB)"
            )
        )
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO catalogue VALUES ('tea', 'Green tea', '{hot,organic}', 3.50,"
                " '6ecd8c99-4036-403d-bf84-cf8400f67836', '{\"origin\": \"Assam\"}'),"
                " ('milk', 'Milk', NULL, 1, NULL, NULL)"
            )
        )
    query = 'SELECT customer, sku, "at"::timestamptz AT TIME ZONE \'UTC\' AS "at", cents, pieces FROM orders;'
    data = _data(
        events={"query": query, "columns": COLUMNS},
        items={"table": "public.catalogue", "columns": {"item_id": "sku", "title": "name"}},
    )
    ingest(data, tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    milk, tea = rows(tmp_path / "tables" / "items.parquet")
    assert (milk["title"], milk["tags"], milk["price"]) == ("Milk", None, 1.0)
    assert (tea["tags"], tea["price"], tea["facts"]) == (["hot", "organic"], 3.5, '{"origin": "Assam"}')
    assert tea["code"] == "6ecd8c99-4036-403d-bf84-cf8400f67836"


def test_the_order_in_which_a_database_returns_rows_does_not_matter(sqlite, tmp_path):
    first = ingest(_data(), tmp_path / "one", key=KEY, base=tmp_path, now=NOW)
    with sqlite.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM orders"))
        _add(connection, *reversed(ORDERS))
    again = ingest(_data(), tmp_path / "two", key=KEY, base=tmp_path, now=NOW)
    assert again == first
    assert (tmp_path / "one" / "events.parquet").read_bytes() == (tmp_path / "two" / "events.parquet").read_bytes()


def test_a_new_row_changes_the_state_of_the_source_and_is_late(sqlite, tmp_path, rows):
    home = tmp_path / "home"
    ingest(_data(), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW, home=home)
    (home / "contract").mkdir()
    (home / "contract" / "contract.json").write_text('{"passed": true}')
    before = source_digest(_data(), tmp_path)
    with sqlite.begin() as connection:
        _add(connection, (2, "tea", dt.datetime(2024, 1, 9, 9), 350, None))
    assert source_digest(_data(), tmp_path) != before
    ingest(_data(), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW, home=home)
    late = [row for row in rows(tmp_path / "tables" / "events.parquet") if row["created_at"] != row["timestamp"]]
    assert [(row["item_id"], row["created_at"]) for row in late] == [("tea", NOW)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"events": {"table": "oders", "columns": COLUMNS}}, "data.source.events.table: no table 'oders'; have orders"),
        (
            {"events": {"table": "orders", "columns": COLUMNS | {"user_id": "client"}}},
            r"data.source.events: no column 'client' \(for user_id\) in orders; have customer, sku, at, cents, pieces",
        ),
        (
            {"events": {"query": "SELECT * FROM sales", "columns": COLUMNS}},
            "data.source.events: no such table: sales",
        ),
    ],
)
def test_what_is_not_in_the_database_is_named(changes, says, sqlite, tmp_path):
    with pytest.raises(DataError, match=says) as error:
        ingest(_data(**changes), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "kind", "says"),
    [
        (None, SpecError, "data.source.url_env: SHOP_URL is not set in the environment; export it, such as postgresql"),
        ("shop", SpecError, "SHOP_URL holds no database URL; write one such as postgresql://user"),
        ("nosuchdb://a@b/c", SpecError, "names no kind of database that SQLAlchemy knows"),
        ("mysql+pymysql://a@b/c", SpecError, "the driver 'pymysql' is not installed; pip install it"),
        ("sqlite:////nowhere/shop.db", DataError, "no file /nowhere/shop.db"),
        ("postgresql://ann:s3cret@127.0.0.1:9/shop", ServerError, "no connection to 127.0.0.1: .*refused"),
    ],
)
def test_a_database_that_cannot_be_reached_is_said_in_one_line_without_its_password(
    url, kind, says, monkeypatch, tmp_path
):
    monkeypatch.delenv("SHOP_URL", raising=False)
    if url:
        monkeypatch.setenv("SHOP_URL", url)
    with pytest.raises(kind, match=says) as error:
        ingest(_data(), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)


def test_an_empty_table_says_so(sqlite, tmp_path):
    with sqlite.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM orders"))
    with pytest.raises(DataError, match="events have no rows"):
        ingest(_data(), tmp_path / "tables", key=KEY, base=tmp_path, now=NOW)
