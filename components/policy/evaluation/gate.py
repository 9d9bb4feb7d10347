"""Whether a policy may take the place of the running one, by what the log says that it is worth.

It passes where both ends of doubt are covered: the lower bound of its value lies above the running policy's value, and
the lower bound of the difference on the same resampled users lies above 0; and the log's effective sample size for it
is above a floor. It is refused where the upper bound lies below. All else is undecided, and says why: an interval
without width, a log that never tried what it would show, propensities that cannot be true. The direct method alone is
never enough. A greedy log says nothing of an explorer: the first one enters by its guard rails, and the verdict says
so.
"""

from dataclasses import dataclass

import numpy as np

from components.policy.evaluation import estimators, overlap
from components.policy.evaluation.estimators import USUAL, Estimate, Settings
from components.policy.evaluation.floors import LEAST_ESS, LEAST_USERS, MOST_UNSUPPORTED
from components.policy.evaluation.intervals import Interval, percentile, resampled_sums
from components.policy.evaluation.logged import Logged
from components.verdicts import PASSED, REFUSED, UNDECIDED, Word
from feature_repo.errors import SpecError

INTERVALS = ("bootstrap", "bernstein")
ROUNDING = 1e-12  # of the largest value: an interval this narrow has no width


@dataclass(frozen=True)
class Rule:
    """What a candidate must meet."""

    estimator: str = "dr"
    interval: str = "bootstrap"
    least_ess: float = LEAST_ESS
    most_unsupported: float = MOST_UNSUPPORTED
    least_users: int = LEAST_USERS
    guard_rails: str = ""  # what bounds an explorer's harm, in words; '' where nothing does

    def __post_init__(self) -> None:
        """Refuse an estimator that no verdict can rest on."""
        named = {one.name: one for one in estimators.ESTIMATORS}
        trusted = [name for name, one in named.items() if one.trusted]
        if self.estimator not in named or not named[self.estimator].trusted:
            raise SpecError(
                f"policy gate: estimator '{self.estimator}' is not allowed; use {', '.join(trusted)}: the direct "
                "method's interval says nothing of how wrong its model is"
            )
        if self.interval not in INTERVALS:
            raise SpecError(f"policy gate: interval '{self.interval}' is not allowed; use {', '.join(INTERVALS)}")


@dataclass(frozen=True)
class Verdict:
    """A verdict on a policy, with what it rests on."""

    word: Word
    why: str
    estimate: Estimate | None  # None: nothing was estimated
    running: float  # the running policy's value in the same log
    difference: Interval | None  # candidate - running
    overlap: overlap.Overlap
    by_guard_rails: bool = False  # it passed without a value: nothing of it is in the log

    def document(self) -> dict[str, object]:
        """Return what reports and the registry keep; JSON can hold it."""
        one, found = self.estimate, self.overlap
        return {
            "verdict": self.word,
            "why": self.why,
            "by_guard_rails": self.by_guard_rails,
            "running": self.running if np.isfinite(self.running) else None,
            "estimator": one.name if one else None,
            "value": one.value if one else None,
            "bootstrap": _ends(one.bootstrap) if one else None,
            "bernstein": _ends(one.bernstein) if one else None,
            "difference": _ends(self.difference) if self.difference else None,
            "ess": found.ess,
            "rows": found.rows,
            "users": found.users,
            "mean_weight": found.mean_weight,
            "largest_weight": found.largest_weight,
            "unsupported": found.unsupported,
        }


USUAL_RULE = Rule()


