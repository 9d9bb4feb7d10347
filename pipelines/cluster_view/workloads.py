"""Deployments and jobs of a namespace as rows: what each is, what its pods' template says, how far it is, why not.

Pure: it reads objects as the API gives them. What a release's pods run is what the template says, never the
Deployment's own labels: `kubectl rollout undo` leaves those as they were.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.kube_api import Object
from pipelines.rollout import pods as pod_state
from pipelines.rollout import release_objects

VERSION = "intentflow/release-version"
COMPONENT = "app.kubernetes.io/component"
OF_JOB = ("batch.kubernetes.io/job-name", "job-name")  # the second is that of clusters before 1.27
ROLES = {"serving": "service", "routing": "router", "rollout": "loop"}  # the rest are servers


@dataclass(frozen=True)
class Workload:
    """A Deployment."""

    name: str
    role: str  # door, router, loop, service (of a model), server
    image: str  # without its registry
    wanted: int
    ready: int
    release: str = ""  # of a door, as its pods' template says
    version: str = ""  # of <name>-release, the same way
    label: str = ""  # of a door: the release that the Deployment's own labels name
    pods_run: tuple[str, ...] = ()  # releases that a door's ready pods run
    reason: str = ""  # why not all are ready


@dataclass(frozen=True)
class JobRow:
    """A CronJob and how its last Job ended, or a Job of its own."""

    name: str
    schedule: str = ""  # of a CronJob
    suspended: bool = False
    result: str = ""  # done, failed, running, waiting; '' for a CronJob that never ran
    at: str = ""  # when, as the cluster says: UTC
    reason: str = ""  # why it failed or waits


def workloads(deployments: Iterable[Object], pods: Sequence[Object] | None) -> list[Workload]:
    """Return the Deployments, doors first."""
    found = [_workload(deployment, pods or []) for deployment in deployments]
    order = ["door", "router", "loop", "service", "server"]
    return sorted(found, key=lambda one: (order.index(one.role), one.name))


def _workload(deployment: Object, pods: Sequence[Object]) -> Workload:
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    labels = metadata.get("labels") or {}
    name = str(metadata["name"])
    wanted, ready = pod_state.wanted(deployment), int(deployment.get("status", {}).get("readyReplicas") or 0)
    own = _selected(deployment, pods)
    door = name == release_objects.BASE or release_objects.DOOR in labels
    return Workload(
        name,
        "door" if door else ROLES.get(str(labels.get(COMPONENT)), "server"),
        str(template["spec"]["containers"][0].get("image", "?")).rpartition("/")[2],
        wanted,
        ready,
        release=pod_state.release_of(deployment) if door else "",
        version=str((template["metadata"].get("annotations") or {}).get(VERSION, "")) if door else "",
        label=str(labels.get(pod_state.VERSION, "")) if door else "",
        pods_run=tuple(sorted({_label(pod, pod_state.VERSION) for pod in own if pod_state.serving(pod)} - {""}))
        if door
        else (),
        reason=_why(deployment, own) if ready < wanted else "",
    )


def _selected(deployment: Object, pods: Sequence[Object]) -> list[Object]:
    wanted = (deployment["spec"].get("selector", {}).get("matchLabels") or {}).items()
    return [pod for pod in pods if wanted and wanted <= (pod["metadata"].get("labels") or {}).items()]


def _why(deployment: Object, pods: Iterable[Object]) -> str:
    reason = next((why for pod in pods if (why := pod_state.reason(pod))), "")
    return reason or pod_state.refused(deployment) or "its pods give no reason"


def jobs(cronjobs: Iterable[Object], found: Sequence[Object], pods: Sequence[Object] | None) -> list[JobRow]:
    """Return each CronJob with its last Job, then the Jobs that no CronJob made, the newest first."""
    rows = []
    for cron in sorted(cronjobs, key=lambda one: str(one["metadata"]["name"])):
        name, spec = str(cron["metadata"]["name"]), cron["spec"]
        made = [job for job in found if _owner(job) == name]
        last = _result(max(made, key=_created), pods) if made else ("", "", "")
        if not made and (ended := cron.get("status", {}).get("lastSuccessfulTime")):
            last = ("done", str(ended), "")  # the Job itself is deleted by now
        rows.append(JobRow(name, str(spec["schedule"]), bool(spec.get("suspend")), *last))
    alone = sorted((job for job in found if not _owner(job)), key=_created, reverse=True)
    return rows + [JobRow(str(job["metadata"]["name"]), "", False, *_result(job, pods)) for job in alone]


def _result(job: Object, pods: Sequence[Object] | None) -> tuple[str, str, str]:
    """Return how a Job ended or stands, when, and why."""
    status = job.get("status", {})
    held = {c["type"]: c for c in status.get("conditions") or [] if c["status"] == "True"}
    own = [pod for pod in pods or [] if any(_label(pod, key) == job["metadata"]["name"] for key in OF_JOB)]
    said = next((why for pod in sorted(own, key=_created, reverse=True) if (why := pod_state.reason(pod))), "")
    if ended := held.get("Complete"):
        return "done", str(status.get("completionTime") or ended.get("lastTransitionTime", "")), ""
    if failed := held.get("Failed"):
        words = ": ".join(filter(None, (failed.get("reason"), failed.get("message"))))
        return "failed", str(failed.get("lastTransitionTime", "")), "; ".join(filter(None, (words, said)))
    running = int(status.get("ready") or 0) > 0
    return "running" if running else "waiting", str(status.get("startTime") or _created(job)), "" if running else said


def _owner(job: Object) -> str:
    owners = job["metadata"].get("ownerReferences") or []
    return next((str(owner["name"]) for owner in owners if owner["kind"] == "CronJob"), "")


def _created(found: Object) -> str:
    return str(found["metadata"].get("creationTimestamp") or "")


def _label(found: Object, key: str) -> str:
    return str((found["metadata"].get("labels") or {}).get(key, ""))
