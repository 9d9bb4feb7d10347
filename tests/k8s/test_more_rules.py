"""Rules on schedules, KEDA, rights and sources: breaches planted in small objects of kinds that `local` has none of."""

import copy
import shutil

import pytest

from feature_repo import checkout
from pipelines.manifests import policies
from tests.k8s import sources
from tests.k8s.test_rules import GONE, plant

K8S = checkout.ROOT / "k8s"
SCHEDULED = {
    "kind": "CronJob",
    "metadata": {"name": "nightly"},
    "spec": {
        **{"schedule": "30 2 * * *", "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 600},
        **{"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 3},
        "jobTemplate": {"spec": {"activeDeadlineSeconds": 3600, "backoffLimit": 1, "template": {"spec": {}}}},
    },
}
DOOR = {"kind": "Deployment", "metadata": {"name": "door"}, "spec": {"template": {"spec": {}}}}
SCALED = {
    "kind": "ScaledObject",
    "metadata": {"name": "door"},
    "spec": {"scaleTargetRef": {"name": "door"}, "minReplicaCount": 1, "maxReplicaCount": 3},
}
RIGHTS = [
    {"kind": "ServiceAccount", "metadata": {"name": "loop"}},
    {"kind": "Role", "metadata": {"name": "loop"},
     "rules": [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}]},
    {"kind": "RoleBinding", "metadata": {"name": "loop"}, "roleRef": {"kind": "Role", "name": "loop"},
     "subjects": [{"kind": "ServiceAccount", "name": "loop"}]},
]  # fmt: skip
WORLDS = {
    policies.schedules_end: [SCHEDULED],
    policies.scaled_objects_scale: [DOOR, SCALED],
    policies.rights_are_narrow: RIGHTS,
}
CRON, SCALE, RIGHT = WORLDS
BREACHES = [
    # rule, what, where, the value, what is said
    (CRON, "CronJob/nightly", "spec.concurrencyPolicy", "Allow", "concurrencyPolicy must be Forbid"),
    (CRON, "CronJob/nightly", "spec.startingDeadlineSeconds", GONE, "needs startingDeadlineSeconds"),
    (CRON, "CronJob/nightly", "spec.jobTemplate.spec.activeDeadlineSeconds", GONE, "needs activeDeadlineSeconds"),
    (CRON, "CronJob/nightly", "spec.jobTemplate.spec.backoffLimit", GONE, "needs backoffLimit"),
    (CRON, "CronJob/nightly", "spec.successfulJobsHistoryLimit", GONE, "successfulJobsHistoryLimit must be 1 to 10"),
    (CRON, "CronJob/nightly", "spec.failedJobsHistoryLimit", 0, "failedJobsHistoryLimit must be 1 to 10"),
    (SCALE, "ScaledObject/door", "spec.scaleTargetRef.name", "gone", "Deployment/gone is not in this render"),
    (SCALE, "ScaledObject/door", "spec.minReplicaCount", 4, "minReplicaCount 4 is above maxReplicaCount"),
    (SCALE, "Deployment/door", "spec.replicas", 2, "replicas must be left out"),
    (RIGHT, "Role/loop", "rules.0.resources", ["secrets"], "no pod of this project needs secrets"),
    (RIGHT, "Role/loop", "kind", "ClusterRole", "use a Role"),
    (RIGHT, "RoleBinding/loop", "subjects.0.name", "gone", "ServiceAccount/gone is not in this render"),
    (RIGHT, "RoleBinding/loop", "roleRef.name", "gone", "Role/gone is not in this render"),
]


@pytest.mark.parametrize("rule", WORLDS)
def test_the_good_world_breaks_no_rule(rule):
    assert list(rule(WORLDS[rule])) == []


@pytest.mark.parametrize(("rule", "title", "place", "value", "said"), BREACHES, ids=[b[4] for b in BREACHES])
def test_a_planted_breach_is_named(rule, title, place, value, said):
    found = list(rule(plant(WORLDS[rule], title, place, value)))
    assert any(said in line for line in found), found


def test_two_autoscalers_of_one_deployment_are_named():
    other = copy.deepcopy(SCALED) | {"kind": "HorizontalPodAutoscaler"}
    found = list(policies.scaled_objects_scale([DOOR, SCALED, other]))
    assert found == ["ScaledObject/door: a HorizontalPodAutoscaler scales Deployment/door too"]


def test_keda_beside_the_loop_is_named():
    loop = copy.deepcopy(DOOR) | {"metadata": {"name": "reconciler"}}
    (said,) = policies.scaled_objects_scale([DOOR, SCALED, loop])
    assert "use components/in-flight" in said


def test_the_files_leave_tags_and_versions_to_the_kustomizations_and_the_release():
    assert sources.broken_sources(K8S) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("base/deployment.yaml", "image: intentflow-python", "image: intentflow-python:0.2.0", "must be a bare name"),
        ("base/deployment.yaml", "image: intentflow-python", "image: reg/intentflow-python", "must be a bare name"),
        ("base/deployment.yaml", 'intent-version: "0"', 'intent-version: "3"', "is the release's to say"),
        ("overlays/local/kustomization.yaml", "INTENTFLOW_CLOCK=data_end", "INTENTFLOW_RELEASE_VERSION=7",
         "is the release's to say, in ConfigMap"),
    ],
)  # fmt: skip
def test_a_tag_or_a_version_elsewhere_is_named(tmp_path, file, old, new, said):
    copied = shutil.copytree(K8S, tmp_path / "k8s", ignore=shutil.ignore_patterns("schemas", "dashboards"))
    path = copied / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    problems = sources.broken_sources(copied)
    assert problems
    assert all(problem.startswith(file) and said in problem for problem in problems), problems
