"""What `intentflow status` says of a cluster: a document, and its lines. Only reads."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from feature_repo.errors import ServerError, SpecError
from pipelines.cluster_view import differences as differing
from pipelines.cluster_view import snapshot, workloads
from pipelines.cluster_view.differences import Registered
from pipelines.environment_spec import Kubernetes
from pipelines.namespace import connected
from pipelines.rollout.release_objects import STABLE

RETRY = "mend the kubeconfig (kubernetes.context, KUBECONFIG) or the way to it, then ask again"


def report(settings: Kubernetes, registered: Registered | None) -> dict[str, Any]:
    """Return what runs in the namespace; {"problem": …} where nobody can say. None: the registry does not answer."""
    try:
        seen = snapshot.taken(connected(settings))
    except ServerError as error:
        return {"namespace": settings.namespace, "problem": f"{error}; {RETRY}"}
    except SpecError as error:
        return {"namespace": settings.namespace, "problem": str(error)}
    found = workloads.workloads(seen.deployments or [], seen.pods)
    doors = [one for one in found if one.role == "door"]
    # Without the Deployments nothing can be compared, and "no difference" would be a guess.
    unknown = seen.deployments is None or "get configmaps" in seen.missing or bool(seen.broken)
    return {
        "namespace": seen.namespace,
        "host": seen.host,
        "routes": None if seen.routes is None else seen.routes.model_dump(mode="json"),
        "workloads": [asdict(one) for one in found],
        "jobs": [asdict(one) for one in workloads.jobs(seen.cronjobs or [], seen.jobs or [], seen.pods)],
        "registry": registered is not None,
        "differences": None if unknown else differing.differences(doors, seen.routes, registered),
        "missing_rights": list(seen.missing),
        "broken": seen.broken,
    }


def applied(found: Mapping[str, Any]) -> str:
    """Say which releases were applied to the namespace, '' where none was."""
    doors = [one for one in found.get("workloads", ()) if one["role"] == "door"]
    return ", ".join(f"release {one['release']} (version {one['version'] or '?'})" for one in doors)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for a person."""
    if problem := found.get("problem"):
        yield f"  cluster     unknown: {problem}"
        return
    yield f"  cluster     namespace {found['namespace']} of {found['host']}"
    if routes := found["routes"]:
        yield f"  routes      {_routes(routes)}"
    elif any(one["role"] == "router" for one in found["workloads"]) and found["differences"] is not None:
        yield f"  routes      none yet: routers lead to {STABLE}"
    yield from map(_workload, found["workloads"])
    if not found["workloads"] and not found["missing_rights"]:
        yield "  nothing of IntentFlow is applied there: `kubectl apply -k` an overlay of k8s/overlays"
    yield from map(_job, found["jobs"])
    if found["broken"]:
        yield f"  DIFFERS     {found['broken']}; write routes that can be read"
    yield from (f"  DIFFERS     {line}" for line in found["differences"] or ())
    if found["missing_rights"]:
        rights = ", ".join(found["missing_rights"])
        yield f"  not seen    this account may not {rights} in {found['namespace']}; ask for a Role that allows it"
    if found["differences"] is None:
        yield "  not checked whether registry, routes and pods agree"
    elif not found["registry"]:
        yield "  not checked whether the registry agrees with routes and pods"


def _routes(routes: Mapping[str, Any]) -> str:
    share = float(routes["share"]) if routes["mode"] == "canary" else 0.0
    parts = [f"{routes['mode']}: stable release {routes['stable']['release']} at {routes['stable']['url']}"]
    if candidate := routes["candidate"]:
        sees = f"copies of {float(routes['mirror']):.0%} of requests" if routes["mode"] == "shadow" else f"{share:.0%}"
        parts.append(f"candidate release {candidate['release']} at {candidate['url']} ({sees})")
        parts[0] += "" if routes["mode"] == "shadow" else f" ({1 - share:.0%} of users)"
    return ", ".join(parts)


def _workload(one: Mapping[str, Any]) -> str:
    door = f"release {one['release']}  version {one['version'] or '?'}  " if one["role"] == "door" else ""
    why = f"  {one['reason']}" if one["reason"] else ""
    return f"  {one['role']:<11} {one['name']}  {door}{one['ready']}/{one['wanted']} ready  {one['image']}{why}"


def _job(one: Mapping[str, Any]) -> str:
    when = f"  '{one['schedule']}'" + (" (suspended)" if one["suspended"] else "") if one["schedule"] else ""
    last = f"{one['result']} {one['at']}".strip() if one["result"] else "never ran"
    why = f": {one['reason']}" if one["reason"] else ""
    return f"  {'cronjob' if one['schedule'] else 'job':<11} {one['name']}{when}  {last}{why}"
