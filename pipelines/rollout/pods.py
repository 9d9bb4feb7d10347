"""What Deployments, pods and Jobs say: which release runs, whether it is ready, why not, and who wrote last. Pure.

What runs is read from the pods that are ready, never from a Deployment's own labels: an apply or an undo changes the
template at once and the pods one by one, and an undo leaves the labels as they were.
"""

from collections.abc import Sequence
from typing import Any

from components.kube_api import MANAGER

Object = dict[str, Any]

VERSION = "app.kubernetes.io/version"  # of a pod: the release that it runs
INSTANCE = "app.kubernetes.io/instance"  # of a pod: the recommender whose release it is
SEED = "seed"  # what base's files say before a release is merged over them
CRASHES = 3
HOPELESS_S = {  # reason of a waiting container: how long it may last; a kubelet that is late says the same for a moment
    "ErrImageNeverPull": 10.0,
    "InvalidImageName": 10.0,
    "CreateContainerConfigError": 10.0,  # a Secret, a ConfigMap or a key of one is missing
    "CreateContainerError": 30.0,
    "ErrImagePull": 90.0,
    "ImagePullBackOff": 90.0,
}
REASON_CHARACTERS = 400


def release_of(deployment: Object) -> str:
    """Return the release that new pods of a Deployment will run."""
    return str((deployment["spec"]["template"]["metadata"].get("labels") or {}).get(VERSION, SEED))


def runs(pods: Sequence[Object], recommender: str) -> str:
    """Return the one release that all ready pods run; '' where none is ready, they differ, or are another's."""
    labels = [pod["metadata"].get("labels") or {} for pod in pods if serving(pod)]
    found = {(str(one.get(INSTANCE, SEED)), str(one.get(VERSION, SEED))) for one in labels}
    if len(found) != 1:
        return ""
    ((instance, release),) = found
    return release if instance in (recommender, SEED) else ""


def serving(pod: Object) -> bool:
    """Tell whether a Service sends requests to a pod: ready, and not on its way out."""
    return ready(pod) and not pod["metadata"].get("deletionTimestamp")


def ready(pod: Object) -> bool:
    """Tell whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wanted(deployment: Object) -> int:
    """Return how many pods are asked for."""
    return int(deployment["spec"].get("replicas", 1))


def rolled_out(deployment: Object) -> bool:
    """Tell whether the pods of the newest template, all that are wanted, are ready."""
    status, asked = deployment.get("status", {}), max(wanted(deployment), 1)
    fresh = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    updated, available = (int(status.get(key) or 0) for key in ("updatedReplicas", "availableReplicas"))
    old = int(status.get("replicas") or 0) > updated  # pods of the template before still answer
    return bool(fresh and updated >= asked and available >= asked and not old)


def writer(found: Object, *field: str) -> str:
    """Return who wrote a field last besides this program: a field manager such as kubectl-client-side-apply.

    >>> apply = {"manager": "kubectl", "time": "2026-11-01T10:00:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    >>> writer({"metadata": {"managedFields": [apply]}}, "spec", "replicas")
    'kubectl'
    """
    entries = [
        entry for entry in found["metadata"].get("managedFields") or []
        if entry.get("manager") != MANAGER and _holds(entry.get("fieldsV1") or {}, field)
    ]  # fmt: skip
    last: Object = max(entries, key=lambda entry: str(entry.get("time", "")), default={})
    return str(last.get("manager", ""))


def _holds(fields: Object, path: Sequence[str]) -> bool:
    return not path or (f"f:{path[0]}" in fields and _holds(fields[f"f:{path[0]}"], path[1:]))


def reason(pod: Object) -> str:
    """Say what a pod waits for, in Kubernetes's words and its own last ones."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):  # such as Evicted, by a volume that is full
        return _one_line(f"Pod/{name}: {status['reason']}, {status.get('message', '')}")
    for container in _statuses(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing") or ended.get("exitCode"):
            words = [waiting.get("reason"), waiting.get("message"), _last_line(ended.get("message") or "")]
            words += [ended["reason"]] if ended.get("reason") == "OOMKilled" else []
            words.append(f"exit code {ended['exitCode']}" if ended.get("exitCode") else None)
            return _one_line(f"Pod/{name} {container['name']}: {', '.join(filter(None, words))}")
    for condition in status.get("conditions") or []:
        if condition["status"] != "True" and condition.get("message"):
            return _one_line(f"Pod/{name}: {condition.get('reason', condition['type'])}, {condition['message']}")
    return ""


def refused(deployment: Object | None) -> str:
    """Return why the API server admits no pods of a Deployment (Pod Security, a quota), '' where it does."""
    for condition in (deployment or {}).get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return _one_line(str(condition.get("message", "")))
    return ""


def hopeless_s(pod: Object) -> float | None:
    """Return how long what a pod waits for may last before waiting is in vain; None where it may well pass."""
    found = []
    for container in _statuses(pod):
        waits = (container.get("state", {}).get("waiting") or {}).get("reason")
        if waits == "CrashLoopBackOff" and container.get("restartCount", 0) >= CRASHES:
            found.append(0.0)
        if waits in HOPELESS_S:
            found.append(HOPELESS_S[waits])
    return min(found, default=None)


def conditions(job: Object | None) -> dict[str, str]:
    """Return the conditions of a Job that hold, each with its message."""
    status = (job or {}).get("status", {})
    return {c["type"]: c.get("message", "") for c in status.get("conditions", []) if c["status"] == "True"}


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _last_line(message: str) -> str:
    r"""Return the last line of a container's end: of a traceback, or of its log, that is the cause.

    >>> _last_line("Traceback\n  ...\nOSError: [Errno 28] No space left on device\n")
    'OSError: [Errno 28] No space left on device'
    """
    return next((line for line in reversed(message.splitlines()) if line.strip()), "")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARACTERS]
