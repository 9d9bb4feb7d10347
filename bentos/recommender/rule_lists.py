"""The list of one answer: what the ladder ranks, chosen and ordered by the rules that hold. They hold on every rung."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bentos.recommender.ladder import Ladder, ProfileState
from bentos.recommender.ports import Recommended
from components.ranking.rules import past, pool
from components.ranking.rules.book import Asked, ReadRule, RuleBook
from components.ranking.rules.listing import Unmet, listed
from components.ranking.rules.spec import MODEL
from feature_repo import columns
from feature_repo.errors import DataError, StoreAway
from feature_repo.memory import Remembered

Chosen = tuple[Recommended, float]  # with its propensity
Memory = Callable[[], Sequence[Remembered] | None]  # the user's last events; None: they cannot be read
UNREAD = "this release cannot read it"
EVERYWHERE: Mapping[str, Any] = {"placements": [], "segments": [], "start": None, "end": None}


@dataclass(frozen=True)
class RuledList:
    """A list, and what is said of the rules that made it."""

    state: ProfileState
    chosen: Sequence[Chosen]
    placement: str | None = None
    names: tuple[str, ...] = ()  # rules that hold
    unmet: tuple[Unmet, ...] = ()
    short: str | None = None  # why it has fewer items than wanted
    asked: dict[str, Any] = field(default_factory=dict)  # for the request log
    pool: Sequence[Recommended] = ()  # what a policy may draw from, best first, in the order of rules
    held: tuple[ReadRule, ...] = ()  # the rules that hold
    about: Asked = field(default_factory=lambda: Asked(0))  # what they were asked about

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
    explores: bool = False  # a policy may draw another list: it needs to know from what


def certain(ranked: Sequence[Recommended], k: int) -> list[Chosen]:
    """Return the best `k` items: the greedy list, which is certain to be shown unless a policy draws another one."""
    return [(one, 1.0) for one in ranked[:k]]


def recommend(ladder: Ladder, state: ProfileState, wanted: Wanted, *, book: RuleBook, memory: Memory) -> RuledList:
    """Return the greedy list of a request."""
    unread = tuple(Unmet(name, UNREAD) for name in book.unread)
    if not book.rules and wanted.placement is None:  # most have none: nothing is to be asked of the list
        after, ranked = ladder.recommend(state, k=wanted.considered, exclude=wanted.exclude)
        return RuledList(after, certain(ranked, wanted.k), unmet=unread, pool=ranked if wanted.explores else ())
    state, algorithm = _ordered_by(state, book, wanted.placement)
    asked = _asked(state, wanted, book, memory)
    rules, log = book.for_list(asked), dict[str, Any]()
    if wanted.placement is not None:
        log = {"placement": wanted.placement} | ({} if algorithm == MODEL else {columns.PLACEMENT_ALGORITHM: algorithm})
    if not rules:
        after, ranked = ladder.recommend(state, k=wanted.considered, exclude=wanted.exclude)
        chosen, rest = certain(ranked, wanted.k), ranked if wanted.explores else ()
        return RuledList(after, chosen, wanted.placement, unmet=unread, asked=log, pool=rest)
    rung = _Rung(ladder, state)
    made = pool.make(
        rung.rank,
        rung.score,
        certain,
        rules=rules,
        asked=asked,
        k=wanted.k,
        most=max(wanted.considered, wanted.candidates),
        n_items=0 if state.items is None else len(state.items.titles),
        exclude=wanted.exclude,
        candidates=wanted.explores,
    )
    names = tuple(one.rule.name for one in rules)
    log |= {"rules": list(names), "rules_unmet": [one.rule for one in made.unmet]}
    return RuledList(
        rung.state,
        made.chosen,
        wanted.placement,
        names,
        (*unread, *made.unmet),
        made.short,
        log,
        made.candidates,
        tuple(rules),
        asked,
    )


def with_own_scores(ladder: Ladder, drawn: RuledList, *, before: RuledList) -> RuledList:
    """Return a drawn list in which what fills up the pool has scores of its own, as in lists by rules."""
    shown = {one.item_index for one, _ in before.chosen}
    new = [place for place, (one, _) in enumerate(drawn.chosen) if one.item_index not in shown]
    if not new:
        return drawn
    rung, chosen = _Rung(ladder, drawn.state), list(drawn.chosen)
    for place, scored in zip(new, pool.own_scores([chosen[place] for place in new], rung.score), strict=True):
        chosen[place] = scored
    return replace(drawn, chosen=chosen)


class _Rung:
    """The ladder as one request asks it, more than once: where models fail the first time, they are asked no more."""

    def __init__(self, ladder: Ladder, state: ProfileState) -> None:
        self._ladder, self.state = ladder, state
        self._asked = False

    def rank(self, k: int, exclude: frozenset[int]) -> Sequence[Recommended]:
        after, ranked = self._ladder.recommend(self.state, k=k, exclude=exclude)
        if self._asked and after.modelled != self.state.modelled:
            return ()  # scores of two rungs do not compare
        self.state, self._asked = after, True
        return ranked

    def score(self, items: Sequence[int]) -> Sequence[float] | None:
        if not self.state.modelled:
            return None
        after, scores = self._ladder.score(self.state, items)
        return scores if after.modelled else None


def _ordered_by(state: ProfileState, book: RuleBook, placement: str | None) -> tuple[ProfileState, str]:
    """Have the placement's own algorithm rank."""
    found = book.placements.get(placement or "")
    if found is None or found.algorithm == MODEL or state.items is None:
        return state, MODEL
    ranker = state.items.ranker.by(found.algorithm)
    return replace(state, items=replace(state.items, ranker=ranker)), found.algorithm


def _asked(state: ProfileState, wanted: Wanted, book: RuleBook, memory: Memory) -> Asked:
    words = None if state.items is None else state.items.vocabulary
    segment, unsure = state.profile.segment, state.profile.reason in ("store_away", "timeout")
    asked = Asked(int(state.rows.now[0]), wanted.placement, segment, unsure=unsure and segment is None)
    if words is None or not any(one.looks_back for one in book.for_list(asked)):
        return asked
    had, shown = past.of_row(state.rows, words.signs)
    if words.learnt is not None and words.learnt < len(words.item_ids):  # rows do not know what came later
        had, shown = past.with_memory(had, shown, memory() or (), words.index_of_item, words.signs)
    return replace(asked, had=had, shown=shown)


def remembered(read: Memory) -> Sequence[Remembered] | None:
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
