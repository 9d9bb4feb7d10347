"""Guard rails of exploration: how much of it a list may have, decided before anything is drawn.

Whatever a rail does, it lowers the share of drawn lists or tightens the bounds, so that propensities stay those of what
is shown. `why` names the rail that kept a list greedy, or lowered its share.

    rung        no model answered: what is popular is shown as it is
    placement   the placement is protected
    cohort      the user's segment is protected
    candidates  rules leave too few candidates for a drawn list to be as long as the greedy one
    budget      the user's share of explored places of the day is used up
    floor       the list's expected value would fall below the floor
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from components.policy import draw
from components.policy.choice import Ask, Policy
from components.policy.draw import Chances
from components.policy.head import gains

Why = Literal["rung", "placement", "cohort", "candidates", "budget", "floor"]
MOST_USERS = 200_000  # of a day whose places one process counts; the longest silent are let go: they begin anew
AT_ONCE = 1e-12  # rounding


@dataclass(frozen=True)
class Rails:
    """What a spec allows of exploration."""

    share: float = 1.0  # of lists that may be drawn
    per_user_day: float | None = None  # of a user's places of a day that may hold what the greedy list does not
    floor: float | None = None  # of the expected value, as a share of the greedy list's
    placements: frozenset[str] = frozenset()  # where nothing is explored
    cohorts: frozenset[str] = frozenset()  # segments of users for whom nothing is

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Rails":
        """Return them as a release's slice has them."""
        sets = {name: frozenset(said[name]) for name in ("placements", "cohorts") if name in said}
        return cls(**({**said} | sets))


@dataclass(frozen=True)
class Request:
    """For whom and where a list is."""

    modelled: bool = True
    placement: str | None = None
    cohort: str | None = None
    left: int | None = None  # places of today that may still hold something else; None: no limit


@dataclass(frozen=True)
class Railed:
    """What is left to draw from."""

    ask: Ask
    share: float
    why: Why | None = None
    chances: Chances | None = None  # of the policy, where a rail had to compute them


def railed(policy: Policy, ask: Ask, rails: Rails, about: Request, seed: int, *, draws: int = draw.DRAWS) -> Railed:
    """Return the share of a list that may be drawn, and within which bounds."""
    if (why := _greedy(ask, rails, about)) is not None:
        return Railed(ask, 0.0, why)
    bounded = _within(ask, about.left)
    if draw.ends_early(bounded):
        return Railed(ask, 0.0, "candidates")
    if rails.floor is None:
        return Railed(bounded, rails.share)
    chances = draw.marginals(policy, bounded, seed, draws=draws)
    worth = value(bounded, chances)
    most = 1.0 if worth >= 1 - AT_ONCE else (1 - rails.floor) / (1 - worth)
    if most >= rails.share:
        return Railed(bounded, rails.share, None, chances)
    return Railed(bounded, max(most, 0.0), "floor", chances)


def _greedy(ask: Ask, rails: Rails, about: Request) -> Why | None:
    """Return why nothing may be explored at all."""
    if not about.modelled:
        return "rung"
    if about.placement is not None and about.placement in rails.placements:
        return "placement"
    if about.cohort is not None and about.cohort in rails.cohorts:
        return "cohort"
    if about.left is not None and about.left < 1:
        return "budget"
    return "candidates" if draw.ends_early(ask) or len(ask.scores) <= ask.k else None


def _within(ask: Ask, left: int | None) -> Ask:
    """Allow at most so many candidates that the greedy list does not show."""
    if left is None or left >= ask.k:
        return ask
    outside = tuple(sorted(set(range(len(ask.scores))) - set(ask.greedy)))
    caps = (*ask.bounds.caps, (left, outside))
    return replace(ask, bounds=replace(ask.bounds, caps=caps))


def value(ask: Ask, chances: Chances) -> float:
    """Return what lists are worth in the mean, as a share of the greedy list's worth.

    An item is worth the discount of its rank, a place that of the place, as NDCG has both: scores of a network and of a
    formula have no unit in common.
    """
    rank, place = gains(len(ask.scores)), gains(ask.k)
    return float((place @ (chances.mean @ rank)) / (place @ rank[list(ask.greedy)]))


class DayBudget:
    """How many places each user was shown on a day, and how many of these held what the greedy list did not.

    Each process counts its own: where each keeps to the share, all together do.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._day = ""
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()  # by user: places, explored
        self.lock = threading.Lock()  # held from `left` to `saw`

    def left(self, user: str, day: str, k: int) -> int:
        """Return how many of the next `k` places may be explored."""
        if day != self._day:
            self._day, self._seen = day, OrderedDict()
        places, explored = self._seen.get(user, (0, 0))
        return max(0, int(self._share * (places + k) + 1e-9) - explored)

    def saw(self, user: str, order: Sequence[int] | np.ndarray, greedy: Sequence[int]) -> None:
        """Count a list that was shown."""
        places, explored = self._seen.pop(user, (0, 0))
        outside = len(set(np.asarray(order).tolist()) - set(greedy))
        self._seen[user] = (places + len(order), explored + outside)
        while len(self._seen) > MOST_USERS:
            self._seen.popitem(last=False)
