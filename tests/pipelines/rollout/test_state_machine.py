"""The state machine, without anything that runs: a small world does what the machine asks of it."""

from dataclasses import dataclass, field, replace

import pytest

from bentos.router.observations import ArmSeen, Observations, ShadowSeen
from bentos.router.routes import Routes
from components.registry.rollout_tags import Registry, Version
from components.registry.spec import Rollout, Shadow
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.state import ReleaseRef, Seen, State
from pipelines.rollout.state_machine import Decision, Facts, backends, decide, failed

RULES = Rollout(steps=(0.1, 1.0), step_requests=20, hold_s=5, wait_s=100, shadow=Shadow(requests=30))
V1, V2, V3 = ReleaseRef("1", "aaaa"), ReleaseRef("2", "bbbb"), ReleaseRef("3", "cccc")
RELEASES = {one.version: one.release for one in (V1, V2, V3)}


def buckets(quick: int, slow: int = 0) -> dict[str, int]:
    return {"500": quick, "+Inf": quick + slow}


@dataclass
class World:
    """A registry, doors, routes and a router, as plain values; does at once what is asked."""

    champion: str = ""
    state: State = field(default_factory=State)
    running: dict[str, str] = field(default_factory=dict)
    routes: Routes | None = None
    now: float = 1000.0
    gates: dict[str, bool] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    stable: ArmSeen = field(default_factory=ArmSeen)
    candidate: ArmSeen = field(default_factory=ArmSeen)
    shadow: ShadowSeen = field(default_factory=ShadowSeen)
    rewards: dict[str, Rewarded] = field(default_factory=dict)
    breaks: str = ""  # the verb that fails
    rules: Rollout = RULES

    def facts(self) -> Facts:
        versions = {v: Version(v, r, self.gates.get(v, True), "map is low") for v, r in RELEASES.items()}
        rollout = self.routes.rollout if self.routes else ""
        seen = Observations(
            boot="b", rollout=rollout, arms={"stable": self.stable, "candidate": self.candidate}, shadow=self.shadow
        )
        registry = Registry(self.champion, True, versions)
        return Facts(registry, dict(self.running), self.routes, seen, self.now, self.rewards)

    def look(self) -> Decision:
        """Decide once and do it."""
        decision = decide(self.state, self.facts(), self.rules)
        for act in decision.acts:
            if act.verb == self.breaks:
                decision = failed(self.state, f"{act.verb} broke", now=self.now, passing=False)
                break
            self.done.append(" ".join(filter(None, (act.verb, act.what, act.mode, act.to))))
            if act.verb == "start":
                self.running[act.what] = f"http://127.0.0.1:{len(self.done)}"
            if act.verb == "stop":
                self.running.pop(act.what, None)
            if act.verb == "route":
                self.routes = backends(self.state, act, self.running)
                self.stable, self.candidate, self.shadow = ArmSeen(), ArmSeen(), ShadowSeen()
            if act.verb == "take_back":
                self.champion = act.to
        self.state = decision.state
        self.lines += [decision.line] if decision.line else []
        return decision

    def settle(self) -> "World":
        """Decide until there is nothing more to do at once."""
        for _ in range(30):
            if not self.look().again:
                return self
        raise AssertionError(f"does not settle: {self.done[-6:]}")

    def move(self, version: str) -> "World":
        """Move the champion, as anyone may."""
        self.champion = version
        return self.settle()

    def mirrored(self, n: int, *, errors: int = 0, overlap: float = 0.5) -> "World":
        """Let the shadow see requests."""
        self.stable = ArmSeen(requests=10 * n, buckets_ms=buckets(10 * n))
        self.shadow = ShadowSeen(
            mirrored=n, errors=errors, buckets_ms=buckets(n - errors), compared=n, overlap_sum=overlap * n
        )
        return self.settle()

    def asked(self, n: int, *, errors: int = 0, slow: int = 0, degraded: int = 0, seconds: float = 10) -> "World":
        """Let the canary answer requests, and time pass."""
        self.now += seconds
        self.stable = ArmSeen(requests=20 * n, buckets_ms=buckets(20 * n))
        self.candidate = ArmSeen(
            requests=n, errors=errors, degraded=degraded, buckets_ms=buckets(n - errors - slow, slow)
        )
        return self.settle()


