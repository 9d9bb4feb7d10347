"""The actuator on a cluster: each release's door is a Deployment, the routers follow a ConfigMap.

It applies a release's objects (`release_objects.py`) on the server side, writes the routes by compare-and-swap, reports
the pods' own reason where one does not become ready, and adds up the routers' counts (`router_totals.py`). Rewards and
parity need the request log: they are known where doors ship it (`requests.url`), not where it stays in the pods.
"""

import contextlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from pydantic import ValidationError

from bentos.router.observations import PATH, Observations
from bentos.router.routes import FILE, Routes
from components.kube_api import Api, Conflict, Object
from components.registry import gates
from components.registry.experiment_spec import Kpi
from feature_repo import env_names
from feature_repo.errors import Refused, ServerError, SpecError, StoreAway
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.manifests import release_overlay
from pipelines.namespace import connected
from pipelines.releases import release as releases
from pipelines.rollout import pods, release_objects
from pipelines.rollout.actuator import OverlayDoor, Rewarded
from pipelines.rollout.fencing import FencedApi
from pipelines.rollout.outcomes import Outcomes
from pipelines.rollout.router_totals import RouterTotals

ROUTES = "recommender-routes"
ROUTERS = "router"  # their Deployment
ROUTER = {release_objects.NAME: ROUTERS}
SYNCED = "intentflow/routes"  # annotation of router pods: a pod that changed has its volumes synced at once
PART_OF = {"app.kubernetes.io/part-of": "intentflow"}
TEMPLATE = "recommender-materialise"  # ConfigMap with job.json, where an overlay has one
ROUTER_PORT = 3001
READY_S, JOB_S = 300.0, 3600.0
REWARDS_EVERY_S = 60.0  # files are shipped every 15 minutes
POLL_S = 1.0
ROUTED_S = 5.0  # the kubelet has synced the routes and the routers follow them
TRIES = 5
log = logging.getLogger("intentflow.rollout")


