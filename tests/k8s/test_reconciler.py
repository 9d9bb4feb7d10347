"""The loop on a cluster: one of it, with the rights that it uses and the specs that it reads."""

import os
from pathlib import Path

import pytest
import yaml

from pipelines import environment, spec
from pipelines.manifests import release_overlay
from tests.k8s import admission

ROOT = Path(__file__).resolve().parents[2]
COMPONENT = ROOT / "k8s" / "components" / "reconciler"


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """The small cluster's overlay with the loop added."""
    folder = tmp_path_factory.mktemp("overlay")
    relative = {path: os.path.relpath(path, folder.resolve()) for path in (ROOT / "k8s/overlays/local", COMPONENT)}
    document = {"namespace": "intentflow", "resources": [relative[ROOT / "k8s/overlays/local"]]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document | {"components": [relative[COMPONENT]]}))
    return release_overlay.render(folder)


def find(objects, kind):
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == "reconciler"]
    return found


def test_a_cluster_would_take_the_loop_s_objects(objects):
    assert admission.check(objects) == []


def test_one_loop_runs_and_another_version_waits_for_its_end(objects):
    deployment = find(objects, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")


def test_it_reads_the_spec_that_the_component_brings(objects):
    (config,) = [o for o in objects if o["metadata"]["name"].startswith("reconciler-spec-")]
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    folder = next(m["mountPath"] for m in container["volumeMounts"] if m["name"] == "spec")
    assert set(config["data"]) == {name := "recommender.yaml", "environment.yaml"}
    assert container["args"] == ["reconcile", f"{folder}/{name}", "--watch", "--env", f"{folder}/environment.yaml"]
    assert spec.load(COMPONENT / name).name == "grocery"
    # A kustomization reads no file outside its folder, so the demo's spec is there a second time.
    assert config["data"][name] == (ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()


def test_the_environment_needs_no_kubeflow_and_rolls_out_where_the_overlay_puts_it(objects):
    given = {"INTENTFLOW_FEAST_REGISTRY": "postgresql://p", "INTENTFLOW_REDIS": "redis:6379"}
    given |= {"INTENTFLOW_PSEUDONYM_KEY": "a" * 64, "INTENTFLOW_STATE": "/state"}
    found = environment.place(COMPONENT / "recommender.yaml", str(COMPONENT / "environment.yaml"), variables=given)
    assert found.environment.kubeflow is None
    assert find(objects, "Deployment")["metadata"]["namespace"] == found.environment.kubernetes.namespace


def test_only_the_loop_has_a_token_and_it_may_touch_nothing_secret(objects):
    pods = {o["metadata"]["name"]: o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"}
    sources = {
        name for name, pod in pods.items() for volume in pod.get("volumes", [])
        if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", []))
    }  # fmt: skip
    assert sources == {"reconciler"}
    rules = find(objects, "Role")["rules"]
    resources = {resource for rule in rules for resource in rule["resources"]}
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert not resources & {"secrets", "roles", "rolebindings", "serviceaccounts", "pods/exec", "*"}
    assert "*" not in verbs
