"""The actuator on a cluster: each release's door is a Deployment, the routers follow a ConfigMap.

It applies a release's objects (`release_objects.py`) on the server side, writes the routes by compare-and-swap, reports
the pods' own reason where one does not become ready, and adds up the routers' counts (`router_totals.py`). Rewards and
parity need the request log: they are known where doors ship it (`requests.url`), not where it stays in the pods.
"""

import itertools
import json
import logging
import time
from collections.abc import Mapping, Sequence
from functools import cached_property

from bentos.router.observations import PATH, Observations
from bentos.router.routes import FILE, Routes
from components.kube_api import Api, Conflict, Object
from components.registry import gates
from feature_repo import env_names
from feature_repo.errors import Refused, ServerError, StoreAway
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.manifests import release_overlay
from pipelines.namespace import connected
from pipelines.releases import release as releases
from pipelines.rollout import release_objects
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.fencing import FencedApi
from pipelines.rollout.router_totals import RouterTotals

ROUTES = "recommender-routes"
ROUTER = {"app.kubernetes.io/name": "router"}
SYNCED = "intentflow/routes"  # annotation of router pods: a pod that changed has its volumes synced at once
TEMPLATE = "recommender-materialise"  # ConfigMap with job.json, where an overlay has one
ROUTER_PORT = 3001
READY_S, JOB_S = 300.0, 3600.0
REWARDS_EVERY_S = 60.0  # files are shipped every 15 minutes
POLL_S = 1.0
ROUTED_S = 5.0  # the kubelet has synced the routes and the routers follow them
TRIES = 5
CRASHES = 3
log = logging.getLogger("intentflow.rollout")
HOPELESS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError")


