"""A container of the serving image answers, within what Pod Security `restricted` leaves it, and ends in peace."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from feature_repo import files
from tests.bentos import toy
from tests.images.conftest import ROOT, Container, podman

pytestmark = [pytest.mark.images, pytest.mark.timeout(1800)]
OPEN = {"INTENTFLOW_SERVING": '{"anyone":true}'}
EVEN = {f"i{n}" for n in range(0, 12, 2)}


def released(folder: Path, image: str, tag: str) -> str:
    """Put a release on top of the serving image as k8s/images says."""
    file = str(ROOT / "k8s" / "images" / "release.Containerfile")
    podman("build", "--file", file, "--build-arg", f"IMAGE={image}", "--tag", tag, str(folder), timeout_s=300)
    return tag


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(podman("image", "inspect", "--format", "{{json .RootFS.Layers}}", image))
    return found


@pytest.fixture
def image(serving: str, trained_toy: toy.Toy) -> str:
    return released(trained_toy.release, serving, "localhost/intentflow-test-release:one")


def test_a_container_recommends_and_can_do_little_else(
    image: str, run: Callable[..., Container], variables: dict[str, str]
) -> None:
    container = run(image, env=variables)
    container.wait_ready()
    answer = container.ask("/recommend", {"user_id": "u10", "k": 4})
    assert {item["item_id"] for item in answer["items"]} <= EVEN, "u10 buys even items"
    assert answer["profile"]["rung"] == "fresh"
    container.ask("/events", {"events": [{"user_id": "u10", "item_id": "i5", "event": "purchase", "event_id": "e1"}]})
    after = container.ask("/explain", {"user_id": "u10", "item_id": "i5"})
    assert "item: history_weeks" in {feature["name"] for feature in after["features"]}, "the next answer knows it"

    assert container.run("id", "-u").stdout.strip() == "10001"
    for path in ("/app/bentos/x", "/opt/venv/x", "/release/current/x", "/etc/x"):
        assert container.run("touch", path).returncode != 0, path
    status = container.run("cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    for absent in ("pip", "uv", "git", "curl", "gcc"):
        assert container.run("sh", "-c", f"command -v {absent}").returncode != 0, f"{absent} is in the image"


def test_a_container_that_is_told_to_end_answers_what_it_has(
    image: str, run: Callable[..., Container], variables: dict[str, str]
) -> None:
    container = run(image, env=variables)
    container.wait_ready()
    start = time.monotonic()
    with subprocess.Popen(["podman", "stop", "--time", "60", container.name], stdout=subprocess.DEVNULL) as stopping:
        answered = []
        while stopping.poll() is None:
            try:
                reply = requests.post(f"{container.url}/recommend", json={"user_id": "u11"}, timeout=10)
                answered.append(reply.status_code)
            except requests.ConnectionError:
                break  # it takes no more
        stopping.wait(60)
    assert time.monotonic() - start < 45, "ended by itself, not by SIGKILL"
    assert set(answered) <= {200, 503}
    assert podman("inspect", "--format", "{{.State.ExitCode}}", container.name) == "0"


def test_another_release_is_one_layer_more(serving: str, image: str, trained_toy: toy.Toy, tmp_path: Path) -> None:
    shutil.copytree(trained_toy.release, tmp_path / "models")
    document = files.read_json(tmp_path / "models" / "release.json")
    files.write_json(tmp_path / "models" / "release.json", document | {"policy": "greedy@2"})
    other = released(tmp_path / "models", serving, "localhost/intentflow-test-release:two")
    mine, theirs, below = layers(image), layers(other), layers(serving)
    assert mine[: len(below)] == theirs[: len(below)] == below
    assert len(mine) == len(theirs) == len(below) + 1
    assert mine[-1] != theirs[-1]


def test_code_is_the_last_and_the_smallest_of_the_layers(serving: str, steps: str) -> None:
    """What changes at every commit is some megabytes; both images share what changes with the lock."""
    history = json.loads(podman("image", "history", "--format", "json", serving))  # newest first
    packages = next(n for n, line in enumerate(history) if "install" in line["CreatedBy"])
    assert sum(line["size"] for line in history[:packages]) < 16 << 20
    shared = layers(serving)[:-4]
    assert layers(steps)[: len(shared)] == shared


def test_the_serving_image_has_what_the_door_imports_and_no_pipelines(serving: str) -> None:
    ours = "import bentos.recommender.service, bentos.intent.service, bentos.ranking.service, bentos.router.server"
    podman("run", "--rm", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", serving,
           "python", "-c", ours)  # fmt: skip
    listed = podman("run", "--rm", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
                    serving, "sh", "-c", "ls /app /opt/venv/lib/python3*/site-packages")  # fmt: skip
    assert not {"kfp", "evidently", "great_expectations", "mlflow", "pipelines", "pytest"} & set(listed.split())


def test_the_steps_image_grows_trees(steps: str) -> None:
    """What `gbdt` and `lambdamart` are trained by loads there, with the OpenMP that its wheel leaves out."""
    grow = ("import numpy as np; from components.boosted_trees import library; "
            "lightgbm = library('gbdt'); x = np.arange(100.0)[:, None]; "
            "print(lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, x[:, 0] > 50), 3).num_trees())")  # fmt: skip
    said = podman("run", "--rm", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
                  steps, "python", "-c", grow)  # fmt: skip
    assert said.split()[-1] == "3"
