"""Parquet of all writers and tables of databases: each type read to the known truth, or refused in one line."""

import datetime as dt
import decimal
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy

from components.data import sql
from components.data.source_spec import Sql
from feature_repo.errors import DataError
from tests.data import zoo

NUMBERS = [1000 + n for n in range(8)]
BIG = [9007199254740993 + n for n in range(8)]
TEXTS = [str(n) for n in NUMBERS]
ID_TYPES: dict[str, Callable[[], pa.Array]] = {
    "int16": lambda: pa.array(NUMBERS, pa.int16()),
    "int64": lambda: pa.array(NUMBERS, pa.int64()),
    "uint64": lambda: pa.array(NUMBERS, pa.uint64()),
    "double": lambda: pa.array([float(n) for n in NUMBERS]),
    "float": lambda: pa.array([float(n) for n in NUMBERS], pa.float32()),
    "decimal": lambda: pa.array([decimal.Decimal(n) for n in NUMBERS], pa.decimal128(20, 0)),
    "decimal with a point": lambda: pa.array([decimal.Decimal(n) for n in NUMBERS], pa.decimal128(12, 2)),
    "string": lambda: pa.array(TEXTS),
    "large string": lambda: pa.array(TEXTS, pa.large_string()),
    "dictionary": lambda: pa.array(TEXTS).dictionary_encode(),
    "binary": lambda: pa.array([one.encode() for one in TEXTS], pa.binary()),
    # What polars, DuckDB and Arrow's own writers choose.
    "string view": lambda: pa.array(TEXTS, pa.string_view()),
    "large binary": lambda: pa.array([one.encode() for one in TEXTS], pa.large_binary()),
    "polars category": lambda: pa.array(TEXTS).dictionary_encode().cast(pa.dictionary(pa.uint32(), pa.large_string())),
    "decimal of 256 bits": lambda: pa.array([decimal.Decimal(n) for n in NUMBERS], pa.decimal256(40, 0)),
    "fixed binary": lambda: pa.array([one.encode() for one in TEXTS], pa.binary(4)),
}
AT = [at.replace(tzinfo=None) for at in zoo.TIMES]
TIME_TYPES: dict[str, tuple[Callable[[], pa.Array], dict[str, Any]]] = {
    **{
        f"timestamp {unit} {zone}": (lambda unit=unit, zone=zone: pa.array(zoo.TIMES, pa.timestamp(unit, tz=zone)), {})
        for unit, zone in itertools.product(("s", "ms", "us", "ns"), ("UTC", "Europe/Berlin"))
    },
    **{f"timestamp {u} naive": (lambda u=u: pa.array(AT, pa.timestamp(u)), {}) for u in ("s", "ms", "us", "ns")},
    "text": (lambda: pa.array([at.isoformat() for at in zoo.TIMES]), {}),
    "text view": (lambda: pa.array([at.isoformat() for at in zoo.TIMES], pa.string_view()), {}),
    "timestamp ns fixed offset": (lambda: pa.array(zoo.TIMES, pa.timestamp("ns", tz="+05:30")), {}),
    "unsigned seconds": (
        lambda: pa.array([int(at.timestamp()) for at in zoo.TIMES], pa.uint32()),
        {"timestamps": "epoch_s"},
    ),
    "bytes": (lambda: pa.array([at.isoformat().encode() for at in zoo.TIMES]), {}),
    "seconds": (lambda: pa.array([int(at.timestamp()) for at in zoo.TIMES]), {"timestamps": "epoch_s"}),
    "float seconds": (lambda: pa.array([at.timestamp() for at in zoo.TIMES]), {"timestamps": "epoch_s"}),
    "milliseconds": (lambda: pa.array([int(at.timestamp()) * 1000 for at in zoo.TIMES]), {"timestamps": "epoch_ms"}),
}
AMOUNT_TYPES: dict[str, Callable[[], pa.Array]] = {
    "double": lambda: pa.array([n + 0.25 for n in range(8)]),
    "float": lambda: pa.array([n + 0.25 for n in range(8)], pa.float32()),
    "decimal": lambda: pa.array([decimal.Decimal(n) + decimal.Decimal("0.25") for n in range(8)], pa.decimal128(9, 2)),
    "text": lambda: pa.array([f"{n}.25" for n in range(8)]),
    "half": lambda: pa.array([n + 0.25 for n in range(8)], pa.float16()),
    "decimal of 256 bits": lambda: pa.array([decimal.Decimal(f"{n}.25") for n in range(8)], pa.decimal256(50, 2)),
    "dictionary": lambda: pa.array([n + 0.25 for n in range(8)]).dictionary_encode(),
}
TRUTH = [(str(1000 + n), f"i{n}", "event", zoo.TIMES[n], 1.0, n + 0.25) for n in range(8)]


