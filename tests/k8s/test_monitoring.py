"""What Prometheus needs on a cluster: monitors that select pods and ports that exist, and policies that let it in."""

import os
from pathlib import Path

import pytest
import yaml

from monitoring.observability.metrics_catalogue import JOBS
from pipelines.manifests import release_overlay, rules
from pipelines.rollout import metrics
from tests.k8s import admission

K8S = Path(__file__).resolve().parents[2] / "k8s"
OWN = ("PodMonitor", "PrometheusRule")


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Everything beside the component, on top of the base."""
    folder = tmp_path_factory.mktemp("monitoring")
    k8s = os.path.relpath(K8S, folder.resolve())
    parts = ("router", "split", "reconciler", "monitoring")
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [f"{k8s}/base"],
                "components": [f"{k8s}/components/{part}" for part in parts],
            }
        )
    )
    return release_overlay.render(folder)


def of(objects, kind):
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def pods(objects, selector):
    """Return the pod templates that a label selector takes, by the Deployment's name."""
    labels = selector.get("matchLabels", {})
    asked = {entry["key"]: entry["values"] for entry in selector.get("matchExpressions", ())}
    found = {}
    for name, deployment in of(objects, "Deployment").items():
        have = deployment["spec"]["template"]["metadata"]["labels"]
        if labels.items() <= have.items() and all(have.get(key) in values for key, values in asked.items()):
            found[name] = deployment["spec"]["template"]
    return found


def ports(template):
    return {port["name"] for container in template["spec"]["containers"] for port in container.get("ports", ())}


def test_a_cluster_would_take_it(objects):
    assert admission.check([found for found in objects if found["kind"] not in OWN]) == []
    assert rules.broken(objects) == []


def test_every_process_that_exports_is_scraped_at_a_port_that_it_has(objects):
    scraped = {}
    for monitor in of(objects, "PodMonitor").values():
        taken = pods(objects, monitor["spec"]["selector"])
        assert taken, monitor["metadata"]["name"]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["honorLabels"] is True, "our label `endpoint` would become exported_endpoint"
        for name, template in taken.items():
            assert endpoint["port"] in ports(template), name
            scraped[template["metadata"]["labels"][monitor["spec"]["jobLabel"]]] = endpoint["port"]
    assert set(scraped) == {*JOBS.values(), "intent", "ranking"}


def test_prometheus_is_let_in_where_it_scrapes(objects):
    policies = [found for name, found in of(objects, "NetworkPolicy").items() if name.startswith("metrics-")]
    for monitor in of(objects, "PodMonitor").values():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        for name in pods(objects, monitor["spec"]["selector"]):
            doors = [
                policy["spec"]["ingress"][0]
                for policy in policies
                if name in pods(objects, policy["spec"]["podSelector"])
            ]
            assert [rule["ports"] for rule in doors] == [[{"protocol": "TCP", "port": endpoint["port"]}]], name
            (peer,) = doors[0]["from"]
            assert peer["namespaceSelector"]["matchLabels"] == {"intentflow/metrics": "allowed"}
            assert peer["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


def test_the_loop_listens_where_it_is_scraped(objects):
    (container,) = of(objects, "Deployment")["reconciler"]["spec"]["template"]["spec"]["containers"]
    (address,) = [one["value"] for one in container["env"] if one["name"] == metrics.ADDRESS]
    (port,) = [one["containerPort"] for one in container["ports"] if one["name"] == "metrics"]
    assert address == f"0.0.0.0:{port}"


def test_grafanas_sidecar_finds_the_dashboards(objects):
    found = of(objects, "ConfigMap")["intentflow-dashboards"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert len(found["data"]) == 4
    assert sum(len(text) for text in found["data"].values()) < 900_000, "a ConfigMap holds 1 MiB"
