"""The console on a cluster: one of it, behind keys, reached by whom a person let in, with no account of the cluster."""

from pathlib import Path
from typing import Any

import pytest

from bentos.console.settings import PORT
from feature_repo.checkout import ROOT
from pipelines import environment, spec
from pipelines.console import server, service
from tests.images import renders
from tests.k8s import admission

COMPONENT = ROOT / "k8s" / "components" / "console"
GIVEN = {"INTENTFLOW_FEAST_REGISTRY": "postgresql://p", "INTENTFLOW_REDIS": "redis:6379", "INTENTFLOW_STATE": "/state",
         "INTENTFLOW_PSEUDONYM_KEY": "ab" * 32, "INTENTFLOW_CONSOLE_KEY": "if_a_b"}  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The small cluster's overlay with the console added."""
    return renders.render(tmp_path_factory.mktemp("overlay"), "local", ["console"])


def find(objects: list[Any], kind: str) -> Any:
    (found,) = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == "console"]
    return found


def test_a_cluster_would_take_it(objects: list[Any]) -> None:
    assert admission.check(objects) == []


def test_one_of_it_runs_since_sessions_are_in_its_memory(objects: list[Any]) -> None:
    deployment = find(objects, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    assert deployment["template"]["spec"]["automountServiceAccountToken"] is False


def test_a_label_lets_people_in_and_no_pod_beside_it_reaches_it(objects: list[Any]) -> None:
    (rule,) = find(objects, "NetworkPolicy")["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"intentflow/console": "allowed"}}}]
    (port,) = find(objects, "Service")["spec"]["ports"]
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert (port["targetPort"], container["ports"]) == ("http", [{"name": "http", "containerPort": PORT}])


def test_it_reads_the_spec_that_the_component_brings(objects: list[Any]) -> None:
    (config,) = [o for o in objects if o["metadata"]["name"].startswith("console-spec-")]
    assert set(config["data"]) == {"recommender.yaml", "environment.yaml"}
    assert config["data"]["recommender.yaml"] == (ROOT / "pipelines" / "specs" / "grocery.yaml").read_text()
    assert spec.load(COMPONENT / "recommender.yaml").name == "grocery"


def test_its_environment_asks_for_keys_and_knows_the_service(tmp_path: Path) -> None:
    place = environment.place(COMPONENT / "recommender.yaml", str(COMPONENT / "environment.yaml"), variables=GIVEN)
    server.require_loopback(place, "0.0.0.0")
    assert place.environment.serving.keys_file == "/keys/keys.json"
    assert place.environment.kubernetes.namespace == ""
    with service.customer(place) as client:
        assert client.url == "http://recommender"
        assert client._session.headers["X-API-Key"] == "if_a_b"


def test_what_it_listens_on_is_what_its_command_says(objects: list[Any]) -> None:
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["args"][-4:] == ["--host", "0.0.0.0", "--port", str(PORT)]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {one["name"]: one for one in find(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]}
    assert (mounts["keys"], volumes["keys"]["secret"]) == (
        "/keys",
        {"secretName": "console-keys", "defaultMode": 0o440},
    )
    routes = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert routes["INTENTFLOW_ROUTES"].startswith(mounts["routes"])
    assert routes["INTENTFLOW_FIRST_ROUTES"].startswith(mounts["first-routes"])


def test_the_seed_routes_lead_to_the_doors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTENTFLOW_ROUTES", str(tmp_path / "absent.json"))
    monkeypatch.setenv("INTENTFLOW_FIRST_ROUTES", str(ROOT / "k8s/components/router/routes.json"))
    place = environment.place(COMPONENT / "recommender.yaml", str(COMPONENT / "environment.yaml"), variables=GIVEN)
    assert service.door(place, "7").startswith("http://recommender-stable")
