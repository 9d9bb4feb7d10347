"""What an offer changes: the mean effect on users of a like expectation, with its interval and whether to believe it.

A linear score of the inputs ranks users by expected effect; `groups` are its quarters. What is said of a user is the
doubly robust mean of their quarter, since effects of single users are rough (docs/uplift.md). Where the quarters do not
differ there is one group, and everyone has the mean. effect.py learns it; no network is trained.

Letters: R rows, D draws, G groups.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.intent.forecasts.spec import Forecast

ANYONE = np.inf  # the output of somebody of whom nothing is known: no score of inputs reaches it
VALUE, LOW, HIGH, GROUP = range(4)  # of an answer


@dataclass(frozen=True)
class Uplift:
    """How a score becomes an effect."""

    intent: Forecast
    mean: tuple[float, float, float]  # of everyone: value, low, high
    bounds: tuple[float, ...]  # [G - 1] scores that part the groups, ascending
    groups: tuple[tuple[float, float, float], ...]  # [G] by expected effect, least first
    warning: str  # why not to believe it; '' where nothing speaks against it

    @property
    def outputs(self) -> int:
        """One, the score."""
        return 1

    @property
    def start(self) -> np.ndarray:
        """Return the output of somebody who is unknown, float64 [1]."""
        return np.asarray([ANYONE])

    @property
    def believed(self) -> bool:
        """Tell whether neither placebo nor overlap speaks against it."""
        return not self.warning

    def answer(self, outputs: np.ndarray) -> np.ndarray:
        """Return value, low, high and group (1 is the least; 0: the mean of all) of outputs [R, 1], float64 [R, 4]."""
        score = outputs[:, 0].astype(np.float64)
        group = np.searchsorted(np.asarray(self.bounds), score, "right")
        said = np.column_stack([np.asarray(self.groups)[group], group + 1.0])
        said[score == ANYONE] = [*self.mean, 0.0]
        said[np.isnan(score)] = np.nan  # which the service answers by what is usual, and says so
        return said

    def figures(self, y: np.ndarray, said: np.ndarray, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Return of doubly robust differences [R] their mean, and their mean squared distance from what is said.

        The differences are noisy, so the distance is never near 0. Its difference between two answers is what their
        errors in the true effect differ by (Kennedy 2020).
        """
        total = weight.sum(axis=0)
        return {"dr_loss": (y - said[:, VALUE]) ** 2 @ weight / total, "effect": y @ weight / total}

    def watched(self, said: np.ndarray) -> dict[str, np.ndarray]:
        """Return the effect that each user is told, [R], by the intent's name: who changes group moves its mean."""
        return {self.intent.name: said[:, VALUE]}

    def spoken(self, said: np.ndarray) -> dict[str, Any]:
        """Return one answer [4] as the service words it."""
        value, low, high, group = (float(one) for one in said)
        return {
            "value": value,
            "unit": self.intent.unit or None,
            "low": low,
            "high": high,
            "group": int(group) or None,
            "groups": len(self.groups),
            "believed": self.believed,
            "warning": self.warning or None,
        }

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "intent": self.intent.model_dump(mode="json"),
            "mean": list(self.mean),
            "bounds": list(self.bounds),
            "groups": [list(one) for one in self.groups],
            "warning": self.warning,
        }


def read(intent: Forecast, document: dict[str, Any]) -> Uplift:
    """Read what `document` wrote."""
    low, mid, high = document["mean"]
    groups = tuple((float(a), float(b), float(c)) for a, b, c in document["groups"])
    return Uplift(intent, (low, mid, high), tuple(document["bounds"]), groups, str(document["warning"]))
