"""What each kind of event says of an item: the one definition that batch, stream and models share.

A spec declares the kinds of its events with a weight each (`models.ranking.kinds`). A weight above 0 is interest, one
below 0 says that the user did not want the item, 0 says nothing. A user row then keeps its record (weeks, decayed
weeks, first and last time) by item *and kind*: history_items holds `number * STRIDE + item`, so batch, fold, store
and logs treat such a key as any other. `records.py` turns a row's records into what models see; weights act only there,
so a row never depends on them. Without declared kinds a key is an item's position, and nothing here does anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

STRIDE = 1 << 24  # positions of items lie below it
MOST_KINDS = 64  # times STRIDE still is a 32-bit number


@dataclass(frozen=True)
class Signs:
    """The declared kinds: (kind, weight) ordered by kind, which numbers them."""

    weights: tuple[tuple[str, float], ...] = ()
    hides: tuple[str, ...] = ()  # kinds after which a user is not shown the item again
    once: tuple[str, ...] = ()  # wanted kinds after which neither: what was bought, where `repeat` forbids it
    undoes: tuple[tuple[str, str], ...] = ()  # (kind, the kind that it takes back)
    bare: tuple[str, ...] = ()  # kinds without an item, such as a login
    shown: str = ""  # the kind of an impression, '' where none is logged

    def __bool__(self) -> bool:
        return bool(self.weights)

    @property
    def declared(self) -> bool:
        """Tell whether the spec says anything of kinds."""
        return bool(self.weights or self.bare)

    @cached_property
    def weight_of(self) -> dict[str, float]:
        """Weights by kind."""
        return dict(self.weights)

    @cached_property
    def wanted(self) -> dict[str, float]:
        """The kinds that are interest, each with its share of the largest weight, above 0 and at most 1."""
        largest = max((weight for _, weight in self.weights), default=1.0)
        return {kind: weight / largest for kind, weight in self.weights if weight > 0}

    @cached_property
    def unwanted(self) -> dict[str, float]:
        """The kinds that say that an item was not wanted, each with its share of the lowest weight."""
        lowest = min((weight for _, weight in self.weights), default=-1.0)
        return {kind: weight / lowest for kind, weight in self.weights if weight < 0}

    @property
    def main(self) -> str | None:
        """The kind with the largest weight: what a shop lives on."""
        return max(self.weights, key=lambda pair: pair[1])[0] if self.weights else None

    @property
    def priced(self) -> tuple[str, ...]:
        """The kinds with the largest weight: what they cost is a price, what was looked at cost nothing."""
        return tuple(kind for kind, share in self.wanted.items() if share == 1.0)

    @property
    def bars(self) -> bool:
        """Tell whether a user may not be shown some items again."""
        return bool(self.hides or self.once)

    @property
    def rule(self) -> str:
        """Name what labels are, '' where nothing is declared: evaluations by another rule are of other rows."""
        said = [", ".join(f"{kind} {weight:g}" for kind, weight in self.weights)] * bool(self)
        parts = {"once": self.once, "hide": self.hides, "undo": tuple(" ".join(pair) for pair in self.undoes)}
        return "; ".join(said + [f"{name} {', '.join(kinds)}" for name, kinds in parts.items() if kinds])

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The kinds of which rows keep a record, by number; the others say nothing of an item."""
        acting = {*self.hides, *self.once, self.shown, *(kind for pair in self.undoes for kind in pair)}
        return {kind: number for number, (kind, weight) in enumerate(self.weights) if weight != 0 or kind in acting}

    def key(self, kind: str, item_index: int) -> int | None:
        """Return what a row's record of an item goes by, None where the kind says nothing of it.

        >>> Signs((("cart", 3.0), ("login", 0.0), ("view", 1.0))).key("view", 7) == 2 * STRIDE + 7
        True
        """
        if not self:
            return item_index
        number = self.numbers.get(kind)
        return None if number is None else number * STRIDE + item_index

    def is_act(self, kind: str) -> bool:
        """Tell whether an event of a kind is an act on what was shown: not an impression, and none that says no."""
        return kind not in self.unwanted and kind != self.shown

    def shows_interest(self, kind: str) -> bool:
        """Tell whether an event of a kind says that its item was wanted; without declared kinds every one does."""
        return not self or kind in self.wanted

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON holds."""
        return {"weights": dict(self.weights), "hides": list(self.hides), "once": list(self.once)} | {
            "undoes": dict(self.undoes),
            "bare": list(self.bare),
            "shown": self.shown,
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Signs":
        """Read what `as_dict` gave; {} declares nothing."""
        if not told:
            return NONE
        return cls(
            weights=tuple(sorted((kind, float(weight)) for kind, weight in told["weights"].items())),
            hides=tuple(sorted(told["hides"])),
            once=tuple(sorted(told["once"])),
            undoes=tuple(sorted(told["undoes"].items())),
            bare=tuple(sorted(told["bare"])),
            shown=told["shown"],
        )


NONE = Signs()
