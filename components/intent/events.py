"""A user's last events as tokens: the one encode that training, the door, batch scoring and replays share.

Pure numpy, of the lists that feature_repo/event_lists.py makes of an event memory. A token says what kind of event it
was, which targets its item has, how much was paid, how long ago it was, how long after the one before and until the
next, whether a session begins, whether the item was there before. Nothing at or after the row's `now` is read, so that
neither a late batch nor a clock that runs ahead brings what is to be predicted. Which kinds and which bands of money
are told apart is fitted on training rows, once, and travels with the network.

Letters: B rows, L events of a memory, M targets of an event, N numbers of an event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.intent.shape import CONFIG
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.clock import HOUR_S, WEEK, Pace
from feature_repo.errors import DataError
from feature_repo.event_lists import NO_ITEM
from feature_repo.rows import LIST_TYPES, Ragged, UserRows

if TYPE_CHECKING:
    from components.intent.encode import Encoded

KEY = "events"  # in a model's config
LENGTH = columns.MEMORY_EVENTS  # L
MOST_KINDS, MOST_TARGETS, BANDS = 20, 8, 4  # kinds told apart, targets read of an event, bands of money above none
MOST_ROWS = 100_000  # training rows, at most, that kinds and bands are fitted on
PADDING, OTHER, KNOWN = 0, 1, 2  # codes of a kind: no event, one that is not told apart, the first that is
NUMBERS = (
    "since",  # log hours from the event to the upcoming step's start
    "before_next",  # log hours to the event after it; of the newest, to the upcoming step's start
    "after_last",  # log hours since the event before it; 0 of the oldest that is known
    "value",  # log of the money paid
    "opens",  # 1 where another session begins
    "again",  # 1 where the memory holds the item earlier
    "same",  # 1 where the event before it is of the same item
)
PHASE = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")  # of the event, where steps are no weeks
SCALE = 4.0  # brings log hours of years to about 2


@dataclass(frozen=True)
class EventCodes:
    """What positions of the codes mean: fitted on training rows, kept in the model's `config.json`."""

    kinds: tuple[int, ...]  # checksums of the kinds told apart, ascending
    bands: tuple[float, ...]  # money from which the second band begins, the third …
    targets: int  # M
    items: int = 0  # of the vocabulary, whose text vectors are read; 0: none are
    texts: int = 0  # components of these vectors

    @property
    def width(self) -> int:
        """Return how many codes an event has."""
        return 2 + self.targets + (1 if self.items else 0)

    def document(self) -> dict[str, Any]:
        """Return what `config.json` holds of them."""
        titles = {"items": self.items, "texts": self.texts} if self.items else {}
        return {KEY: {"kinds": list(self.kinds), "bands": list(self.bands), "targets": self.targets} | titles}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "EventCodes | None":
        """Read what a `config.json` holds of them; None of a model that reads steps."""
        if (found := config.get(KEY)) is None:
            return None
        titles = {name: int(found[name]) for name in ("items", "texts") if name in found}
        return cls(tuple(found["kinds"]), tuple(found["bands"]), int(found["targets"]), **titles)


def read(folder: Path) -> EventCodes | None:
    """Read how a model folder's network reads events; None where it reads steps."""
    return EventCodes.of(files.read_json(folder / CONFIG))


def numbers_of(pace: Pace) -> tuple[str, ...]:
    """Name the N numbers of an event."""
    return NUMBERS if pace.step == WEEK else NUMBERS + PHASE


def fit(rows: UserRows, titles: np.ndarray | None = None) -> EventCodes:
    """Fit kinds and bands on training rows; refuse rows that hold no events at all: nothing could be learnt of them.

    `titles` [I, V] are the frozen text vectors of the vocabulary's items, where they are read.
    """
    if len(rows) > MOST_ROWS:
        rows = rows.take(np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64))
    lists = _lists(rows)
    seen, n = np.unique(lists["event_kinds"].values, return_counts=True)
    if not len(seen):
        raise DataError("models.intent.reads: events, and no training row remembers one; use reads: steps")
    common = seen[np.argsort(-n, kind="stable")[:MOST_KINDS]]
    paid = lists["event_values"].values
    paid = paid[paid > 0]
    edges = np.unique(np.quantile(paid, np.arange(1, BANDS) / BANDS)) if len(paid) else np.zeros(0)
    most = int(lists["event_target_counts"].values.max(initial=0))
    items, texts = (0, 0) if titles is None else titles.shape
    kinds, bands = tuple(map(int, np.sort(common))), tuple(map(float, edges))
    return EventCodes(kinds, bands, max(min(most, MOST_TARGETS), 1), items, texts)


