"""When each row of a growing source became known: a record beside the recommender, and what it says of the rows.

Ingest reads a source whole every time; the source stays the one copy of the rows. What this keeps, under
`arrivals/` of the state folder, is one hash a row and the ingest that first brought it: rows that a later ingest
brings became known then, however old they are. So the tables are a pure function of the source and the record:
the same files give the same bytes, a changed file keeps the times of its unchanged rows, and a file that vanished
takes its rows along (if it comes back, so do their times).

Every row is recorded under a salt, so that a hash says nothing to who does not have the row. The first entry is
what was there from the start: its rows were known when they happened. It stays open until the contract has let data
through once, so that mending a first delivery makes no row late.
"""

import datetime as dt
import fcntl
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import duckdb

from components.data.database import name, text, write_parquet
from feature_repo import columns, files

FOLDER, FILE = "arrivals", "arrivals.json"
KEY = tuple(column for column in columns.EVENTS if column != columns.CREATED_AT)  # what makes a row the same row
SOURCE_FILE = "source_file"  # number of the file that an event came in, where there are several


@dataclass(frozen=True)
class Delivery:
    """Rows that one ingest saw first."""

    number: int
    at: str  # ISO, UTC: when they became known
    rows: int


@dataclass(frozen=True)
class Record:
    """What is known of a source's deliveries, as read in one way."""

    reading: str  # digest of how events are read: read another way, every row is another row
    salt: str
    deliveries: tuple[Delivery, ...]

    @classmethod
    def load(cls, home: Path, reading: str) -> "Record":
        """Read the record; an empty one where there is none, or where events were read in another way."""
        path = home / FOLDER / FILE
        stored = files.read_json(path) if path.is_file() else {}
        if stored.get("reading") != reading:
            return cls(reading, secrets.token_hex(16), ())
        record = cls(reading, stored["salt"], tuple(Delivery(**delivery) for delivery in stored["deliveries"]))
        return replace(record, deliveries=()) if record._open(home) else record

    def _open(self, home: Path) -> bool:
        """Tell whether the first delivery has not got past the contract yet."""
        verdict = home / "contract" / "contract.json"
        return len(self.deliveries) == 1 and not (verdict.is_file() and files.read_json(verdict)["passed"])


@dataclass(frozen=True)
class Arrivals:
    """What the record says of the rows that were read; `save` makes it the record's."""

    record: Record
    late: tuple[tuple[str, int, int, int], ...] = ()  # of deliveries after the first: when, rows, which of the source
    repeats: int = 0  # rows that another file brought before
    new: Delivery | None = None

    def save(self, db: duckdb.DuckDBPyConnection, home: Path) -> None:
        """Write the new rows' hashes, then the record that names them: killed between the two, nothing happened."""
        if self.new is None:
            return
        folder = home / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with files.written(_rows(home, self.record, self.new.number)) as aside:
                write_parquet(db, "SELECT hash FROM new_rows ORDER BY hash", aside)
            deliveries = (*self.record.deliveries, self.new)
            files.write_json(folder / FILE, asdict(replace(self.record, deliveries=deliveries)))
            kept = {_rows(home, self.record, delivery.number) for delivery in deliveries}
            for path in (*folder.glob("*.parquet"), *folder.glob(".*.part")):
                if path not in kept:
                    path.unlink(missing_ok=True)


def create_plain(db: duckdb.DuckDBPyConnection) -> None:
    """Create `arrived_events` of a source that does not grow: its events as they are."""
    db.execute("CREATE VIEW arrived_events AS FROM source_events")


def create_arrived(
    db: duckdb.DuckDBPyConnection, home: Path | None, *, reading: str, tells: bool, now: dt.datetime, clock: str
) -> Arrivals:
    """Create `arrived_events`: the source's events less what another file repeats, `created_at` by the record.

    `tells` says that the source has times of its own, which stand. Without a home there is no record, and every
    row was known when it happened.
    """
    several = SOURCE_FILE in db.sql("FROM source_events").columns
    recorded = home is not None and not tells
    record = Record.load(home, reading) if home is not None else Record(reading, "", ())
    if not (several or recorded):
        create_plain(db)
        return Arrivals(record)
    _create_keys(db, record.salt, several=several)
    repeats = _drop_repeats(db) if several else 0
    told = "FROM source_events" + (" ANTI JOIN repeats USING (source_row)" if repeats else "")
    told = f"SELECT * {f'EXCLUDE ({SOURCE_FILE})' if several else ''} {told}"
    if home is None or tells:
        db.execute(f"CREATE VIEW arrived_events AS {told}")
        return Arrivals(record, repeats=repeats)
    new = _new_delivery(db, home, record, now=now, clock=clock)
    late = _create_late(db, home, record, new)
    if late:
        happened = f"e.{columns.TIMESTAMP}"
        created = f"CASE WHEN l.arrival IS NULL THEN {happened} ELSE greatest({happened}, l.arrival) END"
        told = f"""
            SELECT e.* REPLACE ({created} AS {columns.CREATED_AT}) FROM ({told}) e
            LEFT JOIN late l USING (source_row)"""
    db.execute(f"CREATE VIEW arrived_events AS {told}")
    return Arrivals(record, late, repeats, new)


