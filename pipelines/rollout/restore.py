"""`intentflow rollback`: one command that brings back the registry's champion and what serves, whoever lost either.

The champion goes back to the release before; one whose alias was lost gets it again; and where the registry is right
already, serving is brought to it: doors that were scaled away, undone or deleted, and routes that lead elsewhere. A
loop that holds the lease does the work and is waited for; without one it is done here, by the loop's own code.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

from components.registry import aliases, rollout_tags
from components.registry import client as mlflow_client
from components.registry.aliases import Outcome
from components.registry.release import model_name
from feature_repo.errors import Refused, ServerError
from pipelines.environment import Installation
from pipelines.leases.place_lease import held
from pipelines.releases.release import variables
from pipelines.rollout import loop
from pipelines.rollout.actuator import Actuator
from pipelines.rollout.loop import Superseded
from pipelines.rollout.mending import leads, noticed
from pipelines.rollout.state import State

FOLLOWS_S = 20.0  # a door that runs is one write of the routes away
STARTS_S = 400.0  # a door that must start first: no longer than the loop itself waits for one
POLL_S = 0.2


@dataclass(frozen=True)
class Wanted:
    """A rollback as its asker saw it: from a champion to the version before, while no rollout runs."""

    champion: str
    to: str


class Unwanted(Refused):
    """A rollback that is not done: nothing was moved."""


def refusal(place: Installation, state: State, champion: str, previous: str) -> str:
    """Say why there is no way back by one move now, '' where there is one."""
    if state.candidate is not None:
        at = state.phase.replace("_", " ")
        return (
            f"rollback: rollout {state.rollout} of {state.candidate} is under way ({at}); wait for its end, or take it "
            "back with `intentflow rollback`"
        )
    if place.environment.kubernetes.namespace and state.stable is None:
        return (
            "rollback: no loop has recorded what serves on the cluster; run `intentflow rollback` where the cluster "
            "can be reached"
        )
    if not champion:
        return "rollback: no version is the champion; `intentflow rollback` gives a lost alias back"
    if not previous:
        return (
            f"rollback: {model_name(place.spec.name)} has no version 'previous', so there is nothing to go back to; "
            "promote another version instead"
        )
    return ""


def restore(
    place: Installation, why: str, *, who: str = "", wanted: Wanted | None = None, by_loop: bool = False
) -> dict[str, Any]:
    """Move the champion alias back where it belongs, and have serving follow at once where it runs.

    '' for `who` is the user of this process. With `wanted` it is done only from that champion to that version, and not
    while a rollout runs: Unwanted says what is otherwise, and nothing was moved. With `by_loop` this process touches no
    door and no route, as where it has no account of the cluster: the loop there follows, and its record is awaited.
    """
    if by_loop:
        return _moved(place, why, who, wanted)
    actuator, started = loop.actuator_of(place), time.monotonic()
    with variables(place):
        state = State.of(rollout_tags.read(place.spec.name).state)
        if wanted is not None:
            _require(place, state, wanted)
        door = actuator.overlay_door()
        serves = actuator.routed() is not None or (door is not None and door.routed)
        last = state.stable.version if state.stable else ""
        outcome = aliases.rollback(place.spec.name, who=who or mlflow_client.user(), why=why, serves=last, stays=serves)
    if not serves:
        return _told(outcome, "", started)
    with variables(place):
        if not outcome.moved and (release := _serving(place, actuator, outcome.champion)):
            return _told(outcome, release, started)
    return _told(outcome, _followed(place, actuator, outcome.champion), started)


def _moved(place: Installation, why: str, who: str, wanted: Wanted | None) -> dict[str, Any]:
    """Move the champion alias, and wait until the loop has recorded that what serves followed."""
    started = time.monotonic()
    with variables(place):
        state = State.of(rollout_tags.read(place.spec.name).state)
        if wanted is not None:
            _require(place, state, wanted)
        last = state.stable.version if state.stable else ""
        named = who or mlflow_client.user()
        outcome = aliases.rollback(place.spec.name, who=named, why=why, serves=last, stays=bool(last))
        if not last:
            return _told(outcome, "", started)
        kept = state.previous is not None and state.previous.version == outcome.champion
        patience_s = FOLLOWS_S if kept else STARTS_S
        while True:
            state = State.of(rollout_tags.read(place.spec.name).state)
            if state.candidate is None and state.stable is not None and state.stable.version == outcome.champion:
                return _told(outcome, state.stable.release, started)
            if state.held or time.monotonic() - started >= patience_s:
                break
            time.sleep(POLL_S)
    raise ServerError(
        f"version {outcome.champion} is the champion, but the rollout's loop did not record in {patience_s:.0f} s that "
        f"it serves: {state.why or 'does `intentflow reconcile --watch` run?'}"
    )


def _require(place: Installation, state: State, wanted: Wanted) -> None:
    holders = aliases.status(place.spec.name).holders
    champion, previous = holders.get("champion", ""), holders.get("previous", "")
    if why := refusal(place, state, champion, previous):
        raise Unwanted(why)
    if (champion, previous) != (wanted.champion, wanted.to):
        raise Unwanted(
            f"rollback: from version {wanted.champion} to {wanted.to} was asked for, but by now version {champion} is "
            f"the champion and {previous} the one before; nothing was moved"
        )


def _followed(place: Installation, actuator: Actuator, version: str) -> str:
    """Bring serving to a version, or wait for the loop that does; return the release."""
    with variables(place):
        state, facts = loop.look(place, actuator)
    release = facts.registry.versions[version].release if version in facts.registry.versions else ""
    patience_s = FOLLOWS_S if release in facts.running else STARTS_S
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with held(place) as lease:
                loop.once(place, actuator, lease, eager=True)
        except (Refused, Superseded):
            pass  # another loop holds the lease and follows by itself
        with variables(place):
            if release := _serving(place, actuator, version):
                return release
            state, facts = loop.look(place, actuator)
        if state.held or time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
    notice = noticed(state, facts.running, facts.overlay_door, facts.routes)
    raise ServerError(
        f"version {version} is the champion, but serving did not follow in {patience_s:.0f} s: "
        f"{state.why or notice or 'the rollout waits'}; `intentflow status` shows more"
    )


def _serving(place: Installation, actuator: Actuator, version: str) -> str:
    """Return a version's release where it is stable, and all users are led to a door that runs it; '' where not."""
    state, facts = loop.look(place, actuator)
    stable, routes = state.stable, facts.routes
    if stable is None or stable.version != version or facts.registry.champion != version or state.candidate:
        return ""
    right = routes is not None and leads(routes, facts.running) and routes.mode == "stable"
    return stable.release if right and not noticed(state, facts.running, facts.overlay_door, routes) else ""


def _told(outcome: Outcome, serving: str, started: float) -> dict[str, Any]:
    return asdict(outcome) | {"serving": serving, "seconds": round(time.monotonic() - started, 3)}
