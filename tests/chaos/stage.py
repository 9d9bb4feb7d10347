"""What is broken in these tests: a small shop on this machine with everything as real processes, and what became of it.

MLflow's server, Redis, the router, the doors and the loop run as `intentflow` runs them; customers come all along.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.releases import processes, serving
from pipelines.releases.release import variables
from tests.chaos.load import Load
from tests.chaos.servers import Server
from tests.pipelines.conftest import Shop, open_shop
from tests.pipelines.rollout.laptop import GATES, Laptop

RULES = {
    "shadow": {"requests": 15}, "steps": [0.5, 1.0], "step_requests": 15, "hold_s": 8, "wait_s": 120,
    "reward_s": 2, "keep_previous_s": 3600,
}  # fmt: skip


def environment(redis: Server, mlflow: Server) -> dict[str, object]:
    """Return the environment of the shop: both servers as on a cluster, the rest in the state folder."""
    return {
        "name": "chaos",
        "clock": "data_end",
        "mlflow": {"tracking_uri": mlflow.url, "artifacts": "{home}/mlflow/artifacts"},
        "feast": {
            "registry": "{home}/feast/registry.db",
            "online_store": {"type": "redis", "connection_string": f"127.0.0.1:{redis.port},socket_timeout=0.5"},
        },
        "evidently": "{home}/evidently",
        "pseudonyms": {"key_file": "{home}/secrets/pseudonym.key"},
    }


def trained(folder: Path, settings: dict[str, object]) -> Shop:
    """Make a shop and its first release, which is the champion."""
    shop = open_shop(folder)
    (folder / "chaos.yaml").write_text(yaml.safe_dump(settings))
    shop.edit(promotion={"mode": "auto", "gates": GATES, "rollout": RULES})
    for verb in ("apply", "run"):
        done = shop.run(verb, str(shop.spec), "--env", str(folder / "chaos.yaml"))
        assert done.returncode == 0, done.stderr
    return shop


@dataclass
class Stage(Laptop):
    """The shop, its servers, its router, and the loop."""

    redis: Server | None = None
    mlflow: Server | None = None

    @property
    def settings(self) -> Path:
        return self.shop.folder / "chaos.yaml"

    @property
    def place(self) -> Installation:
        return find_place(self.shop.spec, str(self.settings), variables=self.shop.environment())

    def watch(self) -> None:
        """Start the loop, unless it runs."""
        if self.watching is not None and self.watching.poll() is None:
            return
        command = ["reconcile", str(self.shop.spec), "--env", str(self.settings), "--watch", "--every", "0.5"]
        with self.log.open("ab") as log:
            self.watching = subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", *command],
                env=self.shop.environment(), stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def reconcile(self) -> None:
        done = self.shop.run("reconcile", str(self.shop.spec), "--env", str(self.settings))
        assert done.returncode == 0, done.stderr

    def kill_door(self, release: str) -> None:
        """End a release's door, its supervisor and its worker at once."""
        family = self.door(release)
        for process in family:
            process.kill()
        psutil.wait_procs(family, timeout=5)

    def kill_part(self, release: str, part: str) -> None:
        """End the `supervisor` or the `worker` of a door."""
        supervisor, *others = self.door(release)
        workers = [process for process in others if "_bentoml_impl.worker.service" in process.cmdline()]
        assert len(workers) == 1
        (supervisor if part == "supervisor" else workers[0]).kill()

    def door(self, release: str) -> list[psutil.Process]:
        (state,) = [s for s in processes.status(self.place.home) if s.name == f"{serving.DOOR}-{release}"]
        assert state.pid is not None
        main = psutil.Process(state.pid)
        return [main, *main.children(recursive=True)]

    def kill_router(self) -> None:
        """End the router at once."""
        (state,) = [s for s in processes.status(self.place.home) if s.name == serving.ROUTER]
        assert state.pid is not None
        os.killpg(state.pid, signal.SIGKILL)

    def route(self) -> None:
        """Start the router where it was, as `intentflow up` does."""
        port = int(self.url.rpartition(":")[2]) if self.url else processes.free_port(0)
        (state,) = processes.up(self.place.home, [serving.router(self.place, port=port)])
        assert state.state in ("started", "running"), state.reason
        self.url = state.url

    def lost(self, load: Load) -> list[str]:
        """Return the confirmed events that are not in the event log, or not in the profile of a release that runs."""
        place = self.place
        logged = _logged(place.home)
        with variables(place):
            keys = _keys(load, os.environ["INTENTFLOW_PSEUDONYM_KEY"])
            missing = [f"{name}: not in the event log" for name, (_, key) in keys.items() if key not in logged]
            for release in self.standing()["running"]:
                missing += [f"{line} of {release}" for line in _unfolded(place, release, keys)]
        return missing

    def materialised(self) -> None:
        """Bring the profiles of every release that runs up to date, as a run of the pipeline does."""
        from pipelines.rollout import profiles

        for release in self.standing()["running"]:
            with variables(self.place):
                profiles.materialise_release(self.place, release)


def _keys(load: Load, key: str) -> dict[str, tuple[str, str]]:
    """Return by event id the user's pseudonym and the event's key, as the door makes them."""
    from feature_repo.privacy.pseudonyms import pseudonym

    return {n: (pseudonym(raw, key), f"id:{pseudonym(f'event {n}', key)}") for n, raw in load.taken.items()}


def _logged(home: Path) -> set[str]:
    """Return the keys of all events that the log holds, whole."""
    from bentos.recommender.logs import eventlog
    from bentos.recommender.logs.json_lines import files, read

    return {str(line.get(eventlog.KEY)) for path in files(home / eventlog.FOLDER) for line in read(path)}


def _unfolded(place: Installation, release: str, keys: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Yield the events that are not in their users' rows of a release."""
    from bentos.recommender.service import folding
    from bentos.release import Release
    from feature_repo.online.profiles import OnlineProfiles
    from feature_repo.vocabulary import Vocabulary

    folder = place.home / "releases" / release / "models"
    profiles = OnlineProfiles.open(
        place.spec.name, folding(Release.load(folder), Vocabulary.load(folder / "ranking" / "vocabulary"))
    )
    users = sorted({user for user, _ in keys.values()})
    held = {}
    for user, (made, events) in zip(users, profiles.made_of(users), strict=True):
        waiting = {event.key for event in made.missing(events)}
        held[user] = {event.key for event in events} - waiting
    for name, (user, key) in keys.items():
        if key not in held[user]:
            yield f"{name}: not in the profile"


def report(name: str, load: Load, **more: object) -> None:
    """Print a case's figures."""
    print(f"\n{name}: {load.figures() | more}")


@contextmanager
def timed(found: dict[str, float], name: str) -> Iterator[None]:
    """Note how long something took."""
    start = time.monotonic()
    yield
    found[name] = round(time.monotonic() - start, 1)