def encode(
    rows: UserRows, start: np.ndarray, codes: EventCodes, *, calendar: Calendar, n_targets: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes [B, L, 2 + M] (kind, band, targets from 1) and numbers float32 [B, L, N], the newest last.

    `start` [B] is when the upcoming step of each row begins, epoch seconds. Left of a row's oldest event all is 0.
    Where titles are read one more code is the item, from 1; 0 of one that the vocabulary of training does not have.
    """
    lists, B, M = _lists(rows), len(rows), codes.targets
    names = numbers_of(calendar.pace)
    coded = np.zeros((B * LENGTH, codes.width), np.int32 if codes.items else np.int16)
    numbers = np.zeros((B * LENGTH, len(names)), np.float32)
    chosen, place = _places(rows, lists["event_at"].row_of_value(), lists["event_at"].values)
    if len(chosen):
        owner = place // LENGTH
        coded[place, 0] = _kinds(lists["event_kinds"].values[chosen], codes)
        value = lists["event_values"].values[chosen]
        coded[place, 1] = np.where(value > 0, 1 + np.searchsorted(np.asarray(codes.bands), value, side="right"), 0)
        coded[place, 2 : 2 + M] = _targets(lists, chosen, M, n_targets)
        items = lists["event_items"].values[chosen].astype(np.int64)
        if codes.items:
            coded[place, -1] = np.where((items >= 0) & (items < codes.items), items + 1, 0)
        at = lists["event_at"].values[chosen]
        begins = np.ones(len(at), dtype=bool)  # of a row
        begins[1:] = owner[1:] != owner[:-1]
        after = np.where(begins, 0, np.diff(at, prepend=at[:1]))
        ends = np.append(begins[1:], True)
        until = np.where(ends, start[owner] - at, np.append(np.diff(at), 0))
        has = items != NO_ITEM
        numbers[place, : len(NUMBERS)] = np.stack(
            [
                _hours(start[owner] - at),
                _hours(until),
                _hours(after),
                np.log1p(np.maximum(value, 0)) / SCALE,
                lists["event_opens"].values[chosen],
                has & _seen_before(owner, items),
                has & ~begins & (items == np.append(items[:1], items[:-1])),
            ],
            axis=1,
        )
        if len(names) > len(NUMBERS):
            numbers[place, len(NUMBERS) :] = calendar.phases(at)
    return coded.reshape(B, LENGTH, codes.width), numbers.reshape(B, LENGTH, len(names))


def trimmed(encoded: "Encoded") -> "Encoded":
    """Leave out the places before the oldest event of all rows, but for the last one."""
    if encoded.event_codes is None or encoded.event_numbers is None:
        return encoded
    used = (encoded.event_codes[:, :, 0] != PADDING).any(axis=0)  # [L]
    first = int(used.argmax()) if used.any() else len(used) - 1
    if not first:
        return encoded
    return replace(
        encoded,
        event_codes=np.ascontiguousarray(encoded.event_codes[:, first:]),
        event_numbers=np.ascontiguousarray(encoded.event_numbers[:, first:]),
    )


def _places(rows: UserRows, owner: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which events are read, and where each stands among B * L places."""
    chosen = np.flatnonzero(at < rows.now[owner])
    n = np.bincount(owner[chosen], minlength=len(rows))
    rank = np.arange(len(chosen)) - (np.cumsum(n) - n)[owner[chosen]]
    column = LENGTH - n[owner[chosen]] + rank
    kept = column >= 0
    return chosen[kept], (owner[chosen] * LENGTH + column)[kept]


def _kinds(kinds: np.ndarray, codes: EventCodes) -> np.ndarray:
    told = np.asarray(codes.kinds, dtype=np.int64)
    found = np.minimum(np.searchsorted(told, kinds), len(told) - 1)
    return np.where(told[found] == kinds, found + KNOWN, OTHER)


def _targets(lists: Mapping[str, Any], chosen: np.ndarray, most: int, n_targets: int) -> np.ndarray:
    """Return the first targets of events, counted from 1, int16 [events, M]; 0 where there are no more."""
    values, counts = lists["event_targets"].values, lists["event_target_counts"].values
    if values.size and int(values.max()) >= n_targets:
        raise DataError(
            f"rows: target {int(values.max())} of an event is beyond the model's {n_targets} targets; rows and model "
            "are of different vocabularies, run the pipeline again"
        )
    begin, count = (np.cumsum(counts) - counts)[chosen], counts[chosen]
    found = np.zeros((len(chosen), most), dtype=np.int16)
    for m in range(most):
        has = count > m
        found[has, m] = values[begin[has] + m] + 1
    return found


def _seen_before(owner: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Tell of which events the same row has an earlier one with the same item."""
    low = int(items.min())
    key = owner.astype(np.int64) * (int(items.max()) - low + 1) + (items - low)
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(items), dtype=bool)
    again[first] = False
    return again


def _hours(seconds: np.ndarray) -> np.ndarray:
    """Return log hours in a tame range.

    >>> _hours(np.array([0, 3600 * 24])).round(3).tolist()
    [0.0, 0.805]
    """
    return np.asarray(np.log1p(np.maximum(seconds, 0) / HOUR_S) / SCALE)


def _lists(rows: UserRows) -> Mapping[str, Any]:
    """Return the rows' lists of events; rows of nobody need none."""
    if "event_at" in rows.lists:
        return rows.lists
    if rows.known.any():
        raise DataError(
            "intent model: it reads events, and these rows hold none; set profiles.memory: training, and build the "
            "profiles and the release again"
        )
    none = np.zeros(len(rows) + 1, dtype=np.int64)
    return {name: Ragged(np.empty(0, LIST_TYPES[name]), none) for name in columns.EVENT_LISTS}
