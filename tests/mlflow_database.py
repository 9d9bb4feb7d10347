"""MLflow's databases in the tests' process are copies of one that MLflow made.

Each new database goes through all of MLflow's migrations, a second of a core, and dozens of tests begin with one. What
is copied is what MLflow's own code left: its tables, and nothing in them. Programs that tests start make their own.
"""

import contextlib
import functools
import sqlite3
import sys
from collections.abc import Callable
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
        with (
            contextlib.closing(sqlite3.connect(f"file:{made}?immutable=1", uri=True)) as source,
            contextlib.closing(engine.raw_connection()) as connection,
        ):
            source.backup(connection.driver_connection)

    return upgraded
