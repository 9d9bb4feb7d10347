"""PostgreSQL: a table a view, a row a feature, by a client that gives up in time (bounded_postgres.py)."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from feature_repo.online.stores.rows import SEEDED, Written, key_of, named, recommender_of, user_of

TIMEOUT_S = 2.0  # without an answer
LONGEST_S = 600.0  # of deleting many rows


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
        from feature_repo.online import bounded_postgres

        with contextlib.closing(bounded_postgres.connected(config.online_store)) as connection:
            connection.set_autocommit(True)
            rows = _Rows(config, connection, space)
            connection.timeout_s = LONGEST_S  # it answers: a vacuum says nothing for long
            yield rows

    def marks(self, config: Any, provider: Any) -> "_Marks":
        """Return the names of tombstones: a table."""
        return _Marks(config, provider)


class _Marks:
    """A table of names beside the rows. Who writes rows holds a lock that lets other writers in, and no new name."""

    def __init__(self, config: Any, provider: Any) -> None:
        self._config, self._provider = config, provider
        self._table = f"{recommender_of(config.project)}_forgotten"

    @contextlib.contextmanager
    def _asked(self) -> Iterator[Callable[..., Any]]:
        """Yield what runs a statement about the table, all in one transaction."""
        from psycopg import sql

        with self._provider.online_store._get_conn(self._config) as connection:
            yield lambda query, *values: connection.execute(sql.SQL(query).format(sql.Identifier(self._table)), values)
            connection.commit()

    def _have(self, asked: Callable[..., Any], names: Sequence[str]) -> frozenset[str] | None:
        found = asked("SELECT name FROM {} WHERE name = ANY(%s)", [SEEDED, *names]).fetchall()
        return _seeded(name for (name,) in found)

    def _there(self, asked: Callable[..., Any]) -> bool:
        return asked("SELECT to_regclass(%s)", f'"{self._table}"').fetchone()[0] is not None

    def names(self) -> frozenset[str] | None:
        with self._asked() as asked:
            if not self._there(asked):
                return None
            return _seeded(name for (name,) in asked("SELECT name FROM {}").fetchall())

    def have(self, names: Sequence[str]) -> frozenset[str] | None:
        with self._asked() as asked:
            return self._have(asked, names) if self._there(asked) else None

    def add(self, names: Iterable[str]) -> None:
        with self._asked() as asked:
            if not self._there(asked):
                asked("CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY)")
            asked("INSERT INTO {} SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", [*names, SEEDED])

    def remove(self, names: Iterable[str]) -> None:
        with self._asked() as asked:
            if self._there(asked):
                asked("DELETE FROM {} WHERE name = ANY(%s)", list(names))

    def together(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def write(self, view: Any, data: Sequence[Written], told: Sequence[Sequence[str]]) -> int | None:
        with self._asked() as asked:
            if not self._there(asked):
                return None
            asked("LOCK TABLE {} IN SHARE MODE")
            have = self._have(asked, [name for names in told for name in names])
            if have is None:
                return None
            kept = [row for row, names in zip(data, told, strict=True) if have.isdisjoint(names)]
            if kept:
                self._provider.online_write_batch(self._config, view, kept, None)  # the same connection; commits
        return len(kept)


def _seeded(names: Iterable[str]) -> frozenset[str] | None:
    found = frozenset(names)
    return found - {SEEDED} if SEEDED in found else None


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
