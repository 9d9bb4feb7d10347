"""What serves, what runs and what needs a person: `intentflow status` and the marks, sorted for a page."""

from collections.abc import Iterator, Mapping
from typing import Any

from bentos.console.ports.watch import Need, Process, Standing
from feature_repo.errors import ServerError
from monitoring.reason_classes import NONE, PERFORMANCE, UNDECIDED
from pipelines.environment import Installation

ENDED_WELL = ("promoted", "abandoned", "")  # results of a rollout that nobody need look at; another took its place
Found = Mapping[str, Any]


def standing(place: Installation) -> Standing:
    """Collect it; a registry that does not answer is said, and what this machine knows is shown."""
    from pipelines import status

    started = processes_of(place)
    try:
        found = status.status(place)
    except ServerError as error:
        need = Need("registry", str(error))
        return Standing("", "", "", "", "", "", "", "", place.spec.digest, "", started, (need,), str(error))
    return of(found, place, started, quality=_quality(place))


def processes_of(place: Installation) -> tuple[Process, ...]:
    """Return what `intentflow up` started here, and what it could not start, with why."""
    from pipelines.releases import processes

    known = {one.name: one for one in (*processes.failures(place.home), *processes.status(place.home))}
    return tuple(Process(one.name, one.state, one.url, one.reason, str(one.log)) for _, one in sorted(known.items()))


def of(found: Found, place: Installation, started: tuple[Process, ...], *, quality: Found) -> Standing:
    """Sort what `status` found."""
    champion = found["aliases"].get("champion", "")
    tags, rollout = found["versions"].get(champion, {}), found["rollout"]
    moved = [one for one in found["history"] if one["alias"] == "champion" and one["to"] == champion]
    needs = (*_needs(found, place), *_of_quality(quality), *_of_processes(started, place))
    return Standing(
        version=champion,
        release=str(tags.get("id", "")),
        judged=_judged(tags),
        since=str(moved[-1]["when"]) if moved else "",
        why=f"{moved[-1]['who']}: {moved[-1]['why']}" if moved else "",
        rollout=_rollout(rollout),
        experiment=_experiment(rollout),
        last_run=_last_run(found["last_run"]),
        spec=str(found["spec"]),
        applied=str(found["applied"] or ""),
        processes=started,
        needs=needs,
        unknown=str(found["registry_problem"]),
    )


def _judged(tags: Mapping[str, str]) -> str:
    from pipelines.rollout.status_text import judged

    return judged(tags) if tags else ""


def _rollout(rollout: Found) -> str:
    if not (candidate := rollout.get("candidate")):
        return ""
    return f"{rollout['rollout']}: {str(rollout['phase']).replace('_', ' ')}, version {candidate['version']}"


def _experiment(rollout: Found) -> str:
    running = rollout.get("experiment")
    return f"{running['document']['name']}: {running['phase']}" if running else ""


def _last_run(run: Found | None) -> str:
    if run is None:
        return ""
    made = f"version {run['release_version']}" if run["release_version"] else "dry run"
    return f"{made}, {'passed' if run['passed'] else run.get('said') or 'refused'}, {run['seconds']:.0f} s"


def _needs(found: Found, place: Installation) -> Iterator[Need]:
    """Yield what waits for a person, the gravest first."""
    spec = place.spec_path
    if problem := found["registry_problem"]:
        yield Need("registry", problem)
    elif not found["aliases"].get("champion"):
        yield Need("nothing_serves", "", "releases", f"intentflow run {spec}")
    for alias, version in found["dangling"].items():
        yield Need("dangling", f"{alias}: {version}", "releases", f"intentflow promote {spec} --version N")
    yield from _of_drift(found["drift"])
    asked = found["retraining"]
    if asked.get("stopped"):
        yield Need("retraining_stopped", str(asked["why"]), "drift", f"intentflow retraining {spec} --resume")
    if due := found["retraining_due"]:
        yield Need("retraining_due", due, "releases", f"intentflow run {spec}")
    yield from _of_rollout(found["rollout"])
    if (challenger := found["aliases"].get("challenger")) and not found["rollout"].get("candidate"):
        yield Need("challenger", challenger, "releases", f"intentflow promote {spec} --version {challenger}")
    if unfinished := sum(count for state, count in found["forgotten"].items() if state != "forgotten"):
        yield Need("forgetting", str(unfinished), "", f"intentflow forget {spec}")
    for line in ((found["cluster"] or {}).get("differences")) or ():
        yield Need("cluster", str(line))
    if found["applied"] is not None and found["applied"] != found["spec"]:
        yield Need("unapplied", f"{found['applied']} → {found['spec']}", "", f"intentflow plan {spec}")


def _of_drift(drift: Found | None) -> Iterator[Need]:
    if drift is None:
        return
    if drift["class"] not in (NONE, UNDECIDED):
        names = ", ".join([*drift["alarms"], *drift["lost"]][:5])
        yield Need(f"drift_{drift['class']}", names, "drift")
    if drift["untold"]:
        yield Need("untold", drift["untold"], "drift")


def _of_rollout(rollout: Found) -> Iterator[Need]:
    if problem := rollout.get("problem"):
        yield Need("rollout_unknown", str(problem), "releases")
    if notice := rollout.get("notice"):
        yield Need("rollout_notice", str(notice), "releases")
    if rollout.get("held") and rollout.get("why"):
        yield Need("rollout_held", str(rollout["why"]), "releases")
    last = rollout.get("last") or {}
    if not rollout.get("candidate") and str(last.get("result", "")) not in ENDED_WELL:
        yield Need("rollout_ended", f"version {last.get('version', '?')}: {last.get('why', '')}", "releases")
    tried = rollout.get("tried") or {}
    if tried.get("result") in ("broken", "failed"):
        yield Need("experiment", f"{tried.get('name')}: {tried.get('why')}", "experiments")


def _of_quality(mark: Found) -> Iterator[Need]:
    if mark.get("reason") == PERFORMANCE:
        yield Need("quality", str(mark["why"]), "drift")


def _of_processes(started: tuple[Process, ...], place: Installation) -> Iterator[Need]:
    for one in started:
        if one.state != "running":
            yield Need(
                "process",
                f"{one.name}{': ' + one.reason if one.reason else ''}",
                "",
                f"intentflow up {place.spec_path}",
            )


def _quality(place: Installation) -> Found:
    """Return the mark of the last look at realised quality."""
    from components.registry import heartbeats
    from pipelines.releases.release import variables

    with variables(place):
        return heartbeats.read(place.spec.name).get(heartbeats.QUALITY, {})
