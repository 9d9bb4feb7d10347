"""One user's list by rules, whoever ranks: the door's ladder and batch answers ask the same in the same order.

All candidates are ranked first; then items that rules want and no source brought (pins, new ones); and, where the list
is short, all items. Whoever ranks knows what the user may not be shown, and leaves it out each time.

Letters: I items.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from components.ranking.rules.book import Asked, ReadRule
from components.ranking.rules.listing import Unmet, listed, ordered
from components.ranking.rules.spec import New, Pin

MOST_LOOKED = 5_000  # items that are ranked for one list that is short; more would cost more than an answer may
MOST_NEW = 200  # new items, the newest, that are ranked where no source brought enough
RULE = "rule"  # the source of an item that only a rule brought


class Ranked(Protocol):
    """A ranked item."""

    @property
    def item_index(self) -> int:
        """Its position in the vocabulary."""

    @property
    def score(self) -> float:
        """What it was ordered by."""

    @property
    def source(self) -> str:
        """Where the candidate came from: history, neighbours, offers or popular."""

    @property
    def reasons(self) -> dict[str, float]:
        """The strongest feature values."""

    @property
    def algorithm(self) -> str | None:
        """Which algorithm scored it, where the ranker chooses among several."""


Chosen = tuple[Ranked, float]  # with its propensity
Rank = Callable[[int, frozenset[int]], Sequence[Ranked]]  # the best so many, without those excluded
Score = Callable[[Sequence[int]], Sequence[float] | None]  # of items, by the model; None: no model answers
Choose = Callable[[Sequence[Ranked], int], Sequence[Chosen]]  # the policy's order


@dataclass(frozen=True)
class Brought:
    """An item that a rule brought, or one with its own score in the place of a filler's."""

    item_index: int
    score: float
    source: str
    reasons: dict[str, float]
    algorithm: str | None = None  # which of several rankers scored it


@dataclass(frozen=True)
class MadeList:
    """A list by rules."""

    chosen: list[Chosen]
    unmet: tuple[Unmet, ...]
    short: str | None  # why it has fewer items than wanted
    candidates: Sequence[Ranked] = ()  # all that the list could be made of, in the order of rules; where asked for


def make(
    rank: Rank,
    score: Score,
    choose: Choose,
    *,
    rules: Sequence[ReadRule],
    asked: Asked,
    k: int,
    most: int,
    n_items: int,
    exclude: frozenset[int] = frozenset(),
    candidates: bool = False,
) -> MadeList:
    """Make a list of at most `k` items by the rules that hold; the first look is at the best `most`."""
    hiding = {one.rule.name: one.hidden(asked) for one in rules if not one.problem}
    exclude = exclude.union(*hiding.values())
    pool = _Pool(rank, n_items, exclude)
    pool.take(choose(rank(max(k, most), exclude), max(k, most)))
    pool.bring(_needed(rules, asked))
    found = listed(pool.order, rules, asked, k=k)
    if len(found.items) < k and pool.look_further():
        found = listed(pool.order, rules, asked, k=k)
    chosen = own_scores([pool.of[item] for item in found.items], score)
    short = None
    if len(chosen) < k:
        took = [one.rule.name for one in rules if hiding.get(one.rule.name) or one.rule.name in found.took]
        by = f"rules {', '.join(took)} leave" if took else "there are"
        short = f"{by} {len(chosen)} items of the {k} wanted"
    rest = [pool.of[item][0] for item in ordered(pool.order, rules, asked)] if candidates else []
    return MadeList(chosen, found.unmet, short, rest)


class _Pool:
    """All items that a list may be made of, in the policy's order."""

    def __init__(self, rank: Rank, n_items: int, exclude: frozenset[int]) -> None:
        self._rank, self._n_items, self._exclude = rank, n_items, exclude
        self.of: dict[int, Chosen] = {}
        self.order: list[int] = []

    def take(self, chosen: Sequence[Chosen]) -> None:
        """Append items that are not there."""
        for one, propensity in chosen:
            if one.item_index not in self.of:
                self.order.append(one.item_index)
                self.of[one.item_index] = (one, propensity)

    def bring(self, items: frozenset[int]) -> None:
        """Put items where their scores say, behind others of the same score; those that may not be shown stay out."""
        needed = items - self._exclude - self.of.keys()
        if not needed:
            return
        below = [-self.of[item][0].score for item in self.order]  # rising: the best come first
        for one in self._rank(len(needed), self._exclude | (frozenset(range(self._n_items)) - needed)):
            place = bisect.bisect_right(below, -one.score)
            below.insert(place, -one.score)
            self.order.insert(place, one.item_index)
            self.of[one.item_index] = (
                Brought(one.item_index, float(one.score), RULE, dict(one.reasons), one.algorithm),
                1.0,
            )

    def look_further(self) -> bool:
        """Rank all items that may be shown, so many at most; say whether there are more than before."""
        before = len(self.order)
        if before < self._n_items:
            self.take([(one, 1.0) for one in self._rank(min(self._n_items, MOST_LOOKED), self._exclude)])
        return len(self.order) > before


def own_scores(chosen: list[Chosen], score: Score) -> list[Chosen]:
    """Return items with scores of their own: what fills up a list is scored below what stands before it."""
    places = [place for place, (one, _) in enumerate(chosen) if one.source in ("popular", RULE)]
    scores = score([chosen[place][0].item_index for place in places]) if places else None
    if scores is None:
        return chosen
    found = list(chosen)
    for place, value in zip(places, scores, strict=True):
        one, propensity = chosen[place]
        found[place] = (Brought(one.item_index, float(value), one.source, one.reasons, one.algorithm), propensity)
    return found


def _needed(rules: Sequence[ReadRule], asked: Asked) -> frozenset[int]:
    """Return the items that rules want in a list: pins, and the newest of the new ones."""
    found = frozenset[int]().union(*(one.about for one in rules if isinstance(one.rule, Pin) and not one.problem))
    for one in rules:
        if isinstance(one.rule, New) and one.came is not None:
            newest = np.argsort(-one.came, kind="stable")[:MOST_NEW].tolist()
            found |= {item for item in newest if one.is_new(item, asked.now)}
    return found
