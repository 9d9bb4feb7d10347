"""What to say of a user whose own row cannot be used: what their segment does, or what everyone does.

The profiles step counts it (components/profiles/segments/fallback.py), it travels with the release as segments.json,
and the door answers from it where models or store cannot. Everything is in memory; nothing here can fail while
answering.

Letters: C targets, K segments, I items; group K is everyone.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from feature_repo import files
from feature_repo.errors import DataError

FILE = "segments.json"
CARDS = ("segments.html", "segments.md")  # the same for people
RUNG = "rung"
SEGMENT, POPULAR = "segment", "popular"  # rungs on which no model answers, and where their items come from
EVERYONE = "everyone"
INTEREST = "interest"  # a reason: the user said so
DECLARED = 2.0  # times as popular an interest counts: a compromise between two data sets (docs/lists.md)


def of_age(age_s: int, *, ttl_s: int, used_s: int) -> Literal["fresh", "stale"] | None:
    """Return the rung on which models answer from a row of this age, None where it is too old for them.

    One rule for the door and for batch scoring; the door's ladder (bentos/recommender/ladder.py) says what each rung
    means and what happens when something fails.

    >>> of_age(5, ttl_s=10, used_s=20), of_age(15, ttl_s=10, used_s=20), of_age(25, ttl_s=10, used_s=20)
    ('fresh', 'stale', None)
    """
    if age_s > used_s:
        return None
    return "fresh" if age_s <= ttl_s else "stale"


@dataclass(frozen=True)
class ListedItem:
    """Items of a group by share, largest first."""

    items: np.ndarray  # [N] int64, positions in the vocabulary
    shares: np.ndarray  # [N] float64, of the group's active users

    @cached_property
    def by_item(self) -> dict[int, float]:
        """Share by item."""
        return dict(zip(self.items.tolist(), self.shares.tolist(), strict=True))

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "ListedItem":
        """Read what `as_dict` wrote."""
        return cls(np.asarray(found["items"], dtype=np.int64), np.asarray(found["shares"], dtype=np.float64))

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"items": self.items.tolist(), "shares": self.shares.round(5).tolist()}


@dataclass(frozen=True)
class Standby:
    """One item of an answer that no model made."""

    item_index: int
    score: float
    source: str
    reasons: dict[str, float]
    algorithm: None = None  # no ranker spoke


@dataclass(frozen=True)
class Fallback:
    """Popular items and intent rates of each segment and of everyone."""

    digest: str  # of the segmentation
    names: tuple[str, ...]  # [K]
    rates: np.ndarray  # [K + 1, C] float32: share of user-weeks in which a target was fulfilled
    listed: tuple[ListedItem, ...]  # [K + 1]

    @property
    def everyone(self) -> int:
        """Return the group of all users."""
        return len(self.names)

    def group(self, segment: float) -> int:
        """Return the group of a row's segment; a number that is none of ours is everyone's."""
        return int(segment) if 0 <= segment < len(self.names) else self.everyone

    def recommend(
        self,
        group: int,
        *,
        n_items: int,
        k: int,
        exclude: Collection[int] = frozenset(),
        interests: Collection[int] = frozenset(),
    ) -> list[Standby]:
        """Return a group's k most popular items, then everyone's, then the rest by number; scores never rise.

        An item that the user declared an interest in counts as if `DECLARED` times as many had it.
        """
        chosen: list[Standby] = []
        for item in self._order(group, n_items, interests):
            if len(chosen) == k:
                break
            if item not in exclude:
                score = min(self.score(group, item), chosen[-1].score if chosen else 1.0)
                own = group != self.everyone and item in self.listed[group].by_item
                declared = {INTEREST: 1.0} if item in interests else {}
                reasons = declared | self._reasons(group, item)
                chosen.append(Standby(item, score, SEGMENT if own else POPULAR, reasons))
        return chosen

    def score(self, group: int, item: int) -> float:
        """Return the share of a group's active users who had an item lately, everyone's where it is not listed."""
        return self.listed[group].by_item.get(item, self.listed[self.everyone].by_item.get(item, 0.0))

    def _order(self, group: int, n_items: int, interests: Collection[int]) -> Iterator[int]:
        seen: set[int] = set()
        for listed in (self.listed[group].by_item, self.listed[self.everyone].by_item):
            order: Iterable[int] = listed
            if interests:
                order = sorted(listed, key=lambda item: -listed[item] * (DECLARED if item in interests else 1.0))
            yield from (item for item in order if item not in seen)
            seen.update(listed)
        yield from (item for item in sorted(interests) if item not in seen)
        seen.update(interests)
        yield from (item for item in range(n_items) if item not in seen)

    def _reasons(self, group: int, item: int) -> dict[str, float]:
        shares = {"segment_share": group, "popular_share": self.everyone}
        if group == self.everyone:
            del shares["segment_share"]
        return {name: share for name, g in shares.items() if (share := self.listed[g].by_item.get(item, 0.0)) > 0}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> "Fallback":
        """Read the document that the profiles step wrote."""
        rates, items = found["rates"], found["items"]
        return cls(
            digest=found["digest"],
            names=tuple(found["names"]),
            rates=np.asarray([*rates[SEGMENT], rates[EVERYONE]], dtype=np.float32),
            listed=tuple(ListedItem.from_dict(one) for one in (*items[SEGMENT], items[EVERYONE])),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads beside the segmentation's own digest and names."""
        rates, listed = self.rates.astype(np.float64).round(6).tolist(), [one.as_dict() for one in self.listed]
        return {
            "rates": {SEGMENT: rates[:-1], EVERYONE: rates[-1]},
            "items": {SEGMENT: listed[:-1], EVERYONE: listed[-1]},
        }

    @classmethod
    def load(cls, folder: Path) -> "Fallback":
        """Read segments.json of a folder."""
        if not (folder / FILE).is_file():
            raise DataError(f"{folder / FILE}: no such file; the model was made before segments had one, train again")
        return cls.from_dict(files.read_json(folder / FILE))
