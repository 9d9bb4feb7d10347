"""What `intentflow status` says of a cluster beside the registry: what is applied, who serves, what differs."""

import dataclasses
import json

import pytest

from components.registry import client as mlflow_client
from pipelines import namespace, status
from pipelines.environment import place
from pipelines.environment_spec import Kubernetes
from pipelines.releases.release import variables
from tests import kubernetes_server
from tests.pipelines.conftest import ROOT

pytestmark = pytest.mark.process  # MLflow's database takes as long as a process
SPEC = ROOT / "pipelines" / "specs" / "grocery.yaml"
ID = "0a1b2c3d4e5f"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A state folder whose registry has one version of the release, the champion."""
    folder = tmp_path_factory.mktemp("state")
    at = place(SPEC, "local", variables={"INTENTFLOW_STATE": str(folder)})
    with variables(at), mlflow_client.connected() as client:
        client.create_registered_model("grocery-release")
        made = client.create_model_version("grocery-release", source="mlflow-artifacts:/none", tags={"id": ID})
        client.set_registered_model_alias("grocery-release", "champion", made.version)
    return folder


@pytest.fixture
def at(home):
    """That recommender in an environment that names an overlay, and nothing else of Kubernetes."""
    here = place(SPEC, "local", variables={"INTENTFLOW_STATE": str(home)})
    settings = here.environment.model_copy(update={"kubernetes": Kubernetes(overlay="local")})
    return dataclasses.replace(here, environment=settings)


def door(release):
    labels = {"app.kubernetes.io/name": "recommender", "app.kubernetes.io/version": release}
    ours = {"app.kubernetes.io/part-of": "intentflow"}
    secure = {
        **{"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
        "capabilities": {"drop": ["ALL"]},
    }
    container = {"name": "recommender", "image": "shop.example/intentflow-python:0.1.0", "securityContext": secure}
    pod = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}}
    return {
        **{"apiVersion": "apps/v1", "kind": "Deployment"},
        "metadata": {"name": "recommender", "labels": labels | ours},
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "recommender"}},
            "template": {
                "metadata": {"labels": labels, "annotations": {"intentflow/release-version": "1"}},
                "spec": pod | {"containers": [container]},
            },
        },
    }


def test_a_namespace_is_looked_at_where_the_environment_names_kubernetes_and_only_there(at):
    assert namespace.watched(at.environment) == "intentflow"
    assert namespace.watched(place(SPEC, "local", variables={}).environment) == ""
    secrets = {"POSTGRES_PASSWORD": "p", "REDIS_PASSWORD": "r"}
    overlay = place(SPEC, str(ROOT / "k8s" / "overlays" / "local" / "environment.yaml"), variables=secrets)
    assert namespace.watched(overlay.environment) == overlay.environment.kubernetes.namespace == "intentflow"
    assert (
        namespace.watched(at.environment.model_copy(update={"kubernetes": Kubernetes(overlay="gpu")})) == "intentflow"
    )
    elsewhere = at.environment.model_copy(update={"kubernetes": Kubernetes(namespace="shop")})
    assert namespace.watched(elsewhere) == "shop"


def test_status_says_what_is_applied_on_the_cluster(at, cluster):
    cluster.cluster.put("deployments", door(ID))
    found = status.status(at)
    lines = status.text(found).splitlines()
    assert lines[1].startswith(f"  applied: release {ID} (version 1) in namespace intentflow (")
    assert f"  door        recommender  release {ID}  version 1  1/1 ready  intentflow-python:0.1.0" in lines
    assert not [line for line in lines if "DIFFERS" in line]
    json.dumps(found)


def test_status_says_where_the_champion_is_not_what_runs(at, cluster):
    cluster.cluster.put("deployments", door("bbbbbbbbbbbb"))
    (line,) = [line for line in status.text(status.status(at)).splitlines() if "DIFFERS" in line]
    assert line.startswith(
        f"  DIFFERS     champion is version 1 (release {ID}), Deployment/recommender runs bbbbbbbbbbbb (version 1); "
    )


def test_status_is_shown_without_the_cluster(at, tmp_path, monkeypatch):
    (tmp_path / "kubeconfig").write_text(kubernetes_server.kubeconfig("http://127.0.0.1:9"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    lines = status.text(status.status(at)).splitlines()
    assert "  applied: nothing yet (`intentflow plan` shows the difference)" in lines
    assert f"  champion    version 1  release {ID}  gates ?" in lines
    assert [line for line in lines if line.startswith("  cluster     unknown: http://127.0.0.1:9: the Kubernetes API ")]


def test_status_is_shown_without_the_registry(at, cluster):
    cluster.cluster.put("deployments", door(ID))
    mlflow = at.environment.mlflow.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    away = dataclasses.replace(at, environment=at.environment.model_copy(update={"mlflow": mlflow}))
    lines = status.text(status.status(away)).splitlines()
    assert [line for line in lines if line.startswith("  registry    unknown: ") and "127.0.0.1:9" in line]
    assert f"  door        recommender  release {ID}  version 1  1/1 ready  intentflow-python:0.1.0" in lines
    assert "  not checked whether the registry agrees with routes and pods" in lines
    assert not [line for line in lines if "champion" in line]


def test_a_run_without_apply_is_said_to_be_one():
    run = {"release_version": "1", "passed": True, "seconds": 3.0, "verdict": {}, "spec": "abc"}
    found = {"applied": None, "last_run": run, "cluster": None}
    assert status._applied(found) == "by no `intentflow apply`; the last run trained spec abc"
    assert status._applied(found | {"last_run": None}) == "nothing yet"


def test_a_look_where_there_is_no_state_makes_none_and_says_where_it_looked(tmp_path):
    there = place(SPEC, "local", variables={"INTENTFLOW_STATE": str(tmp_path / "state")})
    told = status.text(status.status(there))
    assert f"no state in {tmp_path}/state/grocery; it follows the working directory, or INTENTFLOW_STATE" in told
    assert list(tmp_path.iterdir()) == []


def test_an_alias_of_a_version_that_was_deleted_is_a_line(home, monkeypatch):
    from components.registry import aliases

    def found(name):
        return aliases.Status(name, {}, {}, (), unrecorded=False, dangling={"previous": "3"})

    monkeypatch.setattr(aliases, "status", found)
    told = status.text(status.status(place(SPEC, "local", variables={"INTENTFLOW_STATE": str(home)})))
    assert "  previous    version 3, which was deleted; `intentflow promote --version N` names another" in told
