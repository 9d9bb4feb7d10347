"""Start, stop and route release processes: the same verbs on a laptop (`laptop.py`) and on a cluster (`cluster.py`).

The state machine decides (`state_machine.py`); the actuator only acts. Every verb is idempotent: it may be called again
at any time, also after a kill in the middle of it. Where a release is at fault it raises UserError, Refused or
ServerError with one line that says why.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bentos.router.observations import Observations
from bentos.router.routes import Routes
from components.registry.experiment_spec import Kpi

if TYPE_CHECKING:
    from pipelines.rollout.outcomes import Outcomes


class Rewarded(NamedTuple):
    """How often users acted on what a release recommended."""

    shown: int  # answers whose time to act has passed
    acted: int  # of these: the user acted on one of the items


class OverlayDoor(NamedTuple):
    """The door that the overlay itself brings: whoever applies, undoes or scales changes what it runs, at any time."""

    url: str
    runs: str  # the one release of its ready pods; '' where none is ready, they differ, or are another recommender's
    becomes: str  # the release of its template: what it runs once its pods have changed
    pods: int  # wanted
    routed: bool = True  # a router stands before it, so that the loop may serve by other doors
    by: str = ""  # who wrote its template last, as Kubernetes names them: kubectl-client-side-apply, kubectl-rollout, …
    scaled_by: str = ""
    routes_by: str = ""  # who wrote the routes last, besides the loop


class Actuator(Protocol):
    """What the loop can do to the outside."""

    def under(self, token: int) -> None:
        """Write under a lease's fencing token from now on: what was written under a larger one stays."""

    def prepare(self, version: str) -> str:
        """Fetch a version of <name>-release, verify every byte, build its process; return the release's id."""

    def check(self, release_id: str) -> str:
        """Refuse a release whose logged answers the offline path does not reproduce; return what was compared."""

    def start(self, release_id: str) -> str:
        """Start the release's door unless it runs; return its URL once it is ready."""

    def materialise(self, release_id: str) -> str:
        """Bring the release's profiles into the online store, beside the others'; return what was done."""

    def route(self, routes: Routes) -> None:
        """Write the routes that routers follow."""

    def routed(self) -> Routes | None:
        """Return the routes that routers follow; None before the first."""

    def observe(self) -> Observations | None:
        """Return the routers' counts; None while one does not answer."""

    def rewards(self, releases: Sequence[str], *, since_s: float) -> Mapping[str, Rewarded]:
        """Return by release how users acted on answers since then (epoch seconds); empty without their logs."""

    def outcomes(
        self, arms: Mapping[str, str], kpi: Kpi, covariates: Sequence[str], *, since_s: float
    ) -> "Outcomes | None":
        """Return what each arm's users did since then (epoch seconds), `arms` by release; None without their logs."""

    def stop(self, release_id: str) -> None:
        """Let the release's door finish the requests that it has, and end it."""

    def prune(self) -> str:
        """Drop the profiles of vocabularies that no release with an alias uses; return what was dropped."""

    def running(self) -> Mapping[str, str]:
        """Return the URL of every door that runs, by release id."""

    def overlay_door(self) -> OverlayDoor | None:
        """Return the door that the overlay brings, beside those that the loop makes; None where there is none."""

    def retire(self) -> None:
        """Stop the overlay's door: a door of the loop's own serves in its place."""

    def meanwhile(self, look: Callable[[], None]) -> None:
        """Call this now and then while a verb waits for something; what it raises ends the verb."""

    def tend(self) -> None:
        """Restart the router where it was killed and nothing else restarts it."""
