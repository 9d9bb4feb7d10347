"""A real MLflow with accounts: a stranger does nothing, a door's reads and moves no alias, the loop's moves it."""

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from components.registry import accounts
from feature_repo import env_names
from feature_repo.errors import SpecError
from tests.patience import patient
from tests.servers import free_port

NEEDS_FORMS = pytest.mark.skipif(
    importlib.util.find_spec("flask_wtf") is None, reason="MLflow's basic-auth app needs Flask-WTF: `make install`"
)
WRITER, READER = ("writer", "w" * 24), ("reader", "r" * 24)
VARIABLES = {
    env_names.MLFLOW_WRITER: WRITER[0],
    env_names.MLFLOW_WRITER_PASSWORD: WRITER[1],
    env_names.MLFLOW_READER: READER[0],
    env_names.MLFLOW_READER_PASSWORD: READER[1],
}
MODEL = "shop-release"
# Fifteen seconds of a server's starts: tests/k8s/test_registry_accounts.py has what is applied, and CI runs these.
REAL = pytest.mark.slow


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({env_names.MLFLOW_WRITER: ""}, "INTENTFLOW_MLFLOW_WRITER is not set"),
        ({env_names.MLFLOW_READER_PASSWORD: "short"}, "5 characters are not allowed"),
        ({env_names.MLFLOW_READER: "writer"}, "the same name or password"),
        ({env_names.MLFLOW_READER_PASSWORD: WRITER[1]}, "the same name or password"),
    ],
)
def test_accounts_that_would_guard_nothing_are_one_line(changed: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError, match=said) as error:
        accounts.accounts(VARIABLES | changed)
    assert "\n" not in str(error.value)
    assert WRITER[1] not in str(error.value)


def test_a_password_with_a_percent_sign_is_read_back_as_it_was() -> None:
    import configparser

    uri = "postgresql+psycopg://mlflow:a%40b@db:5432/mlflow"
    read = configparser.ConfigParser()
    read.read_string(accounts.settings(uri))
    assert read["mlflow"]["database_uri"] == uri


