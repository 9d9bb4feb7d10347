"""What a policy is asked and what it answers. A policy sees candidates by position: neither the user nor the items.

A policy is a law of lists, place by place: given what stands above, each candidate that rules allow has a probability
to be next. It may draw a model first, and is then a mixture of such laws. draw.py draws lists and computes what is true
of them; nothing here knows of rules, logs or HTTP.

Letters: M candidates, best first; K places; N lists at once; C codes of a candidate.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Bounds:
    """What rules leave open. Positions are those of candidates; no list that breaks one has a probability above 0."""

    fixed: tuple[tuple[int, int], ...] = ()  # place from 0, and the candidate that stands there
    caps: tuple[tuple[int, tuple[int, ...]], ...] = ()  # at most so many of these candidates
    quotas: tuple[tuple[int, tuple[int, ...]], ...] = ()  # at least so many of these, where there are as many


@dataclass(frozen=True)
class Ask:
    """Candidates of one list."""

    scores: np.ndarray  # [M] float64, falling
    greedy: tuple[int, ...]  # [K] the list that is shown where nothing is explored: by rules, the best
    codes: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))  # [M, C], -1 unknown; [0, 0]: none
    bounds: Bounds = Bounds()

    @classmethod
    def of(cls, scores: np.ndarray, k: int) -> "Ask":
        """Return the question of a list without rules: the greedy list is the first `k`."""
        return cls(np.asarray(scores, dtype=np.float64), tuple(range(min(k, len(scores)))))

    @property
    def k(self) -> int:
        """Return how many places there are."""
        return len(self.greedy)

    @property
    def standard(self) -> np.ndarray:
        """Return scores [M] in standard deviations from their mean: scores of two rankers have no unit in common.

        >>> Ask.of(np.array([3.0, 2.0, 1.0]), 2).standard.round(2).tolist()
        [1.22, 0.0, -1.22]
        """
        spread = float(self.scores.std()) if len(self.scores) else 0.0
        return (self.scores - self.scores.mean()) / spread if spread > 0 else np.zeros(len(self.scores))


@dataclass(frozen=True)
class Choice:
    """What is shown, and how likely each was."""

    order: np.ndarray  # [K] int64, positions among the M candidates
    propensities: np.ndarray  # [K] float64, above 0 and at most 1: of this candidate at this place, over all lists
    given: (
        np.ndarray
    )  # [K] float64: of this candidate at this place, given what stands above; their product is the list's
    errors: np.ndarray  # [K] float64: standard errors of `propensities`; 0 where these are exact
    explored: bool = False  # the list was drawn; else the greedy list was shown without a draw


class Policy(Protocol):
    """A law of lists. `name` stands in releases and logs; a changed policy gets another number behind the @."""

    @property
    def name(self) -> str:
        """Name and version, such as softmax@1."""

    def considered(self, k: int) -> int:
        """Return how many of the best items it wants to choose `k` from."""

    def values(self, ask: Ask, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return what candidates are worth, [N, M], by `n` models that are drawn; [1, M] where none is drawn."""

    def next(self, ask: Ask, values: np.ndarray, allowed: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Return each candidate's probability to be next, [N, M], 0 where it is not `allowed` [N, M].

        `above` [N, j] are the candidates at the places above, -1 where a list ended. A row of `allowed` has at least
        one candidate; rows of the answer sum to 1.
        """
