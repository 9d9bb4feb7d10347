"""Findings of a policy checker: each is mended or explained in k8s/policies.json, no explanation outlives its cause."""

import json

import pytest

from tests.k8s import checkov

FOLDERS = ("base", "overlays/local", "overlays/gpu", "overlays/production")
SKIPPED = json.loads(checkov.POLICIES.read_text())["skipped"]


def test_every_skipped_check_gives_a_reason():
    assert all(len(entry["reason"]) > 30 or entry["reason"].startswith("As above") for entry in SKIPPED)
    assert all(entry["resource"] for entry in SKIPPED)


def test_a_finding_without_an_entry_and_an_entry_without_a_finding_are_named():
    skipped = [{"check": "CKV_1", "resource": "Deployment.shop.*"}, {"check": "CKV_2", "resource": "*"}]
    found = {("CKV_1", "Deployment.shop.door"), ("CKV_1", "Deployment.other.door")}
    assert checkov.unexplained(found, skipped) == [("CKV_1", "Deployment.other.door")]
    assert checkov.stale(found, skipped) == [skipped[1]]


@pytest.mark.slow
def test_checkov_finds_nothing_that_is_not_explained(tmp_path):
    found = checkov.findings(FOLDERS, tmp_path)
    assert checkov.unexplained(found, SKIPPED) == []
    assert checkov.stale(found, SKIPPED) == []


@pytest.mark.slow
def test_checkov_sees_a_planted_breach(tmp_path):
    render = checkov.manifests.render_text(checkov.ROOT / "k8s" / "base")
    (tmp_path / "planted.yaml").write_text(render.replace("allowPrivilegeEscalation: false", "privileged: true"))
    assert ("CKV_K8S_16", "Deployment.default.recommender") in checkov.findings([], tmp_path)
