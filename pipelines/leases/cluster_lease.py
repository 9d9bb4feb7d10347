"""The lease on a cluster: a `coordination.k8s.io/v1` Lease, taken by compare-and-swap and renewed by a thread.

As client-go does it: a holder is given up when its record has not changed for the lease's duration *as this process
saw it*, so clocks of other machines do not matter. A holder stops before that (RENEW_WITHIN_S < DURATION_S), so that
two never act at once even when the API server is away. Which recommender or job it is for: `place_lease.py`.
"""

import contextlib
import datetime as dt
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from components.kube_api import Api, Conflict, Object
from feature_repo.errors import Refused, ServerError
from pipelines.environment import Installation
from pipelines.leases.lease import Lease, next_token
from pipelines.namespace import connected

TOKEN = "intentflow/fencing-token"  # annotation; leaseTransitions counts holders, but begins at 0 in a new object
NAME = "intentflow-{recommender}"  # of the rollout's; a job's has its name behind


@dataclass(frozen=True)
class Pace:
    """How long a lease lasts and how often it is renewed; client-go's own figures."""

    duration_s: int = 15
    renew_within_s: float = 10.0  # without a renewal this long, the holder stops by itself
    every_s: float = 2.0


@contextmanager
def held(place: Installation, *, job: str = "", wait_s: float, pace: Pace = Pace()) -> Iterator[Lease]:
    """Hold the Lease `intentflow-<name>`, for a job `intentflow-<name>-<job>`, of the environment's namespace."""
    api = connected(place.environment.kubernetes)
    name = NAME.format(recommender=place.spec.name) + (f"-{job}" if job else "")
    with held_in(api, name, wait_s=wait_s, pace=pace) as lease:
        yield lease


@contextmanager
def held_in(api: Api, name: str, *, wait_s: float, pace: Pace) -> Iterator[Lease]:
    """Hold a Lease by name; it is let go at once on the way out, or expires when this process is killed."""
    holder = f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}"  # another one for each time it is held
    started, mine = _taken(api, name, holder, wait_s=wait_s, pace=pace)
    renewing = _Renewing(api, mine, pace, started)
    renewing.thread.start()
    try:
        yield Lease(_token(mine), holder, renewing.still)
    finally:
        renewing.stop()


class _Renewing:
    """The thread that renews, and until when what it last wrote is good."""

    def __init__(self, api: Api, mine: Object, pace: Pace, started: float) -> None:
        self.api, self.mine, self.pace = api, mine, pace
        self.good_until = started + pace.renew_within_s
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def still(self) -> bool:
        return not self.done.is_set() and time.monotonic() < self.good_until

    def stop(self) -> None:
        self.done.set()
        self.thread.join()
        if time.monotonic() < self.good_until:
            with contextlib.suppress(Conflict, ServerError):  # another one took it, or nobody answers: it expires
                self.api.replace("Lease", _written(self.mine, holder="", token=_token(self.mine)))

    def _run(self) -> None:
        while not self.done.wait(self.pace.every_s) and time.monotonic() < self.good_until:
            asked = time.monotonic()
            try:
                renewed = _written(self.mine, holder=_holder(self.mine), token=_token(self.mine))
                self.mine = self.api.replace("Lease", renewed)
                self.good_until = asked + self.pace.renew_within_s
            except Conflict:
                self._look_again()
            except ServerError:
                continue  # until `good_until`, it may come back

    def _look_again(self) -> None:
        """After a conflict: read our own write whose answer was lost, or another's label; another holder ends it."""
        try:
            found = self.api.get("Lease", self.mine["metadata"]["name"])
        except ServerError:
            return
        if found is None or (_holder(found), _token(found)) != (_holder(self.mine), _token(self.mine)):
            self.good_until = 0.0
        else:
            self.mine = found


def _taken(api: Api, name: str, holder: str, *, wait_s: float, pace: Pace) -> tuple[float, Object]:
    """Take the Lease when it is free; return when (this process's clock) and as what it was written.

    A holder whose record looks old is watched for one duration even without `wait_s`: it may be dead.
    """
    deadline = time.monotonic() + wait_s
    seen, since, alive = "", 0.0, False
    while True:
        asked = time.monotonic()
        found = api.get("Lease", name)
        version = found["metadata"]["resourceVersion"] if found else ""
        if version != seen:
            seen, since, alive = version, asked, seen != ""
        if found is None or not _holder(found) or asked - since > _duration_s(found):
            try:
                return asked, _write(api, found, name, holder, pace)
            except Conflict:
                continue  # another one was quicker: look who
        if asked >= deadline and (alive or not _looks_dead(found)):
            raise Refused(f"lease: {_holder(found)} holds Lease/{name} of {api.namespace} and acts already")
        time.sleep(min(pace.every_s, 1.0))


def _write(api: Api, found: Object | None, name: str, holder: str, pace: Pace) -> Object:
    if found is None:
        bare = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        spec = {"leaseDurationSeconds": pace.duration_s, "leaseTransitions": 0}
        return api.create("Lease", _written(bare | {"spec": spec}, holder=holder, token=next_token(0)))
    spec = found["spec"] | {
        "leaseDurationSeconds": pace.duration_s,
        "leaseTransitions": int(found["spec"].get("leaseTransitions") or 0) + 1,
        "acquireTime": _now(),
    }
    return api.replace("Lease", _written(found | {"spec": spec}, holder=holder, token=next_token(_token(found))))


def _written(found: Object, *, holder: str, token: int) -> Object:
    """Return a Lease as this moment would leave it."""
    metadata = found["metadata"]
    annotations = {**(metadata.get("annotations") or {}), TOKEN: str(token)}
    spec = {**found["spec"], "holderIdentity": holder, "renewTime": _now()}
    return {**found, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _holder(found: Object) -> str:
    return str(found["spec"].get("holderIdentity") or "")


def _token(found: Object) -> int:
    return int((found["metadata"].get("annotations") or {}).get(TOKEN, 0))


def _duration_s(found: Object) -> float:
    return float(found["spec"].get("leaseDurationSeconds") or 0)


def _looks_dead(found: Object) -> bool:
    """Tell whether the clocks say that the holder is late. A reason to watch it, never one to take over."""
    renewed = dt.datetime.fromisoformat(found["spec"].get("renewTime") or "1970-01-01T00:00:00Z")
    return (dt.datetime.now(dt.UTC) - renewed).total_seconds() > _duration_s(found) / 2


def _now() -> str:
    """Return the time as the API wants it: six digits, always (Python leaves out a zero)."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
