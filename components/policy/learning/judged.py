"""A learnt head before the gate: its value on users that it did not learn from.

Letters: N answers, M candidates, K places, R rows: places that hold an item.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.policy import draw
from components.policy.evaluation import gate
from components.policy.evaluation.estimators import USUAL, Estimate, Settings, estimates
from components.policy.evaluation.gate import USUAL_RULE, Rule, Verdict
from components.policy.evaluation.logged import Logged
from components.policy.learning import reinforce, reward_model
from components.policy.learning.answers import Answers, halves
from components.policy.learning.learned import DRAWS, LearnedHead, marginals
from components.policy.learning.reward_model import RewardModel
from feature_repo.errors import SpecError, nearest

LEARNERS: dict[str, Callable[..., LearnedHead]] = {
    reward_model.NAME: reward_model.learn,
    reinforce.NAME: reinforce.learn,
}
LEARNS = 0.6  # share of users to learn from


@dataclass(frozen=True)
class Learnt:
    """A head, its verdict and what every estimator says of it."""

    head: LearnedHead
    verdict: Verdict
    estimates: dict[str, Estimate]


def learnt(
    answers: Answers,
    learner: str = reward_model.NAME,
    *,
    temperature: float = 0.3,
    share: float = 1.0,
    rule: Rule = USUAL_RULE,
    settings: Settings = USUAL,
    greedy: bool = False,
    seed: int = 0,
) -> Learnt:
    """Learn a head from some users' answers and judge it by the others'.

    It is compared with the policy that wrote the log, or, where that one does not serve, with `greedy`.
    """
    if learner not in LEARNERS:
        raise SpecError(f"policy learner '{learner}': have {', '.join(LEARNERS)}{nearest(learner, list(LEARNERS))}")
    learns, judges = (answers.take(rows) for rows in halves(answers.user, share=LEARNS, seed=seed))
    head = LEARNERS[learner](learns, temperature=temperature, share=share, seed=seed)
    log = logged(judges, head, reward_model.fit(learns), seed=seed)
    running = (judges.shown == judges.greedy)[judges.filled].astype(float) if greedy else None
    return Learnt(head, gate.judge(log, rule, settings, running=running), estimates(log, settings=settings))


def logged(answers: Answers, head: LearnedHead, model: RewardModel, *, draws: int = DRAWS, seed: int = 0) -> Logged:
    """Return a log's places [R] as the estimators read them, with a head as the target policy."""
    filled = answers.filled
    chance = chances(answers, head, draws=draws, seed=seed)  # [N, K, M]
    expected = model.expected(answers.features)
    row, place = np.nonzero(filled)
    item = answers.shown[row, place]
    return Logged(
        reward=answers.reward[filled],
        propensity=answers.propensity[filled],
        target=chance[row, place, item],
        predicted=expected[row, place, item],
        expected=(chance * expected).sum(axis=2)[filled],
        user=answers.user[row],
    )


def chances(answers: Answers, head: LearnedHead, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Return the probability of each candidate at each place under a head, [N, K, M], within the rules' bounds."""
    n, places = answers.shown.shape
    if answers.asks is None:
        logits = head.logits(answers.features, answers.there)
        return marginals(logits, places, greedy=answers.greedy, share=head.share, draws=draws, seed=seed)
    found = np.zeros((n, places, answers.there.shape[1]))
    for row, ask in enumerate(answers.asks):
        policy = head.policy(candidates=len(ask.scores))
        mean = draw.marginals(policy, ask, seed + row, draws=draws).mixed(ask, head.share).mean
        found[row, : mean.shape[0], : mean.shape[1]] = mean
    return found
