"""A copied database is the one that MLflow would have made, and one that holds anything is upgraded by MLflow."""

import sqlite3
from pathlib import Path

import mlflow.store.db.utils as utils
import pytest
import sqlalchemy

from tests import mlflow_database

pytestmark = pytest.mark.world


def schema(path: Path) -> list[tuple[str, ...]]:
    """Return all that a database of MLflow declares, and the version that it says it has.

    Lines of a declaration are sorted: migrations write a table's constraints in an order of their own each time.
    """
    with sqlite3.connect(path) as opened:
        said = opened.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
        found = [(*about, *sorted(line.strip(" \t,") for line in sql.split("\n"))) for *about, sql in said]
        return sorted([*found, *opened.execute("SELECT version_num FROM alembic_version").fetchall()])


def test_a_copy_is_what_mlflow_makes_and_nobody_s_but_its_own(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mlflow_database.share(tmp_path_factory)
    theirs, upgrades = utils._upgrade_db.__wrapped__, list[sqlalchemy.Engine]()

    def counted(engine: sqlalchemy.Engine) -> None:
        upgrades.append(engine)
        theirs(engine)

    copied = mlflow_database.copying(counted, utils.InitialBase.metadata, tmp_path_factory)
    for name, way in (("made", theirs), ("copied", copied), ("again", copied)):
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{tmp_path / name}")
        utils.InitialBase.metadata.create_all(engine)
        way(engine)
        if name == "copied":
            with engine.begin() as connection:
                connection.execute(sqlalchemy.text("INSERT INTO registered_models (name) VALUES ('toy')"))
        engine.dispose()
    assert len(upgrades) <= 1, "whoever came first has made it"
    assert schema(tmp_path / "copied") == schema(tmp_path / "made") == schema(tmp_path / "again")
    with sqlite3.connect(tmp_path / "again") as opened:
        assert opened.execute("SELECT count(*) FROM registered_models").fetchone() == (0,)


def test_a_database_that_is_in_use_is_upgraded_as_it_is(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    upgrades: list[sqlalchemy.Engine] = []
    utils.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
    mlflow_database.copying(upgrades.append, utils.InitialBase.metadata, tmp_path_factory)(engine)
    assert upgrades == [engine]


def test_tests_begin_where_the_first_of_them_was_whatever_was_written_since(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    begun = mlflow_database.Begun(tmp_path / "toy.db", tmp_path / "copies")
    writes = list[str]()

    def write(text: str) -> str:
        writes.append(text)
        with sqlite3.connect(begun.file) as opened:
            opened.execute("CREATE TABLE IF NOT EXISTS toys (name)")
            opened.execute("INSERT INTO toys VALUES (?)", [text])
        return text.upper()

    def held() -> list[str]:
        with sqlite3.connect(begun.file) as opened:
            return [name for (name,) in opened.execute("SELECT name FROM toys ORDER BY name")]

    assert begun.at("one", lambda: write("a")) == "A"
    assert begun.at("two", lambda: write("b")) == "B"
    write("c")
    assert begun.at("two", lambda: write("never")) == "B"
    assert (held(), writes) == (["a", "b"], ["a", "b", "c"])
    begun.again("one")
    assert held() == ["a"]
