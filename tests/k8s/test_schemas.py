"""The vendored schemas: they are what was recorded, and they refuse what an API server's CRD would refuse."""

import copy
import hashlib
import json
import re

import pytest

from tests.k8s import admission, schemas

SOURCES = (schemas.FOLDER / "SOURCES.md").read_text()
ROWS = re.findall(r"^\| (\S+\.json) \| (\S+) (\S+) \| (npm|pypi) (\S+) (\S+) \| ([0-9a-f]{64}) \|$", SOURCES, re.M)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_vendored_schema_is_the_one_that_was_recorded(row):
    path, api_version, kind, _, _, _, digest = row
    assert hashlib.sha256((schemas.FOLDER / path).read_bytes()).hexdigest() == digest
    assert schemas.vendored()[api_version, kind] == schemas.FOLDER / path


def test_every_vendored_schema_has_a_row_and_an_origin():
    assert {(row[1], row[2]) for row in ROWS} == set(schemas.vendored())
    origins = json.loads((schemas.FOLDER / "origins.json").read_text())
    assert {row[3:6] for row in ROWS} == {(o["registry"], o["package"], o["version"]) for o in origins}
    assert all(re.fullmatch("[0-9a-f]{64}", origin["sha256"]) for origin in origins)


def test_no_kind_goes_unvalidated():
    assert frozenset() == schemas.UNVALIDATED


GOOD = {
    "PrometheusRule": {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "up == 0", "for": "5m"}]}]},
    "ServiceMonitor": {"selector": {"matchLabels": {"a": "b"}}, "endpoints": [{"port": "http", "interval": "30s"}]},
    "PodMonitor": {"selector": {}, "podMetricsEndpoints": [{"port": "http"}]},
    "ScaledObject": {"scaleTargetRef": {"name": "d"}, "triggers": [{"type": "cpu", "metadata": {"value": "60"}}]},
    "TriggerAuthentication": {"secretTargetRef": [{"parameter": "p", "name": "n", "key": "k"}]},
    "HTTPRoute": {"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]},
    "Gateway": {"gatewayClassName": "c", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    "ExternalSecret": {"secretStoreRef": {"name": "s"}, "dataFrom": [{"extract": {"key": "k"}}]},
    "SecretStore": {"provider": {"aws": {"service": "SecretsManager", "region": "r"}}},
    "SparkApplication": {
        **{"type": "Python", "sparkVersion": "4.0.0", "mainApplicationFile": "local:///a.py"},
        **{"driver": {"cores": 1, "tolerations": [{"key": "k", "operator": "Exists"}]}, "executor": {"instances": 2}},
    },
    "TrainJob": {"runtimeRef": {"name": "r"}, "trainer": {"numNodes": 2, "resourcesPerNode": {"limits": {"cpu": "1"}}}},
    "TrainingRuntime": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {}}},
    "ClusterTrainingRuntime": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {}}},
}
BAD = [
    # kind, where, the value, what is said
    ("PrometheusRule", ("groups", 0, "rules", 0, "exprs"), "up", "exprs"),
    ("PrometheusRule", ("groups", 0, "rules", 0, "for"), "5 minutes", "does not match"),
    ("ServiceMonitor", ("endpoints", 0, "scheme"), "ftp", "is not one of"),
    ("PodMonitor", ("podMetricsEndpoints", 0, "path"), 3, "is not of type"),
    ("ScaledObject", ("triggers", 0, "metadat"), {}, "metadat"),
    ("ScaledObject", ("minReplicaCount",), "two", "is not of type"),
    ("TriggerAuthentication", ("secretTargetRef", 0, "kee"), "k", "kee"),
    ("HTTPRoute", ("rules", 0, "backendRefs", 0, "port"), 70000, "maximum"),
    ("HTTPRoute", ("rules", 0, "backendRef"), [], "backendRef"),
    ("Gateway", ("listeners",), [], "should be non-empty"),
    ("ExternalSecret", ("target", ), {"creationPolicy": "Sometimes"}, "is not one of"),
    ("SecretStore", ("provider", "aws", "service"), "S3", "is not one of"),
    ("SparkApplication", ("driver", "tolerations", 0, "kee"), "k", "kee"),
    ("TrainJob", ("trainer", "numNode"), 2, "numNode"),
    ("TrainingRuntime", ("mlPolicy", "torch"), {"numProcPerNodes": 1}, "numProcPerNodes"),
    ("ClusterTrainingRuntime", ("templates",), {}, "templates"),
]  # fmt: skip


def made(kind):
    (api_version,) = [version for version, name in schemas.vendored() if name == kind]
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "n"}, "spec": copy.deepcopy(GOOD[kind])}


def test_every_vendored_kind_is_tried():
    kinds = {kind for _, kind in schemas.vendored()}
    assert kinds == set(GOOD) == {bad[0] for bad in BAD}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_object_passes(kind):
    assert list(schemas.problems(made(kind))) == []


@pytest.mark.parametrize(("kind", "where", "value", "said"), BAD, ids=[f"{bad[0]}:{bad[1][-1]}" for bad in BAD])
def test_what_a_schema_does_not_know_is_refused(kind, where, value, said):
    found = made(kind)
    at = found["spec"]
    for part in where[:-1]:
        at = at[part]
    at[where[-1]] = value
    problems = list(schemas.problems(found))
    assert any(said in problem for problem in problems), problems


def test_another_version_of_a_vendored_kind_is_refused():
    (said,) = admission.check([made("HTTPRoute") | {"apiVersion": "gateway.networking.k8s.io/v1beta1"}])
    assert said == (
        "HTTPRoute/n: Kubernetes 1.36 has no HTTPRoute in gateway.networking.k8s.io/v1beta1, "
        "and k8s/schemas/ has none either"
    )


@pytest.mark.slow
def test_the_packages_still_give_the_same_schemas(tmp_path, monkeypatch):
    import importlib.util
    import shutil

    copied = shutil.copytree(schemas.FOLDER, tmp_path / "k8s" / "schemas")
    loader = importlib.util.spec_from_file_location("rebuild", schemas.FOLDER / "rebuild.py")
    rebuild = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(rebuild)
    monkeypatch.setattr(rebuild, "HERE", copied)
    for path in copied.glob("*/*.json"):
        path.unlink()
    rebuild.main()
    for path in schemas.FOLDER.rglob("*.json"):
        assert (copied / path.relative_to(schemas.FOLDER)).read_bytes() == path.read_bytes()
    assert (copied / "SOURCES.md").read_text() == SOURCES
