import datetime as dt
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data import file_source
from components.data.database import database
from components.data.ingest import ingest, source_digest
from components.data.snapshot import Snapshot
from components.data.spec import Data
from components.data.table_spec import CANONICAL_TYPES
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, SpecError
from feature_repo.privacy.pseudonyms import pseudonym

KEY, OTHER_KEY = "00" * 16, "a1" * 16
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
UTC = dt.UTC


def test_events_become_canonical_rows_in_order_of_time(shop, spec, rows):
    ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW)
    first, second, *_ = rows(shop / "tables" / "events.parquet")
    at = dt.datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert first == {
        "user_id": pseudonym("10", KEY),
        "item_id": "tea",
        "event": "purchase",
        "timestamp": at,
        "created_at": at,
        "session_id": "s1",
        "quantity": 1.0,
        "value": 3.5,
        "discount": 0.0,
    }
    assert (second["item_id"], second["quantity"], second["discount"]) == ("milk", 2.0, 0.2)


def test_items_without_a_first_seen_of_their_own_are_counted(shop, spec):
    assert ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW).items_undated == 3
    dates = {"tea": "2024-01-01T00:00:00Z", "milk": "2023-01-01T00:00:00Z", "bread": ""}
    told = "".join(f"{item},{first}\n" for item, first in dates.items())
    (shop / "items.csv").write_text(f"item_id,first_seen\n{told}")
    found = ingest(spec(items={"lists": {}}), shop / "tables", key=KEY, base=shop, now=NOW)
    assert found.items_undated == 1
    assert Snapshot.load(shop / "tables").items_undated == 1


@pytest.mark.parametrize("header", ["user_id,item_id,timestamp", "user_id,item_id,timestamp,quantity,value,brand"])
def test_columns_have_their_canonical_types_whatever_the_file_has(shop, spec, header):
    filled = "," * (header.count(",") - 2)
    lines = "".join(f"1,tea,2024-01-{day:02}{filled}\n" for day in (1, 8, 15, 22))
    (shop / "events.csv").write_text(f"{header}\n{lines}")
    (shop / "items.csv").write_text("item_id\ntea\n")
    for data in (spec(), spec(source={"type": "csv", "events": {"path": "events.csv"}})):
        ingest(data, shop / "tables", key=KEY, base=shop, now=NOW)
        for table, wanted in (("events", columns.EVENTS), ("items", columns.ITEMS)):
            schema = pq.read_schema(shop / "tables" / f"{table}.parquet")
            types = {name: str(schema.field(name).type) for name in schema.names}
            assert types == {column: CANONICAL_TYPES.get(column, "string") for column in wanted}


def test_items_keep_their_attributes_and_learn_when_they_were_first_seen(shop, spec, rows):
    ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW)
    tea, milk, bread = rows(shop / "tables" / "items.parquet")
    assert tea == {
        "item_id": "tea",
        "title": "Green tea",
        "category": "DRINKS",
        "category_path": "DRINKS",
        "brand": None,
        "price": 3.5,
        "first_seen": dt.datetime(2024, 1, 1, 10, tzinfo=UTC),
        "tags": ["hot", "organic"],
    }
    assert milk["tags"] == ["organic"]
    assert not bread["tags"]


def test_an_attribute_of_items_may_have_a_name_of_ours(shop, spec, rows):
    (shop / "items.csv").write_text("item_id,Farbe,size\ntea,green,1\nmilk,,2\nbread,brown,3\n")
    ingest(spec(items={"columns": {"colour": "Farbe"}, "lists": {}}), shop / "tables", key=KEY, base=shop, now=NOW)
    items = rows(shop / "tables" / "items.parquet")
    assert [(one["colour"], one["size"]) for one in items] == [("green", "1"), (None, "2"), ("brown", "3")]
    assert "farbe" not in {name.lower() for name in items[0]}