def serving(version: ReleaseRef = V1) -> World:
    """A world in which a release serves."""
    return World().move(version.version)


def canary() -> World:
    """A world in the middle of a canary of version 2."""
    return serving().move("2").mirrored(40)


def test_nothing_is_done_without_a_champion() -> None:
    assert World().settle().done == []


def test_the_first_release_becomes_stable_at_once() -> None:
    world = serving()
    assert (world.state.phase, world.state.stable, world.state.candidate) == ("idle", V1, None)
    assert world.routes is not None
    assert (world.routes.mode, world.routes.stable.release) == ("stable", "aaaa")
    assert "check aaaa" not in world.done  # there is nothing to compare with


def test_doors_from_before_there_was_a_loop_are_ended() -> None:
    assert set(World(running={"zzzz": "http://127.0.0.1:1"}).move("1").running) == {"aaaa"}


def test_a_rollout_goes_through_shadow_and_steps_to_stable() -> None:
    world = serving().move("2")
    assert world.routes is not None
    assert (world.state.phase, world.routes.mode, world.routes.stable.release) == ("shadow", "shadow", "aaaa")
    started = world.done.index("start bbbb")
    assert world.done[started + 1 : started + 3] == ["route warm", "materialise bbbb"]  # no event is missed
    assert world.mirrored(29).state.phase == "shadow"
    world.mirrored(30)
    assert (world.state.phase, world.routes.mode, world.routes.share) == ("canary", "canary", 0.1)
    assert world.asked(25).routes.share == 1.0
    world.asked(25 + 25)
    assert (world.state.phase, world.state.stable, world.state.previous) == ("idle", V2, V1)
    assert world.routes.mode == "stable"
    assert world.routes.stable.release == "bbbb"
    assert set(world.running) == {"aaaa", "bbbb"}  # the one before is kept for a rollback
    world.now += RULES.keep_previous_s
    assert set(world.settle().running) == {"bbbb"}
    assert world.lines[-1] == "promoted: it is stable"


def test_a_step_takes_its_time_even_under_much_traffic() -> None:
    assert canary().asked(500, seconds=1).state.step == 0


def test_errors_in_the_shadow_take_the_release_back() -> None:
    world = serving().move("2").mirrored(20, errors=20)
    assert (world.champion, world.state.stable, set(world.running)) == ("1", V1, {"aaaa"})
    assert world.state.last["result"] == "rolled_back"
    assert "shadow: errors 20 of 20" in str(world.state.last["why"])


@pytest.mark.parametrize("bad", ["errors", "slow", "degraded"])
def test_a_bad_canary_is_taken_back(bad: str) -> None:
    world = canary().asked(30, **{bad: 25})
    assert world.champion == "1"
    assert world.routes is not None
    assert (world.routes.mode, world.routes.candidate) == ("stable", None)
    assert set(world.running) == {"aaaa"}
    assert f"canary: {bad} 25 of" in str(world.state.last["why"])
    order = [world.done.index("take_back 2 1"), world.done.index("stop bbbb")]
    assert world.done[order[0] - 1] == "route stable"  # users first, then the alias, then the door
    assert order == sorted(order)


def test_rubbish_is_taken_back_by_its_rewards() -> None:
    world = canary()
    world.rewards = {"aaaa": Rewarded(400, 200), "bbbb": Rewarded(60, 2)}
    assert "without reward 58 of 60" in str(world.asked(10).state.last["why"])


def test_rubbish_is_taken_back_by_its_overlap() -> None:
    world = serving()
    world.rules = replace_rules(shadow=Shadow(requests=30, min_overlap=0.3))
    assert "overlap" in str(world.move("2").mirrored(30, overlap=0.1).state.last["why"])


def replace_rules(**fields: object) -> Rollout:
    return RULES.model_copy(update=fields)


