"""The always-valid test: how often it cries wolf when it is looked at after every request, and what it finds."""

import math

import numpy as np
import pytest

from pipelines.rollout.sequential import Counts, log_e, worse

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
    ],
)
def test_known_counts(stable: Counts, candidate: Counts, tolerance: float, expected: bool) -> None:
    assert worse(stable, candidate, alpha=0.01, tolerance=tolerance) is expected


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
