"""A value of a file as a canonical one: what each type of column becomes, in a real DuckDB."""

import datetime as dt
import math
from typing import Any

import duckdb
import pytest

from components.data.conversion import Reading, reading, require_readable
from feature_repo.errors import DataError

UTC = dt.UTC
NOON = dt.datetime(2024, 1, 8, 12, tzinfo=UTC)


def read(
    kind: str, canonical: str, stored: str, *, timestamps: str = "iso", zone: str = "UTC", unit: Any = None
) -> Any:
    """Return what a stored SQL value of a column's type is read as; DataError where it cannot be."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f'CREATE TABLE source AS SELECT 5 AS source_row, CAST({stored} AS {kind}) AS "a column"')
        (found,) = db.execute('SELECT typeof("a column") FROM source').fetchone() or ("",)
        how = reading(
            "a column", found, canonical, zone=zone, timestamps=timestamps, place="data.source.events", unit=unit
        )
        require_readable(db, "source", {canonical: how}, place="data.source.events")
        (value,) = db.execute(f"SELECT {how.value} FROM source").fetchone() or (None,)
        return value.astimezone(UTC) if isinstance(value, dt.datetime) else value


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("VARCHAR", "'tea'", "tea"),
        ("VARCHAR", "' tea '", " tea "),  # an id is what it is
        ("VARCHAR", "''", None),
        ("VARCHAR", "NULL", None),
        ("BIGINT", "12", "12"),
        ("DOUBLE", "12.0", "12"),  # pandas writes whole ids beside a missing one so
        ("DOUBLE", "-12.0", "-12"),
        ("DOUBLE", "12.5", "12.5"),
        ("DOUBLE", "1e18", "1000000000000000000"),
        ("DOUBLE", "'nan'", None),
        ("DOUBLE", "'inf'", "inf"),
        ("DOUBLE", "1e300", "1e+300"),
        ("FLOAT", "3", "3"),
        ("DECIMAL(9,2)", "3", "3"),
        ("DECIMAL(9,2)", "3.25", "3.25"),
        ("BOOLEAN", "true", "true"),
        ("DATE", "'2024-01-08'", "2024-01-08"),
    ],
)
def test_an_id_is_read_as_text(kind: str, stored: str, expected: str | None) -> None:
    assert read(kind, "item_id", stored) == expected


@pytest.mark.parametrize(
    ("kind", "stored", "unit", "expected"),
    [
        ("DOUBLE", "2.5", None, 2.5),
        ("DOUBLE", "'nan'", None, None),
        ("DECIMAL(9,2)", "2.5", None, 2.5),
        ("FLOAT", "2.5", None, 2.5),
        ("HUGEINT", "7", None, 7.0),
        ("TINYINT", "7", None, 7.0),
        ("UBIGINT", "7", None, 7.0),
        ("BOOLEAN", "true", None, 1.0),
        ("VARCHAR", "' 2.5 '", None, 2.5),
        ("VARCHAR", "''", None, None),
        ("VARCHAR", "'  '", None, None),
        ("VARCHAR", "'NaN'", None, None),
        ("BIGINT", "1999", 0.01, 19.99),  # divided, not multiplied: 1999 * 0.01 is 19.990000000000002
        ("BIGINT", "57", 0.01, 0.57),
        ("VARCHAR", "'1999'", 0.01, 19.99),
        ("BIGINT", "3", 1.0, 3.0),
        ("BIGINT", "3", 12.0, 36.0),
        ("BIGINT", "3", 0.3, 3 * 0.3),
        ("BIGINT", "7", 1 / 3, 7 / 3),
    ],
)
def test_a_number_is_read_and_counted_in_our_unit(kind: str, stored: str, unit: float | None, expected: Any) -> None:
    assert read(kind, "value", stored, unit=unit) == expected


@pytest.mark.parametrize(
    ("kind", "stored", "zone", "timestamps", "expected"),
    [
        ("TIMESTAMPTZ", "'2024-01-08 12:00:00+00'", "Asia/Tokyo", "iso", NOON),
        ("TIMESTAMP", "'2024-01-08 13:00:00'", "Europe/Berlin", "iso", NOON),
        ("TIMESTAMP_NS", "'2024-01-08 12:00:00'", "UTC", "iso", NOON),
        ("TIMESTAMP_S", "'2024-01-08 12:00:00'", "UTC", "iso", NOON),
        ("DATE", "'2024-01-08'", "Europe/Berlin", "iso", dt.datetime(2024, 1, 7, 23, tzinfo=UTC)),
        ("TIMESTAMP", "'2024-01-08 12:00:00'", "UTC", "epoch_s", NOON),  # a type of its own needs no format
        ("VARCHAR", "'2024-01-08 13:00'", "Europe/Berlin", "iso", NOON),
        ("VARCHAR", "' 2024-01-08T12:00:00Z '", "Europe/Berlin", "iso", NOON),
        ("VARCHAR", "'2024-01-08 12:00:00 UTC'", "Europe/Berlin", "iso", NOON),
        ("VARCHAR", "'2024-01-08T12:00:00.5z'", "Europe/Berlin", "iso", NOON.replace(microsecond=500_000)),
        ("VARCHAR", "'2024-01-08t12:00:00z'", "Europe/Berlin", "iso", NOON),
        ("VARCHAR", "'2024-01-08T13:00:00+01'", "UTC", "iso", NOON),
        ("VARCHAR", "'2024-01-08T17:30:00+05:30'", "UTC", "iso", NOON),
        ("VARCHAR", "'2024-01-08'", "Europe/Berlin", "iso", dt.datetime(2024, 1, 7, 23, tzinfo=UTC)),  # -08: no offset
        ("VARCHAR", "''", "UTC", "iso", None),
        ("VARCHAR", "'1704715200'", "Asia/Tokyo", "epoch_s", NOON),
        ("BIGINT", "1704715200", "Asia/Tokyo", "epoch_s", NOON),
        ("BIGINT", "1704715200000", "UTC", "epoch_ms", NOON),
        ("DOUBLE", "1704715200.5", "UTC", "epoch_s", NOON.replace(microsecond=500_000)),
        ("VARCHAR", "'08/01/2024 13h'", "Europe/Berlin", "%d/%m/%Y %Hh", NOON),
        ("VARCHAR", "'08/01/2024 13 +0100'", "Asia/Tokyo", "%d/%m/%Y %H %z", NOON),
    ],
)
def test_a_time_is_read_in_its_zone(
    kind: str, stored: str, zone: str, timestamps: str, expected: dt.datetime | None
) -> None:
    assert read(kind, "timestamp", stored, zone=zone, timestamps=timestamps) == expected


@pytest.mark.parametrize(
    ("kind", "canonical", "timestamps", "told"),
    [
        ("DATE", "value", "iso", "has type DATE, which is no number; map another to value"),
        ("INTEGER[]", "value", "iso", "has type INTEGER[], which is no number; map another to value"),
        ("BIGINT", "timestamp", "iso", "has type BIGINT, which is no timestamp; say `timestamps: epoch_s or epoch_ms`"),
        ("DOUBLE", "timestamp", "%d", "has type DOUBLE, which is no timestamp; say `timestamps: epoch_s or epoch_ms`"),
        ("TIMESTAMP[]", "timestamp", "iso", "has type TIMESTAMP[], which is no timestamp; map another to timestamp"),
        ("BIGINT[]", "timestamp", "epoch_s", "has type BIGINT[], which is no timestamp; map another to timestamp"),
        ("BOOLEAN", "created_at", "iso", "has type BOOLEAN, which is no timestamp; map another to created_at"),
        ("BOOLEAN", "timestamp", "epoch_s", "has type BOOLEAN, which is no timestamp; map another to timestamp"),
    ],
)
def test_a_column_of_another_type_is_refused(kind: str, canonical: str, timestamps: str, told: str) -> None:
    with pytest.raises(DataError) as error:
        reading("a", kind, canonical, zone="UTC", timestamps=timestamps, place="data.source.events")
    assert str(error.value) == f"data.source.events: column 'a' {told}"


@pytest.mark.parametrize(
    ("kind", "canonical", "wanted"),
    [
        ("VARCHAR", "item_id", "text"),
        ("DOUBLE", "item_id", "text"),
        ("DOUBLE", "value", "number"),
        ("VARCHAR", "value", "number"),
        ("DATE", "timestamp", "timestamp"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp", "timestamp"),
        ("VARCHAR", "timestamp", "timestamp"),
    ],
)
def test_a_reading_says_what_a_value_must_be(kind: str, canonical: str, wanted: str) -> None:
    found = reading("a", kind, canonical, zone="UTC", timestamps="iso", place="data.source.events")
    assert (found.column, found.wanted) == ("a", wanted)


ADVICE = ", or say its format: `timestamps: epoch_s | epoch_ms | '%d/%m/%Y'`"


@pytest.mark.parametrize(
    ("canonical", "stored", "timestamps", "told"),
    [
        ("value", "'2,5'", "iso", "(for value) holds '2,5' in row 5, which is no number; mend the file"),
        ("value", "'free'", "iso", "(for value) holds 'free' in row 5, which is no number; mend the file"),
        (
            "timestamp",
            "'08/01/2024'",
            "iso",
            f"(for timestamp) holds '08/01/2024' in row 5, which is no timestamp; mend the file{ADVICE}",
        ),
        (
            "timestamp",
            "'2024-01-08'",
            "%d/%m/%Y",
            f"(for timestamp) holds '2024-01-08' in row 5, which is no timestamp; mend the file{ADVICE}",
        ),
        (
            "timestamp",
            "'2024-99-08T12:00:00Z'",
            "iso",
            f"(for timestamp) holds '2024-99-08T12:00:00Z' in row 5, which is no timestamp; mend the file{ADVICE}",
        ),
        (
            "timestamp",
            "'1e30'",
            "epoch_s",
            f"(for timestamp) holds '1e30' in row 5, which is no timestamp; mend the file{ADVICE}",
        ),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_row(
    canonical: str, stored: str, timestamps: str, told: str
) -> None:
    with pytest.raises(DataError) as error:
        read("VARCHAR", canonical, stored, timestamps=timestamps)
    assert str(error.value) == f"data.source.events: column 'a column' {told}"


def test_the_first_bad_row_is_named_and_the_others_are_counted() -> None:
    with duckdb.connect() as db:
        db.execute("CREATE TABLE source AS SELECT * FROM (VALUES (9, 'b'), (4, 'a'), (2, '1')) AS t(source_row, price)")
        how = reading("price", "VARCHAR", "value", zone="UTC", timestamps="iso", place="items")
        certain = Reading("price", "price", "text")
        with pytest.raises(DataError, match=r"^items: .* holds 'a' in row 4, which is no number \(2 such rows\); mend"):
            require_readable(db, "source", {"item_id": certain, "value": how}, place="items")
        db.execute("DELETE FROM source WHERE price IN ('a', 'b')")
        require_readable(db, "source", {"item_id": certain, "value": how}, place="items")


def test_an_infinite_number_stays_one() -> None:
    assert read("DOUBLE", "value", "'inf'") == math.inf
