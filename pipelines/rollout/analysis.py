"""Judge a candidate by its counts: bad, good so far, or too few answers yet. Pure.

Six comparisons share alpha (Bonferroni), so that a release as good as stable is rolled back with probability alpha at
most, however often anyone looks: errors and slow answers in the shadow; errors, slow answers, lower rungs and rewards
in the canary. Evidence accumulates over all of a canary's steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bentos.router.routes import CANDIDATE, STABLE
from components.registry.spec import Rollout
from pipelines.rollout.actuator import Rewarded
from pipelines.rollout.sequential import Counts, log_e, worse
from pipelines.rollout.state import State

TESTS = 6


@dataclass(frozen=True)
class Verdict:
    """A judgement, and its reason."""

    bad: bool
    enough: bool
    why: str


def judge_shadow(state: State, rules: Rollout) -> Verdict:
    """Judge what the candidate answered to mirrored requests."""
    seen, tolerance = state.seen, rules.tolerance
    for bad, allowed in (("errors", tolerance.errors), ("slow", tolerance.slow)):
        if why := _worse(bad, seen.count(STABLE, bad), seen.count("shadow", bad), rules, allowed):
            return Verdict(bad=True, enough=True, why=why)
    asked, needed = round(seen.total("shadow.requests")), rules.shadow.requests
    if asked < needed:
        return Verdict(bad=False, enough=False, why=f"{asked} of {needed} mirrored answers")
    compared = seen.total("shadow.compared")
    overlap = seen.total("shadow.overlap") / compared if compared else 1.0
    if overlap < rules.shadow.min_overlap:
        why = f"recommends {overlap:.0%} of what stable does, on average; min_overlap is {rules.shadow.min_overlap:.0%}"
        return Verdict(bad=True, enough=True, why=why)
    return Verdict(bad=False, enough=True, why=f"{asked} mirrored answers, overlap {overlap:.0%}")


def judge_canary(state: State, rules: Rollout, rewards: Mapping[str, Rewarded]) -> Verdict:
    """Judge what the candidate answered to its users."""
    seen, tolerance = state.seen, rules.tolerance
    allowed = {"errors": tolerance.errors, "slow": tolerance.slow, "degraded": tolerance.degraded}
    for bad, most in allowed.items():
        if why := _worse(bad, seen.count(STABLE, bad), seen.count(CANDIDATE, bad), rules, most):
            return Verdict(bad=True, enough=True, why=why)
    if why := _worse("without reward", *_unrewarded(state, rewards), rules, tolerance.reward):
        return Verdict(bad=True, enough=True, why=why)
    answered, needed = round(seen.total("candidate.requests") - state.base), rules.step_requests
    share = rules.steps[min(state.step, len(rules.steps) - 1)]
    text = f"{answered} answers at {share:.0%} of users"
    if answered < needed:
        return Verdict(bad=False, enough=False, why=f"{text}, {needed} are needed")
    return Verdict(bad=False, enough=True, why=text)


def _unrewarded(state: State, rewards: Mapping[str, Rewarded]) -> tuple[Counts, Counts]:
    def of(release: str) -> Counts:
        found = rewards.get(release, Rewarded(0, 0))
        return Counts(found.shown, found.shown - found.acted)

    assert state.candidate is not None
    return of(state.stable.release if state.stable else ""), of(state.candidate.release)


def _worse(name: str, stable: Counts, candidate: Counts, rules: Rollout, tolerance: float) -> str:
    """Say why the candidate is worse, '' where it is not shown to be."""
    if not worse(stable, candidate, alpha=rules.alpha / TESTS, tolerance=tolerance):
        return ""
    evidence, needed = log_e(stable, candidate, tolerance=tolerance), math.log(TESTS / rules.alpha)
    return (
        f"{name} {candidate.bad} of {candidate.n} ({candidate.rate:.1%}), stable's {stable.bad} of {stable.n} "
        f"({stable.rate:.1%}), {tolerance:.1%} more is tolerated; evidence e^{evidence:.1f}, e^{needed:.1f} is enough"
    )
