"""Rules on schedules, KEDA's autoscalers, priorities, rights, and the objects that name the release.

As in `rules.py`, each reads a whole render and yields a line for each breach.
"""

import re
from collections.abc import Callable, Iterator

from feature_repo import env_names
from pipelines.manifests.objects import Object, title, workloads

HASHED = re.compile(r".*-[2456789bcdfghkmt]{10}")  # kustomize's hash of a ConfigMap's text, in its alphabet
RELEASE = "recommender-release"  # the ConfigMap that says which release runs
VERSIONS = {  # annotations of the door, and the keys of that ConfigMap that they repeat
    "intentflow/release-version": env_names.RELEASE_VERSION,
    "intentflow/intent-version": env_names.INTENT_VERSION,
    "intentflow/ranking-version": env_names.RANKING_VERSION,
}
FOREIGN_ACCOUNTS = ("pipeline-runner", "default-editor")  # Kubeflow Pipelines makes them
SYSTEM_CLASSES = ("system-cluster-critical", "system-node-critical")
WIDE_RESOURCES = ("secrets", "pods/exec", "pods/attach", "roles", "rolebindings", "clusterroles", "clusterrolebindings")


def schedules_end(objects: list[Object]) -> Iterator[str]:
    """Scheduled jobs never overlap, end by a deadline, and leave a short history."""
    for found in objects:
        if found["kind"] != "CronJob":
            continue
        spec, job = found["spec"], found["spec"]["jobTemplate"]["spec"]
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{title(found)}: concurrencyPolicy must be Forbid"
        for place, field in ((spec, "startingDeadlineSeconds"), (job, "activeDeadlineSeconds"), (job, "backoffLimit")):
            if field not in place:
                yield f"{title(found)}: needs {field}"
        for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
            if not 0 < spec.get(field, 99) <= 10:
                yield f"{title(found)}: {field} must be 1 to 10"


def scaled_objects_scale(objects: list[Object]) -> Iterator[str]:
    """KEDA scales a workload of the render that nothing else scales, within a range."""
    have = {title(found): found for found in objects}
    scaled = {_target(found) for found in objects if found["kind"] == "HorizontalPodAutoscaler"}
    for found in objects:
        if found["kind"] != "ScaledObject":
            continue
        spec, target = found["spec"], _target(found)
        if target not in have:
            yield f"{title(found)}: scaleTargetRef {target} is not in this render"
        elif "replicas" in have[target]["spec"]:
            yield f"{target}: replicas must be left out, {title(found)} owns the number"
        if target in scaled:
            yield f"{title(found)}: a HorizontalPodAutoscaler scales {target} too"
        if spec.get("minReplicaCount", 0) > spec.get("maxReplicaCount", 100):
            yield f"{title(found)}: minReplicaCount {spec['minReplicaCount']} is above maxReplicaCount"
        if "Deployment/reconciler" in have:
            yield f"{title(found)}: the loop gives a release's door no ScaledObject; use components/in-flight"


def priorities_exist(objects: list[Object]) -> Iterator[str]:
    """A pod's priority class is in the render or Kubernetes's own."""
    have = {found["metadata"]["name"] for found in objects if found["kind"] == "PriorityClass"} | {*SYSTEM_CLASSES}
    for made in workloads(objects):
        if (name := made.pod.get("priorityClassName")) and name not in have:
            yield f"{made.name}: PriorityClass/{name} is not in this render"


def rights_are_narrow(objects: list[Object]) -> Iterator[str]:
    """Roles reach no secrets and no other rights, and are bound to accounts of the render."""
    have = {title(found) for found in objects} | {f"ServiceAccount/{name}" for name in FOREIGN_ACCOUNTS}
    for found in objects:
        if found["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            yield f"{title(found)}: rights stay inside the namespace; use a Role"
        elif found["kind"] == "Role":
            yield from (f"{title(found)}: {problem}" for rule in found["rules"] for problem in _wide(rule))
        elif found["kind"] == "RoleBinding":
            names = [f"{found['roleRef']['kind']}/{found['roleRef']['name']}"]
            names += [f"{one['kind']}/{one['name']}" for one in found.get("subjects", [])]
            yield from (f"{title(found)}: {name} is not in this render" for name in names if name not in have)


def versions_come_from_the_release(objects: list[Object]) -> Iterator[str]:
    """What the door says of its release is what the release's ConfigMap says."""
    config = next((o["data"] for o in objects if o["kind"] == "ConfigMap" and _is_release(o)), None)
    door = next((found for found in objects if title(found) == "Deployment/recommender"), None)
    if config is None or door is None:
        return
    said = door["spec"]["template"]["metadata"].get("annotations", {})
    for annotation, key in VERSIONS.items():
        if said.get(annotation) != config.get(key):
            yield f"{title(door)}: {annotation} is {said.get(annotation)}, ConfigMap/{RELEASE} has {config.get(key)}"


def hashed_config_is_immutable(objects: list[Object]) -> Iterator[str]:
    """A ConfigMap whose name is its text's never changes in place."""
    for found in objects:
        if found["kind"] == "ConfigMap" and HASHED.fullmatch(found["metadata"]["name"]) and not found.get("immutable"):
            yield f"{title(found)}: its name holds a hash, so it must be immutable"


POLICIES: tuple[Callable[[list[Object]], Iterator[str]], ...] = (
    schedules_end,
    scaled_objects_scale,
    priorities_exist,
    rights_are_narrow,
    versions_come_from_the_release,
    hashed_config_is_immutable,
)


def _is_release(found: Object) -> bool:
    return bool(re.fullmatch(rf"{RELEASE}(-[a-z0-9]{{10}})?", found["metadata"]["name"]))


def _target(found: Object) -> str:
    reference = found["spec"]["scaleTargetRef"]
    return f"{reference.get('kind', 'Deployment')}/{reference['name']}"


def _wide(rule: Object) -> Iterator[str]:
    if wide := sorted(set(rule.get("resources", [])) & set(WIDE_RESOURCES)):
        yield f"no pod of this project needs {wide[0]}"