def _table(ids: str, time: str = "timestamp us UTC", amount: str = "double") -> pa.Table:
    made = {"user_id": ID_TYPES[ids](), "item_id": [f"i{n}" for n in range(8)]}
    return pa.table(made | {"timestamp": TIME_TYPES[time][0](), "value": AMOUNT_TYPES[amount]()})


def _read(folder: Path, **more: Any) -> list[tuple[Any, ...]]:
    return zoo.read({"type": "parquet", "events": {"path": "*.parquet"} | more}, folder)


@pytest.mark.parametrize("time", TIME_TYPES)
def test_every_type_of_a_time_and_of_an_amount_is_read(time: str, tmp_path: Path) -> None:
    for amount in AMOUNT_TYPES:
        pq.write_table(_table("int64", time, amount), tmp_path / "a.parquet")
        assert _read(tmp_path, **TIME_TYPES[time][1]) == TRUTH, amount


@pytest.mark.world
@pytest.mark.parametrize("first", ID_TYPES)
def test_ids_of_two_types_in_two_files_are_the_same_people(first: str, tmp_path: Path) -> None:
    for second in ID_TYPES:
        pq.write_table(_table(first).slice(0, 4), tmp_path / "a.parquet")
        pq.write_table(_table(second).slice(4), tmp_path / "b.parquet")
        assert _read(tmp_path) == TRUTH, second


def test_ids_beyond_floats_stay_exact_beside_a_file_of_floats(tmp_path: Path) -> None:
    for name, ids in (("a", pa.array(BIG)), ("b", pa.array([7.0, math.nan, None, 9.0, 8.0, 6.0, 5.0, 4.0]))):
        pq.write_table(_table("int64").set_column(0, "user_id", ids), tmp_path / f"{name}.parquet")
    people = [row[0] for row in _read(tmp_path)]
    assert sorted(filter(None, people), key=int) == ["4", "5", "6", "7", "8", "9", *map(str, BIG)]
    assert people.count(None) == 2


REFUSED: dict[str, tuple[str, pa.Array, str]] = {
    "float ids beyond 2^53": ("user_id", pa.array([float(n) for n in BIG]), "in row 1 of a.parquet, which is no exact"),
    "nested ids": ("user_id", pa.array([{"a": 1}] * 8), r"has type STRUCT\(a BIGINT\), which is no id; map another"),
    "lists as ids": ("item_id", pa.array([[1]] * 8), r"has type BIGINT\[\], which is no id; map another to item_id"),
    "maps as ids": ("user_id", pa.array([[("a", 1)]] * 8, pa.map_(pa.string(), pa.int64())), "a.parquet: .* is no id"),
    "yes and no as ids": (
        "user_id",
        pa.array([True, False] * 4),
        "a.parquet: column 'user_id' has type BOOLEAN, which",
    ),
    "times of day": ("timestamp", pa.array([dt.time(10)] * 8), "has type TIME, which is no timestamp; map another"),
    "lists as amounts": ("value", pa.array([[1.0]] * 8), r"a.parquet: .* has type DOUBLE\[\], which is no number"),
    "bytes that are no text": ("user_id", pa.array([b"\xff"] * 8), "in row 1 of a.parquet, which is no exact id"),
    "dates as amounts": ("value", pa.array([dt.date(2024, 1, 1)] * 8), "has type DATE, which is no number"),
    "infinite amounts": ("value", pa.array([math.inf] * 8), r"no finite number up to 1e\+15 \(8 such rows\)"),
    "numbers as time": ("timestamp", pa.array([1] * 8), "which is no timestamp; say `timestamps: epoch_s or epoch_ms`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_type_that_cannot_be_read_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    column, values, says = REFUSED[case]
    table = _table("int64")
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, values), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=says) as error:
        _read(tmp_path)
    assert "\n" not in str(error.value)


def test_what_pandas_writes_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1000.0, 1001, math.nan, 1003, 1004, 1005, 1006, 1007],
            "item_id": pd.Series([f"i{n}" for n in range(8)], dtype="category"),
            "timestamp": pd.to_datetime(zoo.TIMES, utc=True)
            .tz_convert("Europe/Berlin")
            .astype("datetime64[ns, Europe/Berlin]"),
            "value": pd.array([0.25, 1.25, 2.25, None, 4.25, 5.25, 6.25, 7.25], dtype="Float64"),
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    wanted = [list(row) for row in TRUTH]
    wanted[2][0], wanted[3][5] = None, 0.0
    assert _read(tmp_path) == [tuple(row) for row in wanted]


