"""Every rule says no: one breach is planted in a good render, and the rule that watches for it names it."""

import copy
import re
from pathlib import Path

import pytest

from pipelines.manifests import objects as manifest_objects
from pipelines.manifests import release_overlay, rules
from tests.k8s import admission

LOCAL = Path(__file__).resolve().parents[2] / "k8s" / "overlays" / "local"
POD = "spec.template.spec"
SERVER = f"{POD}.containers.0"
GONE = object()


@pytest.fixture(scope="module")
def rendered():
    return release_overlay.render(LOCAL)


def plant(objects, title, place, value):
    """Return a copy of the objects in which one field of one object has another value, or is gone."""
    objects = copy.deepcopy(objects)
    hashed = re.compile(rf"{re.escape(title)}(-[2456789bcdfghkmt]{{10}})?")
    (at,) = [found for found in objects if hashed.fullmatch(manifest_objects.title(found))]
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
    for part in path:
        at = at[part] if isinstance(part, int) else at.setdefault(part, {})
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return objects


DEPLOYMENT = "Deployment/recommender"
PODS = [
    # what, where, the value, what the API server says
    (DEPLOYMENT, f"{POD}.hostNetwork", True, "hostNetwork must be false"),
    (DEPLOYMENT, f"{POD}.hostPID", True, "hostPID must be false"),
    (DEPLOYMENT, f"{POD}.hostIPC", True, "hostIPC must be false"),
    (DEPLOYMENT, f"{POD}.securityContext.runAsNonRoot", GONE, "runAsNonRoot must be true"),
    (DEPLOYMENT, f"{POD}.securityContext.runAsNonRoot", False, "runAsNonRoot must not be false"),
    (DEPLOYMENT, f"{POD}.securityContext.runAsUser", 0, "runAsUser must not be 0"),
    (DEPLOYMENT, f"{POD}.securityContext.seccompProfile", GONE, "seccompProfile.type must be RuntimeDefault"),
    (DEPLOYMENT, f"{POD}.securityContext.seccompProfile.type", "Unconfined", "seccompProfile.type must be"),
    (DEPLOYMENT, f"{POD}.securityContext.appArmorProfile", {"type": "Unconfined"}, "appArmorProfile.type must be"),
    (DEPLOYMENT, f"{POD}.securityContext.seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions"),
    (DEPLOYMENT, f"{POD}.securityContext.sysctls", [{"name": "a.b", "value": "1"}], "sysctls must be empty"),
    (DEPLOYMENT, f"{POD}.securityContext.windowsOptions", {"hostProcess": True}, "hostProcess must be false"),
    (DEPLOYMENT, f"{POD}.volumes.1", {"name": "state", "hostPath": {"path": "/"}}, "hostPath is not allowed"),
    (DEPLOYMENT, f"{SERVER}.securityContext.privileged", True, "privileged must be false"),
    (DEPLOYMENT, f"{SERVER}.securityContext.allowPrivilegeEscalation", GONE, "allowPrivilegeEscalation must be false"),
    (DEPLOYMENT, f"{SERVER}.securityContext.readOnlyRootFilesystem", GONE, "readOnlyRootFilesystem must be true"),
    (DEPLOYMENT, f"{SERVER}.securityContext.procMount", "Unmasked", "procMount must be Default"),
    (DEPLOYMENT, f"{SERVER}.securityContext.capabilities", GONE, "capabilities.drop must hold ALL"),
    (DEPLOYMENT, f"{SERVER}.securityContext.capabilities.add", ["SYS_ADMIN"], "SYS_ADMIN is not allowed"),
    (DEPLOYMENT, f"{SERVER}.securityContext.runAsNonRoot", False, "runAsNonRoot must not be false"),
    (DEPLOYMENT, f"{POD}.initContainers.0.securityContext", GONE, "initContainers.fetch-release"),
    (DEPLOYMENT, f"{SERVER}.ports.0.hostPort", 80, "hostPort must not be set"),
    (DEPLOYMENT, f"{SERVER}.livenessProbe.httpGet.host", "10.0.0.1", "livenessProbe: host must not be set"),
]
BREACHES = [
    # what, where, the value, what is said
    (DEPLOYMENT, f"{SERVER}.image", "intentflow-python:latest", "needs a tag other than latest"),
    (DEPLOYMENT, f"{SERVER}.image", "registry:5000/intentflow-python", "needs a tag other than latest"),
    (DEPLOYMENT, f"{SERVER}.imagePullPolicy", "Always", "imagePullPolicy must be IfNotPresent"),
    (DEPLOYMENT, f"{SERVER}.resources.requests.memory", "2Gi", "memory: request 2Gi is above limit 1536Mi"),
    (DEPLOYMENT, f"{SERVER}.resources.requests.cpu", "1001m", "cpu: request 1001m is above limit 1"),
    (DEPLOYMENT, f"{SERVER}.startupProbe", GONE, "no startupProbe"),
    (DEPLOYMENT, f"{SERVER}.lifecycle", GONE, "preStop.sleep.seconds must be 3 or more"),
    (DEPLOYMENT, f"{POD}.terminationGracePeriodSeconds", 5, "leaves no 10 s to drain"),
    (DEPLOYMENT, "spec.strategy", GONE, "maxUnavailable must be 0"),
    (DEPLOYMENT, "spec.strategy.rollingUpdate.maxUnavailable", "25%", "maxUnavailable must be 0"),
    (DEPLOYMENT, "spec.selector.matchLabels", {"app": "other"}, "does not match the template's labels"),
    ("Service/recommender", "spec.selector", {"app": "other"}, "its selector matches no pod"),
    ("Service/recommender", "spec.ports.0.targetPort", "grpc", "targetPort grpc is no port"),
    ("PodDisruptionBudget/recommender", "spec.selector.matchLabels", {"app": "x"}, "its selector matches no pod"),
    ("PodDisruptionBudget/recommender", "spec.minAvailable", 1, "set one of minAvailable and maxUnavailable"),
    ("NetworkPolicy/redis", "spec.podSelector.matchLabels", {"app": "x"}, "its selector matches no pod"),
    (DEPLOYMENT, f"{SERVER}.envFrom.0.configMapRef.name", "gone", "ConfigMap/gone is not in this render"),
    (DEPLOYMENT, f"{POD}.serviceAccountName", "gone", "ServiceAccount/gone is not in this render"),
    ("Deployment/redis", f"{POD}.volumes.0.persistentVolumeClaim.claimName", "gone", "PersistentVolumeClaim/gone"),
    ("HorizontalPodAutoscaler/recommender", "spec.minReplicas", 9, "minReplicas 9 is above maxReplicas 2"),
    ("HorizontalPodAutoscaler/recommender", "spec.scaleTargetRef.name", "gone", "Deployment/gone is not in this"),
    (DEPLOYMENT, "spec.replicas", 3, "replicas must be left out"),
    (DEPLOYMENT, f"{POD}.priorityClassName", "gone", "PriorityClass/gone is not in this render"),
    (DEPLOYMENT, "spec.template.metadata.annotations.intentflow/intent-version", "7", "recommender-release has 1"),
    ("ConfigMap/recommender-release", "immutable", GONE, "its name holds a hash, so it must be immutable"),
    ("ServiceAccount/redis", "kind", "Secret", "a secret is made by hand"),
]


