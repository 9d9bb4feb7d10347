"""The document log in SQLite: three tables in the online store's file. The file's write lock makes a step of a change.

A change is synced to disk before `write` returns: a process that is killed then loses nothing.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from feature_repo.documents.changes import Change, Newest
from feature_repo.documents.shelf import Head, Page, Replaced

BUSY_S = 5.0  # another writer is waited for
TABLES = """
CREATE TABLE IF NOT EXISTS "{at}_documents_log" (version INTEGER PRIMARY KEY, key TEXT UNIQUE, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS "{at}_documents_newest" (
    kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, first INTEGER NOT NULL, place INTEGER NOT NULL,
    document TEXT, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS "{at}_documents_name" (name TEXT NOT NULL)
"""
NEWEST = """
INSERT INTO "{at}_documents_newest" VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, document = excluded.document
"""


class SqliteShelf:
    """The log of one recommender in a file."""

    def __init__(self, path: str, recommender: str) -> None:
        self._path, self._at = path, recommender

    def head(self) -> Head:
        """Return the log's name and version."""
        with self._read() as asked:
            return _head(asked)

    def write(self, change: Change, name: str) -> bool:
        """Append a change in one step; say whether the log stood before it."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")  # closing an open transaction rolls it back
            for statement in TABLES.format(at=self._at).split(";"):
                db.execute(statement)
            asked = self._asking(db)
            taken = asked('SELECT 1 FROM "{at}_documents_log" WHERE key = ?', change.key)
            if taken or _head(asked).version != change.version - 1:
                return False
            if change.version == 1:
                db.execute(f'INSERT INTO "{self._at}_documents_name" VALUES (?)', [name])
            row = [change.version, change.key or None, change.text]
            db.execute(f'INSERT INTO "{self._at}_documents_log" VALUES (?, ?, ?)', row)
            for place, entry in enumerate(change.entries):
                text = None if entry.document is None else json.dumps(entry.document, ensure_ascii=False)
                values = [change.kind, entry.id, change.version, change.version, place, text]
                db.execute(NEWEST.format(at=self._at), values)
            db.execute("COMMIT")
        return True

    def replace(self, head: Head, changes: Sequence[Change], newest: Sequence[Replaced], name: str) -> bool:
        """Put other texts of versions and newest documents in the place of theirs; say whether the head was this."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("BEGIN IMMEDIATE")  # closing an open transaction rolls it back
            asked = self._asking(db)
            if _head(asked) != head:
                return False
            for change in changes:
                asked('UPDATE "{at}_documents_log" SET text = ? WHERE version = ?', change.text, change.version)
            for (kind, identity), new in newest:
                asked('DELETE FROM "{at}_documents_newest" WHERE kind = ? AND id = ?', kind, identity)
                asked(NEWEST, *newest_values(new))
            asked('UPDATE "{at}_documents_name" SET name = ?', name)
            db.execute("COMMIT")
        return True

    def keyed(self, key: str) -> Change | None:
        """Return the change that came under a key."""
        with self._read() as asked:
            found = asked('SELECT text FROM "{at}_documents_log" WHERE key = ?', key)
        return Change.of(found[0][0]) if found else None

    def changes(self, after: int, until: int) -> list[Change]:
        """Return changes, oldest first."""
        query = 'SELECT text FROM "{at}_documents_log" WHERE version > ? AND version <= ? ORDER BY version'
        with self._read() as asked:
            return [Change.of(text) for (text,) in asked(query, after, until)]

    def newest(self, after: int) -> Page:
        """Return newest documents and the head as of one moment."""
        query = (
            'SELECT kind, id, version, first, place, document FROM "{at}_documents_newest" WHERE version > ? '
            "ORDER BY first, place"
        )
        with self._read() as asked:
            return Page(_head(asked), tuple(map(newest_row, asked(query, after))))

    def _asking(self, db: sqlite3.Connection) -> Any:
        return lambda query, *values: db.execute(query.format(at=self._at), values).fetchall()

    @contextlib.contextmanager
    def _read(self) -> Iterator[Any]:
        """Yield what reads as of one moment; a log that nobody has written to is empty."""
        if not Path(self._path).is_file():
            yield lambda *_: []
            return
        with contextlib.closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as db:
            db.execute("BEGIN")
            known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
            there = db.execute(known, [f"{self._at}_documents_name"]).fetchone() is not None
            yield self._asking(db) if there else lambda *_: []


def newest_row(row: tuple[Any, ...]) -> Newest:
    """Read a row of a table of newest documents."""
    kind, identity, version, first, place, text = row
    return Newest(kind, identity, version, (first, place), None if text is None else json.loads(text))


def newest_values(new: Newest) -> list[Any]:
    """Lay out a row of a table of newest documents."""
    text = None if new.document is None else json.dumps(new.document, ensure_ascii=False)
    return [new.kind, new.id, new.version, *new.first, text]


def _head(asked: Any) -> Head:
    names = asked('SELECT name FROM "{at}_documents_name"')
    versions = asked('SELECT max(version) FROM "{at}_documents_log"')
    return Head(names[0][0] if names else "", (versions[0][0] if versions else None) or 0)
