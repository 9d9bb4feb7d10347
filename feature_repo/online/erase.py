"""Take users' rows out of the online store so that nothing of them is left in its files, and count what is there.

Feast writes and reads rows but has no call that deletes one, so each kind of store is asked in its own words: the
keys and tables are Feast's. Used when a person is forgotten and when the key of pseudonyms has changed.
"""

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from feature_repo import columns, views
from feature_repo.errors import ServerError
from feature_repo.online import feast_store

AT_ONCE = 500  # users in one question
BUSY_S = 30.0  # a service that writes meanwhile is waited for


def erase(project: str, user_ids: Sequence[str], *, space: str | None = None) -> int:
    """Delete the rows of users from the online store that the environment names; return how many there were.

    They go from the rows of every vocabulary, or with `space` from those of one.
    """
    with _opened(project, space=space) as rows:
        found = sum(rows.delete(part) for part in _parts(user_ids))
        rows.tidy()  # also where nothing was found: a call before this one may have been killed between the two
    return found


def count(project: str, user_ids: Sequence[str]) -> int:
    """Count the rows of users in the online store."""
    with _opened(project) as rows:
        return sum(rows.count(part) for part in _parts(user_ids))


def users(project: str, *, space: str | None = None, view: str | None = None) -> set[str]:
    """Return every user that has a row: for a change of keys, after which the old names must go.

    With `space` among the rows of one vocabulary; `view` narrows it where a view has a table of its own.
    """
    with _opened(project, space=space) as rows:
        return rows.users(view)


def spaces(project: str, *, view: str | None = None) -> list[str]:
    """Return the Feast projects with rows of a recommender: one a vocabulary, and one of before there were such.

    `view` leaves out those that lack its table: whoever made the tables was killed.
    """
    with _opened(project) as rows:
        return [space for space in rows.spaces if view is None or rows.has(space, view)]


def drop(project: str, space: str) -> None:
    """Take out all rows of one vocabulary."""
    with _opened(project, space=space) as rows:
        rows.drop()


def _parts(user_ids: Sequence[str]) -> list[Sequence[str]]:
    return [user_ids[start : start + AT_ONCE] for start in range(0, len(user_ids), AT_ONCE)]


@contextlib.contextmanager
def _opened(project: str, *, space: str | None = None) -> "Iterator[_Rows]":
    """Yield the rows of the store that the environment names, of one vocabulary or of all."""
    config = feast_store.config(project, feast_store.settings_from())
    kinds: dict[str, Any] = {"sqlite": _Sqlite, "redis": _Redis, "postgres": _Postgres}
    kind = feast_store.kind(config.online_store)
    if kind not in kinds:
        raise ServerError(
            f"feast.online_store: rows cannot be taken out of a store of type '{kind}'; have {', '.join(kinds)}"
        )
    with kinds[kind].opened(config, space) as rows:
        yield rows


def _of(project: str) -> str:
    """Return a pattern of a recommender's Feast projects: `store.space`'s, and the name alone as in older stores."""
    return f"{re.escape(project)}(?:_v[0-9a-f]{{{feast_store.DIGITS}}})?"


def _named(config: Any, space: str | None, have: Iterable[str]) -> dict[str, list[str]]:
    """Return of all tables in a database those that are ours, by Feast project."""
    pattern = re.compile(f"({_of(config.project)})_({'|'.join(views.USER_VIEWS)})")
    found: dict[str, list[str]] = {}
    for match in filter(None, map(pattern.fullmatch, have)):
        if space in (None, match[1]):
            found.setdefault(match[1], []).append(match[0])
    return found


def _key(config: Any, user: str) -> bytes:
    """Return the key of a user as Feast stores it."""
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=[columns.USER_ID], entity_values=[Value(string_val=user)])
    return bytes(serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version))


def _user(config: Any, key: bytes) -> str | None:
    """Return the user of a key, None for a key of something else."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    found = deserialize_entity_key(bytes(key), config.entity_key_serialization_version)
    return str(found.entity_values[0].string_val) if list(found.join_keys) == [columns.USER_ID] else None


class _Rows(Protocol):
    """The rows of users in one kind of store."""

    spaces: list[str]

    def delete(self, user_ids: Sequence[str]) -> int:
        """Delete users' rows; return how many there were."""

    def tidy(self) -> None:
        """Leave nothing of deleted rows behind."""

    def count(self, user_ids: Sequence[str]) -> int:
        """Count users' rows."""

    def users(self, view: str | None = None) -> set[str]:
        """Return every user that has a row."""

    def drop(self) -> None:
        """Take out all rows."""

    def has(self, space: str, view: str) -> bool:
        """Tell whether a view can be read."""


