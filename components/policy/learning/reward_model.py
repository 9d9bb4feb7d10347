"""A reward model, and a head learnt from its doubly robust targets: the default learner.

The model is a ridge regression of a place's reward on the features of what stood there and on the place. It is fitted
without each user's own answers (cross-fitting), and corrected by what the log says: a candidate's target is

    mean over places k of  q(m, k) + 1[m shown at k] (r_k - q(m, k)) / p_k

whose expectation is the candidate's true reward, averaged over places, as long as the propensities p are true or the
model q is right (Dudík, Langford and Li 2011; Kennedy 2020 for regressing on such targets). The head regresses the
targets of all candidates on their features, so also of those that the log showed rarely.

Letters: N answers, M candidates, K places, F features.
"""

from dataclasses import dataclass

import numpy as np

from components.policy.learning.answers import Answers
from components.policy.learning.learned import LearnedHead

NAME = "reward_model"
FOLDS = 5
RIDGE = 1.0  # pseudo-rows of weight 0
MOST_WEIGHT = 100.0  # of a correction: one row of a tiny propensity would drown all others
LEAST_SPREAD = 1e-9  # of a feature that tells candidates apart


@dataclass(frozen=True)
class RewardModel:
    """Expected rewards, linear in standardised features and the place."""

    centre: np.ndarray  # [F]
    scale: np.ndarray  # [F]
    weights: np.ndarray  # [F]
    places: np.ndarray  # [K]
    bounds: tuple[float, float]  # of a reward, as the log has it

    def expected(self, features: np.ndarray) -> np.ndarray:
        """Return the expected reward of candidates [N, M, F] at each place, [N, K, M]."""
        worth = (features - self.centre) / self.scale @ self.weights  # [N, M]
        return np.asarray(np.clip(worth[:, None, :] + self.places[:, None], *self.bounds))


def fit(answers: Answers, *, ridge: float = RIDGE) -> RewardModel:
    """Fit the model on what was shown."""
    filled = answers.filled
    x, y = answers.chosen()[filled], answers.reward[filled]  # [R, F], [R]
    place = np.nonzero(filled)[1]
    centre, scale = spread(answers)
    marks = np.eye(answers.shown.shape[1])[place]
    found = _ridge(np.column_stack([(x - centre) / scale, marks]), y, ridge)
    width = x.shape[1]
    return RewardModel(centre, scale, found[:width], found[width:], (float(y.min()), float(y.max())))


def targets(answers: Answers, *, folds: int = FOLDS, seed: int = 0, most_weight: float = MOST_WEIGHT) -> np.ndarray:
    """Return the doubly robust targets of all candidates, [N, M]; each from a model that did not see the user."""
    names, number = np.unique(answers.user, return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(len(names)) % min(folds, len(names))
    fold, found = fold_of[number.reshape(-1)], np.zeros(answers.there.shape)
    for one in range(int(fold_of.max()) + 1):
        rows, others = np.flatnonzero(fold == one), np.flatnonzero(fold != one)
        model = fit(answers.take(others if len(others) else rows))
        found[rows] = _corrected(answers.take(rows), model, most_weight)
    return found


def _corrected(answers: Answers, model: RewardModel, most_weight: float) -> np.ndarray:
    expected = model.expected(answers.features)  # [N, K, M]
    row, place = np.nonzero(answers.filled)
    item = answers.shown[row, place]
    weight = np.minimum(1 / answers.propensity[row, place], most_weight)
    expected[row, place, item] += weight * (answers.reward[row, place] - expected[row, place, item])
    counts = np.maximum(answers.filled.sum(axis=1), 1)
    return np.asarray((expected * answers.filled[:, :, None]).sum(axis=1) / counts[:, None])


def learn(answers: Answers, *, temperature: float, share: float, seed: int = 0) -> LearnedHead:
    """Learn a head."""
    y, (centre, scale) = targets(answers, seed=seed), spread(answers)
    x = ((answers.features - centre) / scale)[answers.there]  # [R, F]
    weights = _ridge(np.column_stack([x, np.ones(len(x))]), y[answers.there], RIDGE)[:-1]
    return made(NAME, answers, weights, temperature=temperature, share=share)


def made(learner: str, answers: Answers, weights: np.ndarray, *, temperature: float, share: float) -> LearnedHead:
    """Return the head of weights of standardised features; its values then have a standard deviation of 1."""
    centre, scale = spread(answers)
    worth = (answers.features - centre) / scale @ weights
    count = answers.there.sum(axis=1)
    mean = (worth * answers.there).sum(axis=1) / count
    apart = np.where(answers.there, worth - mean[:, None], 0.0)
    deviation = float(np.sqrt((apart**2).sum() / answers.there.sum()))
    whole = weights / deviation if deviation > LEAST_SPREAD else np.zeros_like(weights)
    plain = [tuple(map(float, part)) for part in (centre, scale, whole)]
    return LearnedHead(learner, plain[0], plain[1], plain[2], temperature, share)


def spread(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of each feature over all candidates, [F] each; 1 for one that never differs."""
    rows = answers.features[answers.there]
    scale = rows.std(axis=0)
    return rows.mean(axis=0), np.where(scale > LEAST_SPREAD, scale, 1.0)


def _ridge(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Solve a ridge regression."""
    found: np.ndarray = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y)
    return found
