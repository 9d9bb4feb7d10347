"""What the estimators read: rewards of what was shown, how likely it was, and how likely another policy shows it.

Letters: N rows (what was shown at one place of one answer), A actions (items that could have been shown there).
"""

from dataclasses import dataclass

import numpy as np

from feature_repo.errors import DataError

PLACE = "policy log"  # as messages name it
SUMS_TO = 1e-6  # how far a policy's probabilities may be from 1 in sum


@dataclass(frozen=True)
class Logged:
    """Rows of a log with the probabilities of the policy that is judged, `target`; checked when it is made.

    Raises DataError for rows that no estimator can use: without a reward, or with a propensity of 0.
    """

    reward: np.ndarray  # [N] float64
    propensity: np.ndarray  # [N] how likely the logging policy was to show this: above 0, at most 1
    target: np.ndarray  # [N] how likely the target policy is to show this: 0..1
    predicted: np.ndarray | None = None  # [N] what the reward model expects of what was shown
    expected: np.ndarray | None = None  # [N] what it expects of what the target policy would show
    user: np.ndarray | None = None  # [N] whose row it is: a user's rows are resampled together; None: each its own

    def __post_init__(self) -> None:
        """Refuse what cannot be estimated from."""
        if len(self.reward) == 0:
            raise DataError(
                f"{PLACE}: holds no row; a policy is judged and learnt from what a log holds: explore first"
            )
        for name in ("propensity", "target", "predicted", "expected", "user"):
            values = getattr(self, name)
            if values is not None and np.shape(values) != np.shape(self.reward):
                raise DataError(
                    f"{PLACE}: {name} has shape {np.shape(values)} and reward {np.shape(self.reward)}; give one a row"
                )
        if (self.predicted is None) != (self.expected is None):
            raise DataError(f"{PLACE}: predicted and expected belong together; give both or neither")
        require_propensities(self.propensity)
        _require(self.target, "target", (self.target >= 0) & (self.target <= 1 + SUMS_TO), "a probability is 0 to 1")
        for name in ("reward", "predicted", "expected"):
            values = getattr(self, name)
            if values is not None:
                _require(values, name, np.isfinite(values), "it must be a finite number")

    @property
    def weight(self) -> np.ndarray:
        """Return the importance weights, [N]."""
        return np.asarray(self.target / self.propensity, dtype=np.float64)

    @property
    def has_model(self) -> bool:
        """Tell whether a reward model's expectations are there."""
        return self.predicted is not None

    @property
    def groups(self) -> tuple[np.ndarray, int]:
        """Return the number of each row's user, [N], and how many users there are."""
        if self.user is None:
            return np.arange(len(self.reward)), len(self.reward)
        names, number = np.unique(self.user, return_inverse=True)
        return number.reshape(-1), len(names)


def of_actions(
    action: np.ndarray,
    reward: np.ndarray,
    propensity: np.ndarray,
    target: np.ndarray,
    *,
    model: np.ndarray | None = None,
    user: np.ndarray | None = None,
) -> Logged:
    """Return a log's rows from the number of each shown action [N] and whole distributions.

    `target` holds the target policy's probabilities of every action and `model` the expected rewards, both [N, A].

    >>> of_actions(np.array([1]), np.array([1.0]), np.array([0.5]), np.array([[0.2, 0.8]])).weight.tolist()
    [1.6]
    """
    rows = np.arange(len(action))
    total = target.sum(axis=1)
    _require(total, "target", np.abs(total - 1) <= SUMS_TO, "a policy's probabilities add up to 1 over the actions")
    if model is None:
        return Logged(reward, propensity, target[rows, action], user=user)
    return Logged(reward, propensity, target[rows, action], model[rows, action], (target * model).sum(axis=1), user)


def require_propensities(propensity: np.ndarray) -> None:
    """Refuse propensities that are no probabilities of something that happened."""
    _require(
        propensity,
        "propensity",
        (propensity > 0) & (propensity <= 1),
        "what was shown had a probability above 0 and at most 1; mend what logs it, or leave these answers out",
    )


def _require(values: np.ndarray, name: str, good: np.ndarray, allowed: str) -> None:
    if not good.all():
        wrong = np.argwhere(~good)
        at = ", ".join(map(str, wrong[0]))
        value = float(values[tuple(wrong[0])])
        raise DataError(f"{PLACE}: {name} {value:g} of row {at} ({len(wrong)} in all); {allowed}")
