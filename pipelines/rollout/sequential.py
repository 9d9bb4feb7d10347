"""Is the candidate worse than stable? A test that may be looked at after every request, for as long as one likes.

Each arm's failures are Bernoulli with an unknown rate. For a known rate p, the mixture likelihood ratio under Jeffreys'
Beta(1/2, 1/2) prior, B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k (1 - p)^(n - k)), is a martingale that starts at 1
(Robbins 1970). The product over both arms is one too, whichever arm a request falls to, so its smallest value over the
null hypothesis `candidate <= stable + tolerance` is an e-process (Ramdas et al. 2023): by Ville's inequality it ever
reaches 1/alpha with probability alpha at most, if the null holds. Counts suffice, so nothing else is stored.

Assumes that requests fail independently of another given the rate; a user who fails again and again counts each time.

Experiments compare means over users instead, each user counted once, so the difference of two means with its variance
is enough. Its score, difference / variance, moves like a Brownian motion in the information 1 / variance (the canonical
joint distribution: Jennison and Turnbull 2000, ch. 3), and a mixture of likelihood ratios over effects is a martingale
under no effect: most of the weight lies on plus and minus the smallest effect that is asked about, where the test must
find it with few users, the rest on a normal prior of that width, which narrows the interval as users come. An
experiment that ends at a planned number of users needs no promise beyond: it is judged LOOKS times, at equal numbers of
users, and its score, in units of its deviation at that end, is a Brownian motion at these times. It is let stray by the
same score at each (O'Brien and Fleming 1979), which costs little at the end, where it is likeliest to be needed. The
shares of users by arm are tested by the same means against what was declared (a Dirichlet mixture: Lindon and Malek
2022).
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SEARCH = 60  # golden-section steps: the bracket shrinks below 1e-12
HALVINGS = 14  # of the differences -1 to 1: an end is known to .0001, which no text shows
GOLDEN = (math.sqrt(5) - 1) / 2
SMALLEST = 1e-12  # a rate; keeps logarithms finite
ON_EFFECT = 0.8  # weight of plus and minus the effect asked about; the rest is the normal prior's
BISECTIONS = 60
LOOKS = 20  # at equal numbers of users, up to those that are planned
NODES = 96  # of an integral over where a score may be
PRIOR_USERS = 1000.0  # of the Dirichlet prior of shares: deviations of a percent or two are what is looked for


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


class Difference(NamedTuple):
    """A difference of two means over users, and the variance of that estimate."""

    estimate: float
    variance: float


def log_e_difference(found: Difference, *, effect: float, null: float = 0.0) -> float:
    """Return the logarithm of the evidence against `null` as the true difference; `effect` > 0 is what is looked for.

    >>> weak, strong = Difference(0.001, 0.001**2), Difference(0.005, 0.001**2)
    >>> log_e_difference(weak, effect=0.005) < 0 < 3 < log_e_difference(strong, effect=0.005)
    True
    """
    return _log_e_score(abs(found.estimate - null) / found.variance, 1 / found.variance, effect)


def between_difference(found: Difference, *, effect: float, alpha: float) -> tuple[float, float]:
    """Return the differences that are left open; the truth is ever outside with probability `alpha` at most.

    >>> [round(end, 4) for end in between_difference(Difference(0.005, 0.001**2), effect=0.005, alpha=0.05)]
    [0.0018, 0.0082]
    """
    information, needed = 1 / found.variance, -math.log(alpha)
    low, high = 0.0, math.sqrt(information)
    while _log_e_score(high, information, effect) < needed:
        high *= 2
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _log_e_score(middle, information, effect) < needed else (low, middle)
    return found.estimate - high * found.variance, found.estimate + high * found.variance


def between_planned(found: Difference, *, share: float, alpha: float) -> tuple[float, float]:
    """Return the differences that are left open once a share (0..1] of the planned users are judged.

    The truth is outside at any of the LOOKS shares k / LOOKS with probability `alpha`.

    >>> [round(end, 5) for end in between_planned(Difference(0.005, 0.001**2), share=1.0, alpha=0.05)]
    [0.00287, 0.00713]
    >>> [round(end, 5) for end in between_planned(Difference(0.005, 0.001**2), share=0.25, alpha=0.05)]
    [0.00075, 0.00925]
    """
    reach = planned_reach(alpha) * math.sqrt(found.variance / share)
    return found.estimate - reach, found.estimate + reach


@functools.lru_cache(maxsize=64)
def planned_reach(alpha: float) -> float:
    """Return how far an estimate of all planned users may be off, in its standard errors.

    >>> round(planned_reach(0.05), 3), round(planned_reach(0.005), 3)
    (2.126, 2.913)
    """
    low, high = 0.0, 10.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _stays_within(middle) < 1 - alpha else (low, middle)
    return high


def _stays_within(reach: float) -> float:
    """Return the chance that a Brownian motion lies within plus and minus `reach` at k / LOOKS, k = 1 to LOOKS."""
    at, weight = np.polynomial.legendre.leggauss(NODES)
    at, weight = at * reach, weight * reach
    step = np.exp(-((at[:, None] - at[None, :]) ** 2) * LOOKS / 2) * math.sqrt(LOOKS / (2 * math.pi))
    density = np.exp(-(at**2) * LOOKS / 2) * math.sqrt(LOOKS / (2 * math.pi))
    for _ in range(LOOKS - 1):
        density = step @ (density * weight)
    return float(density @ weight)


def log_e_shares(users: Sequence[int], shares: Sequence[float]) -> float:
    """Return the logarithm of the evidence that users do not fall to arms by these shares, which sum to 1.

    >>> log_e_shares([5000, 5050], [0.5, 0.5]) < 0 < 7 < log_e_shares([5000, 5600], [0.5, 0.5])
    True
    """
    prior = [PRIOR_USERS * share for share in shares]
    mixture = math.lgamma(PRIOR_USERS) - math.lgamma(PRIOR_USERS + sum(users))
    mixture += sum(math.lgamma(a + n) - math.lgamma(a) for a, n in zip(prior, users, strict=True))
    return mixture - sum(n * math.log(share) for n, share in zip(users, shares, strict=True))


def _log_e_score(score: float, information: float, effect: float) -> float:
    """Return the logarithm of the mixture at a score >= 0; it grows with the score."""
    at = effect * score
    two_points = at + math.log1p(math.exp(-2 * at)) - math.log(2) - effect**2 * information / 2  # cosh, in logarithms
    spread = 1 + effect**2 * information
    normal = at**2 / (2 * spread) - math.log(spread) / 2
    parts = math.log(ON_EFFECT) + two_points, math.log(1 - ON_EFFECT) + normal
    return max(parts) + math.log1p(math.exp(-abs(parts[0] - parts[1])))


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
