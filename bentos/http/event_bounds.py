"""Bounds what one caller's events can change: how many come of a caller and of a user, and their share of an item.

Counted by event, not by request. A request beyond a bound is refused whole, with 429 and the time to come again:
nothing of it is stored, and no copy of it goes to another release. Servers speak for all of their users, so of these
bounds one alone is theirs, where the environment gives it. Rates are counted together by the processes
of one door, and by all doors where the environment names a store for limits; shares of items are counted in each
process.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bentos.access import Bounds
from bentos.http.callers import Caller
from bentos.http.limits import Counted, Limits
from bentos.http.problems import FORBIDDEN, OVERLOADED, Rejected, refused, short
from feature_repo.ids import plain

WINDOW_S = 3600  # of an item's events
PAIRS = 50_000  # of a caller and an item, and items, that are counted: 12 MB each
USERS, CALLERS, SERVERS, KEYS = "user", "caller", "server", "key"
KIND, ITEM = "kind", "item_share"


class Sent(Protocol):
    """An event, as far as it is bounded."""

    @property
    def user_id(self) -> str:
        """Whose it is."""

    @property
    def item_id(self) -> str | None:
        """What it is about."""

    @property
    def event(self) -> str:
        """Its kind."""


def within(mine: int, total: int, *, share: float, free: int) -> bool:
    """Tell whether a caller's events of an item are few, or a small enough share of everybody's.

    >>> within(20, 20, share=0.2, free=20), within(21, 104, share=0.2, free=20), within(21, 105, share=0.2, free=20)
    (True, False, True)
    """
    return mine <= max(free, share * total)


class ItemShares:
    """Counts events of items by caller within an hour; beyond PAIRS of them the longest silent go."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._share, self._free, self._clock = bounds.item_share, bounds.item_events, clock
        self._total, self._mine = Counted(clock, most=PAIRS), Counted(clock, most=PAIRS)

    def excess(self, caller: str, items: Sequence[str | None]) -> int | None:
        """Return the place of an item of which the caller would have too large a share with these events."""
        if self._share >= 1:
            return None
        names = [None if item is None else plain(item) for item in items]
        for item, count in Counter(name for name in names if name is not None).items():
            mine, total = self._mine.get(self._key(item, caller)), self._total.get(self._key(item))
            if not within(mine + count, total + count, share=self._share, free=self._free):
                return names.index(item)
        return None

    def count(self, caller: str, items: Sequence[str | None]) -> None:
        """Count events that are let in; a server's ('') count for the item alone."""
        if self._share >= 1:
            return
        for item, count in Counter(plain(item) for item in items if item is not None).items():
            self._total.incr(self._key(item), WINDOW_S, count)
            if caller:
                self._mine.incr(self._key(item, caller), WINDOW_S, count)

    @property
    def wait_s(self) -> int:
        """Return how long the hour still lasts."""
        return int(WINDOW_S - self._clock() % WINDOW_S) + 1

    def _key(self, item: str, caller: str = "") -> str:
        """Name a count: both kinds begin anew at the same moment, so that no share is of another hour's total."""
        text = f"{int(self._clock() // WINDOW_S)} {caller} {item}"
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()  # ids may be long, and of people


class EventBounds:
    """Holds the events of a request to the bounds of their caller."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        store: str = "",
        shared: Path | None = None,  # folder of the door's processes
        hide: Callable[[str], str] = str,  # names a user where others may read it
        refused: Callable[[str, int], object] = lambda bound, events: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = {USERS: bounds.user, CALLERS: bounds.caller, SERVERS: bounds.server}
        rates = {name: text for name, text in given.items() if text}
        self._limits = Limits(rates, store=store, shared=shared, keyed=True, clock=clock)
        self._shares, self._hide, self._refused = ItemShares(bounds, clock), hide, refused

    async def admit(
        self, who: Caller | None, address: str, events: Sequence[Sent], *, item_of: Callable[[str], str] = str
    ) -> None:
        """Let events in, or refuse all of them; `who` is None where callers are not recognised.

        `item_of` gives an item its one name: where items are people, they have two.
        """
        items = [None if event.item_id is None else item_of(event.item_id) for event in events]
        try:
            await self._admit(who, address, events, items)
        except _Beyond as beyond:
            self._refused(beyond.bound, len(events))
            raise beyond.refusal from None

    async def _admit(
        self, who: Caller | None, address: str, events: Sequence[Sent], items: Sequence[str | None]
    ) -> None:
        if who is None or who.serves:
            await self._spend(SERVERS, address if who is None else who.name, len(events))
            self._shares.count("", items)
            return
        if who.page is not None:
            _require_kinds(who.page.kinds, events)
        caller = who.name if who.page is None else f"{who.name} {address}"
        await self._spend(CALLERS, caller, len(events))
        # Strangers who send under a victim's id from a page use up nothing of what the victim's own token may send.
        group = "page" if who.page is not None else "own"
        for user, count in Counter(plain(event.user_id) for event in events).items():
            await self._spend(USERS, f"{group} {self._hide(user)}", count)
        if who.page is not None:
            await self._spend(KEYS, who.name, len(events), rate=who.page.rate)
        # Nothing is awaited from here on: else requests at once would each find the share that they had before.
        if (place := self._shares.excess(caller, items)) is not None:
            raise self._too_much_of(items, place)
        self._shares.count(caller, items)

    async def _spend(self, bound: str, name: str, events: int, *, rate: str = "") -> None:
        try:
            await self._limits.hit(bound, name, cost=events, rate=rate)
        except Rejected as refusal:
            raise _Beyond(bound, refusal) from None

    def _too_much_of(self, items: Sequence[str | None], place: int) -> "_Beyond":
        what = f"{short(items[place])} has too large a share of its events from one caller"
        refusal = refused(f"events[{place}].item_id", what, "a smaller share within the hour", status=OVERLOADED)
        return _Beyond(ITEM, refusal.with_header("Retry-After", str(self._shares.wait_s)))


class _Beyond(Exception):
    """Events that go beyond a bound."""

    def __init__(self, bound: str, refusal: Rejected) -> None:
        super().__init__(bound)
        self.bound, self.refusal = bound, refusal


def _require_kinds(kinds: frozenset[str], events: Sequence[Sent]) -> None:
    for place, event in enumerate(events):
        if event.event not in kinds:
            allowed = ", ".join(sorted(kinds))
            what = f"{short(event.event)} is no kind that the page's key may send"
            raise _Beyond(KIND, refused(f"events[{place}].event", what, allowed, status=FORBIDDEN))
