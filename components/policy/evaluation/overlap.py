"""Whether a log can tell what a policy is worth: how far what it would show was shown.

A log supports a policy where everything that it would show had a chance. Weights then have a mean of 1; what is missing
to 1 is the share of the policy's choices that the log never tried. A greedy log (each propensity 1) supports itself
alone.

Letters: N rows.
"""

import math
from dataclasses import dataclass

import numpy as np

from components.policy.evaluation.intervals import Interval
from components.policy.evaluation.logged import Logged

CERTAIN = 1 - 1e-9  # a propensity of this is no exploration
DOUBT = 3.0  # standard errors by which the mean weight must lie below 1


@dataclass(frozen=True)
class Overlap:
    """What the weights of a log say of themselves."""

    rows: int
    users: int
    ess: float  # effective sample size, rows
    ess_share: float  # of the rows
    largest_weight: float
    mean_weight: float  # 1 where the log supports the policy
    mean_weight_between: Interval  # three standard errors
    unweighted: float  # share of rows that the policy would not have shown
    least_propensity: float
    explored: float  # share of rows that had not been certain

    @property
    def unsupported(self) -> float:
        """Return the share of the policy's choices that the log cannot have tried, 0 where that may be chance."""
        return max(0.0, 1 - self.mean_weight) if self.mean_weight_between.high < 1 else 0.0

    @property
    def greedy(self) -> bool:
        """Tell whether nothing was explored."""
        return self.explored == 0.0

    @property
    def inflated(self) -> bool:
        """Tell whether weights are too large on average: then the propensities in the log are not true."""
        return self.mean_weight_between.low > 1


def effective_sample_size(weight: np.ndarray) -> float:
    """Return the number of rows of equal weight that would tell as much (Kish 1965): (sum w)² / sum w².

    >>> effective_sample_size(np.array([1.0, 1.0, 2.0])), effective_sample_size(np.zeros(3))
    (2.6666666666666665, 0.0)
    """
    squares = float((weight**2).sum())
    return float(weight.sum()) ** 2 / squares if squares else 0.0


def measured(log: Logged) -> Overlap:
    """Measure the overlap of a log with a policy."""
    weight, n = log.weight, len(log.reward)
    group, users = log.groups
    mean = float(weight.mean())
    apart = np.bincount(group, weights=weight - mean, minlength=users)
    error = math.sqrt(float((apart**2).sum())) / n  # a user's rows are not independent
    ess = effective_sample_size(weight)
    return Overlap(
        rows=n,
        users=users,
        ess=ess,
        ess_share=ess / n,
        largest_weight=float(weight.max()),
        mean_weight=mean,
        mean_weight_between=Interval(mean - DOUBT * error, mean + DOUBT * error),
        unweighted=float((weight == 0).mean()),
        least_propensity=float(log.propensity.min()),
        explored=float((log.propensity < CERTAIN).mean()),
    )
