"""Whatever fails, dies or is moved, and in whichever order: the loop never takes away what serves, nor the champion."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bentos.router.routes import Routes
from pipelines.rollout import loop
from pipelines.rollout.state_machine import Act, backends, decide, failed
from tests.pipelines.rollout.test_state_machine import RELEASES, RULES, World

VERBS = ("prepare", "start", "materialise", "check", "route", "stop")


class Running:
    """As much of an actuator as the guard before a stop asks."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routed(self) -> Routes | None:
        """Return the world's routes."""
        return self.world.routes

    def running(self) -> dict[str, str]:
        """Return the world's doors."""
        return dict(self.world.running)


class Rollouts(RuleBasedStateMachine):
    """A loop that looks now and then, while verbs fail, doors die, and people apply, scale and move the alias."""

    @initialize(applied=st.booleans())
    def begin(self, applied: bool) -> None:
        """Begin with a door that a person applied, or with none."""
        self.world = World(champion="1" if applied else "", rules=replace_steps())
        if applied:
            self.world.running["aaaa"] = "http://base"
        self.had = self.world.champion

    @rule(fails=st.sampled_from(["", *VERBS]), passing=st.booleans())
    def look(self, fails: str, passing: bool) -> None:
        """Let the loop look once; one verb may fail. Its acts are guarded as loop._act guards them."""
        world = self.world
        decision = decide(world.state, world.facts(), world.rules)
        for act in decision.acts:
            if act.verb == fails or not self.done(act):
                if world.state.candidate is None or world.state.phase == "rolling_back":
                    return  # nothing is written: the loop waits and decides again
                decision = failed(world.state, f"{act.verb} broke", now=world.now, passing=passing)
                break
        world.state = decision.state

    def done(self, act: Act) -> bool:
        """Do one act as the loop does; False where the loop refuses to."""
        world = self.world
        if act.verb == "start":
            world.running.setdefault(act.what, f"http://{act.what}")
        elif act.verb == "stop":
            if loop.serves(act.what, Running(world)):  # type: ignore[arg-type]
                return False
            answering = self.answering()
            world.running.pop(act.what, None)
            assert not answering or self.answering(), f"{act} took away what served"
        elif act.verb == "route":
            routes = backends(world.state, act, world.running)
            if routes is None:
                return False
            world.routes = routes
        elif act.verb == "take_back":
            assert act.to, "no champion would be left"
            if world.champion == act.what:
                world.champion = act.to
        return True

    def answering(self) -> bool:
        """Tell whether users get answers: the door that the routes lead to runs, or before any routes a door."""
        routes, running = self.world.routes, self.world.running
        return routes.stable.release in running if routes is not None else bool(running)

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
        """Kill a door, scale it to nothing, or undo what was applied."""
        self.world.running.pop(release, None)

    @rule(release=st.sampled_from([*RELEASES.values()]))
    def a_person_applies(self, release: str) -> None:
        """Start a door behind the loop's back."""
        self.world.running.setdefault(release, f"http://by-hand-{release}")

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

    @invariant()
    def a_champion_that_there_was_is_there(self) -> None:
        """Only people leave the registry without a champion."""
        assert self.world.champion or not self.had

    @invariant()
    def routes_name_a_release(self) -> None:
        """Routes never lead to what the loop has ended."""
        if self.world.routes is not None:
            assert self.world.routes.stable.release in RELEASES.values()


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
