"""The rollout and what serves, as lines for `intentflow status`.

Reads the loop's `summary`. A cluster that does not answer becomes one line, and the rest of the status is shown.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from components.registry.baseline_champion import INSTEAD_OF, SAID
from components.verdicts import REFUSED, UNDECIDED
from feature_repo.errors import ServerError, SpecError
from feature_repo.release_folder import BASELINE, BASELINES, KIND
from pipelines.environment import Installation

SHOWN = 5  # gates that refused, and lines of a version's story


def summary(place: Installation, champion: str) -> dict[str, Any]:
    """Return the loop's summary; {} before anything was promoted, {"problem": …} where it cannot be read."""
    if not champion:
        return {}
    from pipelines.rollout import loop

    try:
        return loop.summary(place)
    except (ServerError, SpecError) as error:
        return {"problem": str(error)}


def recorded(place: Installation, champion: str) -> dict[str, Any]:
    """Return the rollout as the registry has it; {} before anything was promoted."""
    if not champion:
        return {}
    from pipelines.rollout import loop

    return loop.recorded(place)


def lines(found: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield the lines about what serves and the rollout under way."""
    if problem := found.get("problem"):
        yield f"  serving     unknown: {problem}"
        return
    if routes := found.get("routes"):
        yield from _arms(routes, found.get("running") or {})
    elif running := found.get("running"):
        yield from (f"  serving     release {release}  {url}" for release, url in sorted(running.items()))
    if notice := found.get("notice"):
        yield f"  noticed     {notice}"
    if candidate := found.get("candidate"):
        held = f", waits: {found['why']}" if found.get("held") and found.get("why") else ""
        yield f"  rollout     {found['rollout']}: {found['phase'].replace('_', ' ')}, {_version(candidate)}{held}"
    elif last := found.get("last"):
        why = f": {last['why']}" if last.get("why") else ""
        yield f"  rollout     version {last.get('version', '?')} {str(last.get('result', '?')).replace('_', ' ')}{why}"
    about = (candidate or {}).get("version") or (found.get("last") or {}).get("version")
    story = versions.get(str(about), {}).get("rollout_log", "")
    yield from (f"    {line}" for line in story.splitlines()[-SHOWN:])


def judged(tags: Mapping[str, str]) -> str:
    """Say how a version was judged; of a baseline, what stands in which part's place."""
    if tags.get(KIND) != BASELINE:
        return f"gates {tags.get('gates', '?')}"
    replaced = json.loads(tags.get(BASELINES) or "{}")
    made = ", ".join(f"{baseline} for {part}" for part, baseline in replaced.items())
    return f"{SAID} ({made}, instead of release {tags.get(INSTEAD_OF, '?')})"


def gates(tags: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each gate of a version: those that hold it back first, and last what was not judged."""
    found = json.loads(tags.get("verdict") or "{}").get("gates", [])
    judged = [gate for gate in found if not gate.get("skipped")]
    for word in (REFUSED, UNDECIDED):  # before there was `undecided`, what did not pass was refused
        held = [gate for gate in judged if not gate["passed"] and gate.get("verdict", REFUSED) == word]
        for gate in held[:SHOWN]:
            yield f"    {word}: {gate['reason']}"
        if len(held) > SHOWN:
            yield f"    and {len(held) - SHOWN} more (tag `verdict`)"
    passed = [str(gate.get("metric", "?")) + (f" of {gate['cohort']}" if gate.get("cohort") else "")
              for gate in judged if gate["passed"]]  # fmt: skip
    if passed:
        more = f" and {len(passed) - SHOWN} more" if len(passed) > SHOWN else ""
        yield f"    passed: {', '.join(passed[:SHOWN])}{more}"
    for gate in [gate for gate in found if gate.get("skipped")][:SHOWN]:
        yield f"    not judged: {gate.get('metric', '?')}: {gate['reason']}"


def _arms(routes: Mapping[str, Any], running: Mapping[str, str]) -> Iterator[str]:
    share = float(routes["share"]) if routes["mode"] == "canary" else 0.0
    parts = {"stable": f"{1 - share:.0%} of users", "candidate": f"{share:.0%} of users"}
    if routes["mode"] == "shadow":
        parts["candidate"] = f"copies of {float(routes['mirror']):.0%} of requests"
    for arm, part in parts.items():
        if backend := routes.get(arm):
            gone = "" if backend["release"] in running else "  NOT RUNNING"
            yield f"  {arm:<11} release {backend['release']}  {backend['url']}  {part}{gone}"


def _version(served: Any) -> str:
    """Name a version as the loop's document has it."""
    if isinstance(served, Mapping):
        return f"version {served.get('version')} (release {served.get('release')})"
    return str(served)
