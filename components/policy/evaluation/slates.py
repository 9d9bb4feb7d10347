"""The value of whole lists from the log of another policy: the sum of a list's rewards, by what is assumed of users.

| name | a list's term | holds where |
| --- | --- | --- |
| slate_ips | w(1..K) sum r | always; its weights grow with each place |
| cascade | sum over k of w(1..k) r_k | no place acts on one above it (McInerney and others 2020) |
| independent | sum over k of w_k r_k | a place's reward depends on its own item alone (Li and others 2018) |
| pi | (q G⁺ 1) sum r | the list's reward is a sum over its places (Swaminathan and others 2017) |

w(1..k) is the product of the conditional probabilities of the first k places, target over logging; w_k the ratio of the
marginal probabilities of the item at place k. The pseudo-inverse `pi` needs no reward by place: q is the target
policy's marginal probability of each (place, item), 1 marks those that were shown, G⁺ is the pseudo-inverse of the
logging policy's joint probabilities of two of them. Where the logging policy draws its places apart from each other,
its weight is 1 + sum over k of (w_k - 1); `general_weights` computes it for any policy that can be enumerated or drawn
from.

Letters: N answers, K places, M items, S lists that a policy may show.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from components.policy.evaluation import overlap
from components.policy.evaluation.estimators import USUAL, Estimate, Settings
from components.policy.evaluation.intervals import bernstein, of_users, percentile, resampled_sums
from components.policy.evaluation.logged import PLACE, Logged, require_propensities
from feature_repo.errors import DataError, nearest


@dataclass(frozen=True)
class LoggedSlates:
    """Answers as they were shown; a place that a short answer lacks has reward 0 and probabilities 1.

    Conditional probabilities are those of a place's item given the items above it, marginal ones those of the item at
    this place whatever stands above. Raises DataError as `Logged` does.
    """

    reward: np.ndarray  # [N, K]
    logging: np.ndarray  # [N, K] conditional, of the logging policy
    target: np.ndarray  # [N, K] conditional, of the target policy
    logging_marginal: np.ndarray | None = None  # [N, K]
    target_marginal: np.ndarray | None = None  # [N, K]
    pi_weight: np.ndarray | None = None  # [N] where places were not drawn apart from each other: `general_weights`
    user: np.ndarray | None = None  # [N]

    def __post_init__(self) -> None:
        """Refuse what cannot be estimated from."""
        if self.reward.ndim != 2 or self.reward.size == 0:
            raise DataError(f"{PLACE}: holds no list; a policy is judged by what a log holds: explore first")
        for name in ("logging", "target", "logging_marginal", "target_marginal"):
            values = getattr(self, name)
            if values is not None and values.shape != self.reward.shape:
                shapes = f"{name} has shape {values.shape} and reward {self.reward.shape}"
                raise DataError(f"{PLACE}: {shapes}; give one a place")
        for name in ("logging", "logging_marginal"):
            values = getattr(self, name)
            if values is not None:
                require_propensities(values)
        if not np.isfinite(self.reward).all():
            raise DataError(f"{PLACE}: a reward is no finite number; leave out answers whose rewards are not known yet")


@dataclass(frozen=True)
class SlateEstimator:
    """One way to estimate the value of lists."""

    name: str
    terms: Callable[[LoggedSlates], tuple[np.ndarray, np.ndarray]]  # a list's term and its weight, [N] each


def joint_weights(log: LoggedSlates) -> np.ndarray:
    """Return the weights of the first k places together, [N, K]."""
    return np.asarray(np.cumprod(log.target / log.logging, axis=1))


def marginal_weights(log: LoggedSlates) -> np.ndarray:
    """Return the weight of each place's item by itself, [N, K]."""
    if log.logging_marginal is None or log.target_marginal is None:
        raise DataError(
            f"{PLACE}: holds no marginal probabilities of items at places, which `independent` and `pi` read; compute "
            "them with the policies, or take slate_ips or cascade"
        )
    return np.asarray(log.target_marginal / log.logging_marginal)


def general_weights(
    lists: np.ndarray, probability: np.ndarray, target_marginal: np.ndarray, shown: np.ndarray
) -> np.ndarray:
    """Return the pseudo-inverse weights [N] of shown lists under any logging policy.

    `lists` [S, K] are the item numbers of every list that the logging policy shows (or of draws from it), with their
    `probability` [S]; `target_marginal` [K, M]; `shown` [N, K]. Raises DataError where the target policy puts an item
    at a place where the logging policy never does: no weight could make up for that.
    """
    items = target_marginal.shape[1]
    marks = _marks(lists, items)  # [S, K*M]
    joint = marks.T @ (marks * probability[:, None])
    never = (np.diag(joint) <= 0) & (target_marginal.ravel() > 0)
    if never.any():
        place, item = divmod(int(np.flatnonzero(never)[0]), items)
        raise DataError(
            f"{PLACE}: the target policy shows item {item} at place {place + 1}, where the logging policy never does; "
            "explore it first, or judge a policy within the log's support"
        )
    return np.asarray(_marks(shown, items) @ (np.linalg.pinv(joint, hermitian=True) @ target_marginal.ravel()))


