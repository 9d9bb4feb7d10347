"""Top-K off-policy REINFORCE (Chen and others 2019, equations 3 and 6): the learner by option.

A linear softmax over candidates climbs the weighted log-likelihood of what was rewarded. A place's weight is its
reward, the capped ratio of the policy's probability to the log's, and the top-K correction K (1 - pi)^(K - 1): an item
that is sure to be among K needs no more.

Letters: N answers, M candidates, K places, F features.
"""

import numpy as np

from components.policy.learning.answers import Answers
from components.policy.learning.learned import LearnedHead
from components.policy.learning.reward_model import made, spread

NAME = "reinforce"
STEPS = 300
RATE = 0.05  # Adam's (Kingma and Ba 2015)
MOST_WEIGHT = 10.0
DECAY = 1e-3  # of weights, as a share of the mean gradient's unit


def learn(
    answers: Answers, *, temperature: float, share: float, seed: int = 0, steps: int = STEPS, correct: bool = True
) -> LearnedHead:
    """Learn a head; `correct` False leaves the top-K correction out. Nothing is drawn: the seed changes nothing."""
    centre, scale = spread(answers)
    x = (answers.features - centre) / scale  # [N, M, F]
    baseline = float(answers.reward[answers.filled].mean())
    weights, first, second = (np.zeros(x.shape[2]) for _ in range(3))
    for step in range(1, steps + 1):
        slope = gradient(answers, x, weights, baseline=baseline, correct=correct) - DECAY * weights
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        weights = weights + RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-12)
    return made(NAME, answers, weights, temperature=temperature, share=share)


def gradient(
    answers: Answers, x: np.ndarray, weights: np.ndarray, *, baseline: float = 0.0, correct: bool = True
) -> np.ndarray:
    """Return the gradient of the mean reward of a place, [F], at weights of standardised features [N, M, F]."""
    logits = np.where(answers.there, x @ weights, -np.inf)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance = odds / odds.sum(axis=1, keepdims=True)  # [N, M]
    row, place = np.nonzero(answers.filled)
    item = answers.shown[row, place]
    pi = chance[row, item]
    ratio = np.minimum(pi / answers.propensity[row, place], MOST_WEIGHT)
    if correct:
        places = answers.filled.sum(axis=1)[row]
        ratio = ratio * places * (1 - pi) ** (places - 1)
    factor = ratio * (answers.reward[row, place] - baseline)
    mean = (chance[:, :, None] * x).sum(axis=1)  # [N, F]
    return np.asarray((factor[:, None] * (x[row, item] - mean[row])).mean(axis=0))