class ClusterActuator:
    """Acts on one namespace."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self._routed_at = time.monotonic()
        self._totals = RouterTotals()
        self._token = 0
        self._rewards: tuple[float, Mapping[str, Rewarded]] = (-REWARDS_EVERY_S, {})

    @cached_property
    def plain(self) -> Api:
        """Return the namespace's API."""
        return connected(self.place.environment.kubernetes)

    @cached_property
    def api(self) -> Api:
        """Return the API to write with; under a lease its writes carry the token."""
        return self.plain

    def under(self, token: int) -> None:
        """Write under a token, and mark the routes with it at once: an earlier holder cannot write them any more."""
        if token == self._token:
            return
        self.api, self._token = FencedApi(self.plain, token), token
        if self.api.get("ConfigMap", ROUTES) is not None:
            self.api.patch("ConfigMap", ROUTES, {})

    def prepare(self, version: str) -> str:
        """Fetch the version and verify every byte; the pods' init containers do the same again."""
        with releases.variables(self.place):
            folder = releases.assembled(self.place, version)
        released = ReleaseFolder.read(folder)
        overlay = self.place.environment.kubernetes.overlay
        rollout = self.place.spec.promotion.rollout
        target = folder.parent / "k8s"
        release_overlay.write(released.document, target, version=version, overlay=overlay, rollout=rollout)
        return released.id

    def check(self, release_id: str) -> str:
        """Replay the answers that the release's door has shipped."""
        from pipelines.answers import parity

        if not self.place.environment.requests.url:
            return f"parity not checked: request logs of release {release_id} stay with their pods (no requests.url)"
        with releases.variables(self.place):
            releases.assembled(self.place, self._version(release_id))
            found = gates.parity(parity.parity(self.place, release_id), self.place.spec.promotion.parity)
        if not found.passed:
            raise Refused(f"parity: {found.reason}")
        return found.reason

    def start(self, release_id: str) -> str:
        """Apply the door's objects and wait for its pods."""
        if url := self.running().get(release_id):
            return url
        folder = self.place.home / "releases" / release_id / "k8s"
        if not folder.is_dir():  # a loop on a new machine: the registry has everything
            self.prepare(self._version(release_id))
        for wanted in release_objects.objects(release_objects.render(folder), release_id):
            self.api.apply(wanted)
        self._wait_ready(release_objects.name_of(release_id))
        return f"http://{release_objects.name_of(release_id)}"

    def materialise(self, release_id: str) -> str:
        """Run the overlay's Job for the release's profiles, where it has one."""
        template = self.api.get("ConfigMap", TEMPLATE)
        if template is None:
            return "profiles stay as the training pipeline left them"
        job: Object = json.loads(template["data"]["job.json"])
        job["metadata"] = {**job.get("metadata", {}), "name": self._job_name(release_id)}
        variables = {env_names.RELEASE_ID: release_id, env_names.RELEASE_VERSION: self._version(release_id)}
        for container in job["spec"]["template"]["spec"]["containers"]:
            container.setdefault("env", []).extend({"name": k, "value": v} for k, v in variables.items())
            container.setdefault("image", self._image(release_id))  # kustomize names none within a ConfigMap's text
        if self.api.get("Job", job["metadata"]["name"]) is None:
            self.api.create("Job", job)
        return self._wait_job(str(job["metadata"]["name"]))

    def _job_name(self, release_id: str) -> str:
        """Name the Job of this try: one that failed stays as its record, and the next try is another Job."""
        for tries in itertools.count(1):
            name = f"materialise-{release_id}" + (f"-{tries}" if tries > 1 else "")
            if "Failed" not in _conditions(self.api.get("Job", name)):
                break
        return name

    def route(self, routes: Routes) -> None:
        """Write the routes over those that were read, and have the kubelet bring them to every router at once."""
        text = json.dumps(routes.model_dump(mode="json"))
        for _ in range(TRIES):
            found = self.api.get("ConfigMap", ROUTES)
            if found is None:
                raise ServerError(f"ConfigMap/{ROUTES}: not in {self.api.namespace}; add k8s/components/router")
            version = found["metadata"]["resourceVersion"]
            if found.get("data", {}).get(FILE) == text:
                break
            try:
                body = {"metadata": {"resourceVersion": version}, "data": {FILE: text}}
                found = self.api.patch("ConfigMap", ROUTES, body)
                break
            except Conflict:
                continue
        else:
            raise ServerError(f"ConfigMap/{ROUTES}: another one writes it at the same time; see who does")
        # Of the object's version, not of its text: somebody may have written another text in between.
        mark = str(found["metadata"]["resourceVersion"])
        for pod in self.api.listed("Pod", ROUTER):
            if pod["metadata"].get("annotations", {}).get(SYNCED) != mark:
                self.plain.patch("Pod", pod["metadata"]["name"], {"metadata": {"annotations": {SYNCED: mark}}})
                self._routed_at = time.monotonic()

    def routed(self) -> Routes | None:
        """Read the routes."""
        found = self.api.get("ConfigMap", ROUTES)
        return None if found is None else Routes.model_validate_json(found["data"][FILE])

    def observe(self) -> Observations | None:
        """Ask every router and add up; None while one that is ready does not answer: its counts would be missing."""
        import requests

        seen = []
        with requests.Session() as session:
            session.trust_env = False
            for pod in self.api.listed("Pod", ROUTER):
                if not _ready(pod):
                    continue
                try:
                    answer = session.get(f"http://{pod['status']['podIP']}:{ROUTER_PORT}{PATH}", timeout=3)
                    answer.raise_for_status()
                except requests.RequestException:
                    return None
                seen.append(Observations.model_validate_json(answer.content))
        return self._totals.add(seen)

    def rewards(self, asked: Sequence[str], *, since_s: float) -> Mapping[str, Rewarded]:
        """Join shipped answers with the events that the store keeps, now and then; nothing where logs stay in pods."""
        from pipelines.rollout import rewards

        at, found = self._rewards
        if self.place.environment.requests.url and time.monotonic() - at > REWARDS_EVERY_S:
            try:
                with releases.variables(self.place):
                    folders = {one: releases.assembled(self.place, self._version(one)) for one in asked}
                    found = rewards.rewarded_of_store(self.place, folders, since_s=since_s)
            except (ServerError, StoreAway) as error:  # the canary is judged by the rest meanwhile
                log.warning("rewards: %s", error)
                found = {}
            self._rewards = (time.monotonic(), found)
        return found

    def stop(self, release_id: str) -> None:
        """Delete a door's objects once no router leads to it; scale the overlay's own Deployment to 0."""
        time.sleep(max(0.0, self._routed_at + ROUTED_S - time.monotonic()))
        base = self.api.get("Deployment", release_objects.BASE)
        if base is not None and _release_of(base) == release_id and _wanted(base):
            self.api.patch("Deployment", release_objects.BASE, {"spec": {"replicas": 0}})
        for kind in reversed(release_objects.KINDS):
            for found in self.api.listed(kind, {release_objects.DOOR: release_id}):
                self.api.delete(kind, found["metadata"]["name"])

    def prune(self) -> str:
        """Leave the profiles: runs of pipelines share the store, and its owner drops vocabularies."""
        return "profiles stay: on a cluster they are dropped by hand (docs/online.md)"

    def running(self) -> Mapping[str, str]:
        """Return the doors that have a ready pod."""
        found = {}
        base = self.api.get("Deployment", release_objects.BASE)
        if base is not None and _available(base) and _wanted(base):
            found[_release_of(base)] = f"http://{release_objects.STABLE}"
        for deployment in self.api.listed("Deployment", {"app.kubernetes.io/part-of": "intentflow"}):
            labels = deployment["metadata"]["labels"]
            if release_objects.DOOR in labels and _available(deployment):
                found[labels[release_objects.DOOR]] = f"http://{deployment['metadata']['name']}"
        return found

    def tend(self) -> None:
        """Leave the routers to their Deployment."""

    def _image(self, release_id: str) -> str:
        """Return the image that the release's door runs, or the overlay's own."""
        for name in (release_objects.name_of(release_id), release_objects.BASE):
            if (found := self.api.get("Deployment", name)) is not None:
                return str(found["spec"]["template"]["spec"]["containers"][0]["image"])
        raise ServerError(f"Deployment/{release_objects.BASE}: not in {self.api.namespace}; a Job would have no image")

    def _version(self, release_id: str) -> str:
        from components.registry import client
        from components.registry.release import model_name

        with releases.variables(self.place), client.connected() as mlflow:
            found = client.version_tagged(mlflow, model_name(self.place.spec.name), "id", release_id)
        if found is None:
            raise ServerError(f"release {release_id}: no version of {self.place.spec.name}-release carries this id")
        return str(found.version)

    def _wait_ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            deployment = self.api.get("Deployment", name)
            if deployment is not None and _rolled_out(deployment):
                return
            pods = self.api.listed("Pod", {release_objects.NAME: name})
            reason = next((why for pod in pods if (why := _reason(pod))), "") or _refused_pods(deployment)
            late = time.monotonic() >= deadline
            if late or any(_hopeless(pod) for pod in pods):
                when = f" in {READY_S:.0f} s" if late else ""
                raise ServerError(f"Deployment/{name}: not ready{when}: {reason or 'its pods give no reason'}")
            time.sleep(POLL_S)

    def _wait_job(self, name: str) -> str:
        deadline = time.monotonic() + JOB_S
        while time.monotonic() < deadline:
            ended = _conditions(self.api.get("Job", name))
            if "Complete" in ended:
                return f"Job/{name} brought the profiles into the store"
            if "Failed" in ended:
                raise ServerError(f"Job/{name}: {ended['Failed'] or 'failed'}; kubectl logs job/{name} says why")
            time.sleep(POLL_S)
        raise ServerError(f"Job/{name}: not done in {JOB_S:.0f} s")