def _marks(lists: np.ndarray, items: int) -> np.ndarray:
    """Return which (place, item) a list has, [S, K*M]."""
    count, places = lists.shape
    found = np.zeros((count, places, items))
    found[np.arange(count)[:, None], np.arange(places), lists] = 1
    return found.reshape(count, places * items)


def _slate_ips(log: LoggedSlates) -> tuple[np.ndarray, np.ndarray]:
    weight = joint_weights(log)[:, -1]
    return weight * log.reward.sum(axis=1), weight


def _cascade(log: LoggedSlates) -> tuple[np.ndarray, np.ndarray]:
    weight = joint_weights(log)
    return (weight * log.reward).sum(axis=1), weight.mean(axis=1)


def _independent(log: LoggedSlates) -> tuple[np.ndarray, np.ndarray]:
    weight = marginal_weights(log)
    return (weight * log.reward).sum(axis=1), weight.mean(axis=1)


def _pi(log: LoggedSlates) -> tuple[np.ndarray, np.ndarray]:
    weight = log.pi_weight if log.pi_weight is not None else 1 + (marginal_weights(log) - 1).sum(axis=1)
    return weight * log.reward.sum(axis=1), weight


SLATE_ESTIMATORS = (
    SlateEstimator("slate_ips", _slate_ips),
    SlateEstimator("cascade", _cascade),
    SlateEstimator("independent", _independent),
    SlateEstimator("pi", _pi),
)


def slate_estimates(log: LoggedSlates, names: tuple[str, ...] = (), settings: Settings = USUAL) -> dict[str, Estimate]:
    """Estimate the value of a list by several estimators on the same resamples of users.

    `settings.reward_bounds` are those of one place and `settings.most_weight` that of a list; the Bernstein interval
    takes the largest weight of the log where it is not told.
    """
    have = [one.name for one in SLATE_ESTIMATORS]
    if unknown := [name for name in names if name not in have]:
        raise DataError(f"policy estimator '{unknown[0]}': have {', '.join(have)}{nearest(unknown[0], have)}")
    wanted = [one for one in SLATE_ESTIMATORS if one.name in names or (not names and _served(one.name, log))]
    found = {one.name: one.terms(log) for one in wanted}
    number = np.arange(len(log.reward)) if log.user is None else np.unique(log.user, return_inverse=True)[1].reshape(-1)
    groups = int(number.max()) + 1
    columns = np.stack([*(top for top, _ in found.values()), np.ones(len(log.reward))], axis=1)
    sums = resampled_sums(columns, number, groups, resamples=settings.resamples, seed=settings.seed)
    most = log.reward.shape[1]
    return {
        name: _estimated(name, *found[name], sums[:, place] / sums[:, -1], number, groups, most, settings)
        for place, name in enumerate(found)
    }


def _served(name: str, log: LoggedSlates) -> bool:
    marginals = log.logging_marginal is not None and log.target_marginal is not None
    return name in ("slate_ips", "cascade") or marginals or (name == "pi" and log.pi_weight is not None)


def _estimated(
    name: str,
    top: np.ndarray,
    weight: np.ndarray,
    resampled: np.ndarray,
    number: np.ndarray,
    groups: int,
    places: int,
    settings: Settings,
) -> Estimate:
    value = float(top.mean())
    low, high = (places * bound for bound in settings.reward_bounds)
    seen = float(np.abs(weight).max()) * _per_place(name, places)
    most = settings.most_weight if settings.most_weight is not None else seen
    by_user, most_rows = of_users(top - value, number, groups)
    least = -most if name == "pi" else 0.0  # its weights may be negative
    ends = [bound * factor for bound in (low, high, 0.0) for factor in (least, most)]
    reach = bernstein(by_user, (0.0, (max(ends) - min(ends)) * most_rows * groups / len(top)), level=settings.level)
    return Estimate(
        name,
        value,
        percentile(resampled, level=settings.level),
        type(reach)(max(value + reach.low, low), min(value + reach.high, high)),
        overlap.effective_sample_size(weight),
        resampled=resampled,
    )


def _per_place(name: str, places: int) -> int:
    """Return by what a list's mean weight may be below that of one of its places."""
    return places if name in ("cascade", "independent") else 1


def flat(log: LoggedSlates) -> Logged:
    """Return the places one by one, by marginal probabilities, as the estimators of single places read them."""
    if log.logging_marginal is None or log.target_marginal is None:
        raise DataError(f"{PLACE}: holds no marginal probabilities of items at places; compute them with the policies")
    rows, places = log.reward.shape
    user = np.repeat(np.arange(rows) if log.user is None else log.user, places)
    return Logged(log.reward.ravel(), log.logging_marginal.ravel(), log.target_marginal.ravel(), user=user)
