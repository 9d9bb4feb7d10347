"""What learning leaves: a linear head over candidates' features, and the softmax over its values that shows items.

A list is drawn place by place (Plackett and Luce): each next item in proportion to exp(value / temperature) among those
that stand nowhere above. `share` of the answers are so, the others are greedy's, as guard rails say.

Letters: N answers, M candidates, K places, F features, D draws.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.policy.policies.learned import Learned
from feature_repo import files
from feature_repo.errors import DataError

FILE = "policy.json"
FORMAT = 1
DRAWS = 128
AT_ONCE = 8_000_000  # numbers of draws held in memory


@dataclass(frozen=True)
class LearnedHead:
    """A learnt head. Values are (features - centre) / scale @ weights: 1 is a standard deviation among candidates."""

    learner: str
    centre: tuple[float, ...]  # [F]
    scale: tuple[float, ...]  # [F] above 0
    weights: tuple[float, ...]  # [F]
    temperature: float = 0.3
    share: float = 1.0  # of answers that it chooses; the others are greedy's

    def __post_init__(self) -> None:
        """Refuse numbers that no policy can be made of."""
        if not len(self.centre) == len(self.scale) == len(self.weights) > 0:
            raise DataError(
                f"{FILE}: {len(self.weights)} weights for {len(self.scale)} features; learn the policy again"
            )
        if not all(map(math.isfinite, (*self.centre, *self.scale, *self.weights))) or min(self.scale) <= 0:
            raise DataError(f"{FILE}: holds a number that is not finite, or a scale of 0; learn the policy again")
        if not (self.temperature > 0 and 0 <= self.share <= 1):
            raise DataError(f"{FILE}: temperature {self.temperature} must be above 0 and share {self.share} 0 to 1")

    def values(self, features: np.ndarray) -> np.ndarray:
        """Return what candidates are worth, [..., M] of features [..., M, F]."""
        if features.shape[-1] != len(self.weights):
            raise DataError(f"{FILE}: reads {len(self.weights)} features, and candidates have {features.shape[-1]}")
        return np.asarray((features - np.array(self.centre)) / np.array(self.scale) @ np.array(self.weights))

    def logits(self, features: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Return the logarithms of the odds of candidates, -inf where there is none."""
        return np.where(there, self.values(features) / self.temperature, -np.inf)

    def policy(self, *, candidates: int) -> Learned:
        """Return the policy that shows so many of the best items by it."""
        return Learned(self.centre, self.scale, self.weights, self.temperature, candidates)

    def save(self, folder: Path) -> None:
        """Write the head into a folder."""
        files.write_json(folder / FILE, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> "LearnedHead":
        """Read a head; raises DataError for a file that is none."""
        try:
            found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / FILE}: cannot be read ({error}); learn the policy again") from error
        if (
            not isinstance(found, dict)
            or found.pop("format", None) != FORMAT
            or set(found) != set(cls.__dataclass_fields__)
        ):
            raise DataError(f"{folder / FILE}: is no policy of format {FORMAT}; learn the policy again")
        told: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found.items()
        }
        return cls(**told)


def marginals(
    logits: np.ndarray, places: int, *, greedy: np.ndarray, share: float = 1.0, draws: int = DRAWS, seed: int = 0
) -> np.ndarray:
    """Return the probability of each candidate at each place, [N, K, M], of logits [N, M].

    The first place is exact; below it the items above are drawn, and conditional probabilities averaged over the draws,
    which is exact in expectation. `greedy` [N, K] are the candidates of the other answers, a negative number where
    none.
    """
    n, m = logits.shape
    some = max(1, AT_ONCE // (m * draws))
    parts = [
        _drawn(logits[first : first + some], places, draws, np.random.default_rng((seed, first)))
        for first in range(0, n, some)
    ]
    found = np.concatenate(parts)
    if share < 1:
        certain = np.zeros_like(found)
        row, place = np.nonzero(greedy[:, :places] >= 0)
        certain[row, place, greedy[row, place]] = 1
        found = share * found + (1 - share) * certain
    return found


def _drawn(logits: np.ndarray, places: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return the marginal probabilities of some answers, [n, K, M]."""
    n, m = logits.shape
    left = np.repeat(logits[:, None, :], draws, axis=1)  # [n, D, M]
    found = np.zeros((n, places, m))
    for place in range(min(places, m)):
        top = left.max(axis=2, keepdims=True)  # anew at each place: what is left may be far below what was taken
        odds = np.exp(left - np.where(np.isfinite(top), top, 0.0))
        total = odds.sum(axis=2, keepdims=True)
        chance = np.divide(odds, total, out=np.zeros_like(odds), where=total > 0)
        found[:, place] = chance.mean(axis=1)
        if place + 1 < places:
            point = rng.random((n, draws, 1))
            item = np.minimum((np.cumsum(chance, axis=2) <= point).sum(axis=2), m - 1)
            np.put_along_axis(left, item[:, :, None], -np.inf, axis=2)
    return found


def conditionals(logits: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the probability of each shown candidate given those above it, [N, K]; 1 where nothing is shown.

    >>> conditionals(np.log([[1.0, 2.0, 1.0]]), np.array([[1, 0, -1]])).tolist()
    [[0.5, 0.5, 1.0]]
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found = np.ones(shown.shape)
    for place in range(shown.shape[1]):
        rows = np.flatnonzero(shown[:, place] >= 0)
        item = shown[rows, place]
        found[rows, place] = odds[rows, item] / odds[rows].sum(axis=1)
        odds[rows, item] = 0
    return found
