"""SQLite: one file on this machine, a table a view, a row a feature."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feature_repo.online.stores.rows import key_of, named, user_of

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
