"""The real grocery data: its mapping on a slice, its weeks on all of it, its time and memory in full (slow)."""

import datetime as dt
import resource
import time
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from components.data import completejourney
from components.data.contract import validate
from components.data.database import database
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.calendar import Calendar

KEY = "00" * 16
SPEC = Path(__file__).parents[2] / "pipelines" / "specs" / "grocery.yaml"


@pytest.fixture(scope="session")
def package() -> Path:
    """The package's folder of files."""
    return completejourney._folder()


@pytest.fixture(scope="session")
def part(package, tmp_path_factory) -> Path:
    """The same files with a few households' rows."""
    folder = tmp_path_factory.mktemp("part")
    for name in completejourney.FILES:
        table = pq.read_table(package / name)
        if "household_id" in table.column_names:
            table = table.filter(np.asarray(table["household_id"]) <= 12)
        pq.write_table(table, folder / name)
    return folder


@pytest.fixture(scope="session")
def relations(part, tmp_path_factory):
    """What the adapter makes of the part, as rows by table."""
    with database(tmp_path_factory.mktemp("db")) as db:
        completejourney.read(db, part)
        return {
            table: db.sql(f"FROM source_{table} ORDER BY source_row").to_arrow_table().to_pylist()
            for table in ("events", "items", "users")
        }


def test_promotions_become_shares_of_the_stores_and_coupons_hold_to_their_last_day(package, tmp_path):
    some = f"FROM '{package}/promotions.parquet' WHERE week = 10 AND store_id % 15 = 0 AND product_id < 900000"
    promotions = duckdb.sql(some).to_arrow_table()
    pq.write_table(promotions, tmp_path / "promotions.parquet")
    files = [tmp_path / "promotions.parquet", *(package / name for name in completejourney.OFFER_FILES[1:])]
    with database(tmp_path) as db:
        completejourney._create_offers(db, *(f"read_parquet('{file}')" for file in files))
        offers = db.sql("SELECT * EXCLUDE (source_row) FROM source_offers").to_arrow_table().to_pandas()
    rows = promotions.to_pandas()
    count = rows["store_id"].nunique()
    for kind, column in (("flyer", "mailer_location"), ("display", "display_location")):
        held = rows[rows[column] != "0"].groupby("product_id")["store_id"].nunique() / count
        found = offers[offers["kind"] == kind].set_index("item_id")["share"]
        assert found.to_dict() == pytest.approx({str(item): share for item, share in held.items()})
    flyer = offers[offers["kind"] == "flyer"].iloc[0]
    assert (flyer["valid_from"].isoformat(), flyer["valid_to"].isoformat()) == (
        "2017-02-27T05:00:00+00:00",
        "2017-03-06T05:00:00+00:00",
    )
    assert flyer["created_at"] == flyer["valid_from"]
    coupons = offers[offers["kind"] == "coupon"]
    first = coupons[coupons["campaign"] == "1"].iloc[0]  # 3 March to 9 April 2017, New York
    assert first["valid_from"] == dt.datetime(2017, 3, 3, 5, tzinfo=dt.UTC)
    assert first["valid_to"] == dt.datetime(2017, 4, 10, 4, tzinfo=dt.UTC)
    assert not coupons.duplicated().any()


def test_the_calendar_counts_the_weeks_that_the_package_counts(package):
    table = pq.read_table(package / "transactions.parquet", columns=["transaction_timestamp", "week"])
    seconds = table["transaction_timestamp"].cast("timestamp[s]").cast("int64").to_numpy()
    first = dt.datetime.fromtimestamp(int(seconds.min()), dt.UTC)
    calendar = Calendar.starting(first, timezone="America/New_York", week_start="monday")
    assert calendar.first_day == "2016-12-26"
    assert (calendar.weeks(seconds) == table["week"].to_numpy()).all()


def test_a_purchase_line_is_mapped(part, relations):
    line = pq.read_table(part / "transactions.parquet").slice(0, 1).to_pylist()[0]
    event = relations["events"][0]
    assert event == {
        "user_id": str(line["household_id"]),
        "item_id": str(line["product_id"]),
        "event": "purchase",
        "timestamp": line["transaction_timestamp"].replace(tzinfo=dt.UTC),
        "created_at": line["transaction_timestamp"].replace(tzinfo=dt.UTC),
        "session_id": str(line["basket_id"]),
        "quantity": float(line["quantity"]),
        "value": line["sales_value"],
        "discount": pytest.approx(line["retail_disc"] + line["coupon_disc"] + line["coupon_match_disc"]),
        "source_row": 1,
    }


def test_products_have_titles_a_person_can_read_and_no_price_from_the_future(relations):
    by_id = {item["item_id"]: item for item in relations["items"]}
    assert len(by_id) == 92_331
    assert by_id["25671"] == {
        "item_id": "25671",
        "title": "Ice - crushed / cubed · 22 lb",
        "category": "FRZN ICE",
        "category_path": "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED",
        "brand": "National",
        "price": None,
        "first_seen": None,
        "department": "GROCERY",
        "product_type": "ICE - CRUSHED/CUBED",
        "package_size": "22 LB",
        "manufacturer_id": "2",
        "source_row": 1,
    }
    assert all(item["title"] and item["price"] is None for item in relations["items"])


def test_users_have_their_demographics(relations):
    assert {"user_id", "age", "income", "kids_count"} <= set(relations["users"][0])


@pytest.mark.slow
def test_the_whole_year_is_ingested_and_judged_in_time_and_memory(tmp_path):
    data = Data.model_validate(yaml.safe_load(SPEC.read_text())["data"])
    start, cpu = time.monotonic(), time.process_time()
    snapshot = ingest(data, tmp_path / "tables", key=KEY, base=tmp_path)
    assert min(time.monotonic() - start, time.process_time() - cpu) < 15
    assert (snapshot.rows["events"], snapshot.weeks, snapshot.last_week_complete) == (1_469_307, 53, False)
    cpu = time.process_time()
    verdict = validate(tmp_path / "tables", data, tmp_path / "clean")
    assert time.process_time() - cpu < 25  # with the import of great_expectations
    assert verdict.passed
    assert verdict.quarantined == {"events": 20_555, "items": 540, "users": 0}
    assert verdict.kept["events"] == 1_439_281
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 < 1.5  # GiB
