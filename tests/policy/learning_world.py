"""A world to learn in: what users like is written, and the policy that writes the log likes something else.

Letters: N answers, M candidates, K places, F features.
"""

from dataclasses import dataclass

import numpy as np

from components.policy.learning.answers import Answers
from components.policy.learning.learned import LearnedHead, marginals

CANDIDATES, PLACES = 10, 3
LIKED = np.array([0.0, 1.2, -0.8])  # weights of features in the logarithm of a reward's odds; the first tells nothing
FADING = np.array([1.0, 0.7, 0.5])


@dataclass(frozen=True)
class LearningWorld:
    """Answers with three features a candidate, drawn by a softmax over the logging policy's own weights."""

    answers: Answers
    chance: np.ndarray  # [N, M] probability of a reward at the first place

    @classmethod
    def drawn(cls, rows: int, *, seed: int = 0, logging: tuple[float, ...] = (0.5, 0.0, 0.3)) -> "LearningWorld":
        rng = np.random.default_rng(seed)
        features = rng.normal(size=(rows, CANDIDATES, len(LIKED)))
        chance = 1 / (1 + np.exp(1.5 - features @ LIKED))
        logits = features @ np.array(logging)
        shown = np.argsort(-(logits + rng.gumbel(size=logits.shape)), axis=1)[:, :PLACES]
        row = np.arange(rows)[:, None]
        greedy = np.argsort(-logits, axis=1)[:, :PLACES]
        likely = marginals(logits, PLACES, greedy=greedy, draws=256, seed=seed)
        reward = (rng.random(shown.shape) < chance[row, shown] * FADING).astype(float)
        answers = Answers(
            request=np.array([f"r{n}" for n in range(rows)]),
            user=np.array([f"u{n // 4}" for n in range(rows)]),
            features=features,
            there=np.ones((rows, CANDIDATES), dtype=bool),
            greedy=greedy,
            shown=shown,
            propensity=likely[row, np.arange(PLACES), shown],
            reward=reward,
        )
        return cls(answers, chance)

    def value(self, head: LearnedHead) -> float:
        """Return the true mean reward of a place under a head."""
        likely = marginals(
            head.logits(self.answers.features, self.answers.there), PLACES, greedy=self.answers.greedy, share=head.share
        )
        return float((likely * self.chance[:, None, :] * FADING[:, None]).sum(axis=2).mean())

    @property
    def best(self) -> float:
        """Return the value of who knows what users like."""
        top = -np.sort(-self.chance, axis=1)[:, :PLACES]
        return float((top * FADING).mean())
