"""First step: the source's rows as canonical tables, with users under pseudonyms.

`sources` says how a source is read; here it becomes the `tables` folder: events, items and users as parquet,
offers where a source has them, and snapshot.json. Nothing is judged here, that is the contract's work in the next
step, and nothing dropped but what another file repeats (`arrivals`, which also says when late rows became known).
A value that cannot be read as its type is a DataError.
"""

import datetime as dt
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa

from components.data import forgotten, knowledge, leave_one_out, sources
from components.data.arrivals import Arrivals, create_arrived, create_plain
from components.data.database import database, text, write_parquet
from components.data.derived import leaves_far_out
from components.data.snapshot import LISTED_USERS, Snapshot, period, require_weeks
from components.data.source_spec import Files, Sql
from components.data.sources import Read
from components.data.spec import Data
from feature_repo import columns, files, masks
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import fingerprint, pseudonym
from feature_repo.privacy.tombstones import Tombstones

# What makes of a row another row. Those from `times` on are dumped only where a spec says them: old records hold.
READING = {"columns", "timezone", "timestamps", "units", "times", "nulls", "delimiter", "header", "encoding"}


def ingest(
    data: Data,
    destination: Path,
    *,
    key: str,
    base: Path,
    now: dt.datetime | None = None,
    home: Path | None = None,
    clock: str = "wall",
    tombstones: Tombstones | None = None,
    horizon: int = 1,
    report: Callable[[float, str], None] = lambda share, note: None,
) -> Snapshot:
    """Write the `tables` folder of a source; relative paths of the spec start at `base`.

    With a `home` (the recommender's state folder) a source that grows has its deliveries on record there. People
    who were forgotten, as `tombstones` tell, are left out. `horizon` is how many steps the longest label looks ahead.
    """
    _require_key(key)
    now = now or dt.datetime.now(dt.UTC)
    with files.written_folder(destination) as folder, _work(folder) as work, database(folder) as db:
        read = sources.read(db, data.source, base, work=Path(work))
        if data.knowledge is not None:
            told = [files.file_digest(path) for path in knowledge.add(db, data.knowledge, base)]
            read = replace(read, identity=[*read.identity, *told])
        left_out = forgotten.leave_out(db, tombstones, items_are_users=data.items_are_users)
        report(0.3, "source read")
        arrived = _arrived(db, data, read, home=home, now=now, clock=clock)
        if data.split.leave_one_out is not None:
            leave_one_out.create(db, data.split, timezone=data.timezone)
        span = period(db, "arrived_events", data=data, now=now, far_out=not leaves_far_out(data.contract))
        require_weeks(span.weeks, data, horizon=horizon)
        report(0.4, "calendar")
        rows = _write(db, data, folder, key=key)
        identity = _identity(data, read, arrived) | ({"left_out": left_out} if left_out else {})
        digest = files.digest(identity)
        snapshot = Snapshot.of(span, source=data.source.type, digest=digest, rows=rows, key=fingerprint(key))
        users, listed = _write_listed(db, folder)
        snapshot = replace(snapshot, users_of_events=users, users_listed=listed, items_undated=_undated(db))
        if arrived:
            snapshot = replace(snapshot, repeats=arrived.repeats, late=sum(count for _, count, *_ in arrived.late))
        snapshot.save(folder)
        if arrived and home:  # last: what failed until here has not been delivered
            arrived.save(db, home)
    return snapshot


