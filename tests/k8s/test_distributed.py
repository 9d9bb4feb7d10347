"""Training and features past one machine, as manifests: pods that an operator makes are held to every rule of pods."""

import copy
import json
import os
from pathlib import Path

import pytest
import yaml

from components.distributed.settings import Trainer
from pipelines import spec
from pipelines.graphs import parameters
from pipelines.manifests import objects as manifest_objects
from pipelines.manifests import release_overlay, rules
from tests.k8s import admission

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "k8s" / "components"


def render(folder, options, **more):
    """Render the small cluster's overlay with options on top."""

    def relative(path):
        return os.path.relpath(path, folder.resolve())

    document = {"namespace": "intentflow", "resources": [relative(ROOT / "k8s/overlays/local")], **more}
    document |= {"components": [relative(COMPONENTS / option) for option in options]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return release_overlay.render(folder)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    return render(tmp_path_factory.mktemp("overlay"), ["trainer", "spark"])


def one(objects, title):
    (found,) = [found for found in objects if manifest_objects.title(found) == title]
    return found


def made(objects, name):
    return {found.name: found for found in manifest_objects.workloads(objects)}[name]


def test_a_cluster_with_the_operators_would_take_them(objects):
    assert admission.check(objects) == []


def test_the_runtime_is_the_one_that_environments_name_by_default(objects):
    assert one(objects, f"TrainingRuntime/{Trainer().runtime}")


def test_a_training_node_runs_the_tagged_image(objects):
    (node,) = made(objects, "TrainingRuntime/intentflow-torch").pod["containers"]
    assert node["image"] == "intentflow-python:0.1.0"


def test_the_gpu_option_gives_every_node_one_gpu(tmp_path):
    objects = render(tmp_path, ["trainer", "trainer/gpu"])
    assert admission.check(objects) == []
    pod = made(objects, "TrainingRuntime/intentflow-torch").pod
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["tolerations"]


def test_the_application_runs_the_product_s_own_module_with_slices_of_a_real_spec(objects):
    application = one(objects, "SparkApplication/profiles")["spec"]
    file = application["mainApplicationFile"]
    assert file.startswith("local:///app/")
    assert (ROOT / file.removeprefix("local:///app/")).is_file()
    words = application["arguments"]
    said = dict(zip(words[::2], words[1::2], strict=True))
    wanted = parameters.spec_slices(spec.load(COMPONENTS / "jobs" / "recommender.yaml"))
    for name in ("profiles", "split", "vocabulary"):
        assert json.loads(said[f"--{name}"]) == json.loads(wanted[name])
    locked = [line.removesuffix(" \\") for line in (ROOT / "requirements.lock").read_text().splitlines()]
    assert f"pyspark=={application['sparkVersion']}" in locked


def test_only_the_driver_gets_a_token(objects):
    pods = {part: made(objects, f"SparkApplication/profiles {part}").pod for part in ("driver", "executor")}
    mounts = {part: {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} for part, pod in pods.items()}
    assert mounts == {"driver": {"state", "scratch", "account"}, "executor": {"state", "scratch"}}


def test_an_overlay_s_image_reaches_runtime_and_application(tmp_path):
    images = [
        {"name": "intentflow-python", "newName": "registry.example.org/steps", "newTag": "9"},
        {"name": "intentflow-python-spark", "newName": "registry.example.org/spark", "newTag": "9"},
    ]
    (tmp_path / "images.json").write_text((COMPONENTS / "spark" / "images.json").read_text())
    objects = render(tmp_path, ["trainer", "spark"], images=images, configurations=["images.json"])
    assert one(objects, "SparkApplication/profiles")["spec"]["image"] == "registry.example.org/spark:9"
    (node,) = made(objects, "TrainingRuntime/intentflow-torch").pod["containers"]
    assert node["image"] == "registry.example.org/steps:9"


RUNTIME, SPARK = "TrainingRuntime/intentflow-torch", "SparkApplication/profiles"
NODE = "spec.template.spec.replicatedJobs.0.template.spec.template"
BREACHES = [
    (RUNTIME, f"{NODE}.spec.containers.0.securityContext.readOnlyRootFilesystem", False, "must be true"),
    (RUNTIME, f"{NODE}.spec.containers.0.image", "intentflow-python", "needs a tag other than latest"),
    (RUNTIME, f"{NODE}.metadata.labels", {"app": "other"}, "NetworkPolicy/trainer: its selector matches no pod"),
    (SPARK, "spec.driver.labels", {"app": "other"}, "profiles driver: no NetworkPolicy with Ingress and Egress"),
    (SPARK, "spec.image", "intentflow-python-spark", "needs a tag other than latest"),
    (SPARK, "spec.executor.securityContext", {}, "allowPrivilegeEscalation must be false"),
    (SPARK, "spec.executor.podSecurityContext", {}, "runAsNonRoot must be true"),
    (SPARK, "spec.executor.coreLimit", "1", "cpu: request 2 is above limit 1"),
]


@pytest.mark.parametrize(("title", "place", "value", "said"), BREACHES)
def test_what_an_operator_s_pods_may_not_be_is_said(objects, title, place, value, said):
    planted = copy.deepcopy(objects)
    at = one(planted, title)
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in path:
        at = at[part]
    at[last] = value
    assert any(said in problem for problem in [*admission.refused_pods(planted), *rules.broken(planted)])