class Server:
    """A real server, and what each account is answered."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"
        self.artifacts = ""  # of a run that the pipeline's account made, as the server's addresses name them
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")},
            **VARIABLES,
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": f"{folder}/artifacts",
            "MLFLOW_AUTH_CONFIG_PATH": f"{folder}/{accounts.FILE}",
            "MLFLOW_AUTH_ADMIN_USERNAME": WRITER[0],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "k" * 32,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def accounts(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "components.registry.accounts", str(self.folder)],
            env=self.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def ask(self, who: tuple[str, str] | None, method: str, path: str, /, **body: object) -> requests.Response:
        more = {"params": body} if method == "GET" else {"json": body}
        return requests.request(method, f"{self.url}/api/2.0/{path}", auth=who, timeout=patient(30), **more)

    def move(self, who: tuple[str, str] | None, version: str) -> int:
        return self.ask(
            who, "POST", "mlflow/registered-models/alias", name=MODEL, alias="champion", version=version
        ).status_code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    one = Server(folder, port)
    assert one.accounts().strip().endswith("writer made, reader made")
    command = [sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth", "--host=127.0.0.1"]
    command += [f"--port={port}", "--workers=1"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=one.environment, stdout=log, stderr=log) as p:
        try:
            deadline = time.monotonic() + patient(120)
            while True:
                assert p.poll() is None, (folder / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
                try:
                    if requests.get(f"{one.url}/health", timeout=5).ok:
                        break
                except requests.ConnectionError:
                    time.sleep(0.2)
            yield one
        finally:
            p.terminate()
            try:
                p.wait(timeout=patient(20))
            except subprocess.TimeoutExpired:
                p.kill()


@pytest.fixture(scope="module")
def versions(server: Server) -> tuple[str, str]:
    """Two versions that the pipeline's account registered, the first of them champion."""
    made = server.ask(WRITER, "POST", "mlflow/registered-models/create", name=MODEL)
    assert made.status_code == 200, made.text
    experiment = server.ask(WRITER, "POST", "mlflow/experiments/create", name="shop").json()["experiment_id"]
    found = []
    for _ in range(2):
        run = server.ask(WRITER, "POST", "mlflow/runs/create", experiment_id=experiment).json()["run"]["info"]
        more = {"source": run["artifact_uri"], "run_id": run["run_id"]}
        version = server.ask(WRITER, "POST", "mlflow/model-versions/create", name=MODEL, **more)
        assert version.status_code == 200, version.text
        found.append(str(version.json()["model_version"]["version"]))
        server.artifacts = run["artifact_uri"].partition(":/")[2].lstrip("/")
    assert server.move(WRITER, found[0]) == 200
    return found[0], found[1]


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_without_a_key_nothing_is_read_and_no_alias_moves(server: Server, versions: tuple[str, str]) -> None:
    """The attack of the review: 200 for both calls, by whoever reached the port."""
    for who in (None, ("writer", "guessed-guessed"), ("stranger", WRITER[1])):
        assert server.move(who, versions[1]) == 401
        read = server.ask(who, "GET", "mlflow/registered-models/get", name=MODEL)
        assert read.status_code == 401
        assert server.ask(who, "GET", "mlflow-artifacts/artifacts", path="0").status_code == 401
    assert requests.get(f"{server.url}/health", timeout=patient(10)).ok  # the kubelet's probe has no key


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_a_door_s_account_reads_the_champion_and_cannot_move_it(server: Server, versions: tuple[str, str]) -> None:
    champion = server.ask(READER, "GET", "mlflow/registered-models/alias", name=MODEL, alias="champion")
    assert champion.json()["model_version"]["version"] == versions[0]
    assert server.move(READER, versions[1]) == 403
    gone = server.ask(READER, "DELETE", "mlflow/registered-models/alias", name=MODEL, alias="champion")
    assert gone.status_code == 403
    tagged = server.ask(
        READER, "POST", "mlflow/model-versions/set-tag", name=MODEL, version=versions[0], key="gates", value="passed"
    )
    assert tagged.status_code == 403
    source = f"mlflow-artifacts:/{server.artifacts}"
    made = server.ask(READER, "POST", "mlflow/model-versions/create", name=MODEL, source=source)
    assert made.status_code == 403
    theirs = server.ask(READER, "POST", "mlflow/users/create", username="third", password="p" * 24)
    assert theirs.status_code == 403
    again = server.ask(READER, "GET", "mlflow/registered-models/alias", name=MODEL, alias="champion")
    assert again.json()["model_version"]["version"] == versions[0]


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_a_door_s_account_owns_a_name_that_it_took_first(server: Server, versions: tuple[str, str]) -> None:
    """What is not promised (docs/security.md): MLflow has every account make models, so releases are signed too."""
    assert server.ask(READER, "POST", "mlflow/registered-models/create", name="free").status_code == 200
    taken = server.ask(READER, "POST", "mlflow/registered-models/create", name=MODEL)
    assert taken.json()["error_code"] == "RESOURCE_ALREADY_EXISTS"
    assert server.ask(READER, "DELETE", "mlflow/registered-models/delete", name=MODEL).status_code == 403


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_a_door_s_account_reads_artifacts_and_cannot_replace_them(server: Server, versions: tuple[str, str]) -> None:
    path = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{server.artifacts}/release.json"
    assert requests.put(path, data=b"good", auth=WRITER, timeout=patient(30)).status_code == 200
    assert requests.put(path, data=b"theirs", auth=READER, timeout=patient(30)).status_code == 403
    assert requests.delete(path, auth=READER, timeout=patient(30)).status_code == 403
    assert requests.put(path, data=b"theirs", timeout=patient(30)).status_code == 401
    assert requests.get(path, auth=READER, timeout=patient(30)).content == b"good"


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_the_loop_s_account_moves_the_champion_and_our_client_sends_it(
    server: Server, versions: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.registry import client as mlflow_client

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    for (name, password), moves in ((READER, False), (WRITER, True)):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        with mlflow_client.connected() as client:
            assert client.get_model_version_by_alias(MODEL, "champion").version == versions[0]
            if moves:
                client.set_registered_model_alias(MODEL, "champion", versions[1])
                assert client.get_model_version_by_alias(MODEL, "champion").version == versions[1]
                client.set_registered_model_alias(MODEL, "champion", versions[0])


@NEEDS_FORMS
@pytest.mark.process
@REAL
def test_a_new_password_holds_after_the_next_start_and_other_accounts_go(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/mlflow.db"
    first = accounts.accounts(VARIABLES)
    assert accounts.keep(database, first) == {"writer": "made", "reader": "made"}
    assert accounts.keep(database, first) == {"writer": "kept", "reader": "kept"}
    changed = accounts.accounts(
        VARIABLES | {env_names.MLFLOW_READER: "doors", env_names.MLFLOW_WRITER_PASSWORD: "n" * 24}
    )
    assert accounts.keep(database, changed) == {"writer": "changed", "doors": "made", "reader": "removed"}