def _work(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Make a folder for what a source is unpacked into; it goes with the step."""
    return tempfile.TemporaryDirectory(dir=folder, prefix=".source-")


def _arrived(
    db: duckdb.DuckDBPyConnection, data: Data, read: Read, *, home: Path | None, now: dt.datetime, clock: str
) -> Arrivals | None:
    """Create `arrived_events`, with the record's times where the source is one that grows."""
    source = data.source
    if not (read.grows and isinstance(source, Files | Sql)):
        create_plain(db)
        return None
    if (isinstance(source, Files) and source.made_times) or data.split.leave_one_out is not None:
        home = None  # made times move when rows are added: such rows have no arrival to remember
    reading = files.digest(
        {
            "type": source.type,
            **source.events.model_dump(mode="json", include=READING),
        }
    )
    return create_arrived(db, home, reading=reading, tells=read.tells, now=now, clock=clock)


def source_digest(data: Data, base: Path) -> str:
    """Name the state of a source without reading it, for caching: `sources` says by what."""
    state = sources.state(data.source, base)
    if data.knowledge is None:
        return state
    return files.digest([state, sources.stats(knowledge.paths(data.knowledge, base))])


def example_user(data: Data, base: Path) -> str:
    """Return a user id as the source has it: the first in the order of numbers, or of letters."""
    with _work(Path(tempfile.gettempdir())) as work, database(Path(work)) as db:
        sources.read(db, data.source, base, work=Path(work))
        query = "SELECT DISTINCT user_id FROM source_events ORDER BY length(user_id), user_id LIMIT 1"
        return str((db.execute(query).fetchone() or ("",))[0])


def everyone(data: Data, base: Path) -> list[str]:
    """Return every user id as the source has it: for a change of keys, which needs raw ids once more."""
    with _work(Path(tempfile.gettempdir())) as work, database(Path(work)) as db:
        sources.read(db, data.source, base, work=Path(work))
        return forgotten.raw_ids(db, items_are_users=data.items_are_users)


def _write(db: duckdb.DuckDBPyConnection, data: Data, folder: Path, *, key: str) -> dict[str, int]:
    """Write the three tables from the source relations; return their rows."""
    both = data.items_are_users
    _create_people(db, key, items_are_users=both)
    told = columns.TEXT in db.sql("FROM arrived_events").columns
    if told:
        _create_texts(db)
    events = _events(data.timezone, items_are_users=both, told=told)
    queries = {"events": events, "items": _items(items_are_users=both), "users": _users()}
    if _has(db, "source_offers"):
        queries["offers"] = "SELECT * EXCLUDE (source_row) FROM source_offers ORDER BY ALL"
    rows = {table: write_parquet(db, query, folder / f"{table}.parquet") for table, query in queries.items()}
    if _has(db, "source_truth"):
        named = "p.pseudonym AS user_id, t.* EXCLUDE (user_id)"
        truth = f"SELECT {named} FROM source_truth t JOIN people p ON p.raw = t.user_id ORDER BY p.position"
        write_parquet(db, truth, folder / "truth.parquet")
    return rows


def _has(db: duckdb.DuckDBPyConnection, relation: str) -> bool:
    query = "SELECT 1 FROM information_schema.tables WHERE table_name = ?"
    return db.execute(query, [relation]).fetchone() is not None


def _create_people(db: duckdb.DuckDBPyConnection, key: str, *, items_are_users: bool) -> None:
    """Give every raw user id its pseudonym, in an order that no key changes: 2 before 10 before 'ann'."""
    raw = forgotten.raw_ids(db, items_are_users=items_are_users)
    people = {"raw": raw, "pseudonym": [pseudonym(r, key) for r in raw], "position": range(len(raw))}
    schema = pa.schema([("raw", pa.string()), ("pseudonym", pa.string()), ("position", pa.int64())])
    db.register("people", pa.table({k: list(v) for k, v in people.items()}, schema=schema))


def _write_listed(db: duckdb.DuckDBPyConnection, folder: Path) -> tuple[int, int | None]:
    """Write whom the source's own table of users names, if it has one; count the users of events, and those named.

    The table `users` has both, so that it cannot tell.
    """
    named = "SELECT pseudonym AS user_id FROM people SEMI JOIN source_users u ON u.user_id = raw ORDER BY position"
    of_events = "SELECT DISTINCT user_id FROM arrived_events WHERE user_id IS NOT NULL"
    found = db.execute(f"""
        SELECT count(*), count(*) FILTER (user_id IN (SELECT user_id FROM source_users WHERE user_id IS NOT NULL)),
            EXISTS (FROM source_users) FROM ({of_events})""").fetchone()
    users, listed, has_table = found or (0, 0, False)
    if not has_table:
        return int(users), None
    write_parquet(db, named, folder / LISTED_USERS)
    return int(users), int(listed)


def _undated(db: duckdb.DuckDBPyConnection) -> int:
    """Count the items whose first_seen their first event has to stand in for."""
    found = db.execute("SELECT count(*) FROM source_items WHERE first_seen IS NULL").fetchone()
    return int((found or (0,))[0])


def _create_texts(db: duckdb.DuckDBPyConnection) -> None:
    """Give every text that users wrote the form in which it is kept; null where nothing of it is left."""
    raw = db.sql(f"SELECT DISTINCT {columns.TEXT} FROM arrived_events WHERE {columns.TEXT} IS NOT NULL").fetchall()
    found = {"raw": [text for (text,) in raw], "kept": [masks.written(text) or None for (text,) in raw]}
    db.register("texts", pa.table(found, schema=pa.schema([("raw", pa.string()), ("kept", pa.string())])))


def _events(timezone: str, *, items_are_users: bool, told: bool) -> str:
    """Select events under pseudonyms; a source without sessions has one a user and local day. `told`: have texts."""
    masked, texts = (
        (f", t.kept AS {columns.TEXT}", f"LEFT JOIN texts t ON t.raw = e.{columns.TEXT}") if told else ("", "")
    )
    item, other = ("o.pseudonym", "LEFT JOIN people o ON o.raw = e.item_id") if items_are_users else ("e.item_id", "")
    day = f"CAST(e.timestamp AT TIME ZONE {text(timezone)} AS DATE)"
    return f"""
        SELECT p.pseudonym AS user_id, e.* EXCLUDE (user_id, source_row)
            REPLACE (coalesce(e.session_id, concat(p.pseudonym, ' ', {day})) AS session_id, {item} AS item_id{masked})
        FROM arrived_events e LEFT JOIN people p ON p.raw = e.user_id {other} {texts}
        ORDER BY timestamp NULLS LAST, source_row"""


def _items(*, items_are_users: bool) -> str:
    item, people = ("p.pseudonym", "JOIN people p ON p.raw = i.item_id") if items_are_users else ("i.item_id", "")
    return f"""
        SELECT i.* EXCLUDE (source_row)
            REPLACE (coalesce(i.first_seen, s.first_seen) AS first_seen, {item} AS item_id)
        FROM source_items i LEFT JOIN (
            SELECT item_id, min(timestamp) AS first_seen FROM arrived_events GROUP BY item_id
        ) s ON s.item_id = i.item_id {people}
        ORDER BY i.source_row"""


def _users() -> str:
    return """
        SELECT p.pseudonym AS user_id, u.* EXCLUDE (user_id, source_row)
        FROM people p LEFT JOIN source_users u ON u.user_id = p.raw
        ORDER BY p.position, u.source_row"""


def _identity(data: Data, read: Read, arrived: Arrivals | None) -> dict[str, object]:
    """Say what makes the data what it is: the rows, how they are read and when late ones came, but not the key."""
    slices = data.model_dump(mode="json", include={"source", "timezone", "week_start", "knowledge"})
    if data.split.leave_one_out is not None:
        slices["split"] = data.split.model_dump(mode="json")
    return {"data": slices, "files": read.identity, "late": arrived.late if arrived else []}


def _require_key(key: str) -> None:
    try:
        long_enough = len(bytes.fromhex(key)) >= 16
    except ValueError:
        long_enough = False
    if not long_enough:
        raise SpecError("the pseudonym key (INTENTFLOW_PSEUDONYM_KEY) must be at least 32 hex digits")
