"""Whatever fails, dies or is moved, and in whichever order: the loop never takes away what serves, nor the champion.

The world has a door for each release, and the overlay's own door, which is another release after each apply; people
apply, undo, scale, delete, edit routes and move aliases; loops are killed between two acts, and others continue.
"""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bentos.router.routes import Backend, Routes
from pipelines.rollout import loop, mending
from pipelines.rollout.actuator import OverlayDoor
from pipelines.rollout.state_machine import Act, Facts, backends, decide, failed
from tests.pipelines.rollout.test_state_machine import RELEASES, RULES, World

VERBS = ("prepare", "start", "materialise", "check", "route", "stop", "retire")
OVERLAY = "http://recommender-stable"
BASES = ("seed", *RELEASES.values())  # what an overlay or a release's folder names
SETTLED = 40  # looks after which a quiet world has settled


class Running:
    """As much of an actuator as the guards before a stop ask."""

    def __init__(self, machine: "Rollouts") -> None:
        self.machine = machine

    def routed(self) -> Routes | None:
        """Return the world's routes."""
        return self.machine.world.routes

    def running(self) -> dict[str, str]:
        """Return the world's doors."""
        return self.machine.running()

    def overlay_door(self) -> OverlayDoor:
        """Return the overlay's door."""
        return self.machine.overlay_door()

    def retire(self) -> None:
        """Scale the overlay's door to nothing."""
        self.machine.base_pods = 0
        self.machine.base_runs = ""


