"""A whole installation under the console: two releases rolled out, a loop, people with a history, an experiment.

Everything is real: MLflow's registry, the doors and the router, the loop in a process of its own, keys in a file, and
the console as `intentflow console` starts it.
"""

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

from bentos import keys
from bentos.client import Recommender, Unanswered
from bentos.console import words
from bentos.endpoints.schemas import Event
from pipelines.environment import Installation
from pipelines.environment import place as find_place
from pipelines.releases import processes, serving
from pipelines.rollout import loop
from tests.background import working
from tests.browser.visitor import Visitor
from tests.patience import patient
from tests.pipelines.conftest import RAW, ROOT, Shop, open_shop
from tests.pipelines.rollout.laptop import GATES, tail, until

USERS = [f"{RAW}u{n:02d}" for n in range(40)]  # of the checkerboard: even users buy even items
CONSOLE_KEY = "SHOP_CONSOLE_KEY"  # variable that holds the key by which the console asks the service
GUESTS = [f"{RAW}guest-{n:02d}" for n in range(60)]  # whom the data do not know
ROLLOUT = {
    "shadow": {"requests": 0}, "steps": [0.5, 1.0], "step_requests": 3, "hold_s": 0, "wait_s": 900,
    "on_missing": "hold", "keep_previous_s": 3600,
}  # fmt: skip
EXPERIMENT = {
    "name": "shorter-lists",
    "arms": [
        {"name": "control", "release": "champion", "share": 0.5},
        {"name": "earlier", "release": "1", "share": 0.5},
    ],
    "kpi": {"event": "purchase", "within_hours": 0.001},
    "covariates": [], "min_users": 30, "min_active": 5,
}  # fmt: skip


@dataclass(frozen=True)
class Console:
    """Where the console is, and what is behind it."""

    shop: Shop
    env: Path
    url: str  # of the console's first page
    door: str  # of the service
    keys: Path
    admin: str  # a key that may sign in
    reader: str  # one that may only ask
    log: Path  # of the console
    loop_log: Path

    @property
    def place(self) -> Installation:
        """The installation, read anew."""
        return find_place(self.shop.spec, str(self.env), variables=self.shop.environment())

    def standing(self) -> dict[str, Any]:
        """Return how the rollout stands."""
        return loop.summary(self.place)

    def tell(self) -> str:
        """Say what a failed wait should show."""
        return f"{self.standing()}\n{tail(self.loop_log)}\n{tail(self.log)}"

    def run(self, verb: str, *arguments: str) -> None:
        """Run a verb of the command line, which must succeed."""
        done = self.shop.run(verb, str(self.shop.spec), *arguments, "--env", str(self.env))
        assert done.returncode == 0, done.stderr

    def serves(self, version: str, *, seconds: float = 120) -> None:
        """Wait until a version serves alone, while people ask."""

        def settled() -> bool:
            now = self.standing()
            return now["candidate"] is None and (now["stable"] or {}).get("version") == version

        with working(self.asking, patience_s=15):
            until(settled, seconds=seconds, what=f"version {version} serves", tell=self.tell)

    def asking(self, stop: threading.Event) -> None:
        """Ask as people do, one after another."""
        for user in itertools.cycle(USERS):
            if stop.wait(0.2):
                return
            with contextlib.suppress(requests.RequestException, Unanswered):
                self.ask([user])

    def without_rules(self) -> None:
        """Remove every live rule, and wait until no door keeps to one."""
        found = self.shop.json("rules", str(self.shop.spec), "list", "--env", str(self.env))["rules"]
        if names := [rule["name"] for rule in found]:
            done = self.shop.here("rules", str(self.shop.spec), "remove", *names, "--env", str(self.env))
            assert done.returncode == 0, done.stderr
            until(self._free, seconds=15, what="lists without rules", tell=self.tell)

    def _free(self) -> bool:
        """Tell whether no list of a few people, who are of every arm, follows a rule."""
        with Recommender(self.door, api_key=self.reader) as client:
            return not any(client.recommend(user, k=5).rules for user in USERS[:12])

    def ask(self, users: Sequence[str] = USERS, *, buys: bool = False) -> None:
        """Let people look at their list once; every fourth one buys what stands first."""
        with Recommender(self.door, api_key=self.reader) as client:
            for number, user in enumerate(users):
                answer = client.recommend(user, k=5)
                if buys and number % 4 == 0 and answer.items:
                    bought = Event(user_id=user, item_id=answer.items[0].item_id, event="purchase",
                                   request_id=answer.request_id)  # fmt: skip
                    client.events(events=[bought])


