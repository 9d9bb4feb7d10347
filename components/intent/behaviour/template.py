"""A user's past as text, by a template: what a language model reads of a user row, in training and in serving alike.

Of a row's items one line each, the newest first: title, how dear it is among the items, how often it was chosen and how
long ago; where the spec declares kinds of events, by kind. Of its last events, where the model reads these, one line
each: what kind, title, price, how long ago.
    red wine dear often last week; onion soup cheap once months ago
    purchase red wine dear last week; view onion soup cheap last week
Where memories hold what users wrote, it stands behind its event's line, and an event without an item has a line of it:
    review red wine dear last week: far too sweet; search today: dry white wine
Times are words that change seldom, so that a user's text stays the same between two events for days. Where a title is
missing the category stands for it. Where items are people no name is written. What looks like an address, a number of a
person or an id is taken out of titles. The template is versioned: `DIGEST` stands in a model's shape, and a model of
another template is refused.

Letters: B rows, I items, N elements of a history.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from feature_repo import columns, event_lists, files, masks
from feature_repo.clock import DAY_S
from feature_repo.errors import DataError
from feature_repo.ids import is_erased
from feature_repo.rows import UserRows
from feature_repo.signs import STRIDE
from feature_repo.vocabulary import Vocabulary

LINE, BETWEEN, BEFORE = "{kind} {what} {price} {often} {gap}", "; ", ": "
ITEMS, EVENTS, WRITTEN = "items", "events", "written"  # what of a row is told; the last: events, and what users wrote
MOST_LINES = 48  # newest ones; longer texts are cut by tokens in any case
LONGEST = 80  # characters of a title
PEOPLE = "someone"
BANDS = ("cheap", "usual", "dear")  # thirds of the items' prices
OFTEN = ((1, "once"), (2, "twice"), (5, "sometimes"), (float("inf"), "often"))  # up to so many steps of the clock
GAPS = (  # up to so many days
    (1.0, "today"), (7.0, "this week"), (14.0, "last week"), (31.0, "this month"), (92.0, "months ago"),
    (366.0, "this year"), (float("inf"), "years ago"),
)  # fmt: skip
OF_EVENTS = ("event_items", "event_kinds", "event_at")
LISTS = {  # of a user row
    ITEMS: columns.TOLD_LISTS,
    EVENTS: OF_EVENTS,
    WRITTEN: (*OF_EVENTS, *columns.EVENT_TEXT_LISTS),
}
VERSION = 1
DIGEST = files.digest(
    [
        VERSION,
        LINE,
        BETWEEN,
        MOST_LINES,
        LONGEST,
        PEOPLE,
        BANDS,
        [list(map(str, one)) for one in OFTEN + GAPS],
        masks.MASKS,
    ]
)


DIGEST_OF_WRITTEN = files.digest([DIGEST, BEFORE, masks.LONGEST])


def digest_of(reads: str) -> str:
    """Return the digest of the template by what of a row it tells."""
    return DIGEST_OF_WRITTEN if reads == WRITTEN else DIGEST


@dataclass(frozen=True)
class Writer:
    """Writes the texts of user rows over the items of one vocabulary."""

    names: tuple[str, ...]  # by item: what it is, '' of one that nothing can be said of
    bands: tuple[str, ...]  # by item: the word of its price, or ''
    kinds: Mapping[int, str]  # of what was done with an item, by number, or of events, by checksum
    reads: str = ITEMS

    @classmethod
    def of(cls, vocabulary: Vocabulary, reads: str = ITEMS) -> "Writer":
        """Return the writer over a vocabulary's items; DataError where nothing can be said of any."""
        n_items = vocabulary.items.num_rows
        kinds = _kinds(vocabulary, reads)
        if vocabulary.people:
            return cls((PEOPLE,) * n_items, ("",) * n_items, kinds, reads)
        titles, categories = (_values(vocabulary, name) for name in (columns.TITLE, columns.CATEGORY))
        names = tuple(plain(title) or plain(category) for title, category in zip(titles, categories, strict=True))
        if n_items and not any(names):
            raise DataError(
                "models.intent.architecture: text reads titles, and no item has a title or a category; map title in "
                "data.source.items, or use a network that reads counts"
            )
        return cls(names, _bands(vocabulary), kinds, reads)

    @cached_property
    def _said(self) -> np.ndarray:
        """Whether anything can be said of each item, bool [I]."""
        return np.asarray([bool(name) for name in self.names], dtype=bool)

    def texts(self, rows: UserRows) -> list[str]:
        """Write each row's text; '' of a user without a past."""
        require(rows, self.reads)
        if not rows.known.any():
            return [""] * len(rows.known)
        told = [rows.lists[name] for name in LISTS[self.reads][:3]]
        return [
            self._text(*(one.row(b) for one in told), now=int(now), wrote=self._wrote(rows, b)) if known else ""
            for b, (now, known) in enumerate(zip(rows.now, rows.known, strict=True))
        ]

    def _wrote(self, rows: UserRows, b: int) -> list[str] | None:
        """Return what a user wrote at each event, None where that is not told."""
        if self.reads != WRITTEN:
            return None
        counts, values = (rows.lists[name].row(b) for name in columns.EVENT_TEXT_LISTS)
        return event_lists.texts_of(counts, values)

    def _text(
        self, items: np.ndarray, what: np.ndarray, at: np.ndarray, *, now: int, wrote: list[str] | None = None
    ) -> str:
        """Write one user's text; `what` are numbers of weeks, or of events their kinds."""
        kinds, times = (np.zeros(len(items)), what) if self.reads == ITEMS else (what, None)
        if self.reads == ITEMS and self.kinds:  # then an item is held by kind and place
            kinds, items = np.divmod(items.astype(np.int64), STRIDE)
        known = (items >= 0) & (items < len(self.names)) & (at < now)  # an item that came later has no name here
        known[known] = self._said[items[known]]
        named = known.copy()
        if wrote is not None:
            known |= np.fromiter(map(bool, wrote), dtype=bool, count=len(wrote)) & (at < now)
        told = np.flatnonzero(known)
        newest = told[np.lexsort((kinds[told], items[told], -at[told]))][:MOST_LINES]
        lines = (
            LINE.format(
                kind=self.kinds.get(int(kinds[i]), ""),
                what=self.names[items[i]] if named[i] else "",
                price=self.bands[items[i]] if named[i] else "",
                often="" if times is None else _word(OFTEN, float(times[i])),
                gap=_word(GAPS, (now - int(at[i])) / DAY_S),
            )
            for i in newest
        )
        behind = [BEFORE + wrote[i] if wrote is not None and wrote[i] else "" for i in newest]
        return BETWEEN.join(" ".join(line.split()) + more for line, more in zip(lines, behind, strict=True))


