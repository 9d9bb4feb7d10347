"""A namespace in which release 1 was applied by hand, and a registry of three releases (namespace.py)."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import yaml

from components.registry.release import model_name
from feature_repo.checkout import ROOT
from pipelines.environment import place as find_place
from pipelines.manifests import release_overlay
from pipelines.rollout import cluster as clusters
from pipelines.rollout import loop, release_objects
from tests import kubectl
from tests.kubernetes_objects import Object
from tests.pipelines.rollout.namespace import Actuator, Begun, World

QUICK = "promotion: {mode: manual, rollout: {hold_s: 0, steps: [0.5, 1.0], keep_previous_s: 600}}\n"


@pytest.fixture(scope="session")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Object]]:
    """The small cluster's overlay with the loop, and the folders of three releases."""
    made = {}
    for version in ("", "1", "2", "3"):
        folder = tmp_path_factory.mktemp(f"overlay{version}")
        base = os.path.relpath(ROOT / "k8s" / "overlays" / "local", folder.resolve())
        if version:
            about = {"id": f"r{version}", "name": "grocery", "intent": {"version": 1}, "ranking": {"version": 1}}
            release_overlay.write(about, folder / "k8s", version=version, overlay="local")
            base = "k8s"
        options = [os.path.relpath(ROOT / "k8s" / "components" / "reconciler", folder.resolve())]
        document = {"namespace": "intentflow", "resources": [base], "components": options}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
        made[f"r{version}" if version else "seed"] = release_overlay.render(folder)
    return made


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of three releases that passed, the first of them the champion."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}")
    client.create_registered_model(model_name("grocery"))
    for number in (1, 2, 3):
        tags = {"id": f"r{number}", "gates": "passed", "vocabulary": "one"}
        client.create_model_version(model_name("grocery"), str(file.parent), tags=tags)
    client.set_registered_model_alias(model_name("grocery"), "champion", "1")
    return file


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """What `world` and `adopted` come to."""
    return Begun(tmp_path_factory.mktemp("begun"))


@pytest.fixture
def world(tmp_path, registry, manifests, cluster, begun, monkeypatch) -> World:
    """Release 1 was applied by hand, and serves; the loop has not looked yet."""
    text = (ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()
    start, end = text.index("promotion:"), text.index("serving:")
    (tmp_path / "grocery.yaml").write_text(text[:start] + QUICK + text[end:])
    place = find_place(tmp_path / "grocery.yaml", "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    settings = place.environment.kubernetes.model_copy(update={"namespace": "intentflow"})
    place = replace(place, environment=place.environment.model_copy(update={"kubernetes": settings}))
    place.home.joinpath("mlflow").mkdir(parents=True)
    (role,) = [found for found in manifests["seed"] if found["kind"] == "Role"]
    cluster.cluster.role = role["rules"]
    monkeypatch.setattr(clusters, "ROUTED_S", 0.0)
    monkeypatch.setattr(clusters, "POLL_S", 0.02)
    monkeypatch.setattr(release_objects, "render", lambda folder: manifests[folder.parent.name])
    made = World(place, cluster.cluster, manifests, Actuator(place))
    monkeypatch.setattr(loop, "actuator_of", lambda _: made.actuator)

    def by_hand() -> None:
        shutil.copy(registry, place.home / "mlflow" / "mlflow.db")
        kubectl.apply(made.cluster, manifests["r1"])

    begun.at("world", made, by_hand)
    return made


@pytest.fixture
def adopted(world: World, begun: Begun) -> World:
    """The loop has looked."""
    begun.at("adopted", world, world.look)
    world.said.clear()
    return world
