"""The always-valid test: how often it cries wolf when it is looked at after every request, and what it finds."""

import math

import numpy as np
import pytest

from pipelines.rollout.sequential import Counts, between, log_e, worse

ALPHA = 0.1
LOOKS = 400  # one a request


def cries(stable_rate: float, candidate_rate: float, *, tolerance: float, share: float, runs: int, seed: int) -> float:
    """Return the share of rollouts in which the candidate is ever called worse, looking after every request."""
    rng = np.random.default_rng(seed)
    cried = 0
    for _ in range(runs):
        to_candidate = rng.random(LOOKS) < share
        bad = rng.random(LOOKS) < np.where(to_candidate, candidate_rate, stable_rate)
        n_c, n_s = np.cumsum(to_candidate), np.cumsum(~to_candidate)
        k_c, k_s = np.cumsum(bad & to_candidate), np.cumsum(bad & ~to_candidate)
        ahead = np.flatnonzero(bad & to_candidate)  # evidence grows only where the candidate fails
        counts = ((Counts(int(n_s[i]), int(k_s[i])), Counts(int(n_c[i]), int(k_c[i]))) for i in ahead)
        cried += any(worse(s, c, alpha=ALPHA, tolerance=tolerance) for s, c in counts if c.rate > s.rate + tolerance)
    return cried / runs


@pytest.mark.parametrize(("rate", "tolerance"), [(0.02, 0.0), (0.3, 0.0), (0.2, 0.05)])
def test_a_candidate_as_good_as_stable_is_rarely_called_worse_however_often_one_looks(
    rate: float, tolerance: float
) -> None:
    runs = 150
    cried = cries(rate, rate + tolerance, tolerance=tolerance, share=0.5, runs=runs, seed=1)
    assert cried <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_candidate_that_fails_a_fifth_of_its_requests_is_found_within_400() -> None:
    assert cries(0.01, 0.2, tolerance=0.01, share=0.25, runs=40, seed=2) > 0.95


@pytest.mark.parametrize(
    ("stable", "candidate", "tolerance", "expected"),
    [
        (Counts(1000, 10), Counts(1000, 10), 0.0, False),
        (Counts(1000, 0), Counts(10, 10), 0.0, True),  # every request fails
        (Counts(1000, 0), Counts(1, 1), 0.0, False),  # one failure is no proof
        (Counts(1000, 100), Counts(1000, 130), 0.05, False),  # worse, within what is tolerated
        (Counts(1000, 100), Counts(1000, 250), 0.05, True),
        (Counts(1000, 100), Counts(1000, 10), 0.0, False),  # better
        (Counts(0, 0), Counts(100, 100), 0.0, False),  # nothing to compare with
        (Counts(100, 100), Counts(100, 100), 0.1, False),
        (Counts(1000, 100), Counts(0, 0), 0.0, False),  # nothing was seen of it
    ],
)
def test_known_counts(stable: Counts, candidate: Counts, tolerance: float, expected: bool) -> None:
    assert worse(stable, candidate, alpha=0.01, tolerance=tolerance) is expected


def test_how_sure_one_is_decides() -> None:
    """One failure of one request, where stable never failed, is evidence of e^3.2."""
    assert worse(Counts(1000, 0), Counts(1, 1), alpha=0.05)
    assert not worse(Counts(1000, 0), Counts(1, 1), alpha=0.03)
    assert not worse(Counts(1000, 100), Counts(1000, 250), alpha=0.01, tolerance=0.2)


def _likely(counts: Counts, rate: float) -> float:
    """Return the logarithm of a likelihood; 0 times the logarithm of 0 is 0."""
    good = counts.n - counts.bad
    return (counts.bad * math.log(rate) if counts.bad else 0.0) + (good * math.log1p(-rate) if good else 0.0)


def _prior(counts: Counts) -> float:
    """Return the logarithm of the likelihood's mean under Beta(1/2, 1/2), as a product of its predictions."""
    bad = sum(math.log((i + 0.5) / (i + 1)) for i in range(counts.bad))
    return bad + sum(math.log((i + 0.5) / (counts.bad + i + 1)) for i in range(counts.n - counts.bad))


@pytest.mark.parametrize(
    ("stable", "candidate", "tolerance", "rates"),
    [
        (Counts(900, 0), Counts(30, 10), 0.0, (10 / 930, 10 / 930)),  # the edge: one rate for both
        (Counts(100, 5), Counts(50, 20), 0.0, (25 / 150, 25 / 150)),
        (Counts(1000, 0), Counts(10, 10), 0.0, (10 / 1010, 10 / 1010)),
        (Counts(10, 10), Counts(5, 5), 0.0, (1.0, 1.0)),
        (Counts(100, 50), Counts(30, 3), 0.0, (0.5, 0.1)),  # what was seen lies in the null
        (Counts(100, 10), Counts(100, 12), 0.05, (0.1, 0.12)),
        (Counts(100, 10), Counts(100, 15), 0.05, (0.1, 0.15)),  # on its border
        (Counts(0, 0), Counts(20, 15), 0.0, (0.5, 0.75)),  # stable may be as bad
        (Counts(20, 5), Counts(0, 0), 0.0, (0.25, 0.25)),
        (Counts(0, 0), Counts(0, 0), 0.0, (0.5, 0.5)),
    ],
)
def test_the_evidence_is_the_mixture_over_the_best_of_the_null(
    stable: Counts, candidate: Counts, tolerance: float, rates: tuple[float, float]
) -> None:
    best = _likely(stable, rates[0]) + _likely(candidate, rates[1])
    expected = _prior(stable) + _prior(candidate) - best
    assert log_e(stable, candidate, tolerance=tolerance) == pytest.approx(expected, abs=1e-6)


def test_a_rate_is_a_share() -> None:
    assert (Counts(8, 2).rate, Counts(1, 1).rate, Counts().rate) == (0.25, 1.0, 0.0)


def test_the_null_at_its_edge_is_where_the_likelihood_is_largest() -> None:
    """The search along the edge against a grid over the whole null hypothesis."""
    stable, candidate, tolerance = Counts(40, 3), Counts(30, 12), 0.1
    grid = [
        stable.bad * math.log(p) + 37 * math.log1p(-p) + candidate.bad * math.log(q) + 18 * math.log1p(-q)
        for p in np.linspace(0.001, 0.999, 500)
        for q in np.linspace(0.001, 0.999, 500)
        if q <= p + tolerance
    ]
    mixtures = sum(
        math.lgamma(c.bad + 0.5) + math.lgamma(c.n - c.bad + 0.5) - math.lgamma(c.n + 1) - math.log(math.pi)
        for c in (stable, candidate)
    )
    assert log_e(stable, candidate, tolerance=tolerance) == pytest.approx(mixtures - max(grid), abs=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_differences_left_open_are_those_that_the_test_does_not_rule_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stable, candidate = (Counts(int(n), int(rng.integers(0, n + 1))) for n in rng.integers(20, 400, 2))
    low, high = between(stable, candidate, alpha=0.05)
    assert low <= candidate.rate - stable.rate <= high
    assert low == -1 or worse(stable, candidate, alpha=0.05, tolerance=low)
    assert not worse(stable, candidate, alpha=0.05, tolerance=low + 0.001)
    assert between(candidate, stable, alpha=0.05) == (-high, -low)


def test_of_an_arm_that_answered_nothing_every_difference_is_open() -> None:
    assert between(Counts(), Counts(20, 3), alpha=0.05) == (-1.0, 1.0)
