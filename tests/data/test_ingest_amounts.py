"""What ingest makes of units, prices, quantities and offers, and of columns that are optional."""

import datetime as dt
import re

import duckdb
import pytest

from components.data import mapping
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import DataError
from tests.data.test_ingest import KEY, NOW, UTC


def test_units_turn_cents_into_money(shop, spec, rows):
    (shop / "events.csv").write_text(
        "user_id,item_id,timestamp,value,quantity\n"
        + "".join(f"1,tea,2024-01-{day:02},{cents},2\n" for day, cents in ((1, 350), (8, 7), (15, ""), (22, 1.5)))
    )
    ingest(spec(events={"units": {"value": 0.01, "quantity": 12}}), shop / "tables", key=KEY, base=shop, now=NOW)
    got = [(row["value"], row["quantity"]) for row in rows(shop / "tables" / "events.parquet")]
    assert got == [(3.5, 24.0), (0.07, 24.0), (0.0, 24.0), (0.015, 24.0)]


def test_a_price_times_a_quantity_is_the_money_paid(shop, spec, rows):
    lines = ("2,1.5", "-1,2", ",3", "4,", '"1,5",2')
    (shop / "events.csv").write_text(
        "user_id,item_id,timestamp,Quantity,UnitPrice\n"
        + "".join(f"1,tea,2024-01-{day:02},{line}\n" for day, line in zip((1, 8, 15, 22), lines, strict=False))
    )
    mapped = {"columns": {"quantity": "Quantity", "value": "UnitPrice"}, "times": {"value": "Quantity"}}
    ingest(spec(events=mapped), shop / "tables", key=KEY, base=shop, now=NOW)
    got = [(row["quantity"], row["value"]) for row in rows(shop / "tables" / "events.parquet")]
    assert got == [(2.0, 3.0), (-1.0, -2.0), (1.0, 0.0), (4.0, 0.0)]


@pytest.mark.parametrize(
    ("mapped", "message"),
    [
        ({"columns": {"value": "UnitPrice"}, "times": {"value": "Qty"}}, "events.times: no column 'Qty' in events.csv"),
        ({"times": {"value": "Quantity"}}, "no column for value in events.csv; have user_id"),
        ({"columns": {"value": "UnitPrice"}, "times": {"value": "who"}}, "'who' (for value times) holds 'ann' in row"),
    ],
    ids=["no factor", "nothing to multiply", "a factor that is no number"],
)
def test_a_product_names_what_it_lacks(mapped, message, shop, spec):
    (shop / "events.csv").write_text("user_id,item_id,timestamp,Quantity,UnitPrice,who\n1,tea,2024-01-01,2,1.5,ann\n")
    with pytest.raises(DataError, match=re.escape(message)):
        ingest(spec(events=mapped), shop / "tables", key=KEY, base=shop, now=NOW)


def test_a_spec_without_products_keeps_its_record_of_arrivals(spec):
    assert "times" not in spec().source.events.model_dump(mode="json")


def test_files_may_bring_offers(shop, spec, rows):
    (shop / "flyers.csv").write_text("sku,from,to,where\ntea,2024-01-08,2024-01-15,0.5\nmilk,2024-01-01,2024-01-08,\n")
    told = {"item_id": "sku", "valid_from": "from", "valid_to": "to", "share": "where"}
    offers = {"path": "flyers.csv", "columns": told, "timezone": "Europe/Berlin"}
    data = spec()
    source = data.source.model_dump() | {"offers": offers}
    snapshot = ingest(
        Data.model_validate(data.model_dump() | {"source": source}), shop / "tables", key=KEY, base=shop, now=NOW
    )
    milk, tea = rows(shop / "tables" / "offers.parquet")
    assert snapshot.rows["offers"] == 2
    assert tea == {
        "item_id": "tea",
        "kind": "offer",
        "valid_from": dt.datetime(2024, 1, 7, 23, tzinfo=UTC),
        "valid_to": dt.datetime(2024, 1, 14, 23, tzinfo=UTC),
        "share": 0.5,
        "campaign": None,
        "created_at": dt.datetime(2024, 1, 7, 23, tzinfo=UTC),
    }
    assert milk["share"] == 1.0


@pytest.mark.parametrize("kind", ["VIEW", "TABLE"])
def test_an_adapter_that_lacks_an_optional_column_gets_its_default(kind, monkeypatch):
    monkeypatch.setitem(mapping.EVENT_DEFAULTS, "channel", "'unknown'")
    with duckdb.connect() as db:
        db.execute(f"CREATE {kind} source_events AS SELECT 'u1' AS user_id, 2.0 AS quantity, 7 AS source_row")
        mapping.complete_events(db)
        found = db.sql("SELECT user_id, quantity, channel, event, source_row FROM source_events").fetchall()
    assert found == [("u1", 2.0, "unknown", "event", 7)]