@pytest.mark.parametrize(
    ("declared", "stable", "champion"), [("rollback", V1, "1"), ("promote", V2, "2"), ("hold", V1, "2")]
)
def test_without_traffic_the_declared_outcome_follows(declared: str, stable: ReleaseRef, champion: str) -> None:
    world = serving()
    world.rules = replace_rules(on_missing=declared)
    world.move("2")
    world.now += 99
    assert world.settle().state.phase == "shadow"
    world.now += 1
    assert (world.settle().state.stable, world.champion) == (stable, champion)


def test_a_release_that_its_gates_refused_is_given_back_and_never_started() -> None:
    world = serving()
    world.gates["2"] = False
    assert world.move("2").champion == "1"
    assert "start bbbb" not in world.done
    assert world.state.last["why"] == "its gates refused it (map is low)"


@pytest.mark.parametrize("verb", ["prepare", "start", "materialise"])
def test_a_release_that_cannot_be_brought_up_is_given_back(verb: str) -> None:
    world = serving()
    world.breaks = verb
    world.champion = "2"
    for _ in range(4):
        world.look()
    world.breaks = ""
    assert world.settle().champion == "1"
    assert world.state.last["why"] == f"{verb} broke"
    assert world.routes is not None
    assert world.routes.stable.release == "aaaa"


def test_answers_of_the_shadow_that_cannot_be_replayed_take_the_release_back() -> None:
    world = serving().move("2")
    world.breaks = "check"
    world.mirrored(40)
    assert (world.champion, world.state.last["why"]) == ("1", "check broke")


def test_what_may_pass_is_tried_three_times() -> None:
    state = State(phase="build", candidate=V2, stable=V1)
    phases = []
    for _ in range(3):
        state = failed(state, "no answer", now=1.0, passing=True).state
        phases.append(state.phase)
    assert phases == ["build", "build", "rolling_back"]


def test_a_candidate_that_dies_is_started_again_and_taken_back_when_it_dies_again_and_again() -> None:
    world = canary()
    for _ in range(2):
        del world.running["bbbb"]
        assert world.settle().state.phase == "canary"
        assert "bbbb" in world.running
    del world.running["bbbb"]
    assert world.settle().champion == "1"
    assert world.state.last["why"] == "canary: its door died 3 times"


@pytest.mark.parametrize("verb", ["prepare", "start", "materialise"])
def test_the_release_that_serves_alone_is_never_taken_away(verb: str) -> None:
    """A person applied it; the loop is switched on and fails at it: nothing is stopped, the champion stays."""
    world = World(champion="1", running={"aaaa": "http://base"}, breaks=verb)
    for _ in range(8):
        world.look()
        world.now += 5
        assert (world.champion, "aaaa" in world.running) == ("1", True)
    world.breaks, world.now = "", world.now + 600
    world.settle()
    assert world.state.stable == V1
    assert not [done for done in world.done if done.startswith(("stop aaaa", "take_back"))]


def test_a_stable_door_that_dies_is_started_again() -> None:
    world = serving()
    world.running.clear()
    world.settle()
    assert world.routes is not None
    assert world.routes.stable.url == world.running["aaaa"]


def test_a_stable_door_that_dies_in_a_canary_is_started_again_and_the_canary_goes_on() -> None:
    world = canary()
    del world.running["aaaa"]
    assert world.settle().state.phase == "canary"
    assert world.routes is not None
    assert (world.routes.mode, world.routes.stable.url) == ("canary", world.running["aaaa"])


def test_a_champion_that_is_moved_back_ends_the_rollout() -> None:
    world = canary().move("1")
    assert (world.state.stable, world.champion, set(world.running)) == (V1, "1", {"aaaa"})
    assert world.state.last["result"] == "abandoned"


def test_a_champion_that_is_moved_on_begins_another_rollout() -> None:
    world = canary()
    first = world.state.rollout
    world.move("3")
    assert (world.state.phase, world.state.candidate, world.state.stable) == ("shadow", V3, V1)
    assert world.state.rollout != first
    assert set(world.running) == {"aaaa", "cccc"}


