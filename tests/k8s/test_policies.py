"""checkov: each finding is mended or explained in k8s/policies.json, and it sees what our own rules leave to it."""

import copy
import json

import pytest

from feature_repo.checkout import K8S
from pipelines.manifests import release_overlay
from pipelines.manifests.objects import title
from tests.k8s import checkov, test_distributed
from tests.k8s.test_rules import GONE, POD, SERVER, plant

FOLDERS = ("base", "overlays/local", "overlays/gpu", "overlays/production")
OPTIONS = ("jobs", "materialise", "trainer", "spark")  # of the small cluster's overlay: other kinds of pods
SKIPPED = json.loads(checkov.POLICIES.read_text())["skipped"]
DEPLOYMENT, CRON, ROLE = "Deployment/recommender", "CronJob/job-monitor", "Role/jobs"
CRON_POD = "spec.jobTemplate.spec.template.spec"
RUNTIME, SPARK = "TrainingRuntime/intentflow-torch", "SparkApplication/profiles"
NODE = f"{test_distributed.NODE}.spec.containers.0"
COVERED = [
    # what, where, the value, the checks that see it: docs/decisions/manifest-rules.md has the table
    (DEPLOYMENT, f"{POD}.hostNetwork", True, {"CKV_K8S_19"}),
    (DEPLOYMENT, f"{POD}.hostPID", True, {"CKV_K8S_17"}),
    (DEPLOYMENT, f"{POD}.hostIPC", True, {"CKV_K8S_18"}),
    (DEPLOYMENT, f"{POD}.securityContext.runAsUser", 0, {"CKV_K8S_40"}),
    (DEPLOYMENT, f"{POD}.securityContext.seccompProfile", GONE, {"CKV_K8S_31"}),
    (DEPLOYMENT, f"{POD}.securityContext.seccompProfile.type", "Unconfined", {"CKV_K8S_31"}),
    (DEPLOYMENT, f"{POD}.automountServiceAccountToken", GONE, {"CKV_K8S_38"}),
    (DEPLOYMENT, f"{POD}.initContainers.0.securityContext", GONE, {"CKV_K8S_30"}),
    (DEPLOYMENT, f"{POD}.initContainers.0.resources", GONE, {f"CKV_K8S_{n}" for n in (10, 11, 12, 13)}),
    (DEPLOYMENT, f"{SERVER}.securityContext.privileged", True, {"CKV_K8S_16"}),
    (DEPLOYMENT, f"{SERVER}.securityContext.allowPrivilegeEscalation", GONE, {"CKV_K8S_20"}),
    (DEPLOYMENT, f"{SERVER}.securityContext.readOnlyRootFilesystem", GONE, {"CKV_K8S_22"}),
    (DEPLOYMENT, f"{SERVER}.securityContext.capabilities", GONE, {"CKV_K8S_28", "CKV_K8S_37"}),
    (DEPLOYMENT, f"{SERVER}.securityContext.capabilities.add", ["SYS_ADMIN"], {"CKV_K8S_25", "CKV_K8S_39"}),
    (DEPLOYMENT, f"{SERVER}.securityContext.runAsNonRoot", False, {"CKV_K8S_23"}),
    (DEPLOYMENT, f"{SERVER}.ports.0.hostPort", 80, {"CKV_K8S_26"}),
    (DEPLOYMENT, f"{SERVER}.resources", GONE, {f"CKV_K8S_{n}" for n in (10, 11, 12, 13)}),
    (DEPLOYMENT, f"{SERVER}.resources.limits.memory", GONE, {"CKV_K8S_13"}),
    (DEPLOYMENT, f"{SERVER}.readinessProbe", GONE, {"CKV_K8S_9"}),
    ("Deployment/redis", f"{SERVER}.livenessProbe", GONE, {"CKV_K8S_8"}),
    (CRON, f"{CRON_POD}.automountServiceAccountToken", True, {"CKV_K8S_38"}),
    (CRON, f"{CRON_POD}.containers.0.resources", GONE, {f"CKV_K8S_{n}" for n in (10, 11, 12, 13)}),
    (ROLE, "rules.0.verbs", ["*"], {"CKV_K8S_49"}),
    (ROLE, "rules.0.apiGroups", ["*"], {"CKV_K8S_49"}),
    (RUNTIME, f"{NODE}.securityContext.readOnlyRootFilesystem", False, {"CKV_K8S_22"}),
    (RUNTIME, f"{NODE}.resources", GONE, {f"CKV_K8S_{n}" for n in (10, 11, 12, 13)}),
    (SPARK, "spec.executor.securityContext", {}, {"CKV_K8S_20"}),
    (SPARK, "spec.executor.coreLimit", GONE, {"CKV_K8S_11"}),
    (SPARK, "spec.driver.serviceAccount", "default", {"CKV_K8S_38"}),
]


def test_every_skipped_check_gives_a_reason():
    assert all(len(entry["reason"]) > 30 or entry["reason"].startswith("As above") for entry in SKIPPED)
    assert all(entry["resource"] for entry in SKIPPED)


def test_a_finding_without_an_entry_and_an_entry_without_a_finding_are_named():
    skipped = [{"check": "CKV_1", "resource": "Deployment.shop.*"}, {"check": "CKV_2", "resource": "*"}]
    found = {("CKV_1", "Deployment.shop.door"), ("CKV_1", "Deployment.other.door")}
    assert checkov.unexplained(found, skipped) == [("CKV_1", "Deployment.other.door")]
    assert checkov.stale(found, skipped) == [skipped[1]]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """The small cluster's overlay with every kind of pod."""
    return test_distributed.render(tmp_path_factory.mktemp("options"), OPTIONS)


@pytest.mark.slow
def test_checkov_finds_nothing_that_is_not_explained(tmp_path, options):
    renders = {folder.replace("/", "-"): release_overlay.render(K8S / folder) for folder in FOLDERS}
    found = checkov.findings(renders | {"options": options}, tmp_path)
    assert checkov.unexplained(found, SKIPPED) == []
    assert checkov.stale(found, SKIPPED) == []


@pytest.fixture(scope="module")
def seen(tmp_path_factory, options):
    """What checkov says of each planted breach, and of the same object without it, by the breach's number."""
    renders = {}
    for number, (what, place, value, _) in enumerate(COVERED):
        for state, objects in (("planted", plant(options, what, place, value)), ("sound", options)):
            # The object alone, and its account: a SparkApplication's token is the account's matter.
            some = [copy.deepcopy(o) for o in objects if title(o) == what or o["kind"] == "ServiceAccount"]
            for one in some:
                one["metadata"]["name"] += "" if one["kind"] == "ServiceAccount" else f"-{state}-{number}"
            renders[f"{state}-{number}"] = some
    found = checkov.findings(renders, tmp_path_factory.mktemp("planted"))
    return lambda state, number: {check for check, name in found if f"-{state}-{number}-" in _tail(name)}


def _tail(resource):
    """Return a resource's name with an end, so that `-planted-1` is not found in `-planted-12`."""
    return resource.split(".")[2] + "-"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "breach"), list(enumerate(COVERED)), ids=[f"{b[0]}:{b[1]}" for b in COVERED])
def test_checkov_sees_what_our_rules_leave_to_it(seen, number, breach):
    checks = breach[3]
    assert checks <= seen("planted", number)
    assert not checks & seen("sound", number)