class Rollouts(RuleBasedStateMachine):
    """A loop that looks now and then, while verbs fail, doors die, and people apply, scale, edit and move the alias."""

    @initialize(applied=st.sampled_from(["", *RELEASES.values()]), pods=st.integers(0, 2))
    def begin(self, applied: str, pods: int) -> None:
        """Begin with an overlay to which a person applied a release, or with none applied."""
        self.world = World(champion="1" if applied else "", rules=replace_steps())
        self.had = self.world.champion
        self.base_template = applied or "seed"
        self.base_before = "seed"
        self.base_pods = pods
        self.base_runs = applied if pods else ""  # the release of its ready pods; '' while they differ, or none is

    def overlay_door(self) -> OverlayDoor:
        """Return the overlay's door as the actuator reports it."""
        return OverlayDoor(OVERLAY, self.base_runs, self.base_template, self.base_pods)

    def running(self) -> dict[str, str]:
        """Return the URL of a ready door by the release that it runs; a door of its own comes first."""
        return ({self.base_runs: OVERLAY} if self.base_runs else {}) | self.world.running

    def facts(self) -> Facts:
        """Return what a loop would read."""
        return replace(self.world.facts(), running=self.running(), overlay_door=self.overlay_door())

    @rule(fails=st.sampled_from(["", *VERBS]), passing=st.booleans())
    def look(self, fails: str, passing: bool) -> None:
        """Let the loop look once; one verb may fail. Its acts are guarded as loop._act guards them."""
        world = self.world
        decision = decide(world.state, self.facts(), world.rules)
        for act in decision.acts:
            if act.verb == fails or not self.done(act):
                if world.state.candidate is None or world.state.phase == "rolling_back" or self.of_stable(act):
                    return  # nothing is written: the loop waits and decides again
                decision = failed(world.state, f"{act.verb} broke", now=world.now, passing=passing)
                break
        world.state = decision.state

    @rule(acts=st.integers(0, 3))
    def a_loop_is_killed(self, acts: int) -> None:
        """Kill a loop after a few of its acts, before it has written its state; another one goes on from there."""
        decision = decide(self.world.state, self.facts(), self.world.rules)
        for act in decision.acts[:acts]:
            if not self.done(act):
                return

    def of_stable(self, act: Act) -> bool:
        """Tell whether an act keeps stable up, as loop._of_stable does."""
        return loop._of_stable(act, self.world.state)

    def done(self, act: Act) -> bool:
        """Do one act as the loop does; False where the loop refuses to."""
        world, answered = self.world, self.answering()
        if act.verb == "start":
            world.running[act.what] = f"http://recommender-{act.what}"
        elif act.verb == "stop":
            if loop.serves(act.what, Running(self)):  # type: ignore[arg-type]
                return False
            world.running.pop(act.what, None)
        elif act.verb == "retire":
            loop._retire(Running(self), world.state)  # type: ignore[arg-type]
        elif act.verb == "route":
            routes = backends(world.state, act, self.running())
            if routes is None:
                return False
            world.routes = routes
        elif act.verb == "take_back":
            assert act.to, "no champion would be left"
            if world.champion == act.what:
                world.champion = act.to
        assert not answered or self.answering(), f"{act} took away what served"
        return True

    def answering(self) -> bool:
        """Tell whether users get answers of the release that the routes name."""
        if self.world.routes is None:  # the overlay's first routes lead to its own door
            return bool(self.base_runs)
        return mending.leads(self.world.routes, self.running()) or (
            self.world.routes.stable.url == OVERLAY and self.world.routes.stable.release == self.base_runs
        )

    @rule(version=st.sampled_from([*RELEASES, ""]))
    def person_moves_the_alias(self, version: str) -> None:
        """Move or delete the champion, as anyone may in MLflow's UI."""
        self.world.champion = self.had = version

    @rule(version=st.sampled_from([*RELEASES]), passed=st.booleans())
    def gates_say(self, version: str, passed: bool) -> None:
        """Have a version that its gates refused, or not."""
        self.world.gates[version] = passed

    @rule(release=st.sampled_from([*RELEASES.values()]))
    def a_door_dies(self, release: str) -> None:
        """Kill a release's own door, scale it to nothing, or delete its Deployment."""
        self.world.running.pop(release, None)

    @rule(release=st.sampled_from([*RELEASES.values()]))
    def a_door_is_scaled_up(self, release: str) -> None:
        """Start a door of a release behind the loop's back."""
        self.world.running[release] = f"http://recommender-{release}"

    @rule(release=st.sampled_from(BASES))
    def person_applies(self, release: str) -> None:
        """Apply the overlay, or a release's folder, in either way: its pods are of two releases for a while."""
        if release != self.base_template:
            self.base_before, self.base_template = self.base_template, release
            self.base_runs = ""

    @rule()
    def person_undoes(self) -> None:
        """Undo the last apply."""
        self.person_applies(self.base_before)

    @rule()
    def the_overlay_s_pods_become_ready(self) -> None:
        """End the turn of the overlay's door."""
        if self.base_pods:
            self.base_runs = self.base_template

    @rule(pods=st.integers(0, 2))
    def person_scales(self, pods: int) -> None:
        """Scale the overlay's door, to nothing or back."""
        self.base_pods = pods
        if not pods:
            self.base_runs = ""

    @rule(release=st.sampled_from(BASES), url=st.sampled_from([OVERLAY, "http://recommender-bbbb", "http://nowhere"]))
    def person_edits_the_routes(self, release: str, url: str) -> None:
        """Write routes by hand, true or not."""
        self.world.routes = Routes(stable=Backend(release=release, url=url))

    @rule()
    def person_deletes_the_routes(self) -> None:
        """Delete the ConfigMap of the routes."""
        self.world.routes = None

    @rule(n=st.integers(1, 60), errors=st.integers(0, 60), seconds=st.integers(1, 700))
    def traffic(self, n: int, errors: int, seconds: int) -> None:
        """Let requests come and time pass."""
        world: Any = self.world
        world.now += seconds
        shown = world.routes
        if shown is not None and shown.mode == "shadow":
            world.shadow = replace_counts(world.shadow, n, min(n, errors))
        elif shown is not None and shown.mode == "canary":
            world.candidate = replace_counts(world.candidate, n, min(n, errors))

    @precondition(lambda self: self.world.state.stable is not None or self.world.state.candidate is not None)
    @rule()
    def a_look_that_nothing_disturbs_leads_users_to_a_door_that_is_ready(self) -> None:
        """After one look nobody is led to nothing, where a door is ready."""
        had = bool(self.running())
        self.look("", passing=False)
        assert not had or self.answering(), (self.world.routes, self.running())

    @rule()
    def the_world_is_quiet(self) -> None:
        """After everybody let go the champion serves by its own door, the routes say so, and nothing else runs."""
        self.the_overlay_s_pods_become_ready()
        world = self.world
        for _ in range(SETTLED):
            world.now += 700  # longer than anything is held, kept or waited for
            self.look("", passing=False)
        state = world.state
        if state.stable is None:
            assert not world.champion or not world.gates.get(world.champion, True), "a champion that may serve does not"
            return
        assert state.candidate is None
        assert world.champion in ("", state.stable.version)
        release = state.stable.release
        assert world.routes == Routes(stable=Backend(release=release, url=f"http://recommender-{release}"))
        assert (set(world.running), self.base_pods) == ({release}, 0)

    @invariant()
    def a_champion_that_there_was_is_there(self) -> None:
        """Only people leave the registry without a champion."""
        assert self.world.champion or not self.had


def replace_steps() -> Any:
    """Return rules whose rollouts end within a few looks."""
    return RULES.model_copy(update={"hold_s": 1.0})


def replace_counts(counts: Any, n: int, errors: int) -> Any:
    """Add answers to what the router counted."""
    buckets = dict(counts.buckets_ms) or {"500": 0, "+Inf": 0}
    grown = {key: buckets.get(key, 0) + n - errors for key in ("500", "+Inf")}
    name = "mirrored" if hasattr(counts, "mirrored") else "requests"
    update = {name: getattr(counts, name) + n, "errors": counts.errors + errors, "buckets_ms": grown}
    if name == "mirrored":
        update |= {"compared": counts.compared + n, "overlap_sum": counts.overlap_sum + 0.5 * n}
    return counts.model_copy(update=update)


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
