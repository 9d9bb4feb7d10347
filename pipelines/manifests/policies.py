"""Rules beside those of pods: schedules, autoscalers, priorities, rights, and where versions come from.

Like every rule of `manifest_rules`, each reads a whole render and yields a line for each breach; `broken_sources` reads
the files of k8s/ themselves, for what a render no longer shows.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

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
    """Roles name what they allow, reach no secrets and no other rights, and are bound to accounts of the render."""
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


def broken_sources(folder: Path) -> list[str]:
    """Return where a file of k8s/ says an image's tag or a model's version that is not its to say."""
    problems = []
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            problems += [f"{path.relative_to(folder)}: {problem}" for problem in _misplaced(path, document)]
    return problems


def _misplaced(path: Path, document: Any) -> Iterator[str]:
    """Yield the image references and versions of one document that belong elsewhere."""
    for where, value in _leaves(document, ""):
        name = where.rpartition(" ")[2] if " " in where else where.rpartition("/")[2]
        if name == "image" and isinstance(value, str) and re.search(r"[:@/]", value):
            yield f"{where}: image '{value}' must be a bare name; kustomization `images:` says its tag"
        if name in ("newTag", "newName", "digest") and path.name != "kustomization.yaml":
            yield f"{where}: belongs into a kustomization"
        said = isinstance(value, str) and re.match(r"INTENTFLOW_(RELEASE|INTENT|RANKING)_(ID|VERSION)=", value)
        if said and path.parts[-2:] != ("base", "kustomization.yaml"):
            yield f"{where}: '{value}' is the release's to say, in ConfigMap {RELEASE}"
        if name in VERSIONS and value != "0":
            yield f"{where}: {value} is the release's to say; it is 0 here"


def _leaves(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            # An annotation's own slash must not look like a step down.
            yield from [(f"{where} {key}", one)] if key in VERSIONS else _leaves(one, f"{where}/{key}")
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{where}/{number}")
    else:
        yield where.lstrip("/"), value


def _is_release(found: Object) -> bool:
    return bool(re.fullmatch(rf"{RELEASE}(-[a-z0-9]{{10}})?", found["metadata"]["name"]))


def _target(found: Object) -> str:
    reference = found["spec"]["scaleTargetRef"]
    return f"{reference.get('kind', 'Deployment')}/{reference['name']}"


def _wide(rule: Object) -> Iterator[str]:
    for field in ("apiGroups", "resources", "verbs"):
        if "*" in rule.get(field, []):
            yield f"{field} must name what it means, not *"
    if wide := sorted(set(rule.get("resources", [])) & set(WIDE_RESOURCES)):
        yield f"no pod of this project needs {wide[0]}"
