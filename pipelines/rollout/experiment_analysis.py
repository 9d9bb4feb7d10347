"""Judge an experiment by its users' KPIs: which arm is better or worse than the control, or why it must end. Pure.

The words are those of every verdict (components/verdicts.py): passed is better, refused is worse. The test is one of
sequential.py, so it may be asked at every look: the one without an end, or, where a number of users is planned, the one
that ends there and judges these users alone, in the order of their first answers. What users did before is taken out of
the KPI first (CUPED: Deng and others 2013): each arm's KPI less its regression on the covariates, with one slope for
all arms, which changes no expected difference and leaves less noise. All comparisons of an experiment share alpha
(Bonferroni).

An experiment whose users do not fall to the arms as declared, or meet two arms, compares other things than releases: it
ends, whatever the KPI says.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components import verdicts
from components.registry.experiment_spec import Experiment
from components.verdicts import PASSED, REFUSED, UNDECIDED, Judgement, Least, Sample, Word
from pipelines.rollout.outcomes import ArmOutcomes, Outcomes
from pipelines.rollout.sequential import LOOKS, Difference, between_difference, between_planned, log_e_shares

MISMATCH_ALPHA = 0.001  # chance to ever end an experiment for its shares though users fall as declared
MOST_CROSSED, FEWEST_CROSSED = 0.01, 10  # share and number of users who met two arms


@dataclass(frozen=True)
class Findings:
    """What one look says."""

    judged: Mapping[str, Judgement]  # by treatment
    broken: str = ""  # why nothing can be concluded: the experiment ends

    @property
    def word(self) -> Word:
        """Return what the experiment comes to: passed where an arm is better, refused where all are worse."""
        words = [one.word for one in self.judged.values()]
        if self.broken or not words:
            return UNDECIDED
        return PASSED if PASSED in words else REFUSED if set(words) == {REFUSED} else UNDECIDED

    @property
    def best(self) -> str:
        """Return the arm that is better by most; '' where none is shown to be."""
        better = {name: abs(one.estimate or 0.0) for name, one in self.judged.items() if one.word == PASSED}
        return max(better, key=lambda name: better[name]) if better else ""


def judge(found: Outcomes, rules: Experiment) -> Findings:
    """Judge what was seen so far."""
    if broken := _broken(found, rules):
        return Findings({}, broken)
    arms, share = (found.arms, None) if rules.users is None else planned(found.arms, rules.users)
    control = arms[rules.control.name]
    return Findings({arm.name: _judged(control, arms[arm.name], rules, share=share) for arm in rules.treatments})


def planned(arms: Mapping[str, ArmOutcomes], users: int) -> tuple[Mapping[str, ArmOutcomes], float]:
    """Return the arms as they were at the last planned look: with the users who came first; and the share of all.

    Whoever looks more often, or comes too late, sees the same: a look is a number of users, not a moment.
    """
    came = np.sort(np.concatenate([arm.at for arm in arms.values()]))
    look = min(len(came) * LOOKS // users, LOOKS)
    last = came[look * users // LOOKS - 1] if look else -math.inf
    return {name: arm.until(float(last)) for name, arm in arms.items()}, look / LOOKS


def difference(control: ArmOutcomes, arm: ArmOutcomes) -> Difference:
    """Return the arm's mean KPI less the control's, adjusted by the covariates, with its variance.

    >>> one, other = (ArmOutcomes(4, np.array(kpi), np.zeros((4, 0))) for kpi in ([0.0, 0, 0, 1], [0.0, 1, 1, 1]))
    >>> difference(one, other)
    Difference(estimate=0.5, variance=0.125)
    """
    sides = (control, arm)
    kpi = [side.kpi - side.kpi.mean() for side in sides]
    known = [_shaped(side.covariates) for side in sides]
    centred = [x - x.mean(axis=0) for x in known]
    slopes = np.linalg.lstsq(np.concatenate(centred), np.concatenate(kpi), rcond=None)[0]  # [2P]
    left = [side.kpi - x @ slopes for side, x in zip(sides, known, strict=True)]
    variance = sum(float(np.var(one, ddof=1)) / len(one) for one in left)
    return Difference(float(left[1].mean() - left[0].mean()), variance)


def _shaped(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers and their logarithms, [U, 2P]: counts have long tails."""
    return np.concatenate([numbers, np.log1p(np.maximum(numbers, 0))], axis=1)


def _broken(found: Outcomes, rules: Experiment) -> str:
    """Say why the arms' users cannot be compared, '' where they can."""
    users = [found.arms[arm.name].users for arm in rules.arms]
    shares = [arm.share for arm in rules.arms]
    if log_e_shares(users, shares) >= -math.log(MISMATCH_ALPHA):
        fell = ", ".join(f"{arm.name} {n} ({n / sum(users):.1%})" for arm, n in zip(rules.arms, users, strict=True))
        declared = ", ".join(f"{share:.1%}" for share in shares)
        return f"sample-ratio mismatch: users fell to {fell}, declared are {declared}: something loses users of an arm"
    if found.crossed >= FEWEST_CROSSED and found.crossed > MOST_CROSSED * sum(users):
        return (
            f"{found.crossed} of {sum(users)} users were answered by two arms, more than {MOST_CROSSED:.0%}: "
            "the arms share users, such as when a door fails and another answers"
        )
    judged = min(len(found.arms[arm.name].kpi) for arm in rules.arms) >= rules.min_users
    if judged and not found.events:
        return f"kpi.event: no event of kind '{rules.kpi.event}' reached the event log; name a kind that clients send"
    if judged and rules.kpi.measure == "value" and not found.valued:
        return f"kpi.measure: value, and none of {found.events} events '{rules.kpi.event}' carries one; use count"
    return ""


def _judged(control: ArmOutcomes, arm: ArmOutcomes, rules: Experiment, *, share: float | None) -> Judgement:
    """Compare an arm with the control; `share` of the planned users are judged, None: no number is planned."""
    fewest = min(len(control.kpi), len(arm.kpi))
    active = min(int(np.count_nonzero(control.kpi)), int(np.count_nonzero(arm.kpi)))
    if share == 0:
        return Judgement(UNDECIDED, None, None, None, 0, f"the first of {LOOKS} planned looks is not due yet")
    if why := verdicts.too_little(Sample(None, None, None, fewest), Least(0, rules.min_users)):
        return Judgement(UNDECIDED, None, None, None, fewest, why)
    if active < rules.min_active:
        why = f"{active} users of an arm have a KPI above 0, fewer than {rules.min_active}"
        return Judgement(UNDECIDED, None, None, None, fewest, why)
    found, usual = difference(control, arm), abs(float(control.kpi.mean()))
    if not found.variance > 0:
        return Judgement(UNDECIDED, found.estimate, None, None, fewest, "the KPI is the same for every user of an arm")
    effect, alpha = rules.smallest_effect * usual, rules.alpha / len(rules.treatments)
    if share is None:
        ends = between_difference(found, effect=effect, alpha=alpha)
    else:
        ends = between_planned(found, share=share, alpha=alpha)
    low, high = ends if rules.kpi.better == "more" else (-ends[1], -ends[0])
    word = PASSED if low > 0 else REFUSED if high < 0 else UNDECIDED
    why = (
        f"{arm.kpi.mean():.4g} against {control.kpi.mean():.4g} a user, {found.estimate / usual:+.1%} adjusted, "
        f"{ends[0] / usual:+.1%} to {ends[1] / usual:+.1%}, {len(arm.kpi)} and {len(control.kpi)} users"
    )
    return Judgement(word, found.estimate, ends, None, fewest, why)
