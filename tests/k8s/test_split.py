"""The models as Deployments of their own: the base with the option holds to every rule and hangs together."""

import importlib
import os
from pathlib import Path

import pytest
import yaml

from bentos.recommender.settings import INTENT_URL, RANKING_URL
from pipelines.manifests import release_overlay
from tests.k8s import admission

K8S = Path(__file__).resolve().parents[2] / "k8s"


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The local overlay with the option: an overlay beside the checkout's, as an operator would write it."""
    at = tmp_path_factory.mktemp("overlay")
    local, split = K8S / "overlays" / "local", K8S / "components" / "split"
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "intentflow",
        "resources": [relative(local, at)],
        "components": [relative(split, at)],
    }
    (at / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return release_overlay.render(at)


def relative(path, start):
    return os.path.relpath(path.resolve(), start.resolve())


@pytest.fixture
def objects(rendered):
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in rendered}


def test_a_cluster_would_take_every_object(rendered):
    assert admission.check(rendered) == []


def test_the_door_asks_the_models_that_are_there(objects):
    pod = objects["Deployment/recommender"]["spec"]["template"]["spec"]
    given = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"] if "value" in entry}
    assert given[INTENT_URL] == "http://intent"
    assert given[RANKING_URL] == "http://ranking"
    assert {"Service/intent", "Service/ranking"} <= objects.keys()


@pytest.mark.parametrize("name", ["intent", "ranking"])
def test_a_model_pod_serves_its_service_of_the_same_release_and_holds_no_secret(objects, name):
    door, pod = (objects[f"Deployment/{n}"]["spec"]["template"]["spec"] for n in ("recommender", name))
    (container,) = pod["containers"]
    module, service = container["args"][0].split(":")
    assert getattr(importlib.import_module(module), service)
    assert pod["initContainers"][0]["args"] == door["initContainers"][0]["args"]
    reader = {"secretRef": {"name": "mlflow-reader", "optional": True}}  # of the registry, while a release is fetched
    assert (
        pod["initContainers"][0]["envFrom"] == door["initContainers"][0]["envFrom"] == [*container["envFrom"], reader]
    )
    assert not any("secretRef" in source for source in container["envFrom"])


def test_only_the_door_reaches_the_models(objects):
    models = objects["NetworkPolicy/models"]["spec"]
    doors = {"app.kubernetes.io/component": "serving"}
    assert models["ingress"] == [
        {"from": [{"podSelector": {"matchLabels": doors}}], "ports": [{"protocol": "TCP", "port": "http"}]}
    ]
    labels = objects["Deployment/recommender"]["spec"]["template"]["metadata"]["labels"]
    assert doors.items() <= labels.items()
    assert objects["NetworkPolicy/recommender-models"]["spec"]["podSelector"]["matchLabels"] == doors
