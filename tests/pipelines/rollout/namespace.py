"""A namespace of the stand-in cluster with a registry: the loop looks when it is asked to, people do what they like."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow

from bentos.router.observations import ArmSeen, Observations, ShadowSeen
from bentos.router.routes import Backend, Routes
from components.registry.release import model_name
from pipelines.environment import Installation
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import cluster as clusters
from pipelines.rollout import loop
from pipelines.rollout.cluster import ClusterActuator
from pipelines.rollout.state import State
from tests import kubectl
from tests.kubernetes_objects import Object
from tests.kubernetes_server import Cluster

OVERLAY = "http://recommender-stable"


class Actuator(ClusterActuator):
    """The cluster's, with releases that are there already and routers that saw plenty of good traffic."""

    looks = 0

    def prepare(self, version: str) -> str:
        (self.place.home / "releases" / f"r{version}" / "k8s").mkdir(parents=True, exist_ok=True)
        return f"r{version}"

    def check(self, release_id: str) -> str:
        return "nothing to replay"

    def observe(self) -> Observations:
        self.looks += 1
        quick = {"500": 400 * self.looks, "+Inf": 400 * self.looks}
        arm, routes = ArmSeen(requests=400 * self.looks, buckets_ms=quick), self.routed()
        shadow = ShadowSeen(mirrored=400 * self.looks, buckets_ms=quick, compared=400 * self.looks, overlap_sum=1)
        return Observations(
            boot="b", rollout=routes.rollout if routes else "", arms={"stable": arm, "candidate": arm}, shadow=shadow
        )

    def _version(self, release_id: str) -> str:
        return release_id[1:]


@dataclass
class World:
    """A namespace, a registry, and the loop that looks when it is asked to."""

    place: Installation
    cluster: Cluster
    manifests: dict[str, list[Object]]  # of the overlay by the release that it names
    actuator: Actuator
    said: list[str] = field(default_factory=list)

    def look(self, times: int = 1) -> State:
        for _ in range(times):
            with held(self.place) as lease:
                found = loop.once(self.place, self.actuator, lease, say=self.said.append)
        return found.state

    def move(self, version: str) -> None:
        """Move the champion, or delete its alias, as MLflow's UI does."""
        with variables(self.place):
            client = mlflow.MlflowClient(os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_TRACKING_URI"])
            if version:
                client.set_registered_model_alias(model_name("grocery"), "champion", version)
            else:
                client.delete_registered_model_alias(model_name("grocery"), "champion")

    @property
    def routed(self) -> tuple[str, str]:
        routes = self.actuator.routed()
        assert routes is not None
        return routes.stable.release, routes.stable.url

    @property
    def base_pods(self) -> int:
        return int(self.cluster.get("deployments", "recommender")["spec"].get("replicas", 1))

    def served_by(self, release: str) -> None:
        """Users are led to the release's own door, whose pods run it, and the overlay's door has none."""
        assert self.routed == (release, f"http://recommender-{release}")
        assert self.actuator.running()[release] == f"http://recommender-{release}"
        assert self.base_pods == 0


@dataclass
class Begun:
    """What many tests begin with, done once: later worlds hold what the first one came to.

    Their loop is one that begins there; what the first one remembered of its looks is not in it.
    """

    folder: Path
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def at(self, name: str, world: World, do: Callable[[], object]) -> None:
        """Do it to this world, or have it as after the first time; `name` stands for what is done, and to what."""
        home, files = world.place.home, self.folder / name
        if name in self.done:
            world.cluster.restore(self.done[name])
            shutil.copytree(files, home, dirs_exist_ok=True)
            return
        do()
        shutil.copytree(home, files)
        self.done[name] = world.cluster.kept()


def scaled(world: World) -> None:
    kubectl.scale(world.cluster, "recommender-r1", 0)


def rerouted(world: World) -> None:
    text = Routes(stable=Backend(release="seed", url=OVERLAY)).model_dump_json()
    kubectl.edit(world.cluster, "configmaps", clusters.ROUTES, **{"routes.json": text})
