"""The sources by kind: read one into the source relations, or name its state cheaply.

The relations are `source_events`, `source_items`, `source_users` (user ids raw, rows numbered), and where a source
has them `source_offers` and `source_truth`. Each adapter is a module; here they meet, and nowhere else.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb

from components.data import (
    clickstream,
    completejourney,
    file_source,
    mapping,
    movielens,
    sql,
    synthetic,
    synthetic_music,
    synthetic_news,
)
from components.data.database import text
from components.data.source_spec import CompleteJourney, Files, MovieLens, Source, Sql, Synthetic
from components.data.synthetic_spec import Clickstream, SyntheticMusic, SyntheticNews
from components.data.table_spec import Table
from feature_repo import files

Made = Synthetic | SyntheticMusic | SyntheticNews | Clickstream
MAKERS: dict[type[Made], ModuleType] = {
    Synthetic: synthetic,
    SyntheticMusic: synthetic_music,
    SyntheticNews: synthetic_news,
    Clickstream: clickstream,
}


@dataclass(frozen=True)
class Read:
    """What reading a source told of it."""

    identity: list[str]  # digests of what was read
    grows: bool = False  # rows may come later; then ingest keeps a record of when
    tells: bool = False  # events say themselves when they became known


def read(db: duckdb.DuckDBPyConnection, source: Source, base: Path, *, work: Path) -> Read:
    """Create a source's relations; `work` is an empty folder that lives as long as the database."""
    found = _read(db, source, base, work=work)
    mapping.complete_events(db)
    return found


def _read(db: duckdb.DuckDBPyConnection, source: Source, base: Path, *, work: Path) -> Read:
    match source:
        case CompleteJourney():
            return Read(_digests(completejourney.read(db)))
        case MovieLens():
            return Read(_digests(movielens.read(db, source.path, base)))
        case Synthetic() | SyntheticMusic() | SyntheticNews() | Clickstream():
            return _made(db, source, work)
        case Files():
            found, tells = file_source.read(db, source, base)
            return Read(_digests(found), grows=True, tells=tells)
        case Sql():
            digests, tells = sql.read(db, source, work, os.environ)
            return Read(digests, grows=True, tells=tells)


def state(source: Source, base: Path) -> str:
    """Digest a source's state without reading it: versions, files' names, sizes and times, counts and watermarks."""
    return files.digest(_state(source, base))


def _state(source: Source, base: Path) -> Any:
    match source:
        case CompleteJourney():
            return {"package": completejourney.DISTRIBUTION, "version": completejourney.version()}
        case MovieLens():
            return stats(movielens.files(source.path, base))
        case Synthetic() | SyntheticMusic() | SyntheticNews() | Clickstream():
            return {"synthetic": MAKERS[type(source)].VERSION, **source.model_dump()}
        case Files():
            return stats(file_source.paths(source, base))
        case Sql():
            return sql.state(source, os.environ)


def _made(db: duckdb.DuckDBPyConnection, source: Made, work: Path) -> Read:
    """Make the rows, and read them as files; the truth comes along."""
    maker = MAKERS[type(source)]
    maker.write_events(work, **source.model_dump(exclude={"type"}))
    made = Files(
        type="parquet",
        events=Table(path="events/*.parquet"),
        items=Table(path="items.parquet"),
        users=Table(path="users.parquet", columns=maker.USER_COLUMNS),
    )
    file_source.read(db, made, work)
    db.execute(f"""
        CREATE TABLE source_truth AS SELECT CAST(user_id AS VARCHAR) AS user_id, * EXCLUDE (user_id)
        FROM read_parquet({text(work / "truth.parquet")})""")
    return Read([str(maker.VERSION)])


def _digests(found: list[Path]) -> list[str]:
    return [files.file_digest(path) for path in found]


def stats(found: list[Path]) -> list[list[Any]]:
    """Name the state of files by name, size and time."""
    stats = [(path, path.stat()) for path in found]
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
