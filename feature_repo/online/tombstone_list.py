"""The names of all tombstones where they outlive the online store: beside Feast's registry, and on this machine.

Redis may lose what it holds. Whoever finds it without its list (feature_repo/online/forgotten.py) brings the names in
from here before a row is written. A registry in SQL is shared by the pipeline, the jobs and the doors, and has a table
for them; one in a file is on one machine, where the tombstones themselves are.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from feature_repo import env_names
from feature_repo.errors import StoreAway
from feature_repo.online.stores.rows import recommender_of
from feature_repo.privacy import tombstones

TABLE = "intentflow_forgotten"
COLUMNS = "project VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, PRIMARY KEY (project, name)"
CONNECT_S = 5  # of PostgreSQL, which waits for minutes where nothing answers


def read(config: Any, environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names that the registry has, and those in this machine's folders."""
    here = tombstones.names_here(environment.get(env_names.HOME, ""), environment.get(env_names.FORGOTTEN, ""))
    with _opened(config) as database:
        return here | (frozenset() if database is None else database.names())


def add(config: Any, names: Iterable[str]) -> None:
    """Add names to the registry's list."""
    with _opened(config) as database:
        if database is not None:
            database.add(names)


def remove(config: Any, names: Iterable[str]) -> None:
    """Take names out of the registry's list."""
    with _opened(config) as database:
        if database is not None:
            database.remove(names)


class _Database:
    """The table of one recommender's names."""

    def __init__(self, connection: Any, project: str) -> None:
        self._db, self._project = connection, project

    def _there(self) -> bool:
        from sqlalchemy import inspect

        return bool(inspect(self._db).has_table(TABLE))

    def _run(self, query: str, names: Iterable[str]) -> None:
        from sqlalchemy import text

        if rows := [{"project": self._project, "name": name} for name in names]:
            self._db.execute(text(query), rows)

    def names(self) -> frozenset[str]:
        from sqlalchemy import text

        if not self._there():
            return frozenset()
        found = self._db.execute(text(f"SELECT name FROM {TABLE} WHERE project = :project"), {"project": self._project})
        return frozenset(str(name) for (name,) in found)

    def add(self, names: Iterable[str]) -> None:
        from sqlalchemy import text

        if not self._there():
            self._db.execute(text(f"CREATE TABLE IF NOT EXISTS {TABLE} ({COLUMNS})"))
        new = frozenset(names) - self.names()
        self._run(f"INSERT INTO {TABLE} (project, name) VALUES (:project, :name)", sorted(new))

    def remove(self, names: Iterable[str]) -> None:
        if self._there():
            self._run(f"DELETE FROM {TABLE} WHERE project = :project AND name = :name", names)


@contextlib.contextmanager
def _opened(config: Any) -> Iterator[_Database | None]:
    """Yield the registry's table, None where the registry is a file; failures become StoreAway."""
    registry = config.registry
    if str(getattr(registry, "registry_type", "file")) != "sql":
        yield None
        return
    from sqlalchemy import create_engine, exc
    from sqlalchemy.pool import NullPool

    limit = {"connect_timeout": CONNECT_S} if registry.path.startswith("postgresql") else {}
    engine = create_engine(registry.path, poolclass=NullPool, connect_args=limit)
    try:
        with engine.begin() as connection:
            yield _Database(connection, recommender_of(config.project))
    except exc.SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:200]
        where = engine.url.render_as_string(hide_password=True)
        raise StoreAway(f"Feast's registry {where}: no answer ({said})") from error
