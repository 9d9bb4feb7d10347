"""What the state machine does about an experiment, without anything that runs (the world of test_state_machine.py)."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from components.registry.experiment_spec import Arm, Experiment, Kpi
from pipelines.rollout import experiments, mending
from pipelines.rollout.decision import Act, Decision, Facts
from pipelines.rollout.experiment_state import ArmRelease, ExperimentState
from pipelines.rollout.outcomes import ArmOutcomes, Outcomes
from pipelines.rollout.state import State
from tests.pipelines.rollout.test_state_machine import V1, V2, World

RULES = Experiment(
    name="try",
    arms=(Arm(name="old", release="champion", share=0.6), Arm(name="new", release="challenger", share=0.4)),
    kpi=Kpi(event="purchase"),
    covariates=(),
    min_users=100,
    days=10,
)
DAY = 86_400


@dataclass
class Tried(World):
    """A world in which a person may ask for an experiment."""

    asked: dict[str, Any] = field(default_factory=dict)
    outcomes: Outcomes | None = None

    def facts(self) -> Facts:
        found = super().facts()
        return replace(found, registry=replace(found.registry, experiment=self.asked), outcomes=self.outcomes)

    def look(self) -> Decision:
        """Decide once and do it; what is promoted is the champion then."""
        decision = super().look()
        for act in decision.acts:
            if act.verb == "promote":
                self.champion = act.what
        return decision

    def ask(self, rules: Experiment = RULES, *, number: int = 1) -> "Tried":
        arms = (ArmRelease("old", V1.version, V1.release, 0.6), ArmRelease("new", V2.version, V2.release, 0.4))
        self.asked = ExperimentState(number, rules.model_dump(mode="json"), arms).asked()
        self.settle()
        return self

    def saw(self, old: tuple[int, int], new: tuple[int, int], **more: Any) -> "Tried":
        """Let users (how many, how many of them bought) have been answered."""
        arms = {
            name: ArmOutcomes(n, np.arange(n) < k, np.zeros((n, 0)), np.arange(n) / n)
            for name, (n, k) in (("old", old), ("new", new))
        }
        self.outcomes = Outcomes({k: replace(v, kpi=v.kpi.astype(float)) for k, v in arms.items()}, events=1, **more)
        self.settle()
        return self


def tried(rules: Experiment = RULES) -> Tried:
    """Version 1 serves, the experiment's arms answer."""
    world = Tried()
    world.move("1")
    return world.ask(rules)


def test_the_arms_see_events_and_get_their_profiles_before_they_get_users() -> None:
    world = Tried()
    world.move("1")
    before = len(world.done)
    world.ask()
    assert world.done[before:] == [
        "prepare 2", "start bbbb", "route warm", "materialise bbbb", "route experiment",
    ]  # fmt: skip
    assert world.routes is not None
    assert world.state.experiment is not None
    assert [(a.arm, a.share, a.release) for a in world.routes.arms] == [("new", 0.4, "bbbb")]
    assert (world.routes.mode, world.routes.stable.release, world.routes.experiment) == ("stable", "aaaa", "try-1")
    assert world.state.experiment.since == world.now + experiments.SETTLED_S
    assert world.look().idle


def test_answers_count_from_when_the_arms_have_users_however_long_their_profiles_take() -> None:
    """Else whoever stable answers meanwhile falls to two arms."""

    @dataclass
    class Slow(Tried):
        def look(self) -> Decision:
            decision = super().look()
            self.now += 600.0 * sum(act.verb == "materialise" for act in decision.acts)
            return decision

    world = Slow()
    world.move("1")
    world.ask()
    assert world.done[-1] == "route experiment"
    assert world.state.experiment is not None
    assert world.state.experiment.since == world.now + experiments.SETTLED_S


def test_the_users_of_an_arm_stay_its_own_while_another_one_s_door_is_away() -> None:
    arms = (Arm(name="old", release="champion", share=0.4), Arm(name="new", release="2", share=0.3))
    rules = RULES.model_copy(update={"arms": (*arms, Arm(name="newer", release="3", share=0.3))})
    parts = tuple(ArmRelease(arm.name, str(n), f"r{n}", arm.share) for n, arm in enumerate(rules.arms, 1))
    state = ExperimentState(1, rules.model_dump(mode="json"), parts, phase="running")
    both = experiments.arms(state, {"r2": "http://127.0.0.1:2", "r3": "http://127.0.0.1:3"}, "experiment")
    alone = experiments.arms(state, {"r3": "http://127.0.0.1:3"}, "experiment")
    assert [(arm.arm, arm.begins) for arm in both] == [("new", 0.0), ("newer", 0.3)]
    assert alone == both[1:]


def test_an_arm_that_is_warmed_up_has_no_users() -> None:
    state = ExperimentState.of(tried().asked)
    warm = experiments.arms(replace(state, phase="warm"), {"bbbb": "http://127.0.0.1:1"}, "warm")
    assert [arm.share for arm in warm] == [0.0]
    assert experiments.arms(state, {"bbbb": "http://127.0.0.1:1"}, "stable") == ()


def test_a_better_release_ends_it_and_stays_a_challenger() -> None:
    world = tried().saw((6000, 300), (4000, 400))
    assert world.state.experiment is None
    assert (world.state.tried["result"], world.state.tried["best"]) == ("better", "new")
    assert world.routes is not None
    assert world.routes.arms == ()
    assert list(world.running) == ["aaaa"]
    assert "+100.0% adjusted" in world.state.tried["why"]
    assert world.state.tried["arms"]["new"]["word"] == "passed"


