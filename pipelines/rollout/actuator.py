"""What the rollout's loop acts with: the same verbs on a laptop (`local.py`) and on a cluster (`cluster.py`).

Every verb may be called again at any time, also after a kill in the middle of it: what is there already stays. A verb
that cannot do its work because of the release raises UserError, Refused or ServerError with one line that says why.
The loop decides what to do (`machine.py`); hands decide nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from bentos.router.observations import Observations
from bentos.router.routes import Routes


class Rewarded(NamedTuple):
    """How often users acted on what a release recommended."""

    shown: int  # answers whose time to act has passed
    acted: int  # of these: the user acted on one of the items


class Actuator(Protocol):
    """The verbs."""

    def under(self, token: int) -> None:
        """Write under a lease's token from now on, so that what wrote under a larger one stays."""

    def prepare(self, version: str) -> str:
        """Fetch a version of <name>-release, verify every byte, build what runs it; return the release's id."""

    def check(self, release_id: str) -> str:
        """Refuse a release whose logged answers the offline path does not reproduce; return what was checked."""

    def start(self, release_id: str) -> str:
        """Start the release's door unless it runs; return its URL once it is ready."""

    def materialise(self, release_id: str) -> str:
        """Bring the release's profiles into the online store, beside the others'; return what was done."""

    def route(self, routes: Routes) -> None:
        """Have the router follow these routes."""

    def routed(self) -> Routes | None:
        """Return the routes that the router follows; None before the first."""

    def observe(self) -> Observations | None:
        """Return what the router has seen; None while it does not answer."""

    def rewards(self, releases: Sequence[str], *, since_s: float) -> Mapping[str, Rewarded]:
        """Return by release how users acted on answers since then (epoch seconds); empty where nobody can tell."""

    def stop(self, release_id: str) -> None:
        """Let the release's door finish what it answers, and end it."""

    def prune(self) -> str:
        """Drop the profiles of vocabularies that no release with an alias uses; return what was dropped."""

    def running(self) -> Mapping[str, str]:
        """Return the URL of every door that runs, by release id."""

    def tend(self) -> None:
        """Start the router again where it was killed and nothing else does that."""