def require(rows: UserRows, reads: str) -> None:
    """Refuse rows that lack what texts are made of; rows of nobody need none."""
    if rows.known.any() and (missing := [name for name in LISTS[reads] if name not in rows.lists]):
        raise DataError(
            f"models.intent.architecture: text reads the {reads} of users' pasts, and these rows hold no "
            f"{', '.join(missing)}; run the pipeline again, so that the training set has them"
        )


def plain(title: object) -> str:
    """Return a title as it is written: without addresses, numbers of persons and ids, of bounded length."""
    return masks.plain(title, LONGEST)


def _kinds(vocabulary: Vocabulary, reads: str) -> dict[int, str]:
    """Name the kinds of events by the number that rows hold of them: of an item's record, or of an event."""
    if reads == ITEMS:
        return {number: plain(kind) for kind, number in vocabulary.signs.numbers.items()}
    told = {target.event for target in vocabulary.targets if target.event} | {*vocabulary.signs.numbers}
    return {zlib.crc32(kind.encode()): plain(kind) for kind in sorted(told)}


def _values(vocabulary: Vocabulary, name: str) -> list[object]:
    items = vocabulary.items
    if name not in items.column_names:
        return [None] * items.num_rows
    ids = vocabulary.item_ids
    values = items[name].to_pylist()
    return [None if is_erased(item) or value == item else value for item, value in zip(ids, values, strict=True)]


def _bands(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the word of each item's price among the items', '' where it has none or all cost the same."""
    items = vocabulary.items
    if columns.PRICE not in items.column_names:
        return ("",) * int(items.num_rows)
    prices = np.asarray([np.nan if p is None else float(p) for p in items[columns.PRICE].to_pylist()])
    known = prices[np.isfinite(prices)]
    edges = np.quantile(known, [1 / 3, 2 / 3]) if len(known) else np.empty(0)
    if any(low >= high for low, high in pairwise(edges)) or not len(edges):
        return ("",) * len(prices)
    places = np.searchsorted(edges, prices, side="right")
    return tuple(BANDS[place] if ok else "" for place, ok in zip(places, np.isfinite(prices), strict=True))


def _word(steps: tuple[tuple[float, str], ...], value: float) -> str:
    """Return the word of the first step that a value does not exceed.

    >>> _word(GAPS, 0.5), _word(GAPS, 8), _word(OFTEN, 3)
    ('today', 'last week', 'sometimes')
    """
    return next(word for most, word in steps if value <= most)
