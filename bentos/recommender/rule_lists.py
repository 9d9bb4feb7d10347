"""The list of one answer: what the ladder ranks, chosen and ordered by the rules that hold.

Rules hold on every rung, so nothing here asks whether models answered. The ladder is asked for all candidates; for
items that rules want and no source brought (pins, new ones); and, where the list is short, for all items.

Letters: I items.
"""

import bisect
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bentos.recommender.ladder import Ladder, ProfileState
from bentos.recommender.ports import Recommended
from components.ranking.rules import past
from components.ranking.rules.book import Asked, ReadRule, RuleBook
from components.ranking.rules.listing import Unmet, listed
from components.ranking.rules.spec import MODEL, New, Pin
from feature_repo.errors import DataError, StoreAway
from feature_repo.memory import Remembered

MOST_LOOKED = 5_000  # items that are ranked for one list that is short; more would cost more than an answer may
MOST_NEW = 200  # new items, the newest, that are ranked where no source brought enough
RULE = "rule"  # the source of an item that only a rule brought
Chosen = tuple[Recommended, float]  # with its propensity
Choose = Callable[[Sequence[Recommended], int], list[Chosen]]  # the policy's order


@dataclass(frozen=True)
class Brought:
    """An item that a rule brought, or one with its own score in the place of a filler's."""

    item_index: int
    score: float
    source: str
    reasons: dict[str, float]


@dataclass(frozen=True)
class RuledList:
    """A list, and what is said of the rules that made it."""

    state: ProfileState
    chosen: list[Chosen]
    placement: str | None = None
    names: tuple[str, ...] = ()  # rules that hold
    unmet: tuple[Unmet, ...] = ()
    short: str | None = None  # why it has fewer items than wanted
    asked: dict[str, Any] = field(default_factory=dict)  # for the request log

    @property
    def ruled(self) -> bool:
        """Tell whether there is anything to say of rules."""
        return bool(self.placement or self.names or self.unmet)


@dataclass(frozen=True)
class Wanted:
    """What a request asks of a list."""

    k: int
    considered: int  # items that the policy chooses from, without rules
    candidates: int  # of the release, at most
    exclude: frozenset[int] = frozenset()
    placement: str | None = None


def recommend(
    ladder: Ladder,
    state: ProfileState,
    wanted: Wanted,
    *,
    book: RuleBook,
    choose: Choose,
    memory: Callable[[], Sequence[Remembered] | None],
) -> RuledList:
    """Return the list of a request; `memory` reads the user's last events, None where it cannot."""
    state, algorithm = _ordered_by(state, book, wanted.placement)
    asked = _asked(state, wanted, book, memory)
    rules, log = book.for_list(asked), {}
    if wanted.placement is not None:
        log = {"placement": wanted.placement} | ({} if algorithm == MODEL else {"algorithm": algorithm})
    unread = tuple(Unmet(name, "this release cannot read it") for name in book.unread)
    if not rules:
        after, ranked = ladder.recommend(state, k=wanted.considered, exclude=wanted.exclude)
        return RuledList(after, choose(ranked, wanted.k), wanted.placement, unmet=unread, asked=log)
    pool = _Pool(ladder, state, wanted, rules, asked, choose)
    found = listed(pool.order, rules, asked, k=wanted.k)
    if len(found.items) < wanted.k and pool.look_further():
        found = listed(pool.order, rules, asked, k=wanted.k)
    chosen = pool.chosen(found.items)
    short = None
    if len(chosen) < wanted.k:
        hiding = [one.rule.name for one in rules if not one.problem and one.hidden(asked)]  # the ladder left these out
        took = [one.rule.name for one in rules if one.rule.name in {*hiding, *found.took}]
        by = f"rules {', '.join(took)} leave" if took else "there are"
        short = f"{by} {len(chosen)} items of the {wanted.k} that were wanted"
    names = tuple(one.rule.name for one in rules)
    log |= {"rules": list(names), "rules_unmet": [one.rule for one in found.unmet]}
    return RuledList(pool.state, chosen, wanted.placement, names, (*unread, *found.unmet), short, log)


def _ordered_by(state: ProfileState, book: RuleBook, placement: str | None) -> tuple[ProfileState, str]:
    """Have the placement's own algorithm rank."""
    found = book.placements.get(placement or "")
    if found is None or found.algorithm == MODEL or state.items is None:
        return state, MODEL
    ranker = state.items.ranker.by(found.algorithm)
    return replace(state, items=replace(state.items, ranker=ranker)), found.algorithm


def _asked(
    state: ProfileState, wanted: Wanted, book: RuleBook, memory: Callable[[], Sequence[Remembered] | None]
) -> Asked:
    words = None if state.items is None else state.items.vocabulary
    asked = Asked(int(state.rows.now[0]), wanted.placement, state.profile.segment)
    if words is None or not any(one.looks_back for one in book.for_list(asked)):
        return asked
    had, shown = past.of_row(state.rows, words.signs)
    if words.learnt is not None and words.learnt < len(words.item_ids):  # rows do not know what came later
        had, shown = past.with_memory(had, shown, memory() or (), words.index_of_item, words.signs)
    return replace(asked, had=had, shown=shown)


