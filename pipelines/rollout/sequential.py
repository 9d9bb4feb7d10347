"""Is the candidate worse than stable? A test that may be looked at after every request, for as long as one likes.

Each arm's failures are Bernoulli with an unknown rate. For a known rate p, the mixture likelihood ratio under Jeffreys'
Beta(1/2, 1/2) prior, B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k (1 - p)^(n - k)), is a martingale that starts at 1
(Robbins 1970). The product over both arms is one too, whichever arm a request falls to, so its smallest value over the
null hypothesis `candidate <= stable + tolerance` is an e-process (Ramdas et al. 2023): by Ville's inequality it ever
reaches 1/alpha with probability alpha at most, if the null holds. Counts suffice, so nothing else is stored.

Assumes that requests fail independently of another given the rate; a user who fails again and again counts each time.
"""

import functools
import math
from typing import NamedTuple

SEARCH = 60  # golden-section steps: the bracket shrinks below 1e-12
HALVINGS = 14  # of the differences -1 to 1: an end is known to .0001, which no text shows
GOLDEN = (math.sqrt(5) - 1) / 2
SMALLEST = 1e-12  # a rate; keeps logarithms finite


class Counts(NamedTuple):
    """What an arm was seen to do."""

    n: int = 0
    bad: int = 0

    @property
    def rate(self) -> float:
        """Return the share of bad ones."""
        return self.bad / self.n if self.n else 0.0


def log_e(stable: Counts, candidate: Counts, *, tolerance: float = 0.0) -> float:
    """Return the logarithm of the evidence that the candidate is worse by more than the tolerance.

    >>> round(log_e(Counts(1000, 10), Counts(1000, 10)), 1) < 0 < log_e(Counts(1000, 10), Counts(1000, 80))
    True
    """
    return _mixture(stable) + _mixture(candidate) - _best_null(stable, candidate, tolerance)


def worse(stable: Counts, candidate: Counts, *, alpha: float, tolerance: float = 0.0) -> bool:
    """Tell whether the candidate is worse, with a chance of at most alpha to ever say so if it is not.

    >>> worse(Counts(500, 5), Counts(60, 30), alpha=0.01)
    True
    """
    return candidate.n > 0 and log_e(stable, candidate, tolerance=tolerance) >= -math.log(alpha)


@functools.lru_cache(maxsize=1024)
def between(stable: Counts, candidate: Counts, *, alpha: float) -> tuple[float, float]:
    """Return the differences (candidate's rate less stable's) that are left open, each end wrong by alpha at most.

    They are the tolerances that the test does not rule out, so like it they hold however often anyone looks.

    >>> [round(end, 2) for end in between(Counts(900, 9), Counts(900, 90), alpha=0.05)]
    [0.05, 0.14]
    """
    return _least(stable, candidate, alpha), -_least(candidate, stable, alpha)


def _least(stable: Counts, candidate: Counts, alpha: float) -> float:
    """Return the largest tolerance that the candidate is shown to be worse by, -1 where it is by none."""
    low, high = -1.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if worse(stable, candidate, alpha=alpha, tolerance=middle) else (low, middle)
    return low


def _mixture(counts: Counts) -> float:
    return _log_beta(counts.bad + 0.5, counts.n - counts.bad + 0.5) - _log_beta(0.5, 0.5)


def _best_null(stable: Counts, candidate: Counts, tolerance: float) -> float:
    """Return the largest log-likelihood of both arms with `candidate <= stable + tolerance`; it is concave."""
    if candidate.rate <= stable.rate + tolerance and stable.n and candidate.n:
        return _likelihood(stable, stable.rate) + _likelihood(candidate, candidate.rate)
    if not stable.n:  # stable may be as bad as the candidate is: nothing can be said
        return _likelihood(candidate, candidate.rate)

    def at(rate: float) -> float:
        return _likelihood(stable, rate) + _likelihood(candidate, min(1.0, rate + tolerance))

    least = max(0.0, -tolerance)  # stable's rate, since the candidate's is none below 0
    low, high = least, 1.0
    for _ in range(SEARCH):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if at(left) > at(right) else (left, high)
    return max(at(least), at((low + high) / 2), at(1.0))


def _likelihood(counts: Counts, rate: float) -> float:
    rate = min(max(rate, SMALLEST), 1 - SMALLEST)
    return counts.bad * math.log(rate) + (counts.n - counts.bad) * math.log1p(-rate)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
