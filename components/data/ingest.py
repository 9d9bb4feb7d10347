"""First step: the source's rows as canonical tables, with users under pseudonyms.

Adapters (`completejourney`, `files`) say how a source is read; here it becomes the `tables` folder:
events, items and users as parquet, and snapshot.json. Nothing is judged or dropped here: that is the
contract's work in the next step. A value that cannot be read as its type is a DataError.
"""

import datetime as dt
import tempfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa

from components.data import completejourney, files
from components.data.database import database, text, write_parquet
from components.data.snapshot import Snapshot, period, require_weeks
from components.data.spec import CompleteJourney, Data
from feature_repo import artifacts
from feature_repo.errors import SpecError
from feature_repo.pseudonyms import pseudonym


def ingest(
    data: Data,
    destination: Path,
    *,
    key: str,
    base: Path,
    now: dt.datetime | None = None,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Snapshot:
    """Write the `tables` folder of a source; relative paths of the spec start at `base`."""
    _require_key(key)
    now = now or dt.datetime.now(dt.UTC)
    with artifacts.written_folder(destination) as folder:
        with database(folder) as db:
            source = data.source
            read = completejourney.read(db) if isinstance(source, CompleteJourney) else files.read(db, source, base)
            report(0.3, "source read")
            span = period(db, "source_events", data=data, now=now)
            require_weeks(span.weeks, data.split)
            report(0.4, "calendar")
            rows = _write(db, data.timezone, folder, key=key)
        digest = artifacts.digest(_identity(data, read))
        snapshot = Snapshot.of(span, source=source.type, digest=digest, rows=rows)
        snapshot.save(folder)
    return snapshot


def source_digest(data: Data, base: Path) -> str:
    """Name the state of a source in milliseconds, for caching: package version, or names, sizes and times."""
    if isinstance(data.source, CompleteJourney):
        return artifacts.digest({"package": completejourney.DISTRIBUTION, "version": completejourney.version()})
    stats = [(path, path.stat()) for path in files.paths(data.source, base)]
    return artifacts.digest([[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats])


def example_user(data: Data, base: Path) -> str:
    """Return a user id as the source has it: the first in the order of numbers, or of letters."""
    with database(Path(tempfile.gettempdir())) as db:
        source = data.source
        if isinstance(source, CompleteJourney):
            completejourney.read(db)
        else:
            files.read(db, source, base)
        query = "SELECT DISTINCT user_id FROM source_events ORDER BY length(user_id), user_id LIMIT 1"
        return str((db.execute(query).fetchone() or ("",))[0])


def _write(db: duckdb.DuckDBPyConnection, timezone: str, folder: Path, *, key: str) -> dict[str, int]:
    """Write the three tables from the source relations; return their rows."""
    _create_people(db, key)
    queries = {"events": _events(timezone), "items": _items(), "users": _users()}
    return {table: write_parquet(db, query, folder / f"{table}.parquet") for table, query in queries.items()}


def _create_people(db: duckdb.DuckDBPyConnection, key: str) -> None:
    """Give every raw user id its pseudonym, in an order that no key changes: 2 before 10 before 'ann'."""
    found = db.execute("""
        SELECT user_id FROM (SELECT user_id FROM source_events UNION SELECT user_id FROM source_users)
        WHERE user_id IS NOT NULL ORDER BY length(user_id), user_id""")
    raw = [row[0] for row in found.fetchall()]
    people = {"raw": raw, "pseudonym": [pseudonym(r, key) for r in raw], "position": range(len(raw))}
    schema = pa.schema([("raw", pa.string()), ("pseudonym", pa.string()), ("position", pa.int64())])
    db.register("people", pa.table({k: list(v) for k, v in people.items()}, schema=schema))


def _events(timezone: str) -> str:
    """Select events under pseudonyms; a source without sessions has one a user and local day."""
    day = f"CAST(e.timestamp AT TIME ZONE {text(timezone)} AS DATE)"
    return f"""
        SELECT p.pseudonym AS user_id, e.* EXCLUDE (user_id, source_row)
            REPLACE (coalesce(e.session_id, concat(p.pseudonym, ' ', {day})) AS session_id)
        FROM source_events e LEFT JOIN people p ON p.raw = e.user_id
        ORDER BY timestamp NULLS LAST, source_row"""


def _items() -> str:
    return """
        SELECT i.* EXCLUDE (source_row) REPLACE (coalesce(i.first_seen, s.first_seen) AS first_seen)
        FROM source_items i LEFT JOIN (
            SELECT item_id, min(timestamp) AS first_seen FROM source_events GROUP BY item_id
        ) s USING (item_id)
        ORDER BY i.source_row"""


def _users() -> str:
    return """
        SELECT p.pseudonym AS user_id, u.* EXCLUDE (user_id, source_row)
        FROM people p LEFT JOIN source_users u ON u.user_id = p.raw
        ORDER BY p.position, u.source_row"""


def _identity(data: Data, read: list[Path]) -> dict[str, object]:
    """Say what makes the data what it is: the files' bytes and how they are read, but not the key."""
    slices = data.model_dump(mode="json", include={"source", "timezone", "week_start"})
    return {"data": slices, "files": [artifacts.file_digest(path) for path in read]}


def _require_key(key: str) -> None:
    try:
        long_enough = len(bytes.fromhex(key)) >= 16
    except ValueError:
        long_enough = False
    if not long_enough:
        raise SpecError("the pseudonym key (INTENTFLOW_PSEUDONYM_KEY) must be at least 32 hex digits")
