"""A small shop of CSV files, taken by the command line from its columns to a served release, made once.

And a stand-in cluster, with places that roll out there or here.
"""

import contextlib
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import kube_api
from components.step import QUIET
from pipelines import environment
from pipelines.environment import Installation
from pipelines.environment_spec import Kubernetes
from pipelines.namespace import connected
from pipelines.runs import warm_start
from tests import command_line, kubernetes_server, worlds
from tests.patience import patient

ROOT = Path(__file__).resolve().parents[2]
RAW = "raw-user-7f3a-"  # how every user id of the shop begins: nothing that is kept may hold it
USER = f"{RAW}u02"
STARTS_STEPS = ("demo", "job", "run")  # verbs that shall have a process of their own, as a person's have
# Items of this shop take turns, so what lies near the last one is all but certain: no ranker beats item_knn here.
GATES = [
    {"metric": "intent.map"},
    {"metric": "ranking.ndcg_at_10", "tolerance": 0.1},
    {"metric": "ranking.ndcg_at_10", "against": "champion", "tolerance": 0.02, "repeats": 3},
]


@dataclass(frozen=True)
class Shop:
    """A folder with a shop's files, its spec and its state."""

    folder: Path

    @property
    def spec(self) -> Path:
        """The spec that `init` wrote."""
        return self.folder / "shop.yaml"

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.folder / "state" / "shop"

    def environment(self) -> dict[str, str]:
        """Return the variables of the command line."""
        added = {"INTENTFLOW_STATE": str(self.folder / "state"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | added

    def run(self, *arguments: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
        """Run the command line and wait for it."""
        command = [sys.executable, "-m", "pipelines.cli", *arguments]
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, timeout=patient(timeout), check=False
        )

    def here(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in this process, which has imported everything before."""
        return command_line.here(*arguments, variables=self.environment())

    def aliases(self) -> dict[str, str]:
        """Return the versions that the registry's aliases name, as `status` tells them."""
        done = self.here("status", str(self.spec), "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)["aliases"]
        return found

    def json(self, *arguments: str) -> Any:
        """Take the command line with --json and return its document; it must succeed."""
        take = self.run if arguments[0] in STARTS_STEPS else self.here
        done = take(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def edit(self, **fields: Any) -> None:
        """Replace top-level keys of the spec."""
        document = yaml.safe_load(self.spec.read_text()) | fields
        self.spec.write_text(yaml.safe_dump(document, sort_keys=False))


def write_files(folder: Path, world: worlds.World) -> None:
    """Write the world as a shop would have it: its own column names, local ISO times."""
    events = [
        {
            "customer": f"{RAW}{e['user_id']}",
            "sku": e["item_id"],
            "action": e["event"],
            "bought_at": e["timestamp"].isoformat(),  # type: ignore[attr-defined]
            "basket": e["session_id"],
            "pieces": e["quantity"],
            "paid": e["value"],
        }
        for e in world.events
    ]
    items = [{"sku": i["item_id"], "title": i["title"], "category": i["category"]} for i in world.items]
    for name, rows in (("orders", events), ("products", items)):
        with (folder / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def open_shop(folder: Path) -> Shop:
    """Write a shop's files and let `init` write its spec."""
    shop = Shop(folder)
    write_files(folder, worlds.checkerboard(users=40, items=16))
    files = (str(folder / "orders.csv"), "--items", str(folder / "products.csv"))
    mapping = ("--map", "timestamp=bought_at", "--map", "user_id=customer")
    done = shop.here("init", *files, "--name", "shop", *mapping, "--output", str(shop.spec))
    assert done.returncode == 0, done.stderr
    return shop


@pytest.fixture(scope="session")
def starter() -> Iterator[warm_start.Starter]:
    """The process that forks the steps of runs; it has imported the libraries."""
    with contextlib.ExitStack() as stack:
        with environment.exported(QUIET):
            found = stack.enter_context(warm_start.starter())
        yield found


@contextlib.contextmanager
def sharing(starter: warm_start.Starter) -> Iterator[None]:
    """Have runs in this process (`Shop.here`) fork every step from one starter; each would import the libraries anew.

    Also the steps that measure how their memory grows: what a fork tells is another number than a new process's.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warm_start, "starter", lambda: contextlib.nullcontext(starter))
        patch.setattr(warm_start, "MEASURED", ())
        yield


@pytest.fixture(scope="session")
def shop(starter: warm_start.Starter, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Return a shop whose demo has run.

    In this process: the slow tests that CI runs have one with processes of its own (test_broken.py).
    """
    shop = open_shop(tmp_path_factory.mktemp("shop"))
    shop.edit(promotion={"gates": GATES})
    with sharing(starter):
        done = shop.here("demo", str(shop.spec), "--user", USER)
    assert done.returncode == 0, done.stderr
    (shop.folder / "demo.out").write_text(done.stdout)
    return shop


@pytest.fixture
def warm_steps(starter: warm_start.Starter) -> Iterator[None]:
    """Let the runs of a test share the starter of steps; none may judge memory."""
    with sharing(starter):
        yield


@dataclass(frozen=True)
class Reached:
    """A stand-in cluster with its address."""

    cluster: kubernetes_server.Cluster
    url: str
    api: kube_api.Api


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    """An empty namespace of a stand-in cluster, the one that this process's kubeconfig names."""
    found = kubernetes_server.Cluster()
    with kubernetes_server.serving(found) as url:
        (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig(url))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield Reached(found, url, connected(Kubernetes(namespace="intentflow")))


@pytest.fixture
def place(tmp_path: Path) -> Callable[..., Installation]:
    """Make the place of the demo's recommender, here or in a namespace."""

    def make(*, namespace: str = "") -> Installation:
        spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
        here = environment.place(spec, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
        settings = here.environment.kubernetes.model_copy(update={"namespace": namespace})
        return replace(here, environment=here.environment.model_copy(update={"kubernetes": settings}))

    return make
