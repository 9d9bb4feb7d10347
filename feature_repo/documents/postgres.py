"""The document log in PostgreSQL: three tables beside the rows. An advisory lock makes a step of a change.

The connection is the store's own (online/bounded_postgres.py): it gives up where the server says nothing.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from feature_repo.documents.changes import Change
from feature_repo.documents.shelf import Head, Page, Replaced
from feature_repo.documents.sqlite import newest_row, newest_values

TABLES = (
    "CREATE TABLE IF NOT EXISTS {log} (version bigint PRIMARY KEY, key text UNIQUE, text text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS {newest} (kind text NOT NULL, id text NOT NULL, version bigint NOT NULL, "
    "first bigint NOT NULL, place integer NOT NULL, document text, PRIMARY KEY (kind, id))",
    "CREATE TABLE IF NOT EXISTS {name} (name text NOT NULL)",
)
NEWEST = (
    "INSERT INTO {newest} VALUES (%s, %s, %s, %s, %s, %s) "
    "ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, document = excluded.document"
)


class PostgresShelf:
    """The log of one recommender in a database."""

    def __init__(self, settings: Any, recommender: str) -> None:
        self._settings, self._at = settings, recommender

    def head(self) -> Head:
        """Return the log's name and version."""
        with self._asked() as asked:
            return _head(asked) if _there(asked, self._at) else Head()

    def write(self, change: Change, name: str) -> bool:
        """Append a change in one step; say whether the log stood before it."""
        with self._asked() as asked:
            asked("SELECT pg_advisory_xact_lock(hashtext(%s))", f"{self._at}_documents")
            for statement in TABLES:
                asked(statement)
            taken = asked("SELECT 1 FROM {log} WHERE key = %s", change.key).fetchone()
            if taken or _head(asked).version != change.version - 1:
                return False
            if change.version == 1:
                asked("INSERT INTO {name} VALUES (%s)", name)
            asked("INSERT INTO {log} VALUES (%s, %s, %s)", change.version, change.key or None, change.text)
            for place, entry in enumerate(change.entries):
                text = None if entry.document is None else json.dumps(entry.document, ensure_ascii=False)
                asked(NEWEST, change.kind, entry.id, change.version, change.version, place, text)
        return True

    def replace(self, head: Head, changes: Sequence[Change], newest: Sequence[Replaced], name: str) -> bool:
        """Put other texts of versions and newest documents in the place of theirs; say whether the head was this."""
        with self._asked() as asked:
            asked("SELECT pg_advisory_xact_lock(hashtext(%s))", f"{self._at}_documents")
            if not _there(asked, self._at) or _head(asked) != head:
                return False
            for change in changes:
                asked("UPDATE {log} SET text = %s WHERE version = %s", change.text, change.version)
            for (kind, identity), new in newest:
                asked("DELETE FROM {newest} WHERE kind = %s AND id = %s", kind, identity)
                asked(NEWEST, *newest_values(new))
            asked("UPDATE {name} SET name = %s", name)
        self._vacuum()
        return True

    def _vacuum(self) -> None:
        """Free what the rows before left in the files; a transaction cannot."""
        from psycopg import sql

        from feature_repo.online import bounded_postgres

        with contextlib.closing(bounded_postgres.connected(self._settings)) as connection:
            connection.autocommit = True
            for part in ("log", "newest"):
                table = sql.Identifier(f"{self._at}_documents_{part}")
                connection.execute(sql.SQL("VACUUM {}").format(table))

    def keyed(self, key: str) -> Change | None:
        """Return the change that came under a key."""
        with self._asked() as asked:
            if not _there(asked, self._at):
                return None
            found = asked("SELECT text FROM {log} WHERE key = %s", key).fetchone()
        return Change.of(found[0]) if found else None

    def changes(self, after: int, until: int) -> list[Change]:
        """Return changes, oldest first."""
        query = "SELECT text FROM {log} WHERE version > %s AND version <= %s ORDER BY version"
        with self._asked() as asked:
            found = asked(query, after, until).fetchall() if _there(asked, self._at) else []
        return [Change.of(text) for (text,) in found]

    def newest(self, after: int) -> Page:
        """Return newest documents and the head as of one moment."""
        query = (
            "SELECT kind, id, version, first, place, document FROM {newest} WHERE version > %s ORDER BY first, place"
        )
        with self._asked() as asked:
            asked("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if not _there(asked, self._at):
                return Page(Head(), ())
            return Page(_head(asked), tuple(map(newest_row, asked(query, after).fetchall())))

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Any]:
        """Yield what runs statements in one transaction."""
        from psycopg import sql

        from feature_repo.online import bounded_postgres

        names = {part: sql.Identifier(f"{self._at}_documents_{part}") for part in ("log", "newest", "name")}
        with contextlib.closing(bounded_postgres.connected(self._settings)) as connection, connection.transaction():
            yield lambda query, *values: connection.execute(sql.SQL(query).format(**names), values or None)


def _there(asked: Any, at: str) -> bool:
    return asked("SELECT to_regclass(%s)", f'"{at}_documents_name"').fetchone()[0] is not None


def _head(asked: Any) -> Head:
    name = asked("SELECT name FROM {name}").fetchone()
    version = asked("SELECT max(version) FROM {log}").fetchone()[0]
    return Head(name[0] if name else "", version or 0)
