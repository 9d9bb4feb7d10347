"""A value of a file as a canonical one: what each type of column becomes, in a real DuckDB."""

import datetime as dt
from typing import Any

import duckdb
import pytest

from components.data.conversion import Reading, reading, require_readable
from feature_repo.errors import DataError

UTC = dt.UTC
NOON = dt.datetime(2024, 1, 8, 12, tzinfo=UTC)


def read(
    kind: str,
    canonical: str,
    stored: str,
    *,
    timestamps: Any = "iso",
    zone: str = "UTC",
    unit: Any = None,
    nulls: Any = None,
) -> Any:
    """Return what a stored SQL value of a column's type is read as; DataError where it cannot be."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        db.execute(f'CREATE TABLE source AS SELECT 5 AS source_row, CAST({stored} AS {kind}) AS "a column"')
        (found,) = db.execute('SELECT typeof("a column") FROM source').fetchone() or ("",)
        how = reading(
            "a column",
            found,
            canonical,
            zone=zone,
            timestamps=timestamps,
            place="data.source.events",
            unit=unit,
            nulls=nulls,
        )
        require_readable(db, "source", {canonical: how}, place="data.source.events")
        (value,) = db.execute(f"SELECT {how.value} FROM source").fetchone() or (None,)
        return value.astimezone(UTC) if isinstance(value, dt.datetime) else value


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("VARCHAR", "'tea'", "tea"),
        ("VARCHAR", "' tea ' || chr(160)", "tea"),
        ("VARCHAR", "'jose' || chr(769)", "jos\u00e9"),
        ("VARCHAR", "'NaN'", None),
        ("VARCHAR", "'N/A '", None),
        ("VARCHAR", "'Nanette'", "Nanette"),
        ("VARCHAR", "'1000.0'", "1000.0"),
        ("VARCHAR", "'9007199254740993'", "9007199254740993"),
        ("VARCHAR", "'12e4'", "12e4"),
        ("BLOB", "'caf\\xC3\\xA9'", "caf\u00e9"),
        ("UBIGINT", "18446744073709551615", "18446744073709551615"),
        ("VARCHAR", "''", None),
        ("VARCHAR", "NULL", None),
        ("BIGINT", "12", "12"),
        ("DOUBLE", "12.0", "12"),  # pandas writes whole ids beside a missing one so
        ("DOUBLE", "-12.0", "-12"),
        ("DOUBLE", "12.5", "12.5"),
        ("DOUBLE", "9007199254740991", "9007199254740991"),
        ("DOUBLE", "'nan'", None),
        ("DECIMAL(38,0)", "99999999999999999999", "99999999999999999999"),
        ("FLOAT", "3", "3"),
        ("DECIMAL(9,2)", "3", "3"),
        ("DECIMAL(9,2)", "3.25", "3.25"),
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
        ("BOOLEAN", "item_id", "iso", "has type BOOLEAN, which is no id; map another to item_id"),
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
        ("VARCHAR", "item_id", "exact id"),
        ("VARCHAR", "event", "text"),
        ("DOUBLE", "item_id", "exact id"),
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


UNIT_ADVICE = "mend the file, or say all that it has: `timestamps: ['epoch_s', 'epoch_ms']`"
ID_ADVICE = "write ids whole, as text or as whole numbers"
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
        *[
            ("timestamp", f"'{value}'", form, f"(for timestamp) holds '{value}' in row 5, which is no {what}")
            for value, form, what in [
                ("1e30", "epoch_s", f"timestamp in this unit; {UNIT_ADVICE}"),
                ("1704715200", "epoch_ms", f"timestamp in this unit; {UNIT_ADVICE}"),
                ("1704715200000", "epoch_s", f"timestamp in this unit; {UNIT_ADVICE}"),
                ("2024-01-08 12:00:00 EST", "iso", f"timestamp; mend the file{ADVICE}"),
                ("2024-01-08 12:00 PM", "iso", f"timestamp; mend the file{ADVICE}"),
                ("2024-01-08T12:00:00+01:00[Europe/Berlin]", "iso", f"timestamp; mend the file{ADVICE}"),
                ("08/01/24", "%d/%m/%Y", f"timestamp; mend the file{ADVICE}"),
                ("08/01/2024 12:00 PM", "%d/%m/%Y %H:%M", f"timestamp; mend the file{ADVICE}"),
                ("2024011", "%Y%m%d", f"timestamp; mend the file{ADVICE}"),
                ("08/01/2024 13:00 PM", "%d/%m/%Y %I:%M %p", f"timestamp; mend the file{ADVICE}"),
                ("08/01/2024", ["%d/%m/%Y", "%m/%d/%Y"], f"timestamp; mend the file{ADVICE}"),
            ]
        ],
        *[
            ("value", f"'{value}'", "iso", f"(for value) holds '{value}' in row 5, which is no {what}; mend the file")
            for value, what in [
                ("inf", "finite number up to 1e+15"),
                ("1e400", "finite number up to 1e+15"),
                ("1e39", "finite number up to 1e+15"),
                ("-1e16", "finite number up to 1e+15"),
                ("1_000", "finite number up to 1e+15"),
            ]
        ],
        *[
            (
                "item_id",
                f"'{value}'",
                "iso",
                f"(for item_id) holds '{value}' in row 5, which is no exact id; {ID_ADVICE}",
            )
            for value in ("1.23457E+12", "9007199254740992.0")
        ],
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_row(
    canonical: str, stored: str, timestamps: Any, told: str
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


@pytest.mark.parametrize(
    ("kind", "canonical", "stored", "shown"),
    [
        ("DOUBLE", "value", "'inf'", "inf"),
        ("DOUBLE", "value", "1e300", "1e+300"),
        ("FLOAT", "quantity", "'-inf'", "-inf"),
        ("DOUBLE", "user_id", "9007199254740992", "9007199254740992.0"),
        ("DOUBLE", "user_id", "'inf'", "inf"),
        ("FLOAT", "item_id", "16777216", "16777216.0"),
        ("BLOB", "item_id", "'\\xFF'", "b'\\xff'"),
        ("VARCHAR", "user_id", "'a' || chr(10) || 'b'", "a\\nb"),
    ],
)
def test_a_number_that_counts_nothing_and_an_id_that_is_not_exact_are_refused(
    kind: str, canonical: str, stored: str, shown: str
) -> None:
    with pytest.raises(DataError) as error:
        read(kind, canonical, stored)
    assert f"(for {canonical}) holds '{shown}' in row 5, which is no " in str(error.value)


@pytest.mark.parametrize(
    ("forms", "stored", "expected"),
    [
        (["%d/%m/%Y", "iso"], "2024-01-08 12:00:00", NOON),
        (["%d/%m/%Y %H:%M", "iso"], "08/01/2024 12:00", NOON),
        (["epoch_s", "epoch_ms"], "1704715200", NOON),
        (["epoch_s", "epoch_ms"], "1704715200000", NOON),
        (["epoch_s", "%Y%m%d"], "20240108", dt.datetime(2024, 1, 8, tzinfo=UTC)),
        (["%d/%m/%Y", "%m/%d/%Y"], "13/01/2024", dt.datetime(2024, 1, 13, tzinfo=UTC)),
    ],
)
def test_of_several_forms_the_one_that_fits_reads_a_time(forms: list[str], stored: str, expected: dt.datetime) -> None:
    assert read("VARCHAR", "timestamp", f"'{stored}'", timestamps=forms) == expected


@pytest.mark.parametrize(
    ("canonical", "nulls", "stored", "expected"),
    [
        ("user_id", [], "nan", "nan"),
        ("user_id", ["-"], "nan", "nan"),
        ("user_id", ["-"], " - ", None),
        ("event", ["-"], "-", None),
        ("value", ["-"], "-", None),
        ("timestamp", ["never"], "never", None),
    ],
)
def test_words_of_the_spec_mean_nothing(canonical: str, nulls: list[str], stored: str, expected: str | None) -> None:
    assert read("VARCHAR", canonical, f"'{stored}'", nulls=nulls) == expected


@pytest.mark.parametrize("kind", ["STRUCT(a INTEGER)", "INTEGER[]", "MAP(VARCHAR, INTEGER)"])
def test_a_nested_value_is_no_id(kind: str) -> None:
    with pytest.raises(DataError, match="which is no id; map another to user_id"):
        reading("a", kind, "user_id", zone="UTC", timestamps="iso", place="data.source.events")