def test_the_good_render_breaks_no_rule(rendered):
    assert rules.broken(rendered) == []


@pytest.mark.parametrize(
    ("title", "place", "value", "said"), BREACHES, ids=[f"{b[0]}:{b[1]}-{n}" for n, b in enumerate(BREACHES)]
)
def test_a_planted_breach_is_named(rendered, title, place, value, said):
    found = rules.broken(plant(rendered, title, place, value))
    assert any(said in line for line in found), found


@pytest.mark.parametrize(("title", "place", "value", "said"), PODS, ids=[f"{b[1]}-{n}" for n, b in enumerate(PODS)])
def test_a_pod_that_a_restricted_namespace_refuses_is_named(rendered, title, place, value, said):
    found = admission.refused_pods(plant(rendered, title, place, value))
    assert any(said in line for line in found), found


def test_every_rule_has_a_planted_breach(rendered):
    silent = {rule for rule in rules.RULES if not any(list(rule(plant(rendered, *b[:3]))) for b in BREACHES)}
    # Its breach is a missing object: the next test. The others watch kinds that this overlay lacks: test_more_rules.
    elsewhere = {"schedules_end", "scaled_objects_scale", "rights_are_narrow"}
    assert {rule.__name__ for rule in silent} == {"pods_are_isolated", *elsewhere}


def test_a_pod_that_no_policy_closes_is_named(rendered):
    open_world = [found for found in rendered if found["kind"] != "NetworkPolicy"]
    assert list(rules.pods_are_isolated(open_world)) == [
        f"Deployment/{name}: no NetworkPolicy with Ingress and Egress selects its pods"
        for name in ("evidently", "mlflow", "postgres", "recommender", "redis", "router")
    ]


def test_jobs_cron_jobs_and_bare_pods_are_held_to_the_rules_too():
    pod = {"containers": [{"name": "c", "image": "x"}]}
    template = {"template": {"spec": pod}}
    for kind, spec in [("Pod", pod), ("Job", template), ("CronJob", {"jobTemplate": {"spec": template}})]:
        objects = [{"kind": kind, "metadata": {"name": "n"}, "spec": spec}]
        assert f"{kind}/n: containers.c: image 'x' needs a tag other than latest, or a digest" in rules.broken(objects)
        refused = admission.refused_pods(objects)
        assert f"{kind}/n: containers.c: runAsNonRoot must be true, here or for the pod" in refused


SCHEMA_BREACHES = [
    (DEPLOYMENT, f"{SERVER}.livenesProbe", {}, "livenesProbe"),
    (DEPLOYMENT, f"{POD}.terminationGracePeriod", 3, "terminationGracePeriod"),
    (DEPLOYMENT, "spec.template.metadata.annotations.intentflow/release-version", 1, "is not of type"),
    (DEPLOYMENT, "spec.selector", GONE, "selector"),
    ("Service/recommender", "spec.ports.0.port", "eighty", "is not of type"),
    ("HorizontalPodAutoscaler/recommender", "apiVersion", "autoscaling/v2beta2", "has no HorizontalPodAutoscaler in"),
    ("NetworkPolicy/recommender", "spec.ingres", [], "ingres"),
]


@pytest.mark.parametrize(("title", "place", "value", "said"), SCHEMA_BREACHES, ids=[b[1] for b in SCHEMA_BREACHES])
def test_what_the_schemas_of_1_36_refuse_is_named(rendered, title, place, value, said):
    found = admission.check(plant(rendered, title, place, value))
    assert len(found) == 1
    assert found[0].startswith(title)
    assert said in found[0]
