"""Judge a candidate by its counts: passed so far, refused, or undecided yet. Pure.

The words and the rule for too little are those of every verdict (components.verdicts); the test is a sequential one,
since it is asked after every look. Six comparisons share alpha (Bonferroni), so that a release as good as stable is
rolled back with probability alpha at most, however often anyone looks: errors and slow answers in the shadow; errors,
slow answers, lower rungs and rewards in the canary. Evidence accumulates over all of a canary's steps.
"""

import math
from collections.abc import Mapping

from bentos.router.routes import CANDIDATE, STABLE
from components import verdicts
from components.registry.spec import Rollout
from components.verdicts import PASSED, REFUSED, UNDECIDED, Judgement, Least, Sample
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.sequential import Counts, between, log_e, worse
from pipelines.rollout.state import State

TESTS = 6


def judge_shadow(state: State, rules: Rollout) -> Judgement:
    """Judge what the candidate answered to mirrored requests."""
    seen, tolerance = state.seen, rules.tolerance
    for bad, allowed in (("errors", tolerance.errors), ("slow", tolerance.slow)):
        if found := _worse(bad, seen.count(STABLE, bad), seen.count("shadow", bad), rules, allowed):
            return found
    asked, needed, least = round(seen.total("shadow.requests")), rules.shadow.requests, rules.shadow.min_overlap
    if _few(asked, needed):
        return _undecided(asked, f"{asked} of {needed} mirrored answers")
    compared = round(seen.total("shadow.compared"))
    if least and not compared:
        why = f"none of {asked} mirrored answers could be compared; min_overlap is {least:.0%}"
        return _undecided(asked, why)
    overlap = seen.total("shadow.overlap") / compared if compared else None
    if overlap is not None and overlap < least:
        why = f"recommends {overlap:.0%} of what stable does, on average; min_overlap is {least:.0%}"
        return Judgement(REFUSED, overlap, None, compared, None, why)
    alike = "overlap not measured" if overlap is None else f"overlap {overlap:.0%}"
    return _passed(
        f"{asked} mirrored answers, {alike}", seen.count(STABLE, "errors"), seen.count("shadow", "errors"), rules
    )


def judge_canary(state: State, rules: Rollout, rewards: Mapping[str, Rewarded]) -> Judgement:
    """Judge what the candidate answered to its users."""
    seen, tolerance = state.seen, rules.tolerance
    allowed = {"errors": tolerance.errors, "slow": tolerance.slow, "degraded": tolerance.degraded}
    for bad, most in allowed.items():
        if found := _worse(bad, seen.count(STABLE, bad), seen.count(CANDIDATE, bad), rules, most):
            return found
    if found := _worse("without reward", *_unrewarded(state, rewards), rules, tolerance.reward):
        return found
    answered, needed = round(seen.total("candidate.requests") - state.base), rules.step_requests
    share = rules.steps[min(state.step, len(rules.steps) - 1)]
    text = f"{answered} answers at {share:.0%} of users"
    if _few(answered, needed):
        return _undecided(answered, f"{text}, {needed} are needed")
    stable = seen.count(STABLE, "errors")
    if not stable.n and not rules.shadow.requests:  # in the shadow they were compared on the same requests
        return _undecided(answered, f"{text}, none of stable's to compare with")
    return _passed(text, stable, seen.count(CANDIDATE, "errors"), rules)


def _few(answers: int, needed: int) -> bool:
    return bool(verdicts.too_little(Sample(None, None, answers), Least(rows=needed)))


def _undecided(answers: int, why: str) -> Judgement:
    return Judgement(UNDECIDED, None, None, answers, None, why)


def _passed(text: str, stable: Counts, candidate: Counts, rules: Rollout) -> Judgement:
    """Pass a candidate that nothing shows to be worse, and say how much worse it may be all the same."""
    if not (stable.n and candidate.n):
        return Judgement(PASSED, None, None, candidate.n, None, text)
    ends = between(stable, candidate, alpha=rules.alpha / TESTS)
    why = f"{text}, errors {_ends(ends)} against stable's"
    return Judgement(PASSED, candidate.rate - stable.rate, ends, candidate.n, None, why)


def _unrewarded(state: State, rewards: Mapping[str, Rewarded]) -> tuple[Counts, Counts]:
    def of(release: str) -> Counts:
        found = rewards.get(release, Rewarded(0, 0))
        return Counts(found.shown, found.shown - found.acted)

    assert state.candidate is not None
    return of(state.stable.release if state.stable else ""), of(state.candidate.release)


def _worse(name: str, stable: Counts, candidate: Counts, rules: Rollout, tolerance: float) -> Judgement | None:
    """Refuse a candidate that is shown to be worse, None where it is not."""
    alpha = rules.alpha / TESTS
    if not worse(stable, candidate, alpha=alpha, tolerance=tolerance):
        return None
    evidence, needed = log_e(stable, candidate, tolerance=tolerance), -math.log(alpha)
    ends = between(stable, candidate, alpha=alpha)
    why = (
        f"{name} {candidate.bad} of {candidate.n} ({candidate.rate:.1%}), stable's {stable.bad} of {stable.n} "
        f"({stable.rate:.1%}), {_ends(ends)}, {tolerance:.1%} more is tolerated; "
        f"evidence e^{evidence:.1f}, e^{needed:.1f} is enough"
    )
    return Judgement(REFUSED, candidate.rate - stable.rate, ends, candidate.n, None, why)


def _ends(ends: tuple[float, float]) -> str:
    return f"{ends[0]:+.1%} to {ends[1]:+.1%}"