def _conditions(job: Object | None) -> dict[str, str]:
    """Return the conditions of a Job that hold, each with its message."""
    status = (job or {}).get("status", {})
    return {c["type"]: c.get("message", "") for c in status.get("conditions", []) if c["status"] == "True"}


def _release_of(deployment: Object) -> str:
    """Return the release that the pods run, by the template: an undo leaves the Deployment's labels as they were."""
    labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
    return str(labels.get("app.kubernetes.io/version", "seed"))


def _wanted(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _available(deployment: Object) -> int:
    return int(deployment.get("status", {}).get("availableReplicas") or 0)


def _rolled_out(deployment: Object) -> bool:
    """Tell whether the pods of the newest template, all that are wanted, are ready."""
    status, wanted = deployment.get("status", {}), max(_wanted(deployment), 1)
    fresh = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(fresh and status.get("updatedReplicas", 0) >= wanted and _available(deployment) >= wanted)


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _statuses(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _reason(pod: Object) -> str:
    """Say what a pod waits for, in Kubernetes's words: the container, the reason, how it last ended."""
    name = pod["metadata"]["name"]
    for container in _statuses(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
        if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing") or ended.get("exitCode"):
            words = [waiting.get("reason"), waiting.get("message"), ended.get("message")]
            words.append(f"exit code {ended['exitCode']}" if ended.get("exitCode") else None)
            return " ".join(f"Pod/{name} {container['name']}: {', '.join(filter(None, words))}".split())
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["status"] != "True" and condition.get("message"):
            return f"Pod/{name}: {condition.get('reason', condition['type'])}, {condition['message']}"
    return ""


def _refused_pods(deployment: Object | None) -> str:
    """Return why the API server admits no pods of a Deployment (Pod Security, a quota), '' where it does."""
    for condition in (deployment or {}).get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            return " ".join(str(condition.get("message", "")).split())
    return ""


def _hopeless(pod: Object) -> bool:
    """Tell whether the pod cannot become ready by waiting."""
    waiting = [(c, (c.get("state", {}).get("waiting") or {}).get("reason")) for c in _statuses(pod)]
    return any(
        reason in HOPELESS or (reason == "CrashLoopBackOff" and container.get("restartCount", 0) >= CRASHES)
        for container, reason in waiting
    )
