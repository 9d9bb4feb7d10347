"""What was seen of a candidate, judged: the words and the borders."""

from dataclasses import replace

import pytest

from components.registry.spec import Rollout, Shadow, Tolerance
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.analysis import Verdict, judge_canary, judge_shadow
from pipelines.rollout.state import ReleaseRef, Seen, State

STATE = State(stable=ReleaseRef("1", "aaaa"), candidate=ReleaseRef("2", "bbbb"), rollout="5-bbbb")
NONE = Tolerance(errors=0, slow=0, degraded=0, reward=0)
RULES = Rollout(
    steps=(0.1, 1.0), step_requests=20, alpha=0.06, shadow=Shadow(requests=30, min_overlap=0.3), tolerance=NONE
)
CALM = {"stable.requests": 900, "stable.answers": 900}


def shadow(**seen: float) -> Verdict:
    """Judge a shadow by sums of its own: requests, answers, errors, slow, compared, overlap."""
    sums = CALM | {f"shadow.{name}": value for name, value in seen.items()}
    return judge_shadow(replace(STATE, seen=Seen("b", {}, sums)), RULES)


def canary(*, step: int = 0, base: float = 0.0, rewards: dict[str, Rewarded] | None = None, **seen: float) -> Verdict:
    """Judge a canary by sums of its own: requests, answers, errors, slow, degraded."""
    sums = CALM | {f"candidate.{name}": value for name, value in seen.items()}
    return judge_canary(replace(STATE, step=step, base=base, seen=Seen("b", {}, sums)), RULES, rewards or {})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"requests": 29}, Verdict(False, False, "29 of 30 mirrored answers")),
        ({"requests": 30}, Verdict(False, True, "30 mirrored answers, overlap 100%")),  # nothing could be compared
        ({"requests": 30, "compared": 20, "overlap": 6}, Verdict(False, True, "30 mirrored answers, overlap 30%")),
        (
            {"requests": 30, "compared": 20, "overlap": 5},
            Verdict(True, True, "recommends 25% of what stable does, on average; min_overlap is 30%"),
        ),
    ],
)
def test_a_shadow_is_judged_by_how_much_it_saw_and_how_alike_it_is(seen: dict[str, float], expected: Verdict) -> None:
    assert shadow(**seen) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"requests": 19}, Verdict(False, False, "19 answers at 10% of users, 20 are needed")),
        ({"requests": 20}, Verdict(False, True, "20 answers at 10% of users")),
        (
            {"requests": 45, "base": 26.0, "step": 1},
            Verdict(False, False, "19 answers at 100% of users, 20 are needed"),
        ),
        ({"requests": 20, "step": 9}, Verdict(False, True, "20 answers at 100% of users")),
    ],
)
def test_a_step_of_a_canary_needs_its_own_answers(seen: dict[str, float], expected: Verdict) -> None:
    assert canary(**seen) == expected  # type: ignore[arg-type]


WORDS = (
    "{bad} 10 of 30 (33.3%), stable's 0 of 900 (0.0%), 0.0% more is tolerated; "
    "evidence e^30.3, e^4.6 is enough"
)  # fmt: skip


@pytest.mark.parametrize("bad", ["errors", "slow"])
def test_a_bad_shadow_is_told_with_its_evidence(bad: str) -> None:
    verdict = shadow(requests=30, answers=30, **{bad: 10})
    assert (verdict.bad, verdict.enough) == (True, True)
    assert verdict.why == WORDS.format(bad=bad)


@pytest.mark.parametrize("bad", ["errors", "slow", "degraded"])
def test_a_bad_canary_is_told_with_its_evidence(bad: str) -> None:
    verdict = canary(requests=30, answers=30, **{bad: 10})
    assert (verdict.bad, verdict.enough) == (True, True)
    assert verdict.why == WORDS.format(bad=bad)


@pytest.mark.parametrize("bad", ["errors", "slow", "degraded", "reward"])
def test_each_kind_has_its_own_tolerance(bad: str) -> None:
    sums = CALM | {"candidate.requests": 30, "candidate.answers": 30, f"candidate.{bad}": 10}
    rewards = {"aaaa": Rewarded(900, 900), "bbbb": Rewarded(30, 20)} if bad == "reward" else {}
    state = replace(STATE, seen=Seen("b", {}, sums))
    for declared in ("errors", "slow", "degraded", "reward"):
        rules = RULES.model_copy(update={"tolerance": NONE.model_copy(update={declared: 0.5})})
        assert judge_canary(state, rules, rewards).bad is (declared != bad)
        if bad in ("errors", "slow"):
            shadowed = {name.replace("candidate", "shadow"): value for name, value in sums.items()}
            assert judge_shadow(replace(STATE, seen=Seen("b", {}, shadowed)), rules).bad is (declared != bad)


def test_answers_that_nobody_acts_on_take_a_release_back() -> None:
    rewards = {"aaaa": Rewarded(900, 900), "bbbb": Rewarded(30, 20)}
    verdict = canary(requests=30, answers=30, rewards=rewards)
    assert (verdict.bad, verdict.enough, verdict.why) == (True, True, WORDS.format(bad="without reward"))
    assert not canary(requests=30, answers=30, rewards={"bbbb": Rewarded(30, 0)}).bad  # stable's are not known
    assert not canary(requests=30, answers=30, rewards={"aaaa": Rewarded(10**9, 10**9)}).bad  # nor the candidate's


def test_six_comparisons_share_alpha() -> None:
    """3 of 30 are evidence of e^4.5: more than 1 / 0.06, less than 6 / 0.06, which is e^4.6."""
    assert not canary(requests=30, answers=30, errors=3).bad
    assert canary(requests=30, answers=30, errors=4).bad
