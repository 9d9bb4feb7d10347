"""The images of k8s/Containerfile, built by podman, and containers of them that are run as a cluster runs pods.

Built once a session. Where podman is missing nothing is skipped: who asks for these tests wants to know.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.bentos import conftest as doors
from tests.bentos import toy
from tests.patience import patient
from tests.registry.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
USER = "10001:10001"
BUILD_S, READY_S = 1500, patient(180)
RUNC = shutil.which("runc")
trained_toy = doors.trained_toy  # the fixture


def podman(*words: str, timeout_s: float = 120, check: bool = True) -> str:
    """Run podman and return what it prints."""
    runtime = ["--runtime", RUNC] if RUNC else []  # crun refuses some machines' control groups
    done = subprocess.run(["podman", *runtime, *words], capture_output=True, text=True, timeout=timeout_s, check=False)
    assert not check or done.returncode == 0, f"podman {' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


def built(target: str) -> str:
    """Build a target as a person would, under a tag of the tests' own, and return the tag."""
    command = [str(ROOT / "k8s" / "images" / "build"), target, "cpu", f"localhost/intentflow-test-{target}:0.1.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.split()[-1]


@pytest.fixture(scope="session")
def base() -> None:
    """Have the image that the Containerfile begins with: pulled before, or made from Debian's packages."""
    command = [str(ROOT / "k8s" / "images" / "base")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def serving(base: None) -> str:
    """Return the tag of the serving image."""
    return built("serving")


@pytest.fixture(scope="session")
def steps(serving: str) -> str:
    """Return the tag of the image that holds everything."""
    return built("steps")


@dataclass(frozen=True)
class Container:
    """A container that runs."""

    name: str
    url: str

    def wait_ready(self) -> None:
        """Return when it says that it is ready."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                if requests.get(f"{self.url}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            running = podman("inspect", "--format", "{{.State.Running}}", self.name)
            assert running == "true", podman("logs", self.name)
            time.sleep(0.5)
        pytest.fail(f"not ready in {READY_S:.0f} s\n{podman('logs', self.name)}")

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post and return the answer."""
        reply = requests.post(f"{self.url}{path}", json=body, timeout=30)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        runtime = ["--runtime", RUNC] if RUNC else []
        command = ["podman", *runtime, "exec", self.name, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def state(trained_toy: toy.Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the toy's state folder that the container's user owns."""
    folder = tmp_path_factory.mktemp("state")
    shutil.copytree(trained_toy.home, folder, dirs_exist_ok=True)
    subprocess.run(["chown", "-R", USER, str(folder)], check=True)
    folder.chmod(0o755)
    for parent in folder.parents[:3]:  # pytest's folders are its user's alone
        parent.chmod(parent.stat().st_mode | 0o055)
    return folder


@pytest.fixture
def run(state: Path, trained_toy: toy.Toy) -> Iterator[Callable[..., Container]]:
    """Start containers as k8s/base starts pods: a number for a user, no capabilities, two writable folders."""
    started: list[str] = []

    def start(image: str, *options: str, env: dict[str, str], command: Sequence[str] = ()) -> Container:
        port = free_port()
        words = command or [
            *(
                "python",
                "-m",
                "bentos.launch",
                "serve",
                "bentos.recommender.service:Recommender",
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            )
        ]
        variables = {"BENTOML_HOME": "/tmp/bentoml", "BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"} | env
        name = f"intentflow-test-{port}"
        podman(
            *(
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                "host",
                "--user",
                USER,
                "--read-only",
                "--cap-drop",
                "all",
            ),
            *("--security-opt", "no-new-privileges", "--memory", "2g", "--ulimit", "nofile=1024:1024"),
            *("--ulimit", "nproc=1024:1024", "--tmpfs", "/tmp:mode=1777", "--volume", f"{state}:/state"),
            *(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
            *options,
            image,
            *words,
        )
        started.append(name)
        return Container(name, f"http://127.0.0.1:{port}")

    yield start
    for name in started:
        podman("rm", "--force", "--time", "1", name, check=False)


@pytest.fixture
def variables(trained_toy: toy.Toy) -> dict[str, str]:
    """Return what the toy's service reads, with the state folder where a pod has it."""
    feast = {
        "registry": "/state/feast/registry.db",
        "online_store": {"type": "sqlite", "path": "/state/feast/online.db"},
    }
    return trained_toy.variables | {"INTENTFLOW_HOME": "/state", "INTENTFLOW_FEAST": json.dumps(feast)}