def test_a_champion_that_is_taken_away_ends_the_rollout_and_stable_serves_on() -> None:
    world = canary().move("")
    assert (world.state.candidate, set(world.running)) == (None, {"aaaa"})


def test_the_one_before_comes_back_at_once_while_its_door_is_kept() -> None:
    world = canary().asked(25).asked(50)
    assert world.state.stable == V2
    count = len(world.done)
    world.move("1")
    assert [line.split()[0] for line in world.done[count:]] == ["notice", "route", "settle"]
    assert (world.state.stable, world.state.previous) == (V1, V2)


def test_the_one_before_comes_back_at_once_after_another_release_failed() -> None:
    world = canary().asked(25).asked(50).move("3").mirrored(20, errors=20)
    assert (world.state.stable, world.state.last["result"]) == (V2, "rolled_back")
    assert world.move("1").state.stable == V1


def test_the_one_before_comes_back_without_a_canary_when_its_door_has_ended() -> None:
    world = canary().asked(25).asked(50)
    world.now += RULES.keep_previous_s
    assert set(world.settle().running) == {"bbbb"}
    assert world.move("1").state.stable == V1


def test_a_third_release_ends_the_door_of_the_first() -> None:
    world = canary().asked(25).asked(50).move("3").mirrored(40).asked(25).asked(50)
    assert (world.state.stable, world.state.previous, set(world.running)) == (V3, V2, {"bbbb", "cccc"})


def test_the_same_release_under_another_version_changes_nothing() -> None:
    world = serving()
    count = len(world.done)
    RELEASES["9"] = "aaaa"
    try:
        world.move("9")
    finally:
        del RELEASES["9"]
    assert world.done[count:] == ["notice"]
    assert world.state.stable == ReleaseRef("9", "aaaa")


def test_routes_that_somebody_changed_are_put_right() -> None:
    world = serving()
    assert world.routes is not None
    world.routes = world.routes.model_copy(update={"rollout": "other"})
    world.settle()
    assert world.routes.rollout == ""


@pytest.mark.parametrize("script", ["good", "bad"])
def test_a_kill_at_any_point_changes_nothing_about_the_end(script: str) -> None:
    """Every state but the last is lost once: what was done is done again from the state before."""

    def end(kill: int) -> tuple[object, ...]:
        world = serving()
        world.champion = "2"
        for looks in range(1, 61):
            before = world.state
            world.look()
            if looks == kill:
                world.state = before  # killed after the acts, before the state was kept
            world.now += 3
            n = 30 * (looks + 1)
            world.stable = ArmSeen(requests=20 * n, buckets_ms=buckets(20 * n))
            wrong = n if script == "bad" else 0
            world.candidate = ArmSeen(requests=n, errors=wrong, buckets_ms=buckets(n - wrong))
            world.shadow = ShadowSeen(mirrored=n, buckets_ms=buckets(n), compared=n, overlap_sum=n / 2)
        assert world.routes is not None
        return world.champion, world.state.stable, world.state.candidate, world.routes.stable.release

    expected = ("2", V2, None, "bbbb") if script == "good" else ("1", V1, None, "aaaa")
    for kill in range(1, 20):
        assert end(kill) == expected, kill


def test_a_router_that_restarts_loses_nothing_of_what_was_seen() -> None:
    def seen(boot: str, n: int) -> Observations:
        arm = ArmSeen(requests=n, buckets_ms=buckets(n))
        return Observations(boot=boot, rollout="r", arms={"stable": arm, "candidate": arm})

    sums = Seen().grown(seen("a", 10), slow_ms=500).grown(seen("a", 15), slow_ms=500).grown(seen("b", 4), slow_ms=500)
    assert sums.count("candidate", "errors").n == 19


def test_the_state_is_the_same_after_a_round_through_json() -> None:
    state = canary().asked(5, seconds=1).state
    assert State.of(state.document()) == state
    assert State.of({**state.document(), "of_a_newer_loop": 1}) == replace(state)