def test_the_snapshot_says_what_the_folder_holds(shop, spec):
    snapshot = ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW)
    assert snapshot == Snapshot.load(shop / "tables")
    assert snapshot.rows == {"events": 6, "items": 3, "users": 3}
    assert (snapshot.first, snapshot.last) == ("2024-01-01T10:00:00+00:00", "2024-01-29T08:00:00+00:00")
    assert (snapshot.calendar, snapshot.weeks) == (Calendar("2024-01-01", "UTC"), 5)


def test_optional_columns_have_defaults(shop, spec, rows):
    (shop / "events.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"7,tea,2024-01-{day:02} 23:30\n" for day in (1, 8, 15, 22))
    )
    source = {"type": "csv", "events": {"path": "events.csv"}}
    data = spec(source=source, timezone="Europe/Berlin")
    ingest(data, shop / "tables", key=KEY, base=shop, now=NOW)
    first = rows(shop / "tables" / "events.parquet")[0]
    assert (first["event"], first["quantity"], first["value"], first["discount"]) == ("event", 1.0, 0.0, 0.0)
    assert first["created_at"] == first["timestamp"]
    assert first["session_id"] == f"{pseudonym('7', KEY)} 2024-01-02"  # half past midnight in Berlin
    assert rows(shop / "tables" / "items.parquet")[0]["title"] == "tea"


@pytest.mark.parametrize(
    ("timestamps", "timezone", "text"),
    [
        ("iso", "UTC", "2024-01-08 09:00:00"),
        ("iso", "Europe/Berlin", "2024-01-08 10:00:00"),
        ("iso", "Europe/Berlin", "2024-01-08T09:00:00Z"),
        ("iso", "Europe/Berlin", "2024-01-08T04:00:00-05:00"),
        ("epoch_s", "Europe/Berlin", "1704704400"),
        ("epoch_ms", "UTC", "1704704400000"),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "08.01.2024 10:00"),
    ],
)
def test_a_time_is_read_in_its_format_and_zone(shop, spec, timestamps, timezone, text):
    (shop / "events.csv").write_text(f"user_id,item_id,timestamp\n1,tea,{text}\n")
    data = spec(events={"timestamps": timestamps, "timezone": timezone})
    with database(shop) as db:
        file_source.read(db, data.source, shop)
        (found,) = db.execute("SELECT epoch(timestamp) FROM source_events").fetchone()
    assert found == dt.datetime(2024, 1, 8, 9, tzinfo=UTC).timestamp()


def test_parquet_with_its_own_types_and_names_is_read(shop, spec, rows):
    days = [dt.datetime(2024, 1, day, 12) for day in (1, 8, 15, 22)]
    table = pa.table(
        {
            "Customer": pa.array([1.0, 2.0, None, 12.0]),  # what pandas makes of ids beside a missing one
            "sku": pa.array([5, 5, 6, 6]),
            "at": pa.array(days, pa.timestamp("ns")),
            "paid": pa.array([1.5, float("nan"), 2.0, 2.5]),
        }
    )
    pq.write_table(table, shop / "log.parquet")
    mapped = {"user_id": "customer", "item_id": "sku", "timestamp": "at", "value": "paid"}
    data = spec(source={"type": "parquet", "events": {"path": "log*.parquet", "columns": mapped}})
    ingest(data, shop / "tables", key=KEY, base=shop, now=NOW)
    found = rows(shop / "tables" / "events.parquet")
    assert [r["user_id"] for r in found] == [pseudonym("1", KEY), pseudonym("2", KEY), None, pseudonym("12", KEY)]
    assert [r["value"] for r in found] == [1.5, 0.0, 2.0, 2.5]
    assert [r["item_id"] for r in found] == ["5", "5", "6", "6"]


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_an_attribute_that_is_no_number_is_missing(kind, shop, spec, rows):
    table = pa.table({"item_id": ["tea", "milk", "bread"], "weight": pa.array([0.5, float("nan"), None], kind)})
    pq.write_table(table, shop / "items.parquet")
    source = {"type": "parquet", "events": {"path": "events.parquet"}, "items": {"path": "items.parquet"}}
    days = [dt.datetime(2024, 1, day, 12) for day in (1, 8, 15, 22)]
    events = {"user_id": ["1"] * 4, "item_id": ["tea"] * 4, "timestamp": pa.array(days, pa.timestamp("us"))}
    pq.write_table(pa.table(events), shop / "events.parquet")
    ingest(spec(source=source), shop / "tables", key=KEY, base=shop, now=NOW)
    assert {r["item_id"]: r["weight"] for r in rows(shop / "tables" / "items.parquet")} == {
        "tea": 0.5,
        "milk": None,
        "bread": None,
    }