def judge(
    log: Logged, rule: Rule = USUAL_RULE, settings: Settings = USUAL, *, running: np.ndarray | None = None
) -> Verdict:
    """Judge the log's target policy against the running one.

    `running` [N] holds the running policy's probabilities of what was shown where another policy wrote the log; None:
    the log is the running policy's own.
    """
    found = overlap.measured(log)
    by_log = log.reward if running is None else log.reward * running / log.propensity
    value = float(by_log.mean())
    if found.greedy and found.mean_weight < overlap.CERTAIN:
        return _entry(rule, found, value)
    one = estimators.estimate(log, rule.estimator, settings)
    difference = _difference(log, one, by_log, settings)
    word, why = _word(one, value, difference, found, rule)
    if running is not None and (lacks := _lacking(log, running, rule)):
        word, why = UNDECIDED, lacks
    return Verdict(word, why, one, value, difference, found)


def _entry(rule: Rule, found: overlap.Overlap, value: float) -> Verdict:
    """Judge a policy by a log in which nothing was explored."""
    said = "the log is greedy: each item was certain to be shown, so it has no support for another policy's choices"
    if rule.guard_rails:
        why = f"{said}; it enters by its guard rails ({rule.guard_rails}), not by its value, which nobody knows yet"
        return Verdict(PASSED, why, None, value, None, found, by_guard_rails=True)
    why = f"{said}; declare an explorer with guard rails first, and judge by the log that it writes"
    return Verdict(UNDECIDED, why, None, value, None, found)


def _lacking(log: Logged, running: np.ndarray, rule: Rule) -> str:
    """Say why a log that another policy wrote cannot tell what the running one is worth; '' where it can."""
    found = overlap.measured(Logged(log.reward, log.propensity, running, user=log.user))
    if found.inflated or found.unsupported > rule.most_unsupported or found.ess < rule.least_ess:
        return (
            f"the log, which another policy wrote, says too little of the running policy's own choices: effective "
            f"sample size {found.ess:.0f}, mean weight {found.mean_weight:.3g}; log for longer, or under that policy"
        )
    return ""


def _word(one: Estimate, running: float, difference: Interval, found: overlap.Overlap, rule: Rule) -> tuple[Word, str]:
    """Return the verdict and its reason."""
    ends = one.bootstrap if rule.interval == "bootstrap" else one.bernstein
    if found.inflated:
        mean = f"{found.mean_weight:.3g}"
        return UNDECIDED, f"weights are {mean} on average, above 1: propensities in the log are not true"
    if found.unsupported > rule.most_unsupported:
        return UNDECIDED, (
            f"the log never tried {found.unsupported:.1%} of what it would show, more than {rule.most_unsupported:.1%};"
            " explore more first"
        )
    if found.ess < rule.least_ess:
        return UNDECIDED, f"effective sample size {found.ess:.0f}, fewer than {rule.least_ess:.0f}; log for longer"
    if found.users < rule.least_users:
        return UNDECIDED, f"{found.users} users, fewer than {rule.least_users}; log for longer, whatever the rows"
    if min(ends.width, difference.width) <= ROUNDING * max(1.0, abs(one.value)) and not found.greedy:
        return UNDECIDED, "its interval has no width: no row of the log tells it apart; log for longer"
    if ends.low > running and difference.low > 0:
        return PASSED, f"its lower bound {ends.low:.4g} is above the running policy's {running:.4g}"
    if ends.high < running or difference.high < 0:
        return REFUSED, f"its upper bound is below the running policy's {running:.4g}"
    return UNDECIDED, f"its interval {ends.low:.4g} to {ends.high:.4g} holds the running policy's {running:.4g}"


def _difference(log: Logged, one: Estimate, running: np.ndarray, settings: Settings) -> Interval:
    """Return the interval of candidate less running, both under the same resamples."""
    group, groups = log.groups
    columns = np.stack([running, np.ones(len(running))], axis=1)
    sums = resampled_sums(columns, group, groups, resamples=settings.resamples, seed=settings.seed)
    assert one.resampled is not None  # an estimate of single places has them
    return percentile(one.resampled - sums[:, 0] / sums[:, 1], level=settings.level)


def _ends(interval: Interval) -> list[float | None]:
    """Return both ends; what is not finite is unknown."""
    return [end if np.isfinite(end) else None for end in (interval.low, interval.high)]
