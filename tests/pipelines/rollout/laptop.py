"""A shop's releases on this machine: what runs them, what asks them, and what waits for their rollout's end."""

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.releases import processes, serving
from pipelines.releases.release import variables
from pipelines.rollout import loop
from tests.background import working
from tests.patience import patient
from tests.pipelines.conftest import RAW, Shop, open_shop

GATES = [{"metric": "intent.map"}]
RULES = {
    "shadow": {"requests": 30}, "steps": [0.2, 1.0], "step_requests": 30, "hold_s": 2, "wait_s": 120,
    "keep_previous_s": 600,
}  # fmt: skip
GOOD, BAD = {"k": 7}, {"k": 7, "timeout_s": 0.001}  # seconds: everything is late


def promotion(mode: str) -> dict[str, Any]:
    return {"mode": mode, "gates": GATES, "rollout": RULES}


def released(folder: Path, *others: dict[str, Any]) -> Shop:
    """Train once and promote; the other releases differ in what the door promises, and wait as challengers."""
    shop = open_shop(folder)
    plans: list[tuple[str, dict[str, Any]]] = [("auto", {}), *(("manual", other) for other in others)]
    for mode, promised in plans:
        shop.edit(promotion=promotion(mode), serving=promised)
        for verb in ("apply", "run"):
            done = shop.run(verb, str(shop.spec))
            assert done.returncode == 0, done.stderr
    return shop


@dataclass
class Load:
    """Requests one after another, from several threads, of many users."""

    url: str
    answers: Counter[tuple[int, str]] = field(default_factory=Counter)  # (status, release)
    failed: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            count = 0
            while not stop.wait(0.04):
                count += 1
                user = f"{RAW}u{(7 * count + number) % 40:02d}" if count % 2 else f"guest-{number}-{count}"
                try:
                    reply = session.post(f"{self.url}/recommend", json={"user_id": user}, timeout=patient(10))
                except requests.RequestException as error:
                    self.failed.append(repr(error))
                    continue
                self.answers[reply.status_code, reply.headers.get("X-IntentFlow-Release", "")] += 1
                if reply.status_code != 200:
                    self.failed.append(f"{reply.status_code} {reply.text[:200]}")


@contextmanager
def load(url: str, threads: int = 2) -> Iterator[Load]:
    """Keep asking in the background."""
    found = Load(url)
    with working(*(functools.partial(found.run, number=n) for n in range(threads)), patience_s=15):
        yield found


def quiet(seen: Load) -> None:
    """Not one request failed."""
    assert seen.failed == []
    assert sum(seen.answers.values()) > 50


def until(condition: Callable[[], Any], *, seconds: float, what: str, tell: Callable[[], object]) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + patient(seconds)
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {patient(seconds):.0f} s; {tell()}")


def tail(path: Path, lines: int = 20) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else f"{path}: none"


@dataclass
class Laptop:
    """What runs: a router with the stable door behind it, and the loop."""

    shop: Shop
    url: str
    log: Path
    watching: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> Installation:
        return find_place(self.shop.spec, "local", variables=self.shop.environment())

    def watch(self) -> None:
        """Start the loop."""
        with self.log.open("ab") as log:
            self.watching = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pipelines.cli", "reconcile", str(self.shop.spec)),
                    *("--watch", "--every", "0.5"),
                ],
                env=self.shop.environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """End the loop as a machine that fails does."""
        if self.watching is not None:
            os.killpg(self.watching.pid, signal.SIGKILL)
            self.watching.wait()
            self.watching = None

    def kill_door(self, release: str) -> None:
        """End a release's door and its workers at once."""
        (state,) = [s for s in processes.status(self.place.home) if s.name == f"{serving.DOOR}-{release}"]
        assert state.pid is not None
        os.killpg(state.pid, signal.SIGKILL)

    def champion(self, version: str) -> None:
        """Move the alias past intentflow, as MLflow's UI does."""
        import mlflow

        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            client.set_registered_model_alias("shop-release", "champion", version)

    def lose_champion(self) -> None:
        """Delete the alias past intentflow."""
        import mlflow

        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            client.delete_registered_model_alias("shop-release", "champion")

    def holder(self, alias: str) -> str:
        return str(self.shop.json("status", str(self.shop.spec))["aliases"].get(alias, ""))

    def weights(self, part: str) -> Path:
        """Return where the registry keeps a model's weights."""
        import mlflow

        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            model = client.get_model_version(f"shop-{part}", "1").source.removeprefix("models:/")
        (found,) = (self.place.home / "mlflow" / "artifacts").rglob(f"{model}/**/weights.safetensors")
        return found

    def tags(self, version: str) -> dict[str, str]:
        import mlflow

        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"])
            return dict(client.get_model_version("shop-release", version).tags)

    def standing(self) -> dict[str, Any]:
        return loop.summary(self.place)

    def settled(self, version: str, result: str, *, seconds: float) -> dict[str, Any]:
        """Wait until the rollout of a version came to its end."""

        def ended() -> dict[str, Any] | None:
            now = self.standing()
            done = now["candidate"] is None and now["last"].get("version") == version
            return now if done and now["last"]["result"] == result else None

        found: dict[str, Any] = until(ended, seconds=seconds, what=f"{version} {result}", tell=self.tell)
        return found

    def phase(self, phase: str, *, seconds: float = 120) -> None:
        until(lambda: self.standing()["phase"] == phase, seconds=seconds, what=phase, tell=self.tell)

    def tell(self) -> str:
        return f"{self.standing()}\n{tail(self.log)}"


@contextmanager
def opened(shop: Shop, folder: Path) -> Iterator[Laptop]:
    """Let the loop start what serves first, and the router with it; end everything afterwards."""
    machine = Laptop(shop, "", folder / "loop.log")
    place = machine.place
    done = shop.run("reconcile", str(shop.spec))
    assert done.returncode == 0, done.stderr
    try:
        (state,) = processes.up(place.home, [serving.router(place, port=processes.free_port(0))])
        assert state.state == "started", state.reason
        machine.url = state.url
        yield machine
    finally:
        machine.kill()
        processes.down(place.home)
