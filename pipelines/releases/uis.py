"""The UIs that `intentflow up` leaves running on a laptop: the console, and MLflow, Feast and Evidently over the state.

This says which commands they are; `processes.py` starts and stops them. They send no telemetry and listen on loopback
only, since none of those three authenticates anybody.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from feature_repo import env_names, files
from feature_repo.online import feast_store
from pipelines.environment import STATE, Installation
from pipelines.releases.processes import LOOPBACK, Process, free_port, status

PORTS = {"mlflow": 5000, "feast": 8888, "evidently": 8000, "console": 7080}  # each tool's own default


def uis(home: Path, *, name: str, environ: Mapping[str, str], ports: Mapping[str, int] | None = None) -> list[Process]:
    """Return the UIs over what the environment names; a tool whose server is elsewhere needs none here.

    `environ` holds the variables that steps read. `ports` may fix a tool's port; 0 means any free one.
    """
    given = ports or {}
    found = [
        mlflow(home, uri=environ["MLFLOW_TRACKING_URI"], port=given.get("mlflow")),
        feast(home, project=name, settings=feast_store.settings_from(dict(environ)), port=given.get("feast")),
        evidently(home, workspace=environ[env_names.EVIDENTLY], port=given.get("evidently")),
    ]
    return [process for process in found if process is not None]


def mlflow(home: Path, *, uri: str, port: int | None = None) -> Process | None:
    """Serve the tracking store. Job execution would cost eight more processes, which outlive the server.

    Its address may hold a password, and every user of the machine reads other processes' arguments: it is a variable.
    """
    if uri.startswith(("http://", "https://")):
        return None
    port = _port(home, "mlflow", port)
    return Process(
        name="mlflow",
        command=(
            *(sys.executable, "-m", "mlflow", "server"),
            *("--artifacts-destination", str(home / "mlflow" / "artifacts")),
            *("--host", LOOPBACK, "--port", str(port), "--workers", "1"),
        ),
        env={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri},
        url=f"http://{LOOPBACK}:{port}/#/models",  # its own first page is about language models
        ready_url=f"http://{LOOPBACK}:{port}/health",
        version=files.digest(uri),
    )


def feast(home: Path, *, project: str, settings: dict[str, Any], port: int | None = None) -> Process:
    """Serve the feature registry. The tool reads a feature_store.yaml, so one is written beside the logs."""
    port = _port(home, "feast", port)
    document = feast_store.document(project, settings)
    folder = home / "up" / "feast"
    with files.written(folder / "feature_store.yaml") as aside:
        aside.touch(0o600)  # it holds the stores' passwords
        aside.write_text(yaml.safe_dump(document, sort_keys=False))
    return Process(
        name="feast",
        command=(
            *(sys.executable, "-m", "feast.cli.cli", "-c", str(folder)),
            *("ui", "--host", LOOPBACK, "--port", str(port)),
        ),
        url=f"http://{LOOPBACK}:{port}",
        ready_url=f"http://{LOOPBACK}:{port}/projects-list.json",
        version=files.digest(document),
    )


def evidently(home: Path, *, workspace: str, port: int | None = None) -> Process | None:
    """Serve the drift reports' workspace."""
    if workspace.startswith(("http://", "https://")):
        return None
    port = _port(home, "evidently", port)
    Path(workspace).mkdir(parents=True, exist_ok=True)
    return Process(
        name="evidently",
        command=(
            *(sys.executable, "-m", "evidently.cli", "ui", "--workspace", workspace),
            *("--host", LOOPBACK, "--port", str(port)),
        ),
        url=f"http://{LOOPBACK}:{port}",
        ready_url=f"http://{LOOPBACK}:{port}/api/version",
        version=workspace,
    )


def console(place: Installation, *, port: int | None = None) -> Process:
    """Serve the console over an installation, which it reads anew as its files change."""
    port = _port(place.home, "console", port)
    environment = place.environment_asked
    if environment.endswith((".yaml", ".yml")):
        environment = str(Path(environment).absolute())  # it starts in another folder
    command = ("console", str(place.spec_path.absolute()), "--env", environment, "--port", str(port))
    return Process(
        name="console",
        command=(sys.executable, "-m", "pipelines.cli", *command),
        env={STATE: str(place.home.parent)},
        url=f"http://{LOOPBACK}:{port}/console",
        ready_url=f"http://{LOOPBACK}:{port}/readyz",
        version=files.digest([*command, version("intentflow")]),
    )


def _port(home: Path, name: str, given: int | None) -> int:
    """Return the port that a running UI has, so that it keeps it, or one to start it on."""
    running = [urlsplit(s.url).port for s in status(home) if s.name == name and s.state == "running"]
    have = running[0] if running else None
    return have if have and given in (None, 0, have) else free_port(given, default=PORTS[name])
