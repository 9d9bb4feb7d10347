"""The three UIs, real ones: started together, answering, told apart, and gone after `down`."""

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
import yaml

from pipelines.releases import uis
from pipelines.releases.processes import State, down, status, up
from tests.patience import patient

pytestmark = [pytest.mark.process, pytest.mark.slow]  # three programs of others; CI runs them


def environment(home: Path) -> dict[str, str]:
    feast = {"registry": f"{home}/feast/registry.db", "online_store": {"type": "sqlite", "path": f"{home}/online.db"}}
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow/mlflow.db",
        "INTENTFLOW_FEAST": json.dumps(feast),
        "INTENTFLOW_EVIDENTLY": str(home / "evidently"),
    }


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[State]]]:
    home = tmp_path_factory.mktemp("home")
    (home / "mlflow").mkdir()
    ports = dict.fromkeys(uis.PORTS, 0)
    yield home, up(home, uis.uis(home, name="my-shop", environ=environment(home), ports=ports), wait_s=180)
    down(home)


def test_all_three_start_and_answer_on_loopback(running: tuple[Path, list[State]]) -> None:
    _, states = running
    assert [(s.name, s.state) for s in states] == [
        ("mlflow", "started"),
        ("feast", "started"),
        ("evidently", "started"),
    ]
    base = {s.name: s.url.split("/#")[0] for s in states}
    assert all(url.startswith("http://127.0.0.1:") for url in base.values())
    search = f"{base['mlflow']}/api/2.0/mlflow/experiments/search?max_results=1"
    assert "experiments" in requests.get(search, timeout=patient(10)).json()
    assert (
        requests.get(f"{base['feast']}/projects-list.json", timeout=patient(10)).json()["projects"][0]["id"]
        == "my_shop"
    )
    assert requests.get(f"{base['evidently']}/api/version", timeout=patient(10)).json()["version"].startswith("0.7.")


def test_telemetry_is_off(running: tuple[Path, list[State]]) -> None:
    _, states = running
    base = states[0].url.split("/#")[0]
    answer = requests.get(f"{base}/ajax-api/3.0/mlflow/ui-telemetry", timeout=patient(10)).json()
    assert answer["disable_ui_telemetry"] is True
    for state in states:
        environ = psutil.Process(state.pid).environ()
        assert environ["DO_NOT_TRACK"] == "1"
        assert environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_mlflow_runs_no_job_consumers(running: tuple[Path, list[State]]) -> None:
    server = psutil.Process(running[1][0].pid)
    assert len(server.children(recursive=True)) <= 2  # with job execution it has nine


def test_a_second_up_finds_them_running_where_they_are(running: tuple[Path, list[State]]) -> None:
    home, states = running
    again = up(home, uis.uis(home, name="my-shop", environ=environment(home)))
    assert [(s.state, s.pid, s.url) for s in again] == [("running", s.pid, s.url) for s in states]


def test_feasts_folder_says_what_the_environment_says(running: tuple[Path, list[State]]) -> None:
    home, _ = running
    document = yaml.safe_load((home / "up" / "feast" / "feature_store.yaml").read_text())
    assert (document["project"], document["registry"]) == ("my_shop", f"{home}/feast/registry.db")


def test_a_tool_whose_server_is_elsewhere_gets_no_ui(tmp_path: Path) -> None:
    environ = environment(tmp_path) | {
        "MLFLOW_TRACKING_URI": "http://mlflow.example:5000",
        "INTENTFLOW_EVIDENTLY": "https://evidently.example",
    }
    assert [p.name for p in uis.uis(tmp_path, name="shop", environ=environ)] == ["feast"]


def test_down_leaves_nothing_behind(running: tuple[Path, list[State]]) -> None:
    home, states = running
    family = [p for s in states for p in [psutil.Process(s.pid), *psutil.Process(s.pid).children(recursive=True)]]
    assert [s.state for s in down(home)] == ["stopped"] * 3
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert status(home) == []
