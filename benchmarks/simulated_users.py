"""Users who are made, as a client of a door over HTTP: they ask, buy what they like, and say so to /events.

What they like is written, so what a policy brings them is known (`Round.mean` against `Round.best`); whoever learns
reads nothing but the door's log. tests/pipelines/graphs/test_policy_run.py learns a policy from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bentos.client import Recommender
from bentos.endpoints.schemas import Event

Likes = Callable[[str, str], float]  # user, item -> how likely the item is bought where it is shown
BOUGHT = "purchase"


@dataclass(frozen=True)
class Round:
    """What came of some answers."""

    shown: int  # items
    bought: int
    mean: float  # how likely a shown item was bought, by what is written: without the noise of who bought
    best: float  # the same of the best lists
    each: tuple[float, ...] = ()  # the mean of each user, in their order

    @property
    def regret(self) -> float:
        """Return what is lost of an item to the best list."""
        return self.best - self.mean


@dataclass(frozen=True)
class SimulatedUsers:
    """Who asks, for how many items, and what they like."""

    users: Sequence[str]
    items: Sequence[str]
    likes: Likes
    k: int = 3

    def play(self, url: str, rng: np.random.Generator, *, rounds: int = 1) -> Round:
        """Have each user ask so many times; what they buy is reported with the answer's id before they ask again."""
        said: dict[str, list[float]] = {user: [] for user in self.users}
        bought = 0
        with Recommender(url, timeout_s=60) as door:
            for _ in range(rounds):
                for user in self.users:
                    answer = door.recommend(user, k=self.k)
                    chances = [self.likes(user, one.item_id) for one in answer.items]
                    taken = [one.item_id for one, p in zip(answer.items, chances, strict=True) if rng.random() < p]
                    if taken:
                        about = answer.request_id
                        door.events(
                            [Event(user_id=user, item_id=item, event=BOUGHT, request_id=about) for item in taken]
                        )
                    said[user] += chances
                    bought += len(taken)
        shown = [chance for chances in said.values() for chance in chances]
        each = tuple(round(float(np.mean(chances)), 6) for chances in said.values())
        return Round(len(shown), bought, float(np.mean(shown)), self.best, each)

    @property
    def best(self) -> float:
        """Return how likely an item of the best lists is bought, over all users."""
        return float(np.mean(self.best_each))

    @property
    def best_each(self) -> list[float]:
        """Return how likely an item of a user's best list is bought, by user."""
        chances = [sorted((self.likes(user, item) for item in self.items), reverse=True) for user in self.users]
        return [float(np.mean(one[: self.k])) for one in chances]
