"""The alerts of a release's overlay are those of the user's own spec, for its own namespace."""

import shutil

import pytest
import yaml

from components.registry.spec import Rollout, Tolerance
from feature_repo.checkout import K8S, ROOT
from monitoring.observability import prometheus_rules
from monitoring.observability.objectives import READS
from pipelines.manifests import alert_rules, release_overlay
from tests.k8s import admission
from tests.k8s.test_release_overlay import RELEASE

STRICT = Rollout(slow_ms=250, tolerance=Tolerance(degraded=0.005))
WATCHED = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "namespace": "shop",
    "resources": ["../local"],
    "components": ["../../components/monitoring"],
}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with an overlay that has the option `monitoring`."""
    folder = tmp_path / "checkout"
    shutil.copytree(K8S, folder / "k8s", ignore=shutil.ignore_patterns("schemas"))
    overlay = folder / "k8s" / "overlays" / "watched"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(WATCHED))
    return folder


def released(checkout, rollout, overlay="watched"):
    """Write a release's overlay; return the files, by name, and its folder."""
    folder = checkout / "state" / "k8s"
    files = release_overlay.write(RELEASE, folder, version=3, overlay=overlay, rollout=rollout, checkout=checkout)
    return {file.name for file in files}, folder


def rules_of(folder):
    (found,) = [one for one in release_overlay.render(folder) if one["kind"] == prometheus_rules.KIND]
    return found


def queries(rule):
    return {
        one.get("alert", one.get("record")): one["expr"] for group in rule["spec"]["groups"] for one in group["rules"]
    }


def test_a_release_carries_the_alerts_of_its_own_spec(checkout):
    names, folder = released(checkout, STRICT)
    rule = rules_of(folder)
    found = queries(rule)
    assert names == {"kustomization.yaml", "alerts.yaml"}
    assert 'le="0.25"' in found["intentflow:slo_bad:ratio_rate1h"]
    assert 'le="0.5"' not in yaml.safe_dump(rule)
    assert found["IntentFlowDegraded"] == 'intentflow:degraded:ratio_rate5m{namespace="shop"} > 0.005'
    assert found["IntentFlowDown"] == 'absent(intentflow_release_info{namespace="shop"})'
    assert rule["metadata"]["namespace"] == "shop"
    assert rule["metadata"]["labels"] == prometheus_rules.LABELS
    assert [group["name"] for group in rule["spec"]["groups"]] == [one["name"] for one in prometheus_rules.groups()]


def test_a_release_with_alerts_is_what_a_cluster_takes(checkout):
    _, folder = released(checkout, STRICT)
    assert [one for one in admission.check(release_overlay.render(folder)) if "PrometheusRule" in one] == []


def test_the_default_spec_has_the_committed_rules_for_its_namespace(checkout):
    _, folder = released(checkout, Rollout())
    committed = yaml.safe_load(prometheus_rules.FILE.read_text())
    plain = {name: expr.replace('namespace="shop"', "") for name, expr in queries(rules_of(folder)).items()}
    assert plain["IntentFlowDegraded"].replace("{}", "") == queries(committed)["IntentFlowDegraded"]
    assert plain.keys() == queries(committed).keys()


def test_an_overlay_without_alerts_gets_none_and_loses_old_ones(checkout):
    _, folder = released(checkout, STRICT)
    names, _ = released(checkout, STRICT, overlay="local")
    assert names == {"kustomization.yaml"}
    assert not (folder / "alerts.yaml").exists()
    assert "patches" not in yaml.safe_load((folder / "kustomization.yaml").read_text())


def test_the_namespace_is_the_outermost_one(checkout):
    overlays = checkout / "k8s" / "overlays"
    assert alert_rules.namespace_of(overlays / "watched") == "shop"
    assert alert_rules.namespace_of(overlays / "local") == "intentflow"
    assert alert_rules.namespace_of(checkout / "k8s" / "base") == ""


def test_rules_of_a_spec_are_printed_for_a_prometheus_without_an_operator(tmp_path, capsys):
    spec = yaml.safe_load((ROOT / "pipelines" / "specs" / "grocery.yaml").read_text())
    spec.setdefault("promotion", {})["rollout"] = {"slow_ms": 100}
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(spec))
    assert alert_rules.main([str(file), "shop"]) == 0
    groups = yaml.safe_load(capsys.readouterr().out)["groups"]
    found = queries({"spec": {"groups": groups}})
    assert f'namespace="shop",endpoint=~"{READS}",le="0.1"' in found["intentflow:slo_bad:ratio_rate5m"]


def test_a_mistake_in_the_spec_is_one_line(tmp_path, capsys):
    assert alert_rules.main([str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err == f"alert_rules: {tmp_path}/none.yaml: no such file\n"
    assert alert_rules.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: python -m pipelines.manifests.alert_rules SPEC")