class _Pool:
    """All items that a list may be made of, in the policy's order, with their scores."""

    def __init__(
        self,
        ladder: Ladder,
        state: ProfileState,
        wanted: Wanted,
        rules: Sequence[ReadRule],
        asked: Asked,
        choose: Choose,
    ) -> None:
        self._ladder, self._wanted = ladder, wanted
        self._n_items = len(state.items.titles) if state.items is not None else 0
        hidden = frozenset[int]().union(*(one.hidden(asked) for one in rules if not one.problem))
        self._exclude = wanted.exclude | hidden
        most = max(wanted.k, wanted.considered, wanted.candidates)
        self.state, ranked = ladder.recommend(state, k=most, exclude=self._exclude)
        self._of: dict[int, Chosen] = {}
        self.order: list[int] = []
        for one, propensity in choose(ranked, len(ranked)):
            self.order.append(one.item_index)
            self._of[one.item_index] = (one, propensity)
        if needed := _needed(rules, asked) - self._exclude - self._of.keys():
            others = frozenset(range(self._n_items)) - needed
            self._bring(self._rank(len(needed), self._exclude | others))

    def look_further(self) -> bool:
        """Rank all items that may be shown, the most popular first where there are very many; False: none is new."""
        if len(self.order) >= self._n_items:
            return False
        before = len(self.order)
        for one in self._rank(min(self._n_items, MOST_LOOKED), self._exclude):
            if one.item_index not in self._of:
                self.order.append(one.item_index)
                self._of[one.item_index] = (one, 1.0)
        return len(self.order) > before

    def chosen(self, items: Sequence[int]) -> list[Chosen]:
        """Return items with scores of their own: what fills up a list is scored below what stands before it."""
        found = [self._of[item] for item in items]
        own = [place for place, (one, _) in enumerate(found) if one.source in ("popular", RULE)]
        if not own or not self.state.modelled:
            return found
        after, scores = self._ladder.score(self.state, [items[place] for place in own])
        if after is not self.state:
            return found
        for place, score in zip(own, scores, strict=True):
            one, propensity = found[place]
            found[place] = (Brought(one.item_index, score, one.source, one.reasons), propensity)
        return found

    def _rank(self, k: int, exclude: frozenset[int]) -> Sequence[Recommended]:
        after, ranked = self._ladder.recommend(self.state, k=k, exclude=exclude)
        return ranked if after.modelled == self.state.modelled else ()

    def _bring(self, ranked: Sequence[Recommended]) -> None:
        """Put items where their scores say, behind others of the same score."""
        below = [-self._of[item][0].score for item in self.order]  # rising: the policy takes the best first
        for one in ranked:
            place = bisect.bisect_right(below, -one.score)
            below.insert(place, -one.score)
            self.order.insert(place, one.item_index)
            self._of[one.item_index] = (Brought(one.item_index, float(one.score), RULE, dict(one.reasons)), 1.0)


def _needed(rules: Sequence[ReadRule], asked: Asked) -> frozenset[int]:
    """Return the items that rules want in a list: pins, and the newest of the new ones."""
    pinned = frozenset[int]().union(*(one.about for one in rules if isinstance(one.rule, Pin)))
    for one in rules:
        if isinstance(one.rule, New) and one.came is not None:
            newest = np.argsort(-one.came, kind="stable")[:MOST_NEW].tolist()
            pinned |= {item for item in newest if one.is_new(item, asked.now)}
    return pinned


def remembered(read: Callable[[], Sequence[Remembered] | None]) -> Sequence[Remembered] | None:
    """Read a user's event memory; None where the store is away, or holds none."""
    with contextlib.suppress(StoreAway, DataError):
        return read()
    return None


def never_shown(book: RuleBook, *, now: int) -> frozenset[int]:
    """Return what any rule hides somewhere, now or later: for lists of which nobody knows the user or the placement."""
    lasting = (one for one in book.rules if one.rule.end is None or one.rule.end.timestamp() > now)
    return frozenset[int]().union(*(one.about for one in lasting if one.hides_always))


def kept_to_caps(items: Sequence[Recommended], book: RuleBook) -> list[Recommended]:
    """Return items as all caps together allow, wherever these hold: each list that is cut from it keeps to them."""
    caps = [replace(one, rule=one.rule.model_copy(update=EVERYWHERE)) for one in book.rules if one.caps]
    of = {one.item_index: one for one in items}
    return [of[item] for item in listed(list(of), caps, Asked(0), k=len(of)).items]


EVERYWHERE: Mapping[str, Any] = {"placements": [], "segments": [], "start": None, "end": None}