def _create_keys(db: duckdb.DuckDBPyConnection, salt: str, *, several: bool) -> None:
    """Hash what makes a row the same row, in 64 bits that no version of DuckDB changes."""
    more = [c for c in (columns.STRENGTH, columns.TEXT) if c in db.sql("FROM source_events").columns]
    parts = [
        f"epoch_us({name(c)})" if c == columns.TIMESTAMP else f"coalesce(CAST({name(c)} AS VARCHAR), chr(30))"
        for c in (*KEY, *more)
    ]
    row = f"concat_ws(chr(31), {text(salt)}, {', '.join(parts)})"
    source_file = f", {SOURCE_FILE}" if several else ""
    db.execute(f"""
        CREATE TABLE row_keys AS
        SELECT CAST('0x' || left(sha1({row}), 16) AS UBIGINT) AS hash, source_row{source_file} FROM source_events""")


def _drop_repeats(db: duckdb.DuckDBPyConnection) -> int:
    """Find the rows that another file brought before: of a row's occurrences, as many stay as one file has."""
    db.execute(f"""
        CREATE TABLE repeats AS
        WITH suspects AS (
            FROM row_keys SEMI JOIN (
                SELECT hash FROM row_keys GROUP BY hash HAVING min({SOURCE_FILE}) <> max({SOURCE_FILE})) USING (hash)
        ), numbered AS (
            SELECT *, row_number() OVER (PARTITION BY hash, {SOURCE_FILE} ORDER BY source_row) AS nth FROM suspects
        ), dated AS (SELECT n.*, e.{columns.CREATED_AT} FROM numbered n JOIN source_events e USING (source_row))
        SELECT source_row FROM dated
        QUALIFY row_number() OVER (PARTITION BY hash, nth ORDER BY {columns.CREATED_AT}, source_row) > 1""")
    return _count(db, "repeats")


def _new_delivery(
    db: duckdb.DuckDBPyConnection, home: Path, record: Record, *, now: dt.datetime, clock: str
) -> Delivery | None:
    """Create `new_rows`, the hashes that the record does not have, and say when they became known."""
    known = [text(_rows(home, record, delivery.number)) for delivery in record.deliveries]
    unknown = f" ANTI JOIN read_parquet([{', '.join(known)}]) USING (hash)" if known else ""
    db.execute(f"CREATE TABLE new_rows AS SELECT DISTINCT hash FROM row_keys{unknown}")
    rows = _count(db, "new_rows")
    if not rows:
        return None
    at = now.astimezone(dt.UTC)
    if clock == "data_end":
        query = f"SELECT max({columns.TIMESTAMP}) FROM source_events WHERE {columns.TIMESTAMP} <= ?"
        at = (db.execute(query, [at]).fetchone() or (None,))[0] or at
    return Delivery(len(record.deliveries) + 1, at.astimezone(dt.UTC).isoformat(), rows)


def _create_late(
    db: duckdb.DuckDBPyConnection, home: Path, record: Record, new: Delivery | None
) -> tuple[tuple[str, int, int, int], ...]:
    """Create `late`, when each row of a later delivery became known; sum up each delivery's part."""
    parts = [
        f"SELECT hash, TIMESTAMPTZ {text(delivery.at)} AS arrival FROM read_parquet({text(_rows(home, record, n))})"
        for n, delivery in enumerate(record.deliveries, start=1)
        if n > 1
    ]
    if new and new.number > 1:
        parts.append(f"SELECT hash, TIMESTAMPTZ {text(new.at)} AS arrival FROM new_rows")
    if not parts:
        return ()
    dated = " UNION ALL ".join(parts)
    db.execute(f"CREATE TABLE late AS SELECT source_row, arrival FROM row_keys JOIN ({dated}) USING (hash)")
    which = "CAST(sum(source_row) AS BIGINT), bit_xor(source_row)"
    found = db.execute(f"SELECT arrival, count(*), {which} FROM late GROUP BY arrival ORDER BY arrival").fetchall()
    return tuple((at.astimezone(dt.UTC).isoformat(), *told) for at, *told in found)


def _rows(home: Path, record: Record, number: int) -> Path:
    return home / FOLDER / f"{record.reading}-{number:06}.parquet"


def _count(db: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int((db.execute(f"SELECT count(*) FROM {relation}").fetchone() or (0,))[0])
