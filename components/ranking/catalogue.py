"""Items as arrays: what is fixed about them (the vocabulary) and what was known of them at a week (the item state).

Made once per week in training and once per refresh in serving; candidates and encode read it. Knows no user.

Letters: I items, C targets, L levels an item can have (1 where every item has one category).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import columns
from feature_repo.errors import DataError
from feature_repo.vocabulary import Vocabulary

WEEK = columns.WEEK
PRICES = (columns.PRICE, "price_usual")  # NaN where unknown
FLYER = columns.OFFER_NUMBERS[0]


@dataclass(frozen=True)
class Like:
    """Items that came later, and those of their category that training knew, the best selling first."""

    TYPICAL: ClassVar[int] = 8  # of the known items, that a later one is scored beside

    later: np.ndarray  # [N] int64
    known: np.ndarray  # [G] int64


@dataclass(frozen=True)
class Catalogue:
    """The items that may be recommended, aligned to the vocabulary's positions."""

    targets: np.ndarray  # [I, L] int64: the item's targets that have a level; C where there are fewer than L
    visits: np.ndarray  # [V] int64: targets without a level
    n_targets: int  # C
    kind: np.ndarray  # [I] int64: code of the full category path, -1 unknown
    brand: np.ndarray  # [I] int64: code of the brand, -1 unknown
    state: dict[str, np.ndarray]  # each [I] float64: columns.ITEM_NUMBERS as known at the week; NaN: price unknown
    learnt: int | None = None  # the first so many items were there in training; None: all
    hidden: np.ndarray | None = None  # [I] bool: items that nobody may be shown; None: there are none
    entities: np.ndarray | None = (
        None  # [I, L] int64: codes of declared knowledge, -1 past the last; None: there is none
    )
    like: tuple[Like, ...] = ()  # what items that came later are taken to be like

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def popularity(self) -> np.ndarray:
        """Sum the shares of the active users, last week and last four weeks alike, above 0, float64 [I]."""
        return np.asarray(self.state["share_1w"] + self.state["share_4w"] + 1e-4)

    @cached_property
    def root_popularity(self) -> np.ndarray:
        """Return the square root of the popularity, by which nearness is weighed, float64 [I]."""
        return np.asarray(np.sqrt(self.popularity))

    @cached_property
    def pull_of_offers(self) -> np.ndarray:
        """Return the same of what is in the week's flyer, 0 of all else, float64 [I]."""
        return np.asarray(self.root_popularity * self.state[FLYER])

    @cached_property
    def on_offer(self) -> np.ndarray:
        """Return the items in the week's flyer, ascending, int64 [O]."""
        return np.flatnonzero(self.pull_of_offers)

    @cached_property
    def known(self) -> Mapping[str, np.ndarray]:
        """Return what was known of each item and candidates' facts tell, columns.ITEM_NUMBERS, each [I]."""
        return {name: self.state[name] for name in columns.ITEM_NUMBERS}

    @cached_property
    def derived(self) -> dict[tuple[str, ...], np.ndarray]:
        """Keep what models see of items, by the features' names; levels.py fills it."""
        return {}

    @cached_property
    def kind_place(self) -> np.ndarray:
        """Return the code of each item's category path, `kinds` where it is unknown, int64 [I]."""
        return self.kind % (self.kinds + 1)

    @cached_property
    def brand_place(self) -> np.ndarray:
        """Return the code of each item's brand, `brands` where it is unknown, int64 [I]."""
        return self.brand % (self.brands + 1)

    @cached_property
    def by_popularity(self) -> np.ndarray:
        """Order items by popularity, ties by item, int64 [I]."""
        return np.lexsort((np.arange(len(self)), -self.popularity))

    @cached_property
    def kinds(self) -> int:
        """Count the category paths."""
        return int(self.kind.max(initial=-1)) + 1

    @cached_property
    def brands(self) -> int:
        """Count the brands."""
        return int(self.brand.max(initial=-1)) + 1

    def with_state(self, table: pa.Table, *, week: int | None = None) -> "Catalogue":
        """Return the same items as known at `week` of an item_state table (None: its last week)."""
        return replace(self, state=_state(table, len(self), week=week))

    @classmethod
    def of(cls, vocabulary: Vocabulary, table: pa.Table, *, week: int | None = None) -> "Catalogue":
        """Align an item_state table to a vocabulary."""
        leveled, n_targets = vocabulary.targets_of_item, len(vocabulary.targets)
        return cls(
            targets=_padded([leveled.get(item, ()) for item in vocabulary.item_ids], n_targets),
            visits=np.flatnonzero([t.column is None for t in vocabulary.targets]),
            n_targets=n_targets,
            kind=_codes(vocabulary.items, columns.CATEGORY_PATH),
            brand=_codes(vocabulary.items, columns.BRAND),
            state=_state(table, vocabulary.items.num_rows, week=week),
            entities=_entities(vocabulary.items),
        )


def _state(table: pa.Table, n_items: int, *, week: int | None) -> dict[str, np.ndarray]:
    """Spread one week's rows over all items; an item without a row was not bought: shares 0, price unknown.

    So is a number that the table lacks: a release may be older than the number.
    """
    if WEEK in table.column_names and table.num_rows:
        last = pc.max(table[WEEK]).as_py()
        week = last if week is None else week
        if week > last:  # all items would look as if nobody had ever bought them, which is so before the first alone
            raise DataError(f"item_state: ends with {WEEK} {last} and has none of {week}; build the training set again")
        table = table.filter(pc.equal(table[WEEK], week))
    index = table[columns.ITEM_INDEX].to_numpy()
    state = {}
    more = [name for name in (columns.SHOWN_SLOW,) if name in table.column_names]
    for name in (*columns.ITEM_NUMBERS, *more):
        values = np.full(n_items, np.nan if name in PRICES else 0.0)
        if name in table.column_names:
            values[index] = table[name].cast(pa.float64()).to_numpy()
        state[name] = values if name in PRICES else np.nan_to_num(values)
    return state


def _padded(lists: list[tuple[int, ...]], filler: int) -> np.ndarray:
    """Make a rectangle of lists of differing length, int64 [I, L], L at least 1.

    >>> _padded([(0, 2), (1,), ()], 9).tolist()
    [[0, 2], [1, 9], [9, 9]]
    """
    width = max([len(values) for values in lists] + [1])
    return np.asarray([[*values, *[filler] * (width - len(values))] for values in lists], np.int64).reshape(-1, width)


def _entities(items: pa.Table) -> np.ndarray | None:
    """Number what is known of items, by relation and entity, in the order of text; None where nothing is."""
    held = items[columns.KNOWLEDGE].to_pylist() if columns.KNOWLEDGE in items.column_names else []
    place = {one: code for code, one in enumerate(sorted({one for row in held for one in row or ()}))}
    return _padded([tuple(place[one] for one in row or ()) for row in held], -1) if place else None


def _codes(items: pa.Table, column: str) -> np.ndarray:
    """Number the distinct values of a column, nulls -1, int64 [I]; a column that is absent is unknown."""
    if column not in items.column_names:
        return np.full(items.num_rows, -1, dtype=np.int64)
    codes = items[column].combine_chunks().cast(pa.string()).dictionary_encode().indices
    return np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def latest(item_state: pa.Table) -> pa.Table:
    """Keep the last week of an item_state table."""
    return item_state.filter(pc.equal(item_state[WEEK], pc.max(item_state[WEEK])))
