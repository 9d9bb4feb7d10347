"""A state folder is saved, taken away and restored elsewhere: it is whole, and serves the same answers."""

import contextlib
import datetime as dt
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from feature_repo.documents.changes import ITEM
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.errors import DataError, SpecError
from pipelines import backup
from pipelines.runs import local
from tests import command_line
from tests.patience import patient
from tests.pipelines.conftest import ROOT, USER, Shop


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """As much of a state folder as a backup tells apart."""
    home = tmp_path / "here" / "shop"
    for name, text in {
        "secrets/pseudonym.key": "5eed", "run.json": json.dumps({"folders": {"rows": f"{home}/runs/r1/rows"}}),
        "mlflow/artifacts/m-1/MLmodel": f"artifact_path: {home}/mlflow/artifacts/m-1\n",
        "events/2024-01-01.00001.jsonl": "{}\n", "runs/r1/rows/a.parquet": f"PAR1\0{home}",
        "logs/run.log": "much\n", "releases/aaa/models/release.json": "{}",
    }.items():  # fmt: skip
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (home / "secrets" / "pseudonym.key").chmod(0o600)
    with contextlib.closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE runs (id INTEGER, artifact_uri VARCHAR(200), note TEXT)")
        database.execute("INSERT INTO runs VALUES (1, ?, 'kept')", (f"{home}/mlflow/artifacts/m-1",))
    return home


def test_a_restored_state_folder_has_the_document_log(home: Path, tmp_path: Path) -> None:
    def log(at: Path) -> DocumentLog:
        (at / "feast").mkdir(exist_ok=True)
        return DocumentLog(SqliteShelf(str(at / "feast" / "online.db"), "shop"))

    put = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    log(home).put(ITEM, [("kale", {"price": 2.0})], who="key 1", at=put, after=Snapshot(), key="c1")
    backup.save(home, tmp_path / "shop.tar.gz")
    backup.restore(tmp_path / "shop.tar.gz", tmp_path / "there" / "shop")
    restored = log(tmp_path / "there" / "shop")
    assert (restored.head(), restored.changes()) == (log(home).head(), log(home).changes())
    assert restored.refreshed(Snapshot()) == log(home).refreshed(Snapshot())


