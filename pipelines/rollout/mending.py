"""What differs from what must be, whoever did it, and what mends it: routes, stable's door, the overlay's door. Pure.

A part of the state machine. Three rules: the routes lead to a door that is ready and runs the release that they name,
whenever there is one; stable gets a door of its own, since the overlay's turns into another release at the next apply;
the overlay's own goes to no pods once stable's own serves. Nothing here stops what serves.
"""

from collections.abc import Mapping

from bentos.router.routes import Backend, Routes
from pipelines.rollout.actuator import OverlayDoor
from pipelines.rollout.state import State

ANY = "meanwhile"  # mode of the act `route`: to whichever door is ready


def leads(routes: Routes | None, running: Mapping[str, str]) -> bool:
    """Tell whether the routes lead to a ready door that runs the release which they name."""
    return routes is not None and running.get(routes.stable.release, "").rstrip("/") == routes.stable.url


def stand_in(state: State, running: Mapping[str, str]) -> Backend | None:
    """Return the door that answers while stable's does not: the one before, then another, the candidate's last."""
    known = [served.release for served in (state.stable, state.previous) if served is not None]
    last = [state.candidate.release] if state.candidate is not None else []
    others = sorted(set(running) - {*known, *last})
    release = next((one for one in (*known, *others, *last) if one in running), None)
    return None if release is None else Backend(release=release, url=running[release])


def turned(state: State, running: Mapping[str, str], routes: Routes | None) -> bool:
    """Tell whether users must be led elsewhere at once: their routes lead to nothing that is ready, and a door is."""
    return not leads(routes, running) and stand_in(state, running) is not None


def own(release: str, running: Mapping[str, str], door: OverlayDoor | None) -> bool:
    """Tell whether a release has a ready door of its own."""
    return release in running and (door is None or running[release] != door.url)


def beside(state: State, running: Mapping[str, str], door: OverlayDoor | None, routes: Routes | None) -> bool:
    """Tell whether the overlay's door has pods that nobody needs: stable's own serves, and no route leads to it."""
    if door is None or not door.pods or state.stable is None or not leads(routes, running):
        return False
    named = {backend.url for backend in (routes.stable, routes.candidate, *routes.arms) if backend} if routes else set()
    return own(state.stable.release, running, door) and door.url not in named


def needless(state: State, running: Mapping[str, str], door: OverlayDoor | None) -> list[str]:
    """Return the releases with a door of their own that neither serve nor are kept, such as a killed loop leaves."""
    kept = {served.release for served in (state.stable, state.previous, state.candidate) if served is not None}
    if state.experiment is not None:
        kept |= {arm.release for arm in state.experiment.arms}
    return sorted(release for release in set(running) - kept if own(release, running, door))


def noticed(state: State, running: Mapping[str, str], door: OverlayDoor | None, routes: Routes | None) -> str:
    """Say in one line what is otherwise than it must be, and who did it where that is known; '' where all is well."""
    stable = state.stable
    if routes is not None and not leads(routes, running) and (stable is not None or running):
        return _misled(routes.stable, running, door)
    if stable is None:
        return ""
    if (
        routes is not None
        and state.candidate is None
        and (routes.stable.release, routes.mode)
        != (
            stable.release,
            "stable",
        )
    ):
        by = _by(door.routes_by) if door is not None else ""
        return f"the routes lead to release {routes.stable.release} in mode {routes.mode}{by}; {stable} is stable"
    if stable.release not in running:
        return f"{stable} is stable, and no door that is ready runs it"
    if not own(stable.release, running, door):
        assert door is not None
        turns = f", which turns into release {door.becomes}{_by(door.by)}" if door.becomes != stable.release else ""
        return f"{stable} has only the overlay's Deployment/recommender{turns}; it gets a door of its own"
    if beside(state, running, door, routes):
        assert door is not None
        return (
            f"the overlay's Deployment/recommender has {door.pods} pods of release {door.becomes}"
            f"{_by(door.scaled_by or door.by)}; no route leads to it, and it goes to 0 again"
        )
    return ""


def _misled(routed: Backend, running: Mapping[str, str], door: OverlayDoor | None) -> str:
    """Say why a route is wrong."""
    if door is not None and routed.url == door.url and door.pods:
        runs = f"runs release {door.runs}" if door.runs else f"has no pods of one release ready (next: {door.becomes})"
        return f"the routes call {routed.url} release {routed.release}, and it {runs}{_by(door.by)}"
    by = _by(door.routes_by) if door is not None else ""
    if routed.release in running:
        return f"the routes lead to {routed.url}{by}; release {routed.release} is at {running[routed.release]}"
    return f"release {routed.release}, which the routes lead to{by}, has no door that is ready"


def _by(manager: str) -> str:
    return f" (written by {manager})" if manager else ""