def test_of_several_files_the_one_that_cannot_be_read_is_named_with_its_own_row(shop, spec):
    (shop / "part-1.csv").write_text("user_id,item_id,timestamp\n1,tea,2024-01-01\n1,tea,2024-01-08\n")
    (shop / "part-2.csv").write_text("user_id,item_id,timestamp\n1,tea,2024-01-15\n1,tea,soon\n1,tea,2024-01-22\n")
    with pytest.raises(DataError) as caught:
        ingest(spec({"path": "part-*.csv"}), shop / "tables", key=KEY, base=shop, now=NOW)
    assert "holds 'soon' in row 2 of part-2.csv, which is no timestamp" in str(caught.value)


def test_items_in_the_events_own_file_are_one_row_an_item_without_its_other_columns(shop, spec, rows):
    (shop / "events.csv").write_text(
        "user_id,item_id,timestamp,kind\n"
        + "".join(
            f"7,tea,2024-01-{day:02} 12:00,{kind}\n" for day, kind in ((1, "DRINKS"), (8, "x"), (15, "x"), (22, "x"))
        )
    )
    items = {"path": "events.csv", "columns": {"category": "kind"}}
    data = spec(source={"type": "csv", "events": {"path": "events.csv"}, "items": items})
    ingest(data, shop / "tables", key=KEY, base=shop, now=NOW)
    (tea,) = rows(shop / "tables" / "items.parquet")
    assert tea["category"] == "DRINKS"
    assert tuple(tea) == columns.ITEMS


def test_only_declared_columns_of_users_come_along(shop, spec, rows):
    (shop / "users.csv").write_text("id,email,age\nann,ann@example.org,35-44\nzoe,zoe@example.org,18-24\n")
    source = spec().source.model_dump()
    source["users"] = {"path": "users.csv", "columns": {"user_id": "id", "age": "age"}}
    ingest(spec(source=source), shop / "tables", key=KEY, base=shop, now=NOW)
    assert rows(shop / "tables" / "users.parquet") == [
        {"user_id": pseudonym("2", KEY), "age": None},
        {"user_id": pseudonym("10", KEY), "age": None},
        {"user_id": pseudonym("ann", KEY), "age": "35-44"},
        {"user_id": pseudonym("zoe", KEY), "age": "18-24"},
    ]


def test_another_key_changes_names_and_nothing_else(shop, spec, rows):
    snapshots = [ingest(spec(), shop / key, key=key, base=shop, now=NOW) for key in (KEY, OTHER_KEY)]
    assert replace(snapshots[0], key="") == replace(snapshots[1], key="")
    assert snapshots[0].key != snapshots[1].key  # its fingerprint, to tell that two sides use the same
    order = {key: [r["user_id"] for r in rows(shop / key / "users.parquet")] for key in (KEY, OTHER_KEY)}
    for key, found in order.items():
        assert found == [pseudonym(raw, key) for raw in ("2", "10", "ann")]
    renamed = dict(zip(order[OTHER_KEY], order[KEY], strict=True))
    other = rows(shop / OTHER_KEY / "events.parquet")
    assert [r | {"user_id": renamed[r["user_id"]]} for r in other] == rows(shop / KEY / "events.parquet")