def test_a_state_folder_moves_with_its_paths(home: Path, tmp_path: Path) -> None:
    archive, there = tmp_path / "shop.tar.gz", tmp_path / "there" / "shop"
    backup.save(home, archive)
    found = backup.restore(archive, there)
    assert found["paths_changed"] == 3
    assert json.loads((there / "run.json").read_text())["folders"]["rows"] == f"{there}/runs/r1/rows"
    assert str(there) in (there / "mlflow/artifacts/m-1/MLmodel").read_text()
    with contextlib.closing(sqlite3.connect(there / "mlflow" / "mlflow.db")) as database:
        assert database.execute("SELECT * FROM runs").fetchall() == [(1, f"{there}/mlflow/artifacts/m-1", "kept")]
    assert (there / "runs/r1/rows/a.parquet").read_bytes() == (home / "runs/r1/rows/a.parquet").read_bytes()
    assert (there / "secrets/pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert not (there / "logs").exists()
    assert not (there / "releases").exists(), "fetched again from the registry"


def test_a_database_in_use_is_copied_as_of_one_moment(home: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("INSERT INTO runs VALUES (2, 'b', '')")
        writer.commit()
        writer.execute("INSERT INTO runs VALUES (3, 'c', '')")  # not committed
        backup.save(home, tmp_path / "shop.tar.gz")
    backup.restore(tmp_path / "shop.tar.gz", tmp_path / "there")
    with contextlib.closing(sqlite3.connect(tmp_path / "there" / "mlflow" / "mlflow.db")) as database:
        assert [id for (id,) in database.execute("SELECT id FROM runs")] == [1, 2]


def test_nothing_is_written_over_and_half_an_archive_leaves_nothing(home: Path, tmp_path: Path) -> None:
    archive = tmp_path / "shop.tar.gz"
    backup.save(home, archive)
    with pytest.raises(SpecError, match="is there already"):
        backup.restore(archive, home)
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match="no whole archive"):
        backup.restore(archive, tmp_path / "there" / "shop")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_database_whose_mistake_is_no_text_is_one_line(home: Path, tmp_path: Path) -> None:
    """SQLite names the table that it cannot read, and the name is no UTF-8."""
    archive, database = tmp_path / "shop.tar.gz", home / "mlflow" / "mlflow.db"
    broken = database.read_bytes().replace(b"tablerunsruns", b"tableru\x81sru\x81s")
    database.write_bytes(broken.replace(b"CREATE TABLE runs (id", b"CREATE TABLE ru\x81s ((d"))
    with tarfile.open(archive, "w:gz") as tar:  # `save` would not have written it
        for name, found in (("backup.json", json.dumps({"home": "/was/here", "name": "shop"}).encode()),
                            ("state/mlflow/mlflow.db", database.read_bytes())):  # fmt: skip
            about = tarfile.TarInfo(name)
            about.size = len(found)
            tar.addfile(about, io.BytesIO(found))
    with pytest.raises(DataError, match="holds a database that cannot be read"):
        backup.restore(archive, tmp_path / "there" / "shop")
    assert list((tmp_path / "there").iterdir()) == []


SERVERS = """\
name: servers
mlflow: {tracking_uri: "http://ana:mlpass@mlflow:5000"}
feast:
  registry: {registry_type: sql, path: "postgresql+psycopg://feast:pgpass@db:5432/feast"}
  online_store: {type: redis, connection_string: "redis:6379,password=redispass"}
evidently: http://evidently:8000
pseudonyms: {key_env: INTENTFLOW_PSEUDONYM_KEY}
requests: {url: "s3://logs/shop?secret_key=s3pass"}
"""
ELSEWHERE = {
    "MLflow": "http://ana:***@mlflow:5000",
    "Redis": "redis:6379,password=***",
    "PostgreSQL (Feast's registry)": "postgresql+psycopg://feast:***@db:5432/feast",
    "Evidently": "http://evidently:8000",
    "logs of requests and events": "s3://logs/shop",
    "the pseudonym key": "variable INTENTFLOW_PSEUDONYM_KEY",
}


@pytest.fixture
def shop_of_servers(home: Path) -> tuple[Path, Path]:
    """A spec of that name, and an environment whose parts are all servers."""
    spec, environment = home.parent.parent / "shop.yaml", home.parent.parent / "servers.yaml"
    document = yaml.safe_load((ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()) | {"name": "shop"}
    spec.write_text(yaml.safe_dump(document))
    environment.write_text(SERVERS)
    return spec, environment


def _backup(verb: str, spec: Path, environment: Path, state: Path) -> subprocess.CompletedProcess[str]:
    asked = (verb, str(spec), str(state.parent / "shop.tar.gz"), "--env", str(environment))
    return command_line.here(*asked, variables={"INTENTFLOW_STATE": str(state)}, main=backup.main)


@pytest.mark.process
def test_save_and_restore_end_with_what_is_not_in_the_archive(home: Path, shop_of_servers: tuple[Path, Path]) -> None:
    spec, environment = shop_of_servers
    command = [sys.executable, "-m", "pipelines.backup", "save", str(spec), str(home.parent.parent / "shop.tar.gz")]
    saved = subprocess.run(
        [*command, "--env", str(environment)], env=os.environ | {"INTENTFLOW_STATE": str(home.parent)},
        capture_output=True, text=True, timeout=patient(120), check=False,
    )  # fmt: skip
    assert saved.returncode == 0, saved.stderr
    there = home.parent.with_name("there")
    restored = _backup("restore", spec, environment, there)
    assert restored.returncode == 0, restored.stderr
    for done, command in ((saved, "k8s/backup FOLDER"), (restored, "k8s/restore FOLDER")):
        head, _, tail = done.stdout.partition("NOT in this archive (6):")
        assert "in this archive, of" in head
        for what, where in ELSEWHERE.items():
            assert f"{what} at {where}: " in tail
        assert command in tail
        assert not [word for word in ("mlpass", "pgpass", "redispass", "s3pass") if word in done.stdout]
    with tarfile.open(home.parent.parent / "shop.tar.gz") as tar:
        stream = tar.extractfile(backup.ABOUT)
        assert stream is not None
        about = json.load(stream)
    assert {one["what"]: one["where"] for one in about["not_in_archive"]} == ELSEWHERE
    assert about["in_archive"] == ["events", "mlflow", "run.json", "runs", "secrets"]


def test_a_laptop_keeps_everything_in_the_folder(home: Path, shop_of_servers: tuple[Path, Path]) -> None:
    spec, _ = shop_of_servers
    done = _backup("save", spec, Path("local"), home.parent)
    assert "not in this archive: nothing" in done.stdout.splitlines()[-1]


def test_without_a_state_folder_save_fails_and_says_where_the_state_is(
    home: Path, shop_of_servers: tuple[Path, Path]
) -> None:
    done = _backup("save", *shop_of_servers, home.parent.with_name("nothing"))
    assert done.returncode == 2
    assert "Redis is at redis:6379,password=***: k8s/backup" in done.stderr


def test_an_archive_of_before_says_it_too(home: Path, shop_of_servers: tuple[Path, Path]) -> None:
    spec, environment = shop_of_servers
    backup.save(home, home.parent.parent / "shop.tar.gz")
    rewritten = home.parent.parent / "old.tar.gz"
    with tarfile.open(home.parent.parent / "shop.tar.gz") as source, tarfile.open(rewritten, "w:gz") as target:
        for member in source:
            stream = source.extractfile(member)
            if member.name == backup.ABOUT:
                assert stream is not None
                text = json.dumps({k: v for k, v in json.load(stream).items() if not k.endswith("in_archive")}).encode()
                member.size, stream = len(text), io.BytesIO(text)
            target.addfile(member, stream)
    rewritten.replace(home.parent.parent / "shop.tar.gz")
    done = _backup("restore", spec, environment, home.parent.with_name("there"))
    assert "NOT in this archive (6):" in done.stdout


def test_a_run_under_way_is_not_torn(home: Path, tmp_path: Path) -> None:
    with local.alone(home), pytest.raises(local.Busy, match="run of this recommender is under way"):
        backup.save(home, tmp_path / "shop.tar.gz")
    assert not (tmp_path / "shop.tar.gz").exists()


def answers(shop: Shop) -> dict[str, Any]:
    """Return what a user is recommended by a service of the shop, without what is each answer's own."""
    found: dict[str, Any] = shop.json("recommend", str(shop.spec), "--user", USER, "--k", "5")
    return {key: value for key, value in found.items() if key in ("release", "items", "intents", "profile")}


@pytest.mark.slow
def test_restored_elsewhere_it_serves_the_same_answers(shop: Shop, tmp_path: Path) -> None:
    """The folder of before is away meanwhile: what still pointed there would fail."""
    there = Shop(tmp_path)
    for name in ("shop.yaml", "orders.csv", "products.csv"):
        (tmp_path / name).write_bytes((shop.folder / name).read_bytes())
    before = answers(shop)
    saved = json.loads(_command(shop, "save", tmp_path / "shop.tar.gz"))
    away = shop.folder.with_name(f"{shop.folder.name}-away")
    shop.folder.rename(away)
    try:
        restored = json.loads(_command(there, "restore", tmp_path / "shop.tar.gz"))
        assert restored["home"] == saved["home"]
        assert answers(there) == before
        done = there.run("run", str(there.spec))  # the last run's record, MLflow and Feast are usable as well
        assert done.returncode == 0, done.stderr
    finally:
        away.rename(shop.folder)


def _command(shop: Shop, verb: str, archive: Path) -> str:
    command = [sys.executable, "-m", "pipelines.backup", verb, str(shop.spec), str(archive), "--json"]
    done = subprocess.run(
        command, env=shop.environment(), capture_output=True, text=True, timeout=patient(120), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