def test_a_better_release_is_promoted_where_the_spec_says_so_and_its_door_stays() -> None:
    world = tried(RULES.model_copy(update={"on_winner": "promote"}))
    world.saw((6000, 300), (4000, 400))
    assert "promote 2" in world.done
    assert "stop bbbb" not in world.done
    assert world.state.candidate == V2
    assert "bbbb" in world.running
    assert world.state.tried["result"] == "better"


def test_a_worse_release_ends_it_and_is_not_promoted() -> None:
    world = tried(RULES.model_copy(update={"on_winner": "promote"})).saw((6000, 600), (4000, 200))
    assert (world.state.tried["result"], world.state.tried["best"]) == ("worse", "")
    assert not any(one.startswith("promote") for one in world.done)


def test_a_planned_number_of_users_ends_it_before_its_days_are_over() -> None:
    world = tried(RULES.model_copy(update={"users": 10_000}))
    world.saw((5400, 270), (3600, 185))
    assert world.state.experiment is not None
    world.saw((6100, 305), (4000, 205))
    assert world.state.tried["result"] == "no difference"
    assert world.state.tried["why"].startswith("10000 users are judged; new: ")
    assert "and 6040 users" in world.state.tried["why"], "of 10,100 who were judged"


def test_figures_are_kept_while_nothing_is_shown_and_the_longest_time_ends_it() -> None:
    world = tried().saw((6000, 300), (4000, 205))
    assert world.state.experiment is not None
    seen = world.state.experiment.seen["new"]
    assert seen["word"] == "undecided"
    assert seen["interval"][0] < 0 < seen["difference"] < seen["interval"][1]
    world.now += 10 * DAY + experiments.SETTLED_S
    world.settle()
    assert world.state.tried["result"] == "no difference"
    assert world.state.tried["why"].startswith("10 days are over; new: 0.05125 against 0.05 a user")


def test_without_measures_the_longest_time_ends_it_too() -> None:
    world = tried()
    world.now += 11 * DAY
    world.settle()
    assert (world.state.tried["result"], world.state.tried["why"]) == (
        "no difference",
        "its time is over; nothing was measured",
    )


def test_a_sample_ratio_mismatch_ends_it() -> None:
    world = tried().saw((6000, 300), (3000, 400))
    assert world.state.tried["result"] == "broken"
    assert "sample-ratio mismatch" in world.state.tried["why"]


def test_first_answers_that_the_log_lost_end_it() -> None:
    world = tried().saw((6000, 300), (4000, 205)).saw((3000, 150), (2000, 101))
    assert world.state.tried["result"] == "broken"
    assert "10000 users were seen, 5000 are left" in world.state.tried["why"]


def test_a_person_stops_it_and_it_is_not_begun_again() -> None:
    world = tried()
    world.asked["stop"] = "enough"
    world.settle()
    assert (world.state.tried["result"], world.state.tried["why"]) == ("stopped", "enough")
    del world.asked["stop"]
    world.settle()
    assert world.state.experiment is None
    world.ask(number=2)
    assert world.state.experiment is not None


def test_a_champion_that_moves_ends_it() -> None:
    world = tried()
    world.move("3")
    assert world.state.candidate is not None
    assert world.state.experiment is None
    assert (world.state.tried["result"], world.state.tried["why"]) == ("abandoned", "the champion moved to version 3")
    assert world.routes is not None
    assert world.routes.arms == ()


def test_an_experiment_waits_for_the_end_of_a_rollout() -> None:
    world = Tried()
    world.move("1")
    world.move("3")
    world.ask()
    assert world.state.candidate is not None
    assert world.state.experiment is None


def test_a_door_that_is_lost_is_started_again_and_the_third_time_ends_it() -> None:
    world = tried()
    for _ in range(2):
        del world.running["bbbb"]
        world.settle()
        assert world.state.experiment is not None
        assert "bbbb" in world.running
        assert world.routes is not None
        assert len(world.routes.arms) == 1
    del world.running["bbbb"]
    world.settle()
    assert (world.state.tried["result"], world.state.tried["why"]) == ("failed", "the door of new died 3 times")


@pytest.mark.parametrize(("passing", "tries"), [(False, 1), (True, 3)])
def test_an_arm_that_cannot_be_built_ends_it_and_not_what_serves(passing: bool, tries: int) -> None:
    state = tried().state
    for number in range(tries):
        decision = experiments.failed(state, Act("prepare", "2"), "a file differs", passing=passing)
        assert decision is not None
        assert decision.state.experiment is not None
        assert decision.state.experiment.phase == ("ending" if number + 1 == tries else "running")
        state = decision.state
    assert experiments.failed(state, Act("start", "aaaa"), "stable's", passing=False) is None


def test_the_doors_of_arms_are_needed() -> None:
    world = tried()
    assert mending.needless(world.state, {**world.running, "zzzz": "http://127.0.0.1:9"}, None) == ["zzzz"]


def test_the_state_is_read_back_and_left_out_where_there_is_none() -> None:
    world = tried().saw((6000, 300), (4000, 205))
    assert State.of(world.state.document()) == world.state
    assert not {"experiment", "tried"} & set(State().document())
    ended = tried().saw((6000, 300), (4000, 400)).state
    assert State.of(ended.document()) == ended


def test_a_loop_that_is_killed_in_the_middle_does_it_again() -> None:
    """Every act may be done twice: the state is written last."""
    world = Tried()
    world.move("1")
    arms = (ArmRelease("old", V1.version, V1.release, 0.6), ArmRelease("new", V2.version, V2.release, 0.4))
    world.asked = ExperimentState(1, RULES.model_dump(mode="json"), arms).asked()
    for _ in range(4):
        kept = world.state
        world.look()
        world.state = kept  # the loop was killed before it wrote
        for _ in range(3):
            world.look()
    assert world.state.experiment is not None
    assert world.state.experiment.phase == "running"
