"""What the rules read of rendered Kubernetes objects: titles, the pods that they make, containers, quantities.

Objects are read as `kubectl kustomize` prints them; nothing is judged here.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Object = dict[str, Any]

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "Job")
SPARK = "SparkApplication"
OPERATED = ("TrainingRuntime", "ClusterTrainingRuntime", SPARK)  # an operator makes their pods, in a job's namespace
JOB, DOOR = "job.json", "recommender"  # key of a ConfigMap that holds a Job (pipelines/rollout/cluster.py)
SUFFIXES: dict[str, int | Decimal] = {
    **{"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12},
    **{"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40},
}


@dataclass(frozen=True)
class Workload:
    """An object that makes pods, with what its pods look like."""

    name: str
    kind: str
    spec: Object
    pod: Object
    labels: dict[str, str]


def title(found: Object) -> str:
    """Name an object in a message.

    >>> title({"kind": "Service", "metadata": {"name": "redis"}})
    'Service/redis'
    """
    return f"{found.get('kind', '?')}/{found.get('metadata', {}).get('name', '?')}"


def containers(pod: Object) -> Iterator[tuple[str, Object]]:
    """Yield every container of a pod spec with its place.

    >>> list(containers({"initContainers": [{"name": "fetch"}], "containers": []}))
    [('initContainers.fetch', {'name': 'fetch'})]
    """
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, []):
            yield f"{kind}.{container['name']}", container


def quantity(text: str | int) -> Decimal:
    """Return the number that a Kubernetes quantity means.

    >>> quantity("250m"), quantity("1Gi")
    (Decimal('0.250'), Decimal('1073741824'))
    """
    digits = str(text).rstrip("mkMGTKi")
    return Decimal(digits) * SUFFIXES[str(text)[len(digits) :]]


def workloads(objects: list[Object]) -> Iterator[Workload]:
    """Yield the objects that make pods."""
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] in OPERATED:
            yield from _replicated(found) if found["kind"] != SPARK else _spark(found, objects)
            continue
        if found["kind"] == "Pod":
            template = found
        elif found["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
            template = spec["template"]
        elif found["kind"] in TEMPLATED:
            template = spec["template"]
        elif found["kind"] == "ConfigMap" and JOB in (found.get("data") or {}):
            spec = _job(found["data"][JOB], objects)
            template = spec["template"]
        else:
            continue
        labels = template.get("metadata", {}).get("labels", {})
        yield Workload(title(found), found["kind"], spec, template["spec"], labels)


def _replicated(runtime: Object) -> Iterator[Workload]:
    """Yield what a TrainJob's pods are by a runtime, one for each kind of node."""
    for job in runtime["spec"]["template"]["spec"]["replicatedJobs"]:
        template = job["template"]["spec"]["template"]
        labels = template.get("metadata", {}).get("labels", {})
        yield Workload(title(runtime), runtime["kind"], job["template"]["spec"], template["spec"], labels)


def _spark(application: Object, objects: list[Object]) -> Iterator[Workload]:
    """Yield driver and executor as the operator makes them: one container each, with what the application says."""
    spec = application["spec"]
    for part in ("driver", "executor"):
        own = spec[part]
        account = own.get("serviceAccount", "default")
        closed = [o for o in objects if title(o) == f"ServiceAccount/{account}"]
        container = {"name": part, "image": own.get("image", spec.get("image", ""))}
        container |= {key: own[key] for key in ("env", "securityContext", "volumeMounts") if key in own}
        container |= {"imagePullPolicy": spec.get("imagePullPolicy"), "resources": _spark_resources(own)}
        pod = {
            "containers": [container],
            "securityContext": own.get("podSecurityContext", {}),
            "serviceAccountName": account,
            "automountServiceAccountToken": not any(o.get("automountServiceAccountToken") is False for o in closed),
            "volumes": spec.get("volumes", []),
        }
        yield Workload(f"{title(application)} {part}", application["kind"], own, pod, own.get("labels", {}))


def _spark_resources(part: Object) -> Object:
    """Return a container's resources from Spark's: memory is heap and overhead, and bounds itself."""
    memory = sum(quantity(_binary(part[key])) for key in ("memory", "memoryOverhead") if key in part)
    found: Object = {"requests": {"cpu": str(part.get("cores", 1))}, "limits": {}}
    if "coreLimit" in part:
        found["limits"]["cpu"] = part["coreLimit"]
    if "memory" in part:
        found["requests"]["memory"] = found["limits"]["memory"] = str(memory)
    return found


def _binary(text: str) -> str:
    """Return a size of the JVM's as a quantity.

    >>> _binary("512m"), _binary("2g")
    ('512Mi', '2Gi')
    """
    return f"{text[:-1]}{text[-1].upper()}i"


def _job(text: str, objects: list[Object]) -> Object:
    """Return what the rollout's loop would make of a ConfigMap's Job: it runs the image of the recommender's door."""
    spec: Object = json.loads(text)["spec"]
    doors = [o for o in objects if (o["kind"], o["metadata"]["name"]) == ("Deployment", DOOR)]
    for container in spec["template"]["spec"]["containers"]:
        for door in doors:
            container.setdefault("image", door["spec"]["template"]["spec"]["containers"][0]["image"])
    return spec
