"""What was seen of a candidate, judged: the words and the borders."""

from dataclasses import replace

import pytest

from components.registry.spec import Rollout, Shadow, Tolerance
from components.verdicts import PASSED, REFUSED, UNDECIDED, Judgement, Word
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.analysis import judge_canary, judge_shadow
from pipelines.rollout.state import ReleaseRef, Seen, State

STATE = State(stable=ReleaseRef("1", "aaaa"), candidate=ReleaseRef("2", "bbbb"), rollout="5-bbbb")
NONE = Tolerance(errors=0, slow=0, degraded=0, reward=0)
RULES = Rollout(
    steps=(0.1, 1.0), step_requests=20, alpha=0.06, shadow=Shadow(requests=30, min_overlap=0.3), tolerance=NONE
)
# No error of 20 or 30 answers, and none of stable's 900.
OPEN_20, OPEN_30 = (f"errors -1.2% to +{most}% against stable's" for most in (41.3, 30.4))
CALM = {"stable.requests": 900, "stable.answers": 900}


def shadow(**seen: float) -> Judgement:
    """Judge a shadow by sums of its own: requests, answers, errors, slow, compared, overlap."""
    sums = CALM | {f"shadow.{name}": value for name, value in seen.items()}
    return judge_shadow(replace(STATE, seen=Seen("b", {}, sums)), RULES)


def canary(*, step: int = 0, base: float = 0.0, rewards: dict[str, Rewarded] | None = None, **seen: float) -> Judgement:
    """Judge a canary by sums of its own: requests, answers, errors, slow, degraded."""
    sums = CALM | {f"candidate.{name}": value for name, value in seen.items()}
    return judge_canary(replace(STATE, step=step, base=base, seen=Seen("b", {}, sums)), RULES, rewards or {})


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"requests": 29}, (UNDECIDED, "29 of 30 mirrored answers")),
        ({"requests": 30}, (UNDECIDED, "none of 30 mirrored answers could be compared; min_overlap is 30%")),
        ({"requests": 30, "compared": 20, "overlap": 6}, (PASSED, f"30 mirrored answers, overlap 30%, {OPEN_30}")),
        (
            {"requests": 30, "compared": 20, "overlap": 5},
            (REFUSED, "recommends 25% of what stable does, on average; min_overlap is 30%"),
        ),
    ],
)
def test_a_shadow_is_judged_by_how_much_it_saw_and_how_alike_it_is(
    seen: dict[str, float], expected: tuple[Word, str]
) -> None:
    found = shadow(**seen)
    assert (found.word, found.why) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({"requests": 19}, (UNDECIDED, "19 answers at 10% of users, 20 are needed")),
        ({"requests": 20}, (PASSED, f"20 answers at 10% of users, {OPEN_20}")),
        (
            {"requests": 45, "base": 26.0, "step": 1},
            (UNDECIDED, "19 answers at 100% of users, 20 are needed"),
        ),
        ({"requests": 20, "step": 9}, (PASSED, f"20 answers at 100% of users, {OPEN_20}")),
    ],
)
def test_a_step_of_a_canary_needs_its_own_answers(seen: dict[str, float], expected: tuple[Word, str]) -> None:
    found = canary(**seen)  # type: ignore[arg-type]
    assert (found.word, found.why) == expected


WORDS = (
    "{bad} 10 of 30 (33.3%), stable's 0 of 900 (0.0%), +5.8% to +73.5%, 0.0% more is tolerated; "
    "evidence e^30.3, e^4.6 is enough"
)  # fmt: skip


@pytest.mark.parametrize("bad", ["errors", "slow"])
def test_a_bad_shadow_is_told_with_its_evidence(bad: str) -> None:
    verdict = shadow(requests=30, answers=30, **{bad: 10})
    assert verdict.word == REFUSED
    assert verdict.why == WORDS.format(bad=bad)


@pytest.mark.parametrize("bad", ["errors", "slow", "degraded"])
def test_a_bad_canary_is_told_with_its_evidence(bad: str) -> None:
    verdict = canary(requests=30, answers=30, **{bad: 10})
    assert verdict.word == REFUSED
    assert verdict.why == WORDS.format(bad=bad)


@pytest.mark.parametrize("bad", ["errors", "slow", "degraded", "reward"])
def test_each_kind_has_its_own_tolerance(bad: str) -> None:
    sums = CALM | {"candidate.requests": 30, "candidate.answers": 30, f"candidate.{bad}": 10}
    rewards = {"aaaa": Rewarded(900, 900), "bbbb": Rewarded(30, 20)} if bad == "reward" else {}
    state = replace(STATE, seen=Seen("b", {}, sums))
    for declared in ("errors", "slow", "degraded", "reward"):
        rules = RULES.model_copy(update={"tolerance": NONE.model_copy(update={declared: 0.5})})
        assert judge_canary(state, rules, rewards).word == (REFUSED if declared != bad else PASSED)
        if bad in ("errors", "slow"):
            shadowed = {name.replace("candidate", "shadow"): value for name, value in sums.items()}
            found = judge_shadow(replace(STATE, seen=Seen("b", {}, shadowed)), rules)
            assert (found.word == REFUSED) is (declared != bad)


def test_answers_that_nobody_acts_on_take_a_release_back() -> None:
    rewards = {"aaaa": Rewarded(900, 900), "bbbb": Rewarded(30, 20)}
    verdict = canary(requests=30, answers=30, rewards=rewards)
    assert (verdict.word, verdict.why) == (REFUSED, WORDS.format(bad="without reward"))
    assert canary(requests=30, answers=30, rewards={"bbbb": Rewarded(30, 0)}).word == PASSED  # stable's are not known
    assert (
        canary(requests=30, answers=30, rewards={"aaaa": Rewarded(10**9, 10**9)}).word == PASSED
    )  # nor the candidate's


def test_without_an_answer_of_stable_a_canary_is_undecided_unless_the_shadow_compared_them() -> None:
    sums = {"candidate.requests": 30, "candidate.answers": 30}
    state = replace(STATE, step=1, seen=Seen("b", {}, sums))
    alone = RULES.model_copy(update={"shadow": Shadow(requests=0)})
    found = judge_canary(state, alone, {})
    assert (found.word, found.why) == (UNDECIDED, "30 answers at 100% of users, none of stable's to compare with")
    found = judge_canary(state, RULES, {})
    assert (found.word, found.interval, found.why) == (PASSED, None, "30 answers at 100% of users")


def test_without_a_least_overlap_none_need_be_measured() -> None:
    rules = RULES.model_copy(update={"shadow": Shadow(requests=30)})
    found = judge_shadow(replace(STATE, seen=Seen("b", {}, CALM | {"shadow.requests": 30})), rules)
    assert (found.word, found.why) == (PASSED, f"30 mirrored answers, overlap not measured, {OPEN_30}")


def test_a_release_that_passes_says_how_much_worse_it_may_be_all_the_same() -> None:
    few, many = (canary(requests=n, answers=n) for n in (40, 4000))
    assert few.interval[0] < 0 < few.interval[1]  # type: ignore[index]
    assert many.interval[1] < few.interval[1] / 10  # type: ignore[index]
    assert (few.rows, few.estimate) == (40, 0.0)


def test_six_comparisons_share_alpha() -> None:
    """3 of 30 are evidence of e^4.5: more than 1 / 0.06, less than 6 / 0.06, which is e^4.6."""
    assert canary(requests=30, answers=30, errors=3).word == PASSED
    assert canary(requests=30, answers=30, errors=4).word == REFUSED
