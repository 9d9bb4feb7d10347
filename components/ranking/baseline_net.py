"""A baseline in a ranker's place: what serves where no network has passed its gates and nothing else could.

It has no weights and reads no features: a formula of components/ranking/baselines.py on the candidates' facts, in
float64, since popularity breaks ties far below a history's counts. The formulas of components/ranking/models, which a
spec may ask for by name, are read the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from components.ranking import models
from components.ranking.baselines import FORMULAS, FOUR_WEEKS, LAST_WEEK


@dataclass(frozen=True)
class Candidates:
    """What is known of candidates, [M], under the formulas' names."""

    facts: Mapping[str, np.ndarray]

    @property
    def share(self) -> np.ndarray:
        """Return the items' shares."""
        return self.facts[FOUR_WEEKS]

    @property
    def share_now(self) -> np.ndarray:
        """Return the items' shares of the last week."""
        return self.facts[LAST_WEEK]

    @property
    def weeks(self) -> np.ndarray:
        """Return the weeks in which the user had each."""
        return self.facts["weeks_bought"]

    @property
    def slow(self) -> np.ndarray:
        """Return the same, decayed to now."""
        return self.facts["slow"]

    @property
    def near(self) -> np.ndarray:
        """Return the nearness to the history."""
        return self.facts["near"]

    @property
    def wrote(self) -> np.ndarray:
        """Return how lately and often each acted on the user."""
        return self.facts["wrote_slow"]

    @property
    def wrote_at(self) -> np.ndarray:
        """Return when each acted on the user."""
        return self.facts["wrote_at"]

    @property
    def acted_at(self) -> np.ndarray:
        """Return when the user had each last."""
        return self.facts["acted_at"]

    @property
    def common(self) -> np.ndarray:
        """Return the acquaintances in common."""
        return self.facts["common_acquaintances"]

    @property
    def rare(self) -> np.ndarray:
        """Return the same, weighed by their rarity."""
        return self.facts["adamic_adar"]


@dataclass(frozen=True)
class BaselineNet:
    """Facts to scores by one formula: a baseline's, or that of a ranker that a spec may ask for."""

    architecture: str  # the formula's name
    n_features: ClassVar[int] = 0
    width: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0

    def of_facts(self, facts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Score candidates, float64 [M]."""
        if self.architecture in models.FORMULAS:
            return np.asarray(models.formula(self.architecture).score(facts), dtype=np.float64)
        return np.asarray(FORMULAS[self.architecture](Candidates(facts)), dtype=np.float64)


def is_formula(name: str) -> bool:
    """Tell whether a name is a formula's."""
    return name in FORMULAS or name in models.FORMULAS
