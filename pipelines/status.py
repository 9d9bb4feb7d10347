"""Where a recommender stands: what is applied, who holds which alias and why, which release serves where.

Where the environment names Kubernetes, what runs is read from its namespace (`cluster_view`), else from this machine.
Then a cluster or a registry that does not answer is a line; the rest is shown, and the exit code stays a report's: 0.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from feature_repo import env_names
from feature_repo.errors import ServerError
from feature_repo.privacy import tombstones
from pipelines import drift_status, namespace, plan, retraining
from pipelines.environment import Installation
from pipelines.releases import processes
from pipelines.releases.release import variables
from pipelines.runs import local

if TYPE_CHECKING:
    from components.registry.aliases import Status
    from pipelines.cluster_view.differences import Registered


def status(place: Installation) -> dict[str, Any]:
    """Collect the state from the registry and from this machine."""
    from components.registry import aliases, champion, heartbeats
    from pipelines.rollout import status_text

    last, judged, problem, marks = local.last_run(place.home), {}, "", {}
    watched = namespace.watched(place.environment)
    registry, rollout = aliases.Status(place.spec.name, {}, {}, (), unrecorded=False), {}
    try:
        if watched or not place.unmade:
            with variables(place):
                registry, marks = aliases.status(place.spec.name), heartbeats.read(place.spec.name)
                if last and last.release_version:
                    judged = champion.verdict(place.spec.name, last.release_version)
            champion_version = registry.holders.get("champion", "")
            rollout = (status_text.recorded if watched else status_text.summary)(place, champion_version)
    except ServerError as error:
        if not watched:  # nothing else is known then
            raise
        problem = str(error)
    states = [str(document.get("state")) for document in tombstones.read_all(place.home)]
    applied = plan.applied(place.home)
    return {
        "name": place.spec.name,
        "spec": place.spec.digest,
        "applied": None if applied is None else applied["digest"],
        "last_run": None
        if last is None
        else {
            "release_version": last.release_version,
            "passed": last.passed,
            "seconds": last.seconds,
            "verdict": judged,
            "said": last.verdict,
            "spec": _spec_of(last),
        },
        "no_state": "" if place.home.is_dir() else str(place.home),
        "registry_problem": problem,
        "aliases": registry.holders,
        "dangling": registry.dangling,
        "drift": drift_status.summary(place.home, marks),
        "retraining": retraining.shown(place) if not problem and (watched or not place.unmade) else {},
        "retraining_due": _due(registry.holders, registry.versions),
        "forgotten": {state: states.count(state) for state in sorted(set(states))},
        "versions": registry.versions,
        "rollout": rollout,
        "cluster": _cluster(place, watched, None if problem else registry, rollout) if watched else None,
        "history": [asdict(move) for move in registry.history],
        "processes": [asdict(s) | {"log": str(s.log)} for s in processes.status(place.home)],
    }


def _spec_of(run: local.Run) -> str:
    """Return the digest of the spec that a run trained, '' where it does not say."""
    return str(json.loads(run.parameters.get("lineage") or "{}").get("spec", ""))


def _cluster(place: Installation, watched: str, registry: "Status | None", rollout: dict[str, Any]) -> dict[str, Any]:
    """Look at the namespace, with what the registry says of it."""
    from pipelines.cluster_view import report

    settings = place.environment.kubernetes.model_copy(update={"namespace": watched})
    return report.report(settings, None if registry is None else _registered(registry, rollout))


def _registered(registry: "Status", rollout: dict[str, Any]) -> "Registered":
    from pipelines.cluster_view.differences import Registered

    champion = registry.holders.get("champion", "")
    parts = [part for key in ("candidate", "previous") if (part := rollout.get(key))]
    return Registered(
        champion,
        registry.versions.get(champion, {}).get("id", ""),
        candidate=str((rollout.get("candidate") or {}).get("version", "")),
        kept={str(part["release"]) for part in parts},
    )


def _due(holders: dict[str, str], versions: dict[str, dict[str, str]]) -> str:
    """Say why the champion must be trained anew, '' where it need not."""
    tags = versions.get(holders.get("champion", ""), {})
    if tags.get("retraining") != "due":
        return ""
    return f"version {holders['champion']} {tags['retraining_reason']}, {tags['retraining_since']}"


def text(found: dict[str, Any]) -> str:
    """Return the status as a person reads it."""
    from components.registry.refit import TWIN, TWIN_ID
    from pipelines.cluster_view import report
    from pipelines.rollout import status_text

    lines = [f"{found['name']}  spec {found['spec']}"]
    if found["no_state"]:
        lines.append(f"  no state in {found['no_state']}; it follows the working directory, or {env_names.STATE}")
    if found["applied"] != found["spec"]:
        lines.append(f"  applied: {_applied(found)} (`intentflow plan` shows the difference)")
    if run := found["last_run"]:
        verdict = "passed" if run["passed"] else f"{run.get('said') or 'refused'} by its gates"
        release = f"release version {run['release_version']}" if run["release_version"] else "dry run"
        lines.append(f"  last run: {release}, {verdict}, {run['seconds']:.0f} s")
        if run["release_version"] not in found["versions"]:  # else it stands with its alias
            lines += status_text.gates({"verdict": json.dumps(run.get("verdict", {}))})
    if found["registry_problem"]:
        lines.append(f"  registry    unknown: {found['registry_problem']}")
    for alias, version in found["aliases"].items():
        tags = found["versions"][version]
        lines.append(f"  {alias:<11} version {version}  release {tags.get('id', '?')}  {status_text.judged(tags)}")
        if TWIN in tags:
            lines.append(f"    refit on all complete weeks; judged was version {tags[TWIN]}, {tags.get(TWIN_ID, '?')}")
        lines += status_text.gates(tags)
    lines += [
        f"  {alias:<11} version {version}, which was deleted; `intentflow promote --version N` names another"
        for alias, version in found["dangling"].items()
    ]
    if asked := found["retraining"]:
        lines.append(f"  {retraining.line(asked)}")
    if due := found["retraining_due"]:
        lines.append(f"  retraining due: {due} (`intentflow run` trains without them)")
    lines += drift_status.lines(found["drift"])
    if unfinished := sum(count for state, count in found["forgotten"].items() if state != "forgotten"):
        lines.append(f"  forgetting {unfinished} people was not finished: repeat `intentflow forget` for them")
    lines += status_text.lines(found["rollout"], found["versions"])
    if found["cluster"]:
        lines += report.lines(found["cluster"])
    lines += [f"  {s['name']:<11} {s['state']:<8} {s['url']}" for s in found["processes"]]
    lines += [
        f"  {m['when']} {m['alias']} {m['origin'] or '-'} -> {m['to'] or '-'} by {m['who']}: {m['why']}"
        for m in found["history"][-5:]
    ]
    return "\n".join(lines)


def _applied(found: dict[str, Any]) -> str:
    """Say what is in force, by whichever way it came there: `apply`, a run without it, objects of a cluster."""
    from pipelines.cluster_view import report

    parts = [str(found["applied"])] if found["applied"] else []
    if not parts and (run := found["last_run"]):
        parts.append(f"by no `intentflow apply`; the last run trained spec {run['spec'] or '?'}")
    if there := report.applied(found["cluster"] or {}):
        parts.append(f"{there} in namespace {found['cluster']['namespace']}")
    return "; ".join(parts) or "nothing yet"
