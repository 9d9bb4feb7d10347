"""The core of rules: ranked items, the rules that hold and what the list is for in, one list out. Pure.

What comes before what, where not all can be had:

1. nobody sees what a rule hides, and no cap is passed, whatever else is asked;
2. pins take their places, the first place first, as far as 1 lets them;
3. shares of new items are filled with the best new ones;
4. all other places go to the best that are left, in the ranker's order as boosts and buries move it.

A list that is shorter than wanted, a pin or a share that could not be had, are said: nothing is left out in silence.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.ranking.rules.book import Asked, ReadRule
from components.ranking.rules.spec import Boost, Bury, Cap, New, Pin

HALF = 0.5  # of a place: what moves to a place stands before what was there


@dataclass(frozen=True)
class Unmet:
    """A rule that a list could not keep, and why."""

    rule: str
    why: str


@dataclass(frozen=True)
class Listing:
    """A list by positions of items."""

    items: tuple[int, ...]
    unmet: tuple[Unmet, ...] = ()
    took: tuple[str, ...] = ()  # rules that kept an item out, of a list that is shorter than wanted


def listed(ranked: Sequence[int], rules: Sequence[ReadRule], asked: Asked, *, k: int) -> Listing:
    """Choose and order at most `k` of the ranked items, best first, by the rules that hold.

    `ranked` holds all that the list may have but for the rules; what is not in it is never shown.
    """
    usable = [one for one in rules if not one.problem]
    chosen = _Choice(usable, asked, ranked, k)
    for pin in sorted(_of(usable, Pin), key=_place):
        chosen.pin(pin)
    for share in sorted(_of(usable, New), key=_days):
        chosen.fill(share)
    chosen.fill()
    broken = tuple(Unmet(one.rule.name, one.problem) for one in rules if one.problem)
    items = chosen.laid_out()
    unmet = (*broken, *chosen.unmet, *_short_of_new(items, _of(usable, New), asked))
    return Listing(items, unmet, chosen.took if len(items) < k else ())


def violations(items: Sequence[int], rules: Sequence[ReadRule], asked: Asked) -> Iterator[Unmet]:
    """Yield what a list holds that a rule does not allow: hidden items, more than a cap, a pin at another place."""
    for one in rules:
        if one.problem:
            continue
        name = one.rule.name
        hidden = one.hidden(asked)
        yield from (Unmet(name, f"place {place} is hidden") for place, item in enumerate(items, 1) if item in hidden)
        if isinstance(one.rule, Cap):
            counts = Counter(value for item in items for value in one.values.get(item, ()))
            most = one.rule.at_most
            yield from (Unmet(name, f"{n} of '{value}', above {most}") for value, n in counts.items() if n > most)
        if isinstance(one.rule, Pin):
            (pinned,) = one.about
            if pinned in items and one.rule.place <= len(items) and items[one.rule.place - 1] != pinned:
                yield Unmet(name, f"is at place {items.index(pinned) + 1}, not {one.rule.place}")


def ordered(ranked: Sequence[int], rules: Sequence[ReadRule], asked: Asked) -> list[int]:
    """Return the ranked items that no rule hides, in their order as boosts and buries move it."""
    usable = [one for one in rules if not one.problem]
    hides = [one.hidden(asked) for one in usable]
    open_ = [item for item in dict.fromkeys(ranked) if not any(item in hidden for hidden in hides)]
    return _moved(open_, [one for one in usable if isinstance(one.rule, Boost | Bury)])


def _of(rules: Sequence[ReadRule], kind: type) -> list[ReadRule]:
    return [one for one in rules if isinstance(one.rule, kind)]


def _place(one: ReadRule) -> int:
    assert isinstance(one.rule, Pin)
    return one.rule.place


def _days(one: ReadRule) -> float:
    assert isinstance(one.rule, New)
    return one.rule.days


def needed(share: float, length: int) -> int:
    """Return how many of a list are a share of it, rounded up.

    >>> needed(0.3, 10), needed(0.25, 10), needed(0.1, 30)
    (3, 3, 3)
    """
    return math.ceil(share * length - 1e-9)


class _Choice:
    """The items that are chosen so far."""

    def __init__(self, rules: Sequence[ReadRule], asked: Asked, ranked: Sequence[int], k: int) -> None:
        self.unmet: list[Unmet] = []
        self._asked, self._k = asked, k
        self._hides = {one.rule.name: one.hidden(asked) for one in rules}
        self._every = frozenset(ranked)
        self._order = ordered(ranked, rules, asked)
        self._open = frozenset(self._order)
        self._caps = [(one, one.rule.at_most, Counter[str]()) for one in rules if isinstance(one.rule, Cap)]
        self._chosen: set[int] = set()
        self._pinned: dict[int, ReadRule] = {}  # by place
        self._turned_away: dict[str, None] = {}

    @property
    def took(self) -> tuple[str, ...]:
        """Name the rules that kept something out."""
        hid = [name for name, hidden in self._hides.items() if any(item in self._every for item in hidden)]
        return tuple(dict.fromkeys([*hid, *self._turned_away]))

    def pin(self, one: ReadRule) -> None:
        """Give a pinned item its place, or say why it has none."""
        assert isinstance(one.rule, Pin)
        (item,), place = one.about, one.rule.place
        if why := self._why_not(item, place):
            self.unmet.append(Unmet(one.rule.name, f"item '{one.rule.item}': {why}"))
            return
        self._take(item)
        self._pinned[place] = one

    def _why_not(self, item: int, place: int) -> str:
        if place > self._k:
            return f"place {place} is beyond the {self._k} items of the list"
        if place in self._pinned:
            return f"place {place} is taken by the pin '{self._pinned[place].rule.name}'"
        if item in self._chosen:
            return "is pinned at another place"
        if hiding := [name for name, hidden in self._hides.items() if item in hidden]:
            return f"is hidden by {', '.join(hiding)}"
        if item not in self._open:
            return "may not be shown in this list"
        return f"is above the cap {full}" if (full := self._full(item)) else ""

    def fill(self, share: ReadRule | None = None) -> None:
        """Take the best that are left, all kinds, or new ones until there are as many as a share asks for."""
        most = self._k
        if share is not None:
            assert isinstance(share.rule, New)
            new, most = self._new(share), needed(share.rule.share, self._k)
        for item in self._order:
            if (len(self._chosen) if share is None else len(new & self._chosen)) >= most:
                break
            if len(self._chosen) == self._k:
                break
            if item in self._chosen or (share is not None and item not in new):
                continue
            if full := self._full(item):
                self._turned_away[full] = None
            else:
                self._take(item)

    def laid_out(self) -> tuple[int, ...]:
        """Return the chosen items in their places; what is pinned behind the end of a short list stands at its end."""
        pinned = {place: next(iter(one.about)) for place, one in self._pinned.items()}
        rest = iter([i for i in self._order if i in self._chosen and i not in pinned.values()])
        found: list[int] = []
        later = sorted(pinned)
        while len(found) < len(self._chosen):
            place = len(found) + 1
            if later and later[0] == place:
                found.append(pinned[later.pop(0)])
            elif (item := next(rest, None)) is not None:
                found.append(item)
            else:  # pins alone are left
                wanted = later.pop(0)
                found.append(pinned[wanted])
                rule = self._pinned[wanted].rule
                self.unmet.append(Unmet(rule.name, f"the list ends before place {wanted}; it is at {place}"))
        return tuple(found)

    def _new(self, share: ReadRule) -> frozenset[int]:
        return frozenset(item for item in self._order if share.is_new(item, self._asked.now))

    def _full(self, item: int) -> str:
        """Name a cap that one more item of its values would pass; '' where there is none."""
        for one, most, counts in self._caps:
            if any(counts[value] >= most for value in one.values.get(item, ())):
                return one.rule.name
        return ""

    def _take(self, item: int) -> None:
        self._chosen.add(item)
        for one, _, counts in self._caps:
            counts.update(one.values.get(item, ()))


def _moved(items: Sequence[int], moves: Sequence[ReadRule]) -> list[int]:
    """Return items in their order with boosts up and buries down; moves of several rules add up."""
    if not moves:
        return list(items)

    def key(at: int) -> tuple[bool, float, int]:
        last, by = False, 0
        for one in moves:
            if items[at] in one.about:
                if isinstance(one.rule, Boost):
                    by -= one.rule.places
                elif isinstance(one.rule, Bury) and one.rule.places is None:
                    last = True
                elif isinstance(one.rule, Bury):
                    by += one.rule.places or 0
        return last, at + by + HALF * ((by > 0) - (by < 0)), at

    return [items[at] for at in sorted(range(len(items)), key=key)]


def _short_of_new(items: Sequence[int], shares: Sequence[ReadRule], asked: Asked) -> Iterator[Unmet]:
    for one in shares:
        assert isinstance(one.rule, New)
        have = sum(one.is_new(item, asked.now) for item in items)
        if have < (wanted := needed(one.rule.share, len(items))):
            yield Unmet(one.rule.name, f"{have} of {wanted} new items: no more may be shown in this list")