class _Sqlite:
    """A table a view, a row a feature. Deleted rows stay in a file's free pages and its log unless they are told."""

    def __init__(self, config: Any, connection: sqlite3.Connection, space: str | None) -> None:
        self._config, self._db = config, connection
        have = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = _named(config, space, have)
        self.spaces, self._tables = sorted(found), [table for tables in found.values() for table in tables]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any, space: str | None) -> Iterator["_Sqlite"]:
        if not Path(config.online_store.path).is_file():
            yield cls(config, sqlite3.connect(":memory:"), space)
            return
        with contextlib.closing(sqlite3.connect(config.online_store.path, timeout=BUSY_S)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield cls(config, connection, space)

    def delete(self, user_ids: Sequence[str]) -> int:
        found = self.count(user_ids)
        keys = [(_key(self._config, user),) for user in user_ids]
        with self._db:
            for table in self._tables:
                self._db.executemany(f'DELETE FROM "{table}" WHERE entity_key = ?', keys)
        return found

    def tidy(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def count(self, user_ids: Sequence[str]) -> int:
        keys = [_key(self._config, user) for user in user_ids]
        marks = ", ".join("?" * len(keys))
        return sum(
            self._db.execute(f'SELECT count(*) FROM "{table}" WHERE entity_key IN ({marks})', keys).fetchone()[0]
            for table in self._tables
        )

    def users(self, view: str | None = None) -> set[str]:
        tables = [table for table in self._tables if table.endswith(view or "")]
        keys = {key for t in tables for (key,) in self._db.execute(f'SELECT DISTINCT entity_key FROM "{t}"')}
        return {user for key in keys if (user := _user(self._config, key)) is not None}

    def drop(self) -> None:
        with self._db:
            for table in self._tables:
                self._db.execute(f'DROP TABLE "{table}"')
        self.tidy()

    def has(self, space: str, view: str) -> bool:
        return f"{space}_{view}" in self._tables


class _Redis:
    """One hash a user. Snapshots and append-only files of the server follow in its own time."""

    def __init__(self, config: Any, client: Any, space: str | None) -> None:
        self._config, self._client = config, client
        self.spaces = [space] if space is not None else self._found()

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any, space: str | None) -> Iterator["_Redis"]:
        from feast.infra.online_stores.redis import RedisOnlineStore

        yield cls(config, RedisOnlineStore()._get_client(config.online_store), space)

    def _found(self) -> list[str]:
        """Look through all keys: a key ends with its project, and nothing lists the projects."""
        end = re.compile(_of(self._config.project).encode() + b"$")
        return sorted({found[0].decode() for key in self._scan(b"*") if (found := end.search(key))})

    def _scan(self, pattern: bytes) -> Iterator[bytes]:
        from feast.infra.online_stores.helpers import _redis_key_prefix

        return map(bytes, self._client.scan_iter(_redis_key_prefix([columns.USER_ID]) + pattern, count=10_000))

    def _keys(self, user_ids: Sequence[str]) -> list[bytes]:
        return [_key(self._config, user) + space.encode() for space in self.spaces for user in user_ids]

    def delete(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.unlink(key)) for key in self._keys(user_ids))

    def tidy(self) -> None:
        """Do nothing: what is deleted is gone from memory."""

    def count(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.exists(key)) for key in self._keys(user_ids))

    def users(self, view: str | None = None) -> set[str]:
        return {user for user, _ in self._rows()}

    def drop(self) -> None:
        for _, key in self._rows():
            self._client.unlink(key)

    def has(self, space: str, view: str) -> bool:
        return True

    def _rows(self) -> Iterator[tuple[str, bytes]]:
        """Yield user and key of every row."""
        for end in map(str.encode, self.spaces):
            for key in self._scan(b"*" + end):
                user = _user(self._config, key[: -len(end)])
                # A project whose name ends as ours does matches as well: only a key that we would write is ours.
                if user is not None and _key(self._config, user) + end == key:
                    yield user, key


class _Postgres:
    """A table a view, a row a feature; a vacuum empties the pages that deleted rows stood in."""

    def __init__(self, config: Any, connection: Any, space: str | None) -> None:
        self._config, self._db = config, connection
        have = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [config.online_store.db_schema or "public"]
        ).fetchall()
        found = _named(config, space, [name for (name,) in have])
        self.spaces, self._tables = sorted(found), [table for tables in found.values() for table in tables]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any, space: str | None) -> Iterator["_Postgres"]:
        from feast.infra.utils.postgres.connection_utils import _get_conn

        with contextlib.closing(_get_conn(config.online_store)) as connection:
            connection.set_autocommit(True)
            yield cls(config, connection, space)

    def _ask(self, query: str, table: str, keys: list[bytes] | None = None) -> Any:
        from psycopg import sql

        return self._db.execute(sql.SQL(query).format(sql.Identifier(table)), [keys] if keys is not None else None)

    def delete(self, user_ids: Sequence[str]) -> int:
        keys = [_key(self._config, user) for user in user_ids]
        query = "DELETE FROM {} WHERE entity_key = ANY(%s)"
        return sum(int(self._ask(query, table, keys).rowcount) for table in self._tables)

    def tidy(self) -> None:
        for table in self._tables:
            self._ask("VACUUM {}", table)

    def count(self, user_ids: Sequence[str]) -> int:
        keys = [_key(self._config, user) for user in user_ids]
        query = "SELECT count(*) FROM {} WHERE entity_key = ANY(%s)"
        return sum(int(self._ask(query, table, keys).fetchone()[0]) for table in self._tables)

    def users(self, view: str | None = None) -> set[str]:
        tables = [table for table in self._tables if table.endswith(view or "")]
        rows = [row for t in tables for row in self._ask("SELECT DISTINCT entity_key FROM {}", t).fetchall()]
        return {user for (key,) in rows if (user := _user(self._config, key)) is not None}

    def drop(self) -> None:
        with self._db.transaction():
            for table in self._tables:
                self._ask("DROP TABLE {}", table)

    def has(self, space: str, view: str) -> bool:
        return f"{space}_{view}" in self._tables