@pytest.mark.parametrize("zone", ["UTC", None])
def test_times_of_96_bits_as_spark_writes_them_are_read(zone: str | None, tmp_path: Path) -> None:
    times = pa.array(zoo.TIMES if zone else AT, pa.timestamp("ns", tz=zone))
    table = _table("int64").set_column(2, "timestamp", times)
    pq.write_table(table, tmp_path / "a.parquet", use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(tmp_path / "a.parquet").schema.column(2).physical_type == "INT96"
    assert _read(tmp_path) == TRUTH


@pytest.mark.parametrize("second", ["user_id", "User_ID"])
def test_two_columns_of_one_name_are_refused(second: str, tmp_path: Path) -> None:
    table = _table("int64").append_column(second, pa.array(NUMBERS))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"a.parquet names '{second}' twice .* rename one of the columns"):
        _read(tmp_path)


@pytest.mark.slow
def test_what_spark_writes_is_read(tmp_path: Path) -> None:
    from tests.spark import spark_or_skip

    spark_or_skip()
    from pyspark.sql import SparkSession

    rows = [(n, row[1], row[3], decimal.Decimal(str(row[5]))) for n, row in zip(NUMBERS, TRUTH, strict=True)]
    form = "user_id bigint, item_id string, timestamp timestamp, value decimal(9,2)"
    SparkSession.builder.getOrCreate().createDataFrame(rows, form).write.parquet(str(tmp_path / "spark"))
    assert zoo.read({"type": "parquet", "events": {"path": "spark/part-*"}}, tmp_path) == TRUTH


SQL_IDS: dict[str, tuple[str, list[Any]]] = {
    "INTEGER": ("INTEGER", NUMBERS),
    "TEXT": ("TEXT", TEXTS),
    "REAL": ("REAL", [float(n) for n in NUMBERS]),
    "BLOB": ("BLOB", [one.encode() for one in TEXTS]),
    "mixed": ("", [1000, "1001", 1002.0, b"1003", "1004", 1005, 1006.0, "1007"]),
    "blanks": ("TEXT", [f" {one} " for one in TEXTS]),
}


def _tables(folder: Path, kind: str, ids: list[Any], times: list[Any], **more: Any) -> list[tuple[Any, ...]]:
    url = f"sqlite:///{folder / 'shop.db'}"
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS events"))
        connection.execute(
            sqlalchemy.text(f"CREATE TABLE events (user_id {kind}, item_id TEXT, timestamp, value REAL)")
        )
        for n, (one, at) in enumerate(zip(ids, times, strict=True)):
            row = {"a": one, "b": f"i{n}", "c": at, "d": n + 0.25}
            connection.execute(sqlalchemy.text("INSERT INTO events VALUES (:a, :b, :c, :d)"), row)
    engine.dispose()
    source = Sql.model_validate({"type": "sql", "url_env": "SHOP", "events": {"table": "events"} | more})
    work = folder / f"work-{len(list(folder.iterdir()))}"
    work.mkdir()
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        sql.read(db, source, work, {"SHOP": url})
        return zoo.events(db)


@pytest.mark.parametrize("chunk", [3, 50_000])
@pytest.mark.parametrize("ids", SQL_IDS)
def test_ids_of_a_database_are_exact_whatever_chunk_they_come_in(
    ids: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "CHUNK_ROWS", chunk)
    assert _tables(tmp_path, *SQL_IDS[ids], [at.isoformat() for at in zoo.TIMES]) == TRUTH
    seconds = [int(at.timestamp()) for at in zoo.TIMES]
    assert _tables(tmp_path, *SQL_IDS[ids], seconds, timestamps="epoch_s") == TRUTH


@pytest.mark.parametrize("chunk", [1, 50_000])
def test_one_real_id_does_not_round_the_others_of_a_database(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "CHUNK_ROWS", chunk)
    times = [at.isoformat() for at in zoo.TIMES]
    found = _tables(tmp_path, "", [*BIG[:7], 7.0], times)
    assert [row[0] for row in found] == [*map(str, BIG[:7]), "7"]
    with pytest.raises(DataError, match="which is no exact id; write ids whole"):
        _tables(tmp_path, "", [*BIG[:7], float(BIG[7])], times)


def test_times_of_a_database_with_and_without_an_offset_are_refused(tmp_path: Path) -> None:
    times = [at.isoformat() for at in zoo.TIMES[:4]] + [at.isoformat() for at in AT[4:]]
    with pytest.raises(DataError, match="carry an offset in row 1 and none in row 5; say the zone of the latter"):
        _tables(tmp_path, "INTEGER", NUMBERS, times)
