"""PostgreSQL: a table a view, a row a feature, by a client that gives up in time (bounded_postgres.py)."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from feature_repo.online.stores.rows import key_of, named, user_of

TIMEOUT_S = 2.0  # without an answer


class PostgresStore:
    """The store of a cluster, on disk."""

    name = "postgres"
    feast = "feature_repo.online.bounded_postgres.BoundedOnlineStore"  # what stands in for Feast's own, see there

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Give it a time limit, unless the environment did, and our client."""
        return {"timeout_s": TIMEOUT_S} | given | {"type": self.feast}

    def failures(self) -> tuple[type[BaseException], ...]:
        """Return what its client raises; one that was never imported raised nothing."""
        return (sys.modules["psycopg"].Error,) if "psycopg" in sys.modules else ()

    def let_read(self, config: Any) -> None:
        """Do nothing: a server lets others read."""

    @contextlib.contextmanager
    def opened(self, config: Any, space: str | None) -> Iterator["_Rows"]:
        """Yield the rows of one vocabulary, or of all."""
        from feast.infra.utils.postgres.connection_utils import _get_conn

        with contextlib.closing(_get_conn(config.online_store)) as connection:
            connection.set_autocommit(True)
            yield _Rows(config, connection, space)


class _Rows:
    """A table a view, a row a feature; a vacuum empties the pages that deleted rows stood in."""

    def __init__(self, config: Any, connection: Any, space: str | None) -> None:
        self._config, self._db = config, connection
        have = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", [config.online_store.db_schema or "public"]
        ).fetchall()
        found = named(config, space, [name for (name,) in have])
        self.spaces, self._tables = sorted(found), [table for tables in found.values() for table in tables]

    def _ask(self, query: str, table: str, keys: list[bytes] | None = None) -> Any:
        from psycopg import sql

        return self._db.execute(sql.SQL(query).format(sql.Identifier(table)), [keys] if keys is not None else None)

    def delete(self, user_ids: Sequence[str]) -> int:
        keys = [key_of(self._config, user) for user in user_ids]
        query = "DELETE FROM {} WHERE entity_key = ANY(%s)"
        return sum(int(self._ask(query, table, keys).rowcount) for table in self._tables)

    def tidy(self) -> None:
        for table in self._tables:
            self._ask("VACUUM {}", table)

    def count(self, user_ids: Sequence[str]) -> int:
        keys = [key_of(self._config, user) for user in user_ids]
        query = "SELECT count(*) FROM {} WHERE entity_key = ANY(%s)"
        return sum(int(self._ask(query, table, keys).fetchone()[0]) for table in self._tables)

    def users(self, view: str | None = None) -> set[str]:
        tables = [table for table in self._tables if table.endswith(view or "")]
        rows = [row for t in tables for row in self._ask("SELECT DISTINCT entity_key FROM {}", t).fetchall()]
        return {user for (key,) in rows if (user := user_of(self._config, key)) is not None}

    def drop(self) -> None:
        with self._db.transaction():
            for table in self._tables:
                self._ask("DROP TABLE {}", table)

    def has(self, space: str, view: str) -> bool:
        return f"{space}_{view}" in self._tables
