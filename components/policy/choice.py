"""What a policy is asked and what it answers. A policy sees scores alone: neither the user nor the items.

Letters: M items to choose from, K chosen.
"""

import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Choice:
    """Which items are shown, in their order, and how likely each was to be shown at its place."""

    order: np.ndarray  # [K] int64, positions among the M items
    propensities: np.ndarray  # [K] float64, above 0 and at most 1


class Policy(Protocol):
    """Chooses what is shown. `name` stands in releases and logs; a changed policy gets another number behind the @."""

    name: str

    def considered(self, k: int) -> int:
        """Return how many of the best items it wants to choose `k` from."""

    def choose(self, scores: np.ndarray, k: int, rng: np.random.Generator) -> Choice:
        """Choose at most `k` of the items with these scores [M], best first."""


def draws(key: str) -> np.random.Generator:
    """Return the random numbers that belong to a request, or to a user's list of a batch: the same key, the same ones.

    >>> [int(draws(key).integers(100)) for key in ("request 1", "request 1", "request 2")]
    [80, 80, 79]
    """
    return np.random.default_rng(zlib.crc32(key.encode()))
