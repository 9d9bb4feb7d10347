"""The actuator on a laptop: each release's door is a background process, the router follows a file.

Doors and router are those that `intentflow up` starts (`pipelines/releases/serving.py`); `cluster.py` is its
counterpart.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bentos.router import start as router
from bentos.router.observations import Observations
from bentos.router.routes import Routes
from components.registry import gates
from components.registry import rollout_tags as registry
from components.registry.experiment_spec import Kpi
from feature_repo import files, release_folder
from feature_repo.errors import Refused, ServerError
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.leases.lease import FOLDER
from pipelines.releases import processes, serving
from pipelines.releases import release as releases
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.outcomes import Outcomes

REWARDS_EVERY_S = 10.0  # reading the logs costs


class LaptopActuator:
    """Acts on the processes of one state folder."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self._rewards: tuple[float, Mapping[str, Rewarded]] = (0.0, {})
        self._measured_at = -REWARDS_EVERY_S
        self._routed_at = 0.0

    def under(self, token: int) -> None:
        """Do nothing: the kernel holds the lock for as long as the process lives, paused or not."""

    def prepare(self, version: str) -> str:
        """Fetch, verify and build."""
        try:
            folder, bento = releases.built(self.place, version)
        except RuntimeError as error:  # BentoML's own words are in it
            raise ServerError(str(error)) from error
        release = ReleaseFolder.read(folder).id
        files.write_json(self._bento(release), {"bento": bento})
        return release

    def check(self, release_id: str) -> str:
        """Replay logged answers through the offline path."""
        from pipelines.answers import parity

        found = gates.parity(parity.parity(self.place, release_id), self.place.spec.promotion.parity)
        if not found.passed:
            raise Refused(f"parity: {found.reason}")
        return found.reason

    def start(self, release_id: str) -> str:
        """Start the door on any free port."""
        if url := self.running().get(release_id):
            return url
        bento = str(files.read_json(self._bento(release_id))["bento"])
        door = serving.door(self.place, release_id, bento, port=processes.free_port(0))
        with releases.variables(self.place):
            (state,) = processes.up(self.place.home, [door])
        if state.state == "failed":
            raise ServerError(f"release {release_id} did not start: {state.reason}")
        return state.url

    def materialise(self, release_id: str) -> str:
        """Bring the profiles of the release's vocabulary into the store."""
        from pipelines.rollout import profiles

        with releases.variables(self.place):
            return profiles.materialise_release(self.place, release_id)

    def route(self, routes: Routes) -> None:
        """Write the router's file."""
        serving.route(self.place, routes)
        self._routed_at = time.monotonic()

    def routed(self) -> Routes | None:
        """Read the router's file; the processes of a door are no matter of the loop's."""
        found = router.read(router.routes_file(self.place.home))
        return None if found is None else found.over({})

    def observe(self) -> Observations | None:
        """Ask the router, if it runs."""
        url = serving.running(self.place)
        return router.observe(url) if url else None

    def rewards(self, asked: Sequence[str], *, since_s: float) -> Mapping[str, Rewarded]:
        """Join requests with events, now and then."""
        from pipelines.rollout import rewards

        at, found = self._rewards
        if time.monotonic() - at > REWARDS_EVERY_S:
            found = rewards.rewarded(self.place, asked, since_s=since_s)
            self._rewards = (time.monotonic(), found)
        return found

    def outcomes(
        self, arms: Mapping[str, str], kpi: Kpi, covariates: Sequence[str], *, since_s: float
    ) -> Outcomes | None:
        """Join requests with events, now and then; nothing new in between."""
        from pipelines.rollout import outcomes

        if time.monotonic() - self._measured_at <= REWARDS_EVERY_S:
            return None
        with releases.variables(self.place):
            found = outcomes.measured(self.place, arms, kpi, covariates, since_s=since_s)
        self._measured_at = time.monotonic()
        return found

    def stop(self, release_id: str) -> None:
        """End a door that nothing is routed to any more."""
        time.sleep(max(0.0, self._routed_at + serving.SEEN_S - time.monotonic()))
        processes.down(self.place.home, [f"{serving.DOOR}-{release_id}"])

    def prune(self) -> str:
        """Drop what no alias needs; nothing while a release with an alias was not fetched yet."""
        from pipelines.rollout import profiles

        with releases.variables(self.place):
            keep = set(registry.aliased(self.place.spec.name).values())
        folders = [releases.models_of(self.place.home, release) for release in keep]
        if not keep or not all(map(release_folder.holds, folders)):
            return "profiles stay: a release with an alias was not fetched yet"
        return ", ".join(profiles.prune(self.place, keep)) or "nothing to drop"

    def running(self) -> Mapping[str, str]:
        """Return the doors that run."""
        return serving.doors(self.place)

    def overlay_door(self) -> None:
        """Return nothing: every door here is one that the loop, or `up`, made for its release."""

    def retire(self) -> None:
        """Do nothing: there is no such door."""

    def meanwhile(self, look: Callable[[], None]) -> None:
        """Do nothing: a door starts within seconds."""

    def tend(self) -> None:
        """Start the router again where it was; one that `down` ended has no record."""
        states = [s for s in processes.status(self.place.home) if s.name == serving.ROUTER and s.state == "gone"]
        for gone in states:
            port = int(gone.url.rpartition(":")[2])
            (state,) = processes.up(self.place.home, [serving.router(self.place, port=port)])
            if state.state == "failed":
                raise ServerError(f"the router was killed and does not start again: {state.reason}")

    def _bento(self, release_id: str) -> Path:
        return self.place.home / FOLDER / f"{release_id}.json"
