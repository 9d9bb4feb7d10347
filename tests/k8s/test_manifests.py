"""The committed manifests: they load, render, fit Kubernetes 1.36 and say what the golden files say."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from bentos.spec import Serving
from components.image import IMAGE
from components.step import QUIET
from pipelines import environment
from pipelines.manifests import objects as manifest_objects
from pipelines.manifests import release_overlay
from tests.k8s import admission

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
ENVIRONMENT = K8S / "overlays" / "local" / "environment.yaml"
SETTINGS = ("environment.yaml", "collector.yaml")  # other programs' files: no objects
YAMLS = sorted(path for path in K8S.rglob("*.yaml") if path.name not in SETTINGS)
FOLDERS = ["base", *sorted(f"overlays/{path.name}" for path in (K8S / "overlays").iterdir())]


def find(objects, kind, name):
    """Return the one object of a kind whose name is `name`, with or without a hash behind it."""
    pattern = re.compile(rf"{name}(-[a-z0-9]{{10}})?")
    (found,) = [o for o in objects if o["kind"] == kind and pattern.fullmatch(o["metadata"]["name"])]
    return found


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: str(path.relative_to(K8S)))
def test_every_yaml_loads_and_says_what_it_is(path):
    for document in yaml.safe_load_all(path.read_text()):
        assert document["apiVersion"]
        assert document["kind"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_cluster_would_take_every_object(folder):
    assert admission.check(release_overlay.render(K8S / folder)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_render_is_the_golden_one(folder, golden):
    name = folder.replace("/", "-")
    golden(ROOT / "tests" / "golden" / "k8s" / f"{name}.yaml", release_overlay.render_text(K8S / folder))


def test_the_base_names_no_namespace():
    assert all("namespace" not in found["metadata"] for found in release_overlay.render(K8S / "base"))


def test_the_local_overlay_lives_in_a_restricted_namespace():
    objects = release_overlay.render(K8S / "overlays" / "local")
    labels = find(objects, "Namespace", "intentflow")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    outside = [o for o in objects if o["kind"] != "Namespace" and o["metadata"].get("namespace") != "intentflow"]
    assert outside == []


def test_the_image_is_the_one_that_pipeline_steps_run_in():
    pods = [one.pod for one in manifest_objects.workloads(release_overlay.render(K8S / "overlays" / "local"))]
    images = {c["image"] for pod in pods for c in [*pod["containers"], *pod.get("initContainers", [])]}
    assert {image for image in images if "intentflow" in image} == {IMAGE}


def test_the_service_and_the_init_container_agree_on_the_release_folder():
    objects = release_overlay.render(K8S / "base")
    config = find(objects, "ConfigMap", "recommender")["data"]
    pod = find(objects, "Deployment", "recommender")["spec"]["template"]["spec"]
    (fetch,) = pod["initContainers"]
    assert fetch["command"] == ["python", "-m", "components.registry.fetch"]
    assert fetch["args"] == [
        "$(INTENTFLOW_RELEASE_NAME)",
        "$(INTENTFLOW_RELEASE_VERSION)",
        "$(INTENTFLOW_RELEASE)",
    ]
    # A folder is renamed into place when it is whole, and a mount point cannot be renamed over: one level below.
    assert Path(config["INTENTFLOW_RELEASE"]).parent.as_posix() in {m["mountPath"] for m in fetch["volumeMounts"]}


def test_nothing_in_the_pod_calls_home():
    config = find(release_overlay.render(K8S / "base"), "ConfigMap", "recommender")["data"]
    assert QUIET.items() <= config.items()


def test_a_pod_gets_at_least_a_minute_to_load_its_models_and_3_s_to_leave_the_endpoints():
    pod = find(release_overlay.render(K8S / "base"), "Deployment", "recommender")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] == 3


def test_a_pod_may_end_its_longest_request_before_it_is_killed():
    pod = find(release_overlay.render(K8S / "base"), "Deployment", "recommender")["spec"]["template"]["spec"]
    (longest_s,) = [bound.le for bound in Serving.model_fields["timeout_s"].metadata if hasattr(bound, "le")]
    wait_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > wait_s + longest_s


KUBECTL = """#!/bin/sh
# As much of kubectl as secrets.sh asks for: secrets are files, and `get` prints them in base64.
shift 2
case "$1 $2" in
  "get secret") [ -d "$STORE/$3" ] || exit 1
    [ $# -lt 5 ] || { key=${5#*.data.}; base64 -w0 "$STORE/$3/${key%\}}"; } ;;
  "create secret") mkdir "$STORE/$4"; folder=$STORE/$4; shift 4
    for given; do pair=${given#--from-literal=}; printf %s "${pair#*=}" > "$folder/${pair%%=*}"; done ;;
esac
"""


@pytest.mark.process
def test_the_secrets_of_the_small_cluster_are_its_environment_s_seen_from_inside(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    world = {"PATH": f"{tmp_path}:/usr/bin:/bin", "STORE": str(tmp_path / "store")}
    script = ["sh", str(ENVIRONMENT.with_name("secrets.sh"))]
    first, again = (subprocess.run(script, env=world, capture_output=True, text=True, check=True).stdout for _ in "ab")
    assert first == again
    variables = dict(re.findall(r"(\w+)=(\w+)", first))
    assert {len(variables[name]) for name in ("REDIS_PASSWORD", "POSTGRES_PASSWORD")} == {48}
    spec = ROOT / "pipelines" / "specs" / "grocery.yaml"
    outside = environment.place(spec, str(ENVIRONMENT), variables=variables).variables["INTENTFLOW_FEAST"]
    made = tmp_path / "store" / "recommender"
    outside = outside.replace("127.0.0.1:5432", "postgres:5432").replace("127.0.0.1:6379", "redis:6379")
    assert json.loads((made / "INTENTFLOW_FEAST").read_text()) == json.loads(outside)
    assert (made / "INTENTFLOW_PSEUDONYM_KEY").read_text() == variables["INTENTFLOW_PSEUDONYM_KEY"]
    assert len((made / "INTENTFLOW_SHADOW_TOKEN").read_text()) == 64
    for component in ("jobs", "materialise", "reconciler"):  # each has what its own environment names
        folder, secret = K8S / "components" / component, tmp_path / "store" / component
        given = {key.name: key.read_text() for key in secret.iterdir()} | {"INTENTFLOW_REQUESTS_URL": ""}
        found = environment.place(folder / "recommender.yaml", str(folder / "environment.yaml"), variables=given)
        stores = json.loads(found.variables["INTENTFLOW_FEAST"])
        assert stores["registry"] == json.loads(outside)["registry"]
        online, theirs = stores["online_store"], json.loads(outside)["online_store"]
        assert online["connection_string"] == theirs["connection_string"]
        assert found.variables["INTENTFLOW_PSEUDONYM_KEY"] == variables["INTENTFLOW_PSEUDONYM_KEY"]


def test_another_kubectl_renders_the_same():
    other = shutil.which("kubectl", path="/usr/local/bin:/usr/bin")
    if other is None or release_overlay._kustomize(other) < release_overlay.OLDEST_KUSTOMIZE:
        pytest.skip("no second kubectl on this machine")
    folder = K8S / "overlays" / "local"
    printed = subprocess.run([other, "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout
    assert printed == release_overlay.render_text(folder)
