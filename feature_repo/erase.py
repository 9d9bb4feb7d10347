"""Take users' rows out of the online store so that nothing of them is left in its files, and count what is there.

Feast writes and reads rows but has no call that deletes one, so each kind of store is asked in its own words: the
keys and tables are Feast's. Used when a person is forgotten and when the key of pseudonyms has changed.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from feature_repo import columns, store, views
from feature_repo.errors import ServerError

AT_ONCE = 500  # users in one question
BUSY_S = 30.0  # a service that writes meanwhile is waited for


def erase(project: str, user_ids: Sequence[str]) -> int:
    """Delete the rows of users from the online store that the environment names; return how many there were."""
    with _opened(project) as rows:
        found = sum(rows.delete(part) for part in _parts(user_ids))
        rows.tidy()  # also where nothing was found: a call before this one may have been killed between the two
    return found


def count(project: str, user_ids: Sequence[str]) -> int:
    """Count the rows of users in the online store."""
    with _opened(project) as rows:
        return sum(rows.count(part) for part in _parts(user_ids))


def users(project: str) -> set[str]:
    """Return every user that has a row: for a change of keys, after which the old names must go."""
    with _opened(project) as rows:
        return rows.users()


def _parts(user_ids: Sequence[str]) -> list[Sequence[str]]:
    return [user_ids[start : start + AT_ONCE] for start in range(0, len(user_ids), AT_ONCE)]


@contextlib.contextmanager
def _opened(project: str) -> "Iterator[_Rows]":
    """Yield the rows of the store that the environment names."""
    config = store.config(project, store.settings_from())
    kinds: dict[str, Any] = {"sqlite": _Sqlite, "redis": _Redis, "postgres": _Postgres}
    kind = store.kind(config.online_store)
    if kind not in kinds:
        raise ServerError(
            f"feast.online_store: rows cannot be taken out of a store of type '{kind}'; have {', '.join(kinds)}"
        )
    with kinds[kind].opened(config) as rows:
        yield rows


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


def _tables(config: Any) -> list[str]:
    return [f"{config.project}_{view}" for view in views.USER_VIEWS]


class _Rows(Protocol):
    """The rows of users in one kind of store."""

    def delete(self, user_ids: Sequence[str]) -> int:
        """Delete users' rows; return how many there were."""

    def tidy(self) -> None:
        """Leave nothing of deleted rows behind."""

    def count(self, user_ids: Sequence[str]) -> int:
        """Count users' rows."""

    def users(self) -> set[str]:
        """Return every user that has a row."""


class _Sqlite:
    """A table a view, a row a feature. Deleted rows stay in a file's free pages and its log unless they are told."""

    def __init__(self, config: Any, connection: sqlite3.Connection) -> None:
        self._config, self._db = config, connection
        have = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self._tables = [table for table in _tables(config) if table in have]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any) -> Iterator["_Sqlite"]:
        if not Path(config.online_store.path).is_file():
            yield cls(config, sqlite3.connect(":memory:"))
            return
        with contextlib.closing(sqlite3.connect(config.online_store.path, timeout=BUSY_S)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            yield cls(config, connection)

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

    def users(self) -> set[str]:
        keys = {key for t in self._tables for (key,) in self._db.execute(f'SELECT DISTINCT entity_key FROM "{t}"')}
        return {user for key in keys if (user := _user(self._config, key)) is not None}


class _Redis:
    """One hash a user. Snapshots and append-only files of the server follow in its own time."""

    def __init__(self, config: Any, client: Any) -> None:
        self._config, self._client = config, client

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any) -> Iterator["_Redis"]:
        from feast.infra.online_stores.redis import RedisOnlineStore

        yield cls(config, RedisOnlineStore()._get_client(config.online_store))

    def _keys(self, user_ids: Sequence[str]) -> list[bytes]:
        return [_key(self._config, user) + self._config.project.encode() for user in user_ids]

    def delete(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.unlink(key)) for key in self._keys(user_ids))

    def tidy(self) -> None:
        """Do nothing: what is deleted is gone from memory."""

    def count(self, user_ids: Sequence[str]) -> int:
        return sum(int(self._client.exists(key)) for key in self._keys(user_ids))

    def users(self) -> set[str]:
        from feast.infra.online_stores.helpers import _redis_key_prefix

        end, found = self._config.project.encode(), set()
        for key in self._client.scan_iter(_redis_key_prefix([columns.USER_ID]) + b"*" + end, count=10_000):
            user = _user(self._config, bytes(key)[: -len(end)])
            # A project whose name ends as ours does matches as well: only a key that we would write is ours.
            if user is not None and self._keys([user]) == [bytes(key)]:
                found.add(user)
        return found


class _Postgres:
    """A table a view, a row a feature; a vacuum empties the pages that deleted rows stood in."""

    def __init__(self, config: Any, connection: Any) -> None:
        self._config, self._db = config, connection
        have = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [config.online_store.db_schema or "public"]
        ).fetchall()
        self._tables = [table for table in _tables(config) if table in {name for (name,) in have}]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, config: Any) -> Iterator["_Postgres"]:
        from feast.infra.utils.postgres.connection_utils import _get_conn

        with contextlib.closing(_get_conn(config.online_store)) as connection:
            connection.set_autocommit(True)
            yield cls(config, connection)

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

    def users(self) -> set[str]:
        rows = [row for t in self._tables for row in self._ask("SELECT DISTINCT entity_key FROM {}", t).fetchall()]
        return {user for (key,) in rows if (user := _user(self._config, key)) is not None}