class ClusterActuator:
    """Acts on one namespace."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self._routed_at = time.monotonic()
        self._totals = RouterTotals()
        self._token = 0
        self._rewards: tuple[float, Mapping[str, Rewarded]] = (-REWARDS_EVERY_S, {})
        self._measured_at = -REWARDS_EVERY_S
        self._look: Callable[[], None] = lambda: None

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
        if (name := released.document["name"]) != self.place.spec.name:
            raise SpecError(
                f"version {version} of {self.place.spec.name}-release: it is a release of '{name}'; "
                f"give the champion alias to one of '{self.place.spec.name}'"
            )
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
        """Apply a door of the release's own and wait for its pods; the overlay's door may run the same one, for now."""
        name = release_objects.name_of(release_id)
        url = f"http://{name}"
        if self.running().get(release_id) == url:
            return url
        folder = self.place.home / "releases" / release_id / "k8s"
        if not folder.is_dir():  # a loop on a new machine: the registry has everything
            self.prepare(self._version(release_id))
        for wanted in release_objects.objects(release_objects.render(folder), release_id):
            self.api.apply(wanted)
        self._as_many(name, release_id)
        self._wait_ready(name)
        return url

    def _as_many(self, name: str, release_id: str) -> None:
        """Ask for as many pods as the overlay's door has of this release: its users come all at once."""
        there = self.overlay_door()
        many = there.pods if there is not None and there.runs == release_id else 1
        made = self.api.get("Deployment", name)
        if made is not None and pods.wanted(made) < many:  # also one that a person scaled to nothing
            self.api.patch("Deployment", name, {"spec": {"replicas": many}})

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
            if "Failed" not in pods.conditions(self.api.get("Job", name)):
                break
        return name

    def route(self, routes: Routes) -> None:
        """Write the routes over those that were read, and have the kubelet bring them to every router at once."""
        found = self._written(json.dumps(routes.model_dump(mode="json")))
        # Of the object's version, not of its text: somebody may have written another text in between.
        mark = str(found["metadata"]["resourceVersion"])
        for pod in self.api.listed("Pod", ROUTER):
            if pod["metadata"].get("annotations", {}).get(SYNCED) != mark:
                self.plain.patch("Pod", pod["metadata"]["name"], {"metadata": {"annotations": {SYNCED: mark}}})
                self._routed_at = time.monotonic()

    def _written(self, text: str) -> Object:
        """Write the routes, which no manifest holds: an apply of the overlay leaves them alone."""
        for _ in range(TRIES):
            with contextlib.suppress(Conflict):
                found = self.api.get("ConfigMap", ROUTES)
                if found is None:
                    return self.api.create("ConfigMap", self._first(text))
                if (found.get("data") or {}).get(FILE) == text:
                    return found
                version = found["metadata"]["resourceVersion"]
                body = {"metadata": {"resourceVersion": version}, "data": {FILE: text}}
                return self.api.patch("ConfigMap", ROUTES, body)
        raise ServerError(f"ConfigMap/{ROUTES}: another one writes it at the same time; see who does")

    def _first(self, text: str) -> Object:
        if self.api.get("Deployment", ROUTERS) is None:
            raise ServerError(f"Deployment/{ROUTERS}: not in {self.api.namespace}; add k8s/components/router")
        labels = {**ROUTER, "app.kubernetes.io/component": "routing", "app.kubernetes.io/part-of": "intentflow"}
        metadata = {"name": ROUTES, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {FILE: text}}

    def routed(self) -> Routes | None:
        """Read the routes; None before the first, and where a person left none that a router would take."""
        found = self.api.get("ConfigMap", ROUTES)
        try:
            return None if found is None else Routes.model_validate_json((found.get("data") or {}).get(FILE, ""))
        except ValidationError:
            return None  # routers keep the last good ones; whoever routes writes over these

    def observe(self) -> Observations | None:
        """Ask every router and add up; None while one that is ready does not answer: its counts would be missing."""
        import requests

        seen = []
        with requests.Session() as session:
            session.trust_env = False
            for pod in self.api.listed("Pod", ROUTER):
                if not pods.ready(pod):
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

    def outcomes(
        self, arms: Mapping[str, str], kpi: Kpi, covariates: Sequence[str], *, since_s: float
    ) -> Outcomes | None:
        """Join what doors have shipped, now and then; a store that is away is asked again at the next look."""
        from pipelines.rollout import outcomes

        if not self.place.environment.requests.url or time.monotonic() - self._measured_at <= REWARDS_EVERY_S:
            return None
        try:
            with releases.variables(self.place):
                found = outcomes.measured_in_store(self.place, arms, kpi, covariates, since_s=since_s)
        except (ServerError, StoreAway) as error:
            log.warning("experiment: %s", error)
            return None
        self._measured_at = time.monotonic()
        return found

    def stop(self, release_id: str) -> None:
        """Delete a door's objects once no router leads to it."""
        self._until_followed()
        for kind in reversed(release_objects.KINDS):
            for found in self.api.listed(kind, {release_objects.DOOR: release_id}):
                self.api.delete(kind, found["metadata"]["name"])

    def retire(self) -> None:
        """Scale the overlay's Deployment to 0: its manifests name no number, so an apply leaves that as it is."""
        self._until_followed()
        self.api.patch("Deployment", release_objects.BASE, {"spec": {"replicas": 0}})

    def _until_followed(self) -> None:
        time.sleep(max(0.0, self._routed_at + ROUTED_S - time.monotonic()))

    def prune(self) -> str:
        """Leave the profiles: runs of pipelines share the store, and its owner drops vocabularies."""
        return "profiles stay: on a cluster they are dropped by hand (docs/online.md)"

    def running(self) -> Mapping[str, str]:
        """Return the doors with ready pods, by the release that those run; a door of a release's own comes first."""
        there = self.overlay_door()
        found = {there.runs: there.url} if there is not None and there.runs else {}
        for deployment in self.api.listed("Deployment", PART_OF):
            name, release = deployment["metadata"]["name"], deployment["metadata"]["labels"].get(release_objects.DOOR)
            # One whose template somebody changed counts as gone: it is put right before its pods have changed.
            if release == pods.release_of(deployment) == self._runs(name):
                found[release] = f"http://{name}"
        return found

    def overlay_door(self) -> OverlayDoor | None:
        """Read the overlay's own Deployment and its pods; one that a person deleted has none."""
        base, url = self.api.get("Deployment", release_objects.BASE), f"http://{release_objects.STABLE}"
        routed = self.api.get("Deployment", ROUTERS) is not None
        if base is None:
            return OverlayDoor(url, "", "", 0, routed) if routed else None
        routes = self.api.get("ConfigMap", ROUTES)
        return OverlayDoor(
            url,
            self._runs(release_objects.BASE) if pods.wanted(base) else "",
            pods.release_of(base),
            pods.wanted(base),
            routed,
            pods.writer(base, "spec", "template"),
            pods.writer(base, "spec", "replicas"),
            pods.writer(routes, "data") if routes is not None else "",
        )

    def _runs(self, name: str) -> str:
        return pods.runs(self.api.listed("Pod", {release_objects.NAME: name}), self.place.spec.name)

    def meanwhile(self, look: Callable[[], None]) -> None:
        """Look on while a door or a Job is waited for."""
        self._look = look

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
        """Wait for a door's pods; what waiting does not mend is refused with their own reason."""
        started, since = time.monotonic(), time.monotonic()
        while True:
            deployment = self.api.get("Deployment", name)
            if deployment is not None and pods.rolled_out(deployment):
                return
            there = self.api.listed("Pod", {release_objects.NAME: name})
            limits = [limit for pod in there if (limit := pods.hopeless_s(pod)) is not None]
            now = time.monotonic()
            since = since if limits else now
            late = now - started >= READY_S
            if late or (limits and now - since >= min(limits)):
                reason = next((why for pod in there if (why := pods.reason(pod))), "") or pods.refused(deployment)
                when = f" in {READY_S:.0f} s" if late else ""
                raise Refused(f"Deployment/{name}: not ready{when}: {reason or 'its pods give no reason'}")
            self._look()
            time.sleep(POLL_S)

    def _wait_job(self, name: str) -> str:
        deadline = time.monotonic() + JOB_S
        while time.monotonic() < deadline:
            ended = pods.conditions(self.api.get("Job", name))
            if "Complete" in ended:
                return f"Job/{name} brought the profiles into the store"
            if "Failed" in ended:
                raise ServerError(f"Job/{name}: {ended['Failed'] or 'failed'}; kubectl logs job/{name} says why")
            self._look()
            time.sleep(POLL_S)
        raise ServerError(f"Job/{name}: not done in {JOB_S:.0f} s")
