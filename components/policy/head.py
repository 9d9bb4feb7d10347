"""A small head on the ranker: a linear model of what an item is worth, with what is not known of it.

Bayesian linear regression with a normal prior and known noise; the posterior is normal and in closed form (Bishop,
Pattern Recognition and Machine Learning, 3.3). Pure numpy.

Letters: M candidates, R rewarded items, F features.
"""

from dataclasses import dataclass

import numpy as np

from components.policy.choice import Ask

FEATURES = ("score", "rank")  # standardised over the candidates; 1 / log2(1 + rank)


def features_of(ask: Ask) -> np.ndarray:
    """Return what a head sees of candidates, [M, F].

    >>> features_of(Ask.of(np.array([3.0, 2.0, 1.0]), 2)).round(2).tolist()
    [[1.22, 1.0], [0.0, 0.63], [-1.22, 0.5]]
    """
    return np.column_stack([ask.standard, gains(len(ask.scores))])


def gains(m: int) -> np.ndarray:
    """Return the discount of each rank or place, [M], as NDCG has it."""
    return np.asarray(1.0 / np.log2(np.arange(m) + 2.0))


@dataclass(frozen=True)
class Head:
    """What is believed of the weights: a normal distribution."""

    mean: np.ndarray  # [F]
    covariance: np.ndarray  # [F, F]


PRIOR = Head(np.array([1.0, 0.0]), np.eye(2))


def learnt(features: np.ndarray, rewards: np.ndarray, *, prior: Head = PRIOR, noise: float = 1.0) -> Head:
    """Return what is believed after rewards [R] of items with features [R, F], whose noise has this deviation."""
    before = np.linalg.inv(prior.covariance)
    precision = before + features.T @ features / noise**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ (before @ prior.mean + features.T @ rewards / noise**2)
    return Head(mean, (covariance + covariance.T) / 2)