def released(folder: Path) -> Shop:
    """Make a shop with its first release, which is the champion; an experiment is declared."""
    shop = open_shop(folder)
    shop.edit(promotion={"mode": "auto", "gates": GATES, "rollout": ROLLOUT}, experiments=[EXPERIMENT])
    _trained(shop)
    return shop


def _trained(shop: Shop) -> None:
    for verb in ("apply", "run"):
        done = shop.run(verb, str(shop.spec))
        assert done.returncode == 0, done.stderr


def keyed(folder: Path) -> tuple[Path, Path]:
    """Write an environment like the local one, whose service and console ask for keys; return it and the keys' file."""
    document = yaml.safe_load((ROOT / "pipelines" / "environments" / "local.yaml").read_text())
    file = folder / "keys.json"
    document["serving"] = {"auth": "keys", "keys_file": str(file)}
    document["console"] = {"key_env": CONSOLE_KEY}
    (folder / "keyed.yaml").write_text(yaml.safe_dump(document))
    return folder / "keyed.yaml", file


@contextmanager
def opened(shop: Shop, folder: Path) -> Iterator[Console]:
    """Serve a shop's champion, roll a second release out, try both in an experiment, and open the console."""
    env, file = keyed(folder)
    admin = keys.make(file, name="owner", scopes=("admin", "recommend", "events"), server=True)
    reader = keys.make(file, name="shop", scopes=("recommend", "events"), server=True)
    asks = keys.make(file, name="console", scopes=("recommend", "events", "admin"), server=True)
    place = find_place(shop.spec, str(env), variables=shop.environment())
    console = Console(shop, env, "", "", file, admin, reader, folder / "console.log", folder / "loop.log")
    console.run("reconcile")
    with contextlib.ExitStack() as stack:
        stack.callback(processes.down, place.home)
        (router,) = processes.up(place.home, [serving.router(place, port=processes.free_port(0))])
        assert router.state == "started", router.reason
        url = f"http://127.0.0.1:{processes.free_port(0)}/console"
        found = Console(shop, env, url, router.url, file, admin, reader, console.log, console.loop_log)
        stack.enter_context(_running(shop, found.loop_log, "reconcile", env, "--watch", "--every", "0.5"))
        port = url.rpartition(":")[2].partition("/")[0]
        stack.enter_context(_running(shop, found.log, "console", env, "--port", port, told={CONSOLE_KEY: asks}))
        _answers(found)
        yield found


@contextmanager
def _running(
    shop: Shop, log: Path, verb: str, env: Path, *arguments: str, told: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Keep a verb running, as a person's terminal does; `told` are more variables."""
    command = [sys.executable, "-m", "pipelines.cli", verb, str(shop.spec), "--env", str(env), *arguments]
    variables = shop.environment() | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | dict(told or {})
    with log.open("ab") as stream:
        process = subprocess.Popen(command, env=variables, stdout=stream, stderr=stream)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(patient(10))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(console: Console) -> None:
    """Wait until the console answers."""
    deadline = time.monotonic() + patient(60)
    while True:
        with contextlib.suppress(requests.RequestException):
            if requests.get(console.url, timeout=5).ok:
                return
        assert time.monotonic() < deadline, tail(console.log)
        time.sleep(0.2)


def lived_in(console: Console) -> None:
    """Give the installation a past: a second release rolled out, people who look and buy, an experiment under way."""
    console.ask(buys=True)
    console.shop.edit(serving={"k": 7})
    for verb in ("apply", "run"):
        console.run(verb)
    console.serves(console.shop.aliases()["champion"])
    console.run("experiments", "start")
    until(lambda: _running_experiment(console), seconds=60, what="an experiment that runs", tell=console.tell)
    for _ in range(2):
        console.ask([*USERS, *GUESTS], buys=True)
    console.run("monitor")


def sign_in(visitor: Visitor, console: Console, *, language: str = "en") -> None:
    """Come in with the owner's key, as people do."""
    visitor.open(f"{console.url}?lang={language}")
    visitor.fill(words.text(language, "frame.key"), console.admin)
    visitor.enter()
    visitor.sees(words.text(language, "frame.sign_out"))
    visitor.loaded()


def _running_experiment(console: Console) -> bool:
    from pipelines import experiments

    running = experiments.act(console.place, "status")["running"] or {}
    return running.get("phase") == "running"
