"""SQLite: one file on this machine, a table a view, a row a feature."""

import contextlib
import datetime as dt
import functools
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from feature_repo import columns
from feature_repo.online import feast_values
from feature_repo.online.stores.rows import SEEDED, Written, key_of, named, recommender_of, user_of

BUSY_S = 30.0  # a service that writes meanwhile is waited for


class SqliteStore:
    """The store on a laptop."""

    name: str = "sqlite"
    feast: str = "sqlite"

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Add nothing: a file answers."""
        return given

    def failures(self) -> tuple[type[BaseException], ...]:
        """Return what sqlite raises."""
        return (sqlite3.Error,)

    def let_read(self, config: Any) -> None:
        """Let a service read while this writes; the file stays so."""
        with contextlib.closing(sqlite3.connect(config.online_store.path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")

    @contextlib.contextmanager
    def opened(self, config: Any, space: str | None) -> Iterator["_Rows"]:
        """Yield the rows of one vocabulary, or of all."""
        if not Path(config.online_store.path).is_file():
            yield _Rows(config, sqlite3.connect(":memory:"), space)
            return
        with contextlib.closing(sqlite3.connect(config.online_store.path, timeout=BUSY_S)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield _Rows(config, connection, space)

    def marks(self, config: Any, provider: Any) -> "_Marks":
        """Return the names of tombstones: a table."""
        return _Marks(config, provider)


class _Marks:
    """A table of names beside the rows. A transaction that holds the file's write lock looks there and writes."""

    def __init__(self, config: Any, provider: Any) -> None:
        self._config, self._provider, self._one = config, provider, threading.RLock()
        self._table = f'"{recommender_of(config.project)}_forgotten"'

    @property
    def _db(self) -> "sqlite3.Connection | _Within":
        found: sqlite3.Connection | _Within = self._provider.online_store._get_conn(self._config)
        return found

    def _there(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        return self._db.execute(query, [self._table.strip('"')]).fetchone() is not None

    def names(self) -> frozenset[str] | None:
        if not self._there():
            return None
        found = frozenset(name for (name,) in self._db.execute(f"SELECT name FROM {self._table}").fetchall())
        return found - {SEEDED} if SEEDED in found else None

    def have(self, names: Sequence[str]) -> frozenset[str] | None:
        if not self._there():
            return None
        found = {name for name in (SEEDED, *names) if self._has(name)}
        return frozenset(found - {SEEDED}) if SEEDED in found else None

    def _has(self, name: str) -> bool:
        return self._db.execute(f"SELECT 1 FROM {self._table} WHERE name = ?", [name]).fetchone() is not None

    def add(self, names: Iterable[str]) -> None:
        with self._one, self._db as db:
            _forget_asked(db)
            db.execute(f"CREATE TABLE IF NOT EXISTS {self._table} (name TEXT PRIMARY KEY)")
            rows = [(name,) for name in (*names, SEEDED)]
            db.executemany(f"INSERT INTO {self._table} VALUES (?) ON CONFLICT DO NOTHING", rows)

    def remove(self, names: Iterable[str]) -> None:
        if self._there():
            with self._one, self._db as db:
                _forget_asked(db)
                db.executemany(f"DELETE FROM {self._table} WHERE name = ?", [(name,) for name in names])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of what is written meanwhile: all of it or nothing, and one wait for the disk."""
        store = self._provider.online_store
        with self._one:
            if isinstance(db := self._db, _Within):
                yield
                return
            with db:  # commits, or rolls back what an error left open
                db.execute("BEGIN IMMEDIATE")
                store._conn = _Within(db)
                try:
                    yield
                finally:
                    store._conn = db

    def write(self, view: Any, data: Sequence[Written], told: Sequence[Sequence[str]]) -> int | None:
        with self.together():
            have = self._have_within([name for names in told for name in names])
            kept = [row for row, names in zip(data, told, strict=True) if have is not None and have.isdisjoint(names)]
            if kept:
                self._upsert(view, kept)
        return None if have is None else len(kept)

    def _have_within(self, names: Sequence[str]) -> frozenset[str] | None:
        """Return which names the list has, asked once a transaction: it holds the lock that `add` waits for."""
        db, asked = self._db, tuple(names)
        assert isinstance(db, _Within), "a write is within a transaction"
        if asked not in db.have:
            db.have[asked] = self.have(asked)
        return db.have[asked]

    def _upsert(self, view: Any, rows: Sequence[Written]) -> None:
        """Write rows as Feast does, cell by cell, but by one statement that is prepared once, and times put once a row.

        What only some of Feast's stores have, vectors and numbers beside the cells, Feast itself writes.
        """
        from feast.infra.online_stores.helpers import compute_table_id, extract_text_and_num

        online = self._config.online_store
        if online.vector_enabled or getattr(online, "enable_openai_compatible_store", False):
            self._provider.online_write_batch(self._config, view, rows, None)
            return
        version = self._config.entity_key_serialization_version
        table = compute_table_id(
            self._config.project, view, self._config.registry.enable_online_feature_view_versioning
        )
        cells: list[tuple[Any, ...]] = []
        for key, values, at, made in rows:
            entity, times = _serialized(key.entity_values[0].string_val, version), (_stored(at), _stored(made))
            for name, value in values.items():
                cells.append((entity, name, value.SerializeToString(), extract_text_and_num(value, False)[0], *times))
        self._db.executemany(_UPSERT.format(table=table.replace('"', '""')), cells)


_UPSERT = (
    'INSERT INTO "{table}" (entity_key, feature_name, value, value_text, event_ts, created_ts) '
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (entity_key, feature_name) DO UPDATE SET value = excluded.value, "
    "value_text = excluded.value_text, event_ts = excluded.event_ts, created_ts = excluded.created_ts"
)


@functools.lru_cache(maxsize=8_192)  # each view of a user's row asks
def _serialized(user: str, version: int) -> bytes:
    """Return the key of a user as Feast stores it."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    return bytes(serialize_entity_key(feast_values.entity_key(columns.USER_ID, user), version))


def _stored(at: dt.datetime | None) -> int | None:
    """Return a time as Feast stores it: epoch seconds of what UTC's clock shows, taken for local time, as it reads."""
    return None if at is None else int(at.astimezone(dt.UTC).replace(tzinfo=None).timestamp())


def _forget_asked(db: "sqlite3.Connection | _Within") -> None:
    """Ask anew after this: a list is about to change within its own transaction."""
    if isinstance(db, _Within):
        db.have.clear()


class _Within:
    """A connection within a transaction that whoever began it will end: Feast, which ends its own, ends nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.execute, self.executemany = db.execute, db.executemany
        self.have: dict[tuple[str, ...], frozenset[str] | None] = {}  # by names that were asked for

    def __enter__(self) -> "_Within":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Rows:
    """A table a view, a row a feature. Deleted rows stay in a file's free pages and its log unless they are told."""

    def __init__(self, config: Any, connection: sqlite3.Connection, space: str | None) -> None:
        self._config, self._db = config, connection
        have = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = named(config, space, have)
        self.spaces, self._tables = sorted(found), [table for tables in found.values() for table in tables]

    def delete(self, user_ids: Sequence[str]) -> int:
        found = self.count(user_ids)
        keys = [(key_of(self._config, user),) for user in user_ids]
        with self._db:
            for table in self._tables:
                self._db.executemany(f'DELETE FROM "{table}" WHERE entity_key = ?', keys)
        return found

    def tidy(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def count(self, user_ids: Sequence[str]) -> int:
        keys = [key_of(self._config, user) for user in user_ids]
        marks = ", ".join("?" * len(keys))
        return sum(
            self._db.execute(f'SELECT count(*) FROM "{table}" WHERE entity_key IN ({marks})', keys).fetchone()[0]
            for table in self._tables
        )

    def users(self, view: str | None = None) -> set[str]:
        tables = [table for table in self._tables if table.endswith(view or "")]
        keys = {key for t in tables for (key,) in self._db.execute(f'SELECT DISTINCT entity_key FROM "{t}"')}
        return {user for key in keys if (user := user_of(self._config, key)) is not None}

    def drop(self) -> None:
        with self._db:
            for table in self._tables:
                self._db.execute(f'DROP TABLE "{table}"')
        self.tidy()

    def has(self, space: str, view: str) -> bool:
        return f"{space}_{view}" in self._tables
