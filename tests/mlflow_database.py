"""MLflow's databases in the tests' process are copies of one that MLflow made.

Each new database goes through all of MLflow's migrations, a second of a core, and dozens of tests begin with one. What
is copied is what MLflow's own code left: its tables, and nothing in them. Programs that tests start make their own.

What many tests begin with is written once and put back before each of them (`Begun`), under a server as well: MLflow
keeps no rows beside its database.
"""

import contextlib
import functools
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import made_once

UTILS = "mlflow.store.db.utils"
FILE = "mlflow.db"
NAME = "mlflow-database"


def share(factory: pytest.TempPathFactory) -> None:
    """Let new databases be copies from here on; does nothing where nobody has imported MLflow's databases yet."""
    utils = sys.modules.get(UTILS)
    if utils is None or not hasattr(utils, "InitialBase") or hasattr(utils._upgrade_db, "__wrapped__"):
        return
    utils._upgrade_db = copying(utils._upgrade_db, utils.InitialBase.metadata, factory)  # type: ignore[attr-defined]


def copying(upgrade: Callable[[Any], None], first: Any, factory: pytest.TempPathFactory) -> Callable[[Any], None]:
    """Return what upgrades databases: one that has MLflow's `first` tables alone becomes a copy."""

    def make(folder: Path) -> None:
        import sqlalchemy

        engine = sqlalchemy.create_engine(f"sqlite:///{folder / FILE}")
        first.create_all(engine)
        upgrade(engine)
        engine.dispose()

    @functools.wraps(upgrade)
    def upgraded(engine: Any) -> None:
        import sqlalchemy

        new = set(sqlalchemy.inspect(engine).get_table_names()) == set(first.tables)
        if engine.dialect.name != "sqlite" or not new:
            upgrade(engine)
            return
        made = made_once.once(made_once.shared(factory), NAME, make) / FILE
        with contextlib.closing(engine.raw_connection()) as connection:
            put(made, connection.driver_connection)

    return upgraded


def put(file: Path, connection: sqlite3.Connection) -> None:
    """Make a database the same as a file that nobody writes to."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?immutable=1", uri=True)) as source:
        source.backup(connection)


@dataclass(frozen=True)
class Begun:
    """What is written to a database once, for many tests to begin with.

    Whatever else was written there since is gone each time. Files beside the database stay: who changes those that it
    names changes them for all.
    """

    file: Path
    folder: Path  # of the copies
    written: dict[str, Any] = field(default_factory=dict)

    def at(self, name: str, write: Callable[[], Any]) -> Any:
        """Return what `write` returned, with the database as it left it."""
        if name in self.written:
            self.again(name)
        else:
            self.written[name] = write()
            with (
                contextlib.closing(sqlite3.connect(self.file)) as source,
                contextlib.closing(sqlite3.connect(self.folder / name)) as copy,
            ):
                source.backup(copy)
        return self.written[name]

    def again(self, name: str) -> None:
        """Put the database back to where it was."""
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            put(self.folder / name, database)
