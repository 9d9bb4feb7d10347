"""The Open Bandit sample (Saito and others 2020): 10,000 rows of each of two policies on a fashion shop's page.

It comes with the package obp, in the environment that `benchmarks.peers.environments` makes. `random` showed each of
the campaign's items alike; `bts` drew by Thompson sampling, whose chances follow from its published priors.

Letters: N rows, A items, K places.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from components.policy.evaluation.logged import Logged, of_actions

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
PLACES = 3
DRAWS = 100_000  # of the Thompson policy
STRENGTH = 400.0  # rows of the mean that an item's own mean is drawn to: clicks are rare


@dataclass(frozen=True)
class BanditLog:
    """Rows of one policy and campaign."""

    action: np.ndarray  # [N]
    place: np.ndarray  # [N] from 0
    click: np.ndarray  # [N]
    propensity: np.ndarray  # [N]
    items: int

    @classmethod
    def read(cls, package: Path, policy: str, campaign: str) -> "BanditLog":
        """Read the sample from the installed package; its own loader does not work with today's pandas."""
        folder = package / "dataset" / "obd" / policy / campaign
        frame = pd.read_csv(folder / f"{campaign}.csv", index_col=0)
        items = len(pd.read_csv(folder / "item_context.csv"))
        place = np.unique(frame["position"], return_inverse=True)[1]
        return cls(
            frame["item_id"].to_numpy(),
            place,
            frame["click"].to_numpy(float),
            frame["propensity_score"].to_numpy(float),
            items,
        )

    def model(self) -> np.ndarray:
        """Return expected clicks [N, A]: each item's mean in the other half of the log, drawn to the mean of all."""
        half, found = np.arange(len(self.action)) % 2, np.zeros((len(self.action), self.items))
        for one in (0, 1):
            other = half != one
            sums = np.bincount(self.action[other], self.click[other], self.items)
            counts = np.bincount(self.action[other], minlength=self.items)
            found[half == one] = (sums + STRENGTH * self.click[other].mean()) / (counts + STRENGTH)
        return found

    def log(self, target: np.ndarray) -> Logged:
        """Return the log with a target policy's chances, [K, A]."""
        return of_actions(self.action, self.click, self.propensity, target[self.place], model=self.model())


def chances(package: Path, policy: str, campaign: str, items: int) -> np.ndarray:
    """Return a policy's probability of each item at each place, [K, A]."""
    if policy == "random":
        return np.full((PLACES, items), 1 / items)
    prior = yaml.safe_load((package / "policy" / "conf" / "prior_bts.yaml").read_text())[campaign]
    rng, counts = np.random.default_rng(0), np.zeros((PLACES, items))
    for _ in range(DRAWS // 1000):
        drawn = rng.beta(np.array(prior["alpha"]), np.array(prior["beta"]), size=(1000, items))
        best = np.argsort(-drawn, axis=1)[:, :PLACES]
        for place in range(PLACES):
            counts[place] += np.bincount(best[:, place], minlength=items)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