def test_no_raw_user_id_is_written(shop, spec):
    (shop / "events.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"secret-person,tea,2024-01-{d:02}\n" for d in (1, 8, 15, 22))
    )
    ingest(spec(source={"type": "csv", "events": {"path": "events.csv"}}), shop / "t", key=KEY, base=shop, now=NOW)
    for file in ("events", "users"):
        assert "secret-person" not in str(pq.read_table(shop / "t" / f"{file}.parquet").to_pylist())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "customer,item_id,timestamp\n1,tea,2024-01-01\n",
            "data.source.events: no column for user_id in events.csv; have customer, item_id, timestamp; "
            "did you mean 'customer'?; say it as `columns: {user_id: <column>}`",
        ),
        (
            "user_id,item_id,timestamp\n1,tea,2024-01-01\n1,tea,soon\n1,tea,late\n",
            "data.source.events: "
            "column 'timestamp' (for timestamp) holds 'soon' in row 2 of events.csv, which is no timestamp "
            "(2 such rows); mend the file, or say its format: `timestamps: epoch_s | epoch_ms | '%d/%m/%Y'`",
        ),
        (
            "user_id,item_id,timestamp,quantity\n1,tea,2024-01-01,one\n",
            "data.source.events: "
            "column 'quantity' (for quantity) holds 'one' in row 1 of events.csv, which is no number; "
            "mend the file",
        ),
        ("", "data.source.events.path: {shop}/events.csv is empty (0 bytes)"),
        ("user_id,item_id,timestamp\n", "data.source: events have no rows; nothing can be learnt from them"),
        (
            "user_id,item_id,timestamp\n1,tea,\n",
            "data.source: events have no timestamp in any of its 1 rows; nothing can be learnt from them",
        ),
        (
            "user_id,item_id,timestamp\n1,tea,2024-01-01\n1,tea,2024-01-09\n",
            "data.split: the events span 2 weeks and the split needs 4 (1 warm-up + at least 1 train + 1 validate + "
            "1 test); lower warmup_weeks, validate_weeks or test_weeks, or bring more weeks",
        ),
        (
            "user_id,item_id,timestamp\n1,tea,2034-01-01\n",
            "data.source: every timestamp is in the future (the earliest is 2034-01-01 00:00 UTC); "
            "check the column, its format and its time zone",
        ),
    ],
)
def test_bad_events_are_refused_in_one_line_and_nothing_is_written(shop, spec, text, says):
    (shop / "events.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW)
    assert str(caught.value) == says.replace("{shop}", str(shop))
    assert sorted(path.name for path in shop.iterdir()) == ["events.csv", "items.csv"]


def test_years_past_pythons_are_said_to_be_in_the_future(shop, spec):
    (shop / "events.csv").write_text("user_id,item_id,timestamp\n1,tea,9000000000000000\n")  # an id, read as a time
    with pytest.raises(DataError, match=r"the earliest is 287168-08-24 16:00 UTC"):
        ingest(spec(events={"timestamps": "epoch_ms"}), shop / "tables", key=KEY, base=shop, now=NOW)


def test_a_missing_file_names_its_folder_and_the_nearest_file(shop, spec):
    with pytest.raises(DataError) as caught:
        ingest(spec(events={"path": "event.csv"}), shop / "tables", key=KEY, base=shop, now=NOW)
    assert str(caught.value) == f"data.source.events.path: no file 'event.csv' in {shop}; did you mean 'events.csv'?"


def test_a_mapped_column_that_is_not_there_names_the_nearest(shop, spec):
    with pytest.raises(
        DataError, match=r"no column 'quantty' \(for quantity\) in events.csv; .*did you mean 'quantity'"
    ):
        ingest(spec(events={"columns": {"quantity": "quantty"}}), shop / "t", key=KEY, base=shop, now=NOW)


def test_numbers_as_time_ask_for_a_format(shop, spec):
    pq.write_table(pa.table({"user_id": ["1"], "item_id": ["tea"], "timestamp": [1704704400]}), shop / "log.parquet")
    data = spec(source={"type": "parquet", "events": {"path": "log.parquet"}})
    with pytest.raises(
        DataError, match="has type BIGINT, which is no timestamp; say `timestamps: epoch_s or epoch_ms`"
    ):
        ingest(data, shop / "t", key=KEY, base=shop, now=NOW)


def test_a_file_of_another_kind_is_refused(shop, spec):
    (shop / "log.parquet").write_text("this is no parquet")
    data = spec(source={"type": "parquet", "events": {"path": "log.parquet"}})
    with pytest.raises(DataError, match=r"data.source.events: log.parquet cannot be read: "):
        ingest(data, shop / "t", key=KEY, base=shop, now=NOW)


@pytest.mark.parametrize("key", ["", "00", "no hex at all, though it is long"])
def test_a_weak_key_is_refused(shop, spec, key):
    with pytest.raises(SpecError, match="at least 32 hex digits"):
        ingest(spec(), shop / "t", key=key, base=shop, now=NOW)


@pytest.mark.process
def test_a_full_disk_leaves_the_old_tables_and_no_rest(shop, spec, rows):
    """The limit on file size makes the write fail where it would on a full disk."""
    ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW)
    before = rows(shop / "tables" / "events.parquet")
    lines = "".join(
        f"u{i},tea,e,2024-01-{1 + i % 28:02}T10:00:00Z,s{i},1,{i * 7919 % 10007},0\n" for i in range(20_000)
    )
    (shop / "events.csv").write_text((shop / "events.csv").read_text() + lines)
    code = (
        "import resource, sys; from pathlib import Path; from components.data.ingest import ingest\n"
        "from components.data.spec import Data\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "base = Path(sys.argv[1]); data = Data.model_validate_json(sys.argv[2])\n"
        f"ingest(data, base / 'tables', key='{KEY}', base=base)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(shop), spec().model_dump_json()],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode != 0
    assert "File too large" in done.stderr
    assert rows(shop / "tables" / "events.parquet") == before
    assert sorted(path.name for path in shop.iterdir()) == ["events.csv", "items.csv", "tables"]


def test_the_source_digest_changes_with_the_files(shop, spec):
    before = source_digest(spec(), shop)
    assert source_digest(spec(), shop) == before
    with (shop / "events.csv").open("a") as stream:
        stream.write("10,tea,view,2024-01-30T08:00:00Z,s6,1,0,0\n")
    assert source_digest(spec(), shop) != before
    assert len(source_digest(Data(source={"type": "completejourney"}), shop)) == 12


def test_the_last_week_is_complete_when_it_has_as_many_days_as_usual(shop, spec):
    def complete(days):
        lines = "".join(f"1,tea,2024-01-{day:02}\n" for day in days)
        (shop / "events.csv").write_text("user_id,item_id,timestamp\n" + lines)
        data = spec(source={"type": "csv", "events": {"path": "events.csv"}})
        return ingest(data, shop / "t", key=KEY, base=shop, now=NOW).last_week_complete

    weekdays = [d for d in range(1, 27) if dt.date(2024, 1, d).weekday() < 5]
    assert complete(weekdays)
    assert not complete(weekdays[:-1])


def test_what_labels_of_several_steps_take_of_the_split_counts(shop, spec):
    with pytest.raises(DataError) as caught:
        ingest(spec(), shop / "tables", key=KEY, base=shop, now=NOW, horizon=4)
    assert str(caught.value).endswith(
        "the split needs 13 (1 warm-up + at least 1 train + 1 validate + 1 test + 9 for labels of 4 weeks); lower "
        "warmup_weeks, validate_weeks or test_weeks, or the intents' horizons, or bring more weeks"
    )
    assert not (shop / "tables").exists()
