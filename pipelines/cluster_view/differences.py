"""Where registry, routes and pods disagree, each as one line with what mends it.

Pure. A rollout under way is no difference: its candidate is the champion and not yet what the routes lead to, and the
door before it is kept for a rollback.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bentos.router.routes import Backend, Routes
from pipelines.cluster_view.workloads import Workload
from pipelines.rollout import release_objects

FOLLOW = "a running loop brings the routes there; without one: `intentflow reconcile`, or `release` and apply"


@dataclass(frozen=True)
class Registered:
    """What the registry says: the champion, and the releases of a rollout that is under way."""

    champion: str = ""  # version
    release: str = ""  # of the champion
    candidate: str = ""  # version under way
    kept: Collection[str] = ()  # releases whose doors the rollout starts or keeps


def differences(doors: Sequence[Workload], routes: Routes | None, registered: Registered | None) -> list[str]:
    """Return the lines; none where all agree. Without what the registry says, routes and pods are compared alone."""
    by_name = {door.name: door for door in doors}
    return [
        *(_champion(by_name, routes, registered) if registered else ()),
        *(_routed(by_name, routes) if routes else ()),
        *_labels(doors),
        *(_unrouted(doors, routes, registered) if routes and registered else ()),
    ]


def door_of(backend: Backend, doors: Mapping[str, Workload]) -> Workload | None:
    """Return the Deployment behind a door's Service, None where there is none."""
    host = (urlsplit(backend.url).hostname or "").partition(".")[0]
    return doors.get(release_objects.BASE if host == release_objects.STABLE else host)


def _champion(doors: Mapping[str, Workload], routes: Routes | None, registered: Registered) -> Iterator[str]:
    if not registered.champion or registered.candidate == registered.champion:
        return
    door = door_of(routes.stable, doors) if routes else doors.get(release_objects.BASE)
    release = routes.stable.release if routes else door.release if door else ""
    # The seed has no id: it is the version that its template names.
    seed = door is not None and door.release == release == "seed" and door.version == registered.champion
    if release and release != registered.release and not seed:
        version = f" (version {door.version})" if door and door.release == release and door.version else ""
        where = (
            f"the routes lead to release {release}"
            if routes
            else f"Deployment/{door.name if door else '?'} runs {release}"
        )
        yield f"champion is version {registered.champion} (release {registered.release}), {where}{version}; {FOLLOW}"


def _routed(doors: Mapping[str, Workload], routes: Routes) -> Iterator[str]:
    for arm, backend in (("stable", routes.stable), ("candidate", routes.candidate)):
        if backend is None:
            continue
        door = door_of(backend, doors)
        if door is None:
            yield f"{arm} is routed to {backend.url}: no Deployment of that name; route to a door that runs"
            continue
        if not door.ready:
            why = door.reason or "it wants no pod"
            yield f"{arm} is routed to Deployment/{door.name}, which has no ready pod of {door.wanted}: {why}"
        runs = door.pods_run or (door.release,)
        if runs != (backend.release,):
            yield (
                f"the routes say {arm} is release {backend.release}, Deployment/{door.name} runs {' and '.join(runs)}; "
                "apply the release that is meant, or route to what runs"
            )


def _labels(doors: Sequence[Workload]) -> Iterator[str]:
    for door in doors:
        if door.label and door.label != door.release:
            yield (
                f"Deployment/{door.name} is labelled release {door.label}, its pods' template says {door.release} "
                "(as after `kubectl rollout undo`); apply the release that is meant"
            )


def _unrouted(doors: Sequence[Workload], routes: Routes, registered: Registered) -> Iterator[str]:
    by_name = {door.name: door for door in doors}
    routed = {door.name for one in (routes.stable, routes.candidate) if one and (door := door_of(one, by_name))}
    for door in doors:
        if door.wanted and door.name not in routed and door.release not in registered.kept:
            yield (
                f"Deployment/{door.name} (release {door.release}) runs, and no route names it; scale it to 0, or "
                "delete it where no loop runs"
            )
