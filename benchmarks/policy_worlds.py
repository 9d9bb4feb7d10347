"""Worlds whose policies' values are known: single places and lists, drawn from written probabilities.

Letters: X kinds of users, A actions, N rows, K places, S lists.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from components.policy.evaluation.logged import Logged, of_actions
from components.policy.evaluation.slates import LoggedSlates, general_weights

KINDS, ACTIONS, PLACES = 6, 12, 3


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class PlaceWorld:
    """One place; rewards of 0 and 1. The logging policy explores and half knows what is good, the target knows more."""

    reward: np.ndarray  # [X, A] probability of a reward
    logging: np.ndarray  # [X, A]
    target: np.ndarray  # [X, A]

    @classmethod
    def made(cls, seed: int = 0, *, sharpness: float = 12.0, rate: float = 0.25) -> "PlaceWorld":
        """Make one; `sharpness` is how sure the target policy is, `rate` about the mean reward."""
        rng = np.random.default_rng(seed)
        reward = np.clip(rate * rng.gamma(4.0, 0.25, size=(KINDS, ACTIONS)), 0.0, 0.95)
        guess = reward / rate + rng.normal(0, 0.6, size=reward.shape)
        logging = 0.7 * softmax(guess) + 0.3 / ACTIONS
        return cls(reward, logging, 0.9 * softmax(sharpness * reward / rate / 4) + 0.1 / ACTIONS)

    @property
    def truth(self) -> float:
        """Return the target policy's value."""
        return float((self.target * self.reward).sum(axis=1).mean())

    @property
    def running(self) -> float:
        """Return the logging policy's value."""
        return float((self.logging * self.reward).sum(axis=1).mean())

    @property
    def most_weight(self) -> float:
        """Return the largest weight that can be."""
        return float((self.target / self.logging).max())

    def drawn(self, rows: int, seed: int) -> "Drawn":
        """Draw a log."""
        rng = np.random.default_rng((1, seed))
        kind = rng.integers(KINDS, size=rows)
        action = (np.cumsum(self.logging, axis=1)[kind] < rng.random((rows, 1))).sum(axis=1).clip(max=ACTIONS - 1)
        reward = (rng.random(rows) < self.reward[kind, action]).astype(float)
        return Drawn(self, kind, action, reward)


@dataclass(frozen=True)
class Drawn:
    """A log of a world of one place."""

    world: PlaceWorld
    kind: np.ndarray  # [N]
    action: np.ndarray  # [N]
    reward: np.ndarray  # [N]

    @property
    def propensity(self) -> np.ndarray:
        """Return the probability of each shown action, [N]."""
        return np.asarray(self.world.logging[self.kind, self.action])

    def model(self) -> np.ndarray:
        """Return expected rewards [N, A] that know each action's and each kind's mean, but not what suits whom.

        Each half of the log is predicted by the other one.
        """
        half = np.arange(len(self.kind)) % 2
        found = np.zeros((len(self.kind), ACTIONS))
        for one in (0, 1):
            other = half != one
            mean = self.reward[other].mean()
            of_action = _means(self.action[other], self.reward[other], ACTIONS, mean)
            of_kind = _means(self.kind[other], self.reward[other], KINDS, mean)
            found[half == one] = np.clip(of_action[None] + of_kind[self.kind[half == one], None] - mean, 0, 1)
        return found

    def log(self, model: np.ndarray | None = None) -> Logged:
        """Return the log with the world's target policy."""
        target = self.world.target[self.kind]
        return of_actions(self.action, self.reward, self.propensity, target, model=model)

    def knowing(self) -> Logged:
        """Return the log with a model that knows the truth."""
        return self.log(self.world.reward[self.kind])


def _means(group: np.ndarray, values: np.ndarray, groups: int, prior: float, strength: float = 20.0) -> np.ndarray:
    """Return each group's mean, drawn to the mean of all where it has few rows."""
    sums, counts = np.bincount(group, values, groups), np.bincount(group, minlength=groups)
    return np.asarray((sums + strength * prior) / (counts + strength))


@dataclass(frozen=True)
class ListWorld:
    """Lists of PLACES of a few items without repetition; a place's reward depends on its item and on the place."""

    attraction: np.ndarray  # [A] probability of a reward at the first place
    fading: np.ndarray  # [K] share of it that is left at each place
    lists: np.ndarray  # [S, K] every list
    logging: np.ndarray  # [S]
    target: np.ndarray  # [S]

    @classmethod
    def made(cls, seed: int = 0, *, items: int = 6) -> "ListWorld":
        """Make one: both policies draw place by place, in proportion to odds."""
        rng = np.random.default_rng((2, seed))
        attraction = rng.uniform(0.1, 0.6, size=items)
        lists = np.array(list(permutations(range(items), PLACES)))
        odds = np.exp(rng.normal(0, 0.3, size=items)), np.exp(2.5 * attraction)
        return cls(attraction, 0.8 ** np.arange(PLACES), lists, *(conditional(lists, one).prod(axis=1) for one in odds))

    @property
    def truth(self) -> float:
        """Return the target policy's value: rewards a list."""
        return float(self.target @ (self.attraction[self.lists] * self.fading).sum(axis=1))

    def drawn(self, rows: int, seed: int) -> tuple[LoggedSlates, np.ndarray]:
        """Draw a log, and the number of each shown list."""
        rng = np.random.default_rng((3, seed))
        at = rng.choice(len(self.lists), size=rows, p=self.logging)
        shown = self.lists[at]
        reward = (rng.random(shown.shape) < self.attraction[shown] * self.fading).astype(float)
        logging, target = self.marginals(self.logging), self.marginals(self.target)
        place = np.arange(PLACES)
        log = LoggedSlates(
            reward,
            self.conditional(self.logging)[at],
            self.conditional(self.target)[at],
            logging[place, shown],
            target[place, shown],
            general_weights(self.lists, self.logging, target, shown),
        )
        return log, at

    def marginals(self, probability: np.ndarray) -> np.ndarray:
        """Return the probability of each item at each place, [K, A]."""
        items = len(self.attraction)
        return np.stack([np.bincount(self.lists[:, k], probability, items) for k in range(PLACES)])

    def conditional(self, probability: np.ndarray) -> np.ndarray:
        """Return the probability of each place's item given those above, [S, K]."""
        sums: list[np.ndarray] = [np.ones(len(self.lists))]
        for k in range(1, PLACES + 1):
            _, number = np.unique(self.lists[:, :k], axis=0, return_inverse=True)
            sums.append(np.bincount(number.reshape(-1), probability)[number.reshape(-1)])
        return np.stack([sums[k + 1] / sums[k] for k in range(PLACES)], axis=1)


def conditional(lists: np.ndarray, odds: np.ndarray) -> np.ndarray:
    """Return the probability of each place's item given those above, [S, K], of draws in proportion to odds."""
    taken = odds[lists]
    left = odds.sum() - np.cumsum(taken, axis=1) + taken
    return np.asarray(taken / left)
