"""Fold one event into a user's state: what the batch transforms would give had they seen it.

The state is the row of the feature service `state_v1`: numbers by name, lists by name as numpy arrays. A test
folds whole histories and compares with the batch. Events may arrive in any order of sessions; the events of one
session are taken to arrive together, in order. What a row does not hold cannot be told apart: whether a late event's
week was counted already is known for `Pace.recent` steps and 91 days, and of an item for its first and last week.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo import columns, masks, memory
from feature_repo.calendar import Calendar
from feature_repo.columns import EVENING_HOUR
from feature_repo.rows import LIST_TYPES, Ragged, UserRows
from feature_repo.vocabulary import Vocabulary

State = dict[str, Any]
FAMILIES = ("target", "history", "received")  # of lists that decay
RECEIVED = "\u2190"  # begins the kind of an event that somebody did to the user; `item_id` is then who did it
AMOUNTS = (columns.QUANTITY, columns.VALUE, columns.DISCOUNT)


@dataclass(frozen=True)
class Event:
    """One event of a user: the canonical columns that features read."""

    item_id: str
    event: str
    at: int  # epoch seconds, UTC
    session_id: str
    quantity: float = 1.0
    value: float = 0.0
    discount: float = 0.0
    known_at: int = 0  # epoch seconds: when it arrived; 0: when it happened
    key: str = ""  # two deliveries of one event have the same; "": each is a new event
    text: str = ""  # what the user wrote, masked


def mirrored(event: Event, *, by: str) -> Event:
    """Return an event as the person saw it whom it was done to; `by` is who did it, by pseudonym.

    >>> mirrored(Event("b", "message", 7, "s"), by="a").item_id
    'a'
    """
    return dataclasses.replace(event, item_id=by, event=RECEIVED + event.event, text="")


def event_of(fields: Mapping[str, Any], calendar: Calendar) -> Event:
    """Read an event from its canonical columns, times in epoch seconds.

    As in ingest, an event without a session is in its user's day's.
    """
    at = int(fields[columns.TIMESTAMP])
    day = calendar.day(dt.datetime.fromtimestamp(at, dt.UTC))
    session = fields.get(columns.SESSION_ID) or f"{fields[columns.USER_ID]} {day}"
    given: dict[str, Any] = {name: float(fields[name]) for name in AMOUNTS if fields.get(name) is not None}
    item = "" if fields.get(columns.ITEM_ID) is None else str(fields[columns.ITEM_ID])  # "": an event without one
    kind = str(fields.get(columns.EVENT) or "")
    return Event(item, kind, at=at, session_id=str(session), text=masks.written(fields.get(columns.TEXT)), **given)


@dataclass(frozen=True)
class Folding:
    """What folding needs beside the state: calendar, vocabulary, windows, and the kind of event that is history."""

    calendar: Calendar
    vocabulary: Vocabulary
    windows_days: tuple[float, ...]
    item_event: str | None = None
    events: bool = False  # rows that are read hold their memories as lists (event_lists.py), for models
    texts: bool = False  # memories hold what users wrote, and such rows as well

    def empty(self) -> State:
        """Return the state of a user without events."""
        numbers = dict.fromkeys(columns.profile_columns(self.windows_days), 0.0) | {columns.SEGMENT: -1.0}  # none yet
        received = () if self.vocabulary.people else columns.RECEIVED_LISTS
        unheld = (*columns.EVENT_LISTS, *columns.EVENT_TEXT_LISTS, *received)
        held = [n for n in LIST_TYPES if n not in unheld]
        lists = {name: np.empty(0, LIST_TYPES[name]) for name in held}
        texts = {columns.LAST_SESSION: "", columns.VOCABULARY: self.vocabulary.digest}
        return numbers | lists | texts | {columns.STATE_AT: 0, columns.MEMORY: memory.EMPTY}

    def fold(self, state: State, events: Sequence[Event]) -> State:
        """Return the state after events, one after another; the given state is left as it is.

        What the next event does not read is done once, after the last: the order of lists, and the sums of windows.
        """
        if not events:
            return state
        new = {name: cell.copy() if isinstance(cell, np.ndarray) else cell for name, cell in state.items()}
        end_day = None
        for event in events:
            if self.vocabulary.people and event.event.startswith(RECEIVED):
                self._receive(new, event)
            else:
                end_day = self._add(new, event)
        self._settle(new, end_day)
        return _remembering(new, [one for one in events if not one.event.startswith(RECEIVED)], texts=self.texts)

    def update(self, state: Mapping[str, Any], event: Event) -> State:
        """Return the state after one more event; the given state is left as it is."""
        return self.fold(dict(state), [event])

    def _add(self, state: State, event: Event) -> int:
        """Add an event of the user's to a state, its memory, order and windows left; return the day that it is now."""
        when = dt.datetime.fromtimestamp(event.at, dt.UTC)
        week, opened = self._week(event.at), event.session_id != state[columns.LAST_SESSION]
        fresh_week = not self._shows(state, week)
        state_at = max(int(state[columns.STATE_AT]), event.at + 1)
        upcoming = self._upcoming(state_at)
        self._move_on(state, state_at)
        age, pace = upcoming - week, self.calendar.pace
        worth = pace.slow**age, pace.fast**age
        targets = self.vocabulary.fulfilled(event.item_id, event.event)
        index = self.vocabulary.index_of_item.get(event.item_id)
        signs = self.vocabulary.signs
        key = None if index is None else signs.key(event.event, index)
        for target in targets:
            new_week = _remember(state, target, week)
            place = _position(state, columns.TARGET_LISTS, target)
            _count(state, columns.TARGET_LISTS, target, event.at, worth, place=place, new_week=new_week)
        if key is not None and self.item_event in (None, event.event):
            known = _position(state, columns.HISTORY_LISTS, key)
            wanted = signs.shows_interest(event.event) and known is None and not self._wanted(state, index)
            ends = () if known is None else (state["history_first_at"][known], state["history_last_at"][known])
            fresh = week not in {self._week(int(end)) for end in ends}
            _count(state, columns.HISTORY_LISTS, key, event.at, worth, place=known, new_week=fresh)
            state["items_total"] = state["items_total"] + wanted
        limit = self.vocabulary.history_limit
        if limit is not None and len(state[columns.HISTORY_LISTS[0]]) > limit:  # the weakest goes before the next comes
            _by_strength(state, columns.HISTORY_LISTS, limit=limit)
        self._total(state, event, when, worth[0], opened=opened, new_week=fresh_week)
        end_day = self.calendar.span_of(state_at - 1)
        self._daily(state, event, self.calendar.span_of(event.at), end_day, opened=opened)
        state |= {columns.STATE_AT: state_at, columns.LAST_SESSION: event.session_id}
        return end_day

    def _settle(self, state: State, end_day: int | None) -> None:
        """Order lists, and sum windows as of the day of the user's last event; None: there was none of the user's."""
        if end_day is None:
            return
        _by_strength(state, columns.TARGET_LISTS, limit=None)
        _by_strength(state, columns.HISTORY_LISTS, limit=self.vocabulary.history_limit)
        for days in self.windows_days:
            inside = state["daily_days"] > end_day - self.calendar.pace.spans(days)
            for name in columns.WINDOWED:
                state[columns.windowed(name, days)] = float(state[f"daily_{name}"][inside].sum(dtype=np.float64))

    def _wanted(self, state: State, index: int | None) -> bool:
        """Tell whether the state holds a record of interest in an item."""
        signs = self.vocabulary.signs
        if index is None or not signs:  # without kinds an item has one record at most
            return index is not None and _position(state, columns.HISTORY_LISTS, index) is not None
        keys = {signs.key(kind, index) for kind in signs.wanted}
        return not keys.isdisjoint(state["history_items"].tolist())

    def _receive(self, state: State, event: Event) -> None:
        """Add to a state what somebody did to the user, who did nothing."""
        week, pace = self._week(event.at), self.calendar.pace
        state_at = max(int(state[columns.STATE_AT]), event.at + 1)
        upcoming = self._upcoming(state_at)
        self._move_on(state, state_at)
        index = self.vocabulary.index_of_item.get(event.item_id)
        if index is not None and self.item_event in (None, event.event.removeprefix(RECEIVED)):
            known = _position(state, columns.RECEIVED_LISTS, index)
            ends = () if known is None else (state["received_first_at"][known], state["received_last_at"][known])
            fresh = week not in {self._week(int(end)) for end in ends}
            age = upcoming - week
            worth = pace.slow**age, pace.fast**age
            _count(state, columns.RECEIVED_LISTS, index, event.at, worth, place=known, new_week=fresh)
            _by_strength(state, columns.RECEIVED_LISTS, limit=self.vocabulary.history_limit)
        state[columns.STATE_AT] = state_at

    def moved(self, state: State, state_at: int) -> State:
        """Return the state as of a later time, of which no event is known: sums decay, old weeks drop out."""
        new, state_at = dict(state), max(state_at, int(state[columns.STATE_AT]))
        self._move_on(new, state_at)
        return new | {columns.STATE_AT: state_at}

    def _upcoming(self, seconds: int) -> int:
        return self._week(seconds - 1) + 1

    def _week(self, seconds: int) -> int:
        return self.calendar.step_of_span(self.calendar.span_of(seconds))

    def _move_on(self, state: State, state_at: int) -> None:
        """Decay sums to the week that is upcoming now, and drop weeks that are no longer recent."""
        if not state[columns.STATE_AT]:
            return
        upcoming, pace = self._upcoming(state_at), self.calendar.pace
        if weeks := upcoming - self._upcoming(int(state[columns.STATE_AT])):
            for name, decay in (("slow", pace.slow), ("fast", pace.fast)):
                for family in FAMILIES:
                    if f"{family}_{name}" in state:
                        state[f"{family}_{name}"] = state[f"{family}_{name}"] * np.float32(decay**weeks)
            for name in ("sessions_slow", "value_slow"):
                state[name] = state[name] * pace.slow**weeks
        kept = state["recent_weeks"] >= upcoming - pace.recent
        if not kept.all():
            for name in columns.RECENT_LISTS:
                state[name] = state[name][kept]

    def _total(
        self, state: State, event: Event, when: dt.datetime, worth: float, *, opened: bool, new_week: bool
    ) -> None:
        """Add the event to the lifetime totals; `worth` is what the slow decay leaves of it."""
        first = not state["events_total"]
        if new_week:
            state["weeks_total"] = state["weeks_total"] + 1
        state["first_at"] = event.at if first else min(state["first_at"], event.at)
        state["last_at"] = max(state["last_at"], event.at)
        state["events_total"] = state["events_total"] + 1
        for name in ("quantity", "value", "discount"):
            state[f"{name}_total"] = state[f"{name}_total"] + getattr(event, name)
        state["discounted_total"] = state["discounted_total"] + (event.discount > 0)
        state["value_slow"] = state["value_slow"] + worth * event.value
        if opened:
            n = state["sessions_total"]
            weekend, evening = self._habits(when)
            state["weekend_share"] = (state["weekend_share"] * n + weekend) / (n + 1)
            state["evening_share"] = (state["evening_share"] * n + evening) / (n + 1)
            state["sessions_total"] = n + 1
            state["sessions_slow"] = state["sessions_slow"] + worth

    def _shows(self, state: Mapping[str, Any], week: int) -> bool:
        """Tell whether the state shows some event in a week: by its ends, its recent days or its recent targets."""
        if not state["events_total"]:
            return False
        ends = (self._week(int(state[name])) for name in columns.PROFILE_TIMES)
        days = self.calendar.steps_of_spans(state["daily_days"])
        return week in ends or bool((days == week).any() or (state["recent_weeks"] == week).any())

    def _habits(self, when: dt.datetime) -> tuple[int, int]:
        """Tell whether an instant is on a weekend and in an evening, local time, as the transforms do."""
        day = self.calendar.day(when)
        hour = (when - self.calendar.midnight(day)).total_seconds() // 3600
        return int(day.weekday() >= 5), int(hour >= EVENING_HOUR)

    def _daily(self, state: State, event: Event, day: int, end_day: int, *, opened: bool) -> None:
        """Add the event to its day, and drop days past the widest window."""
        amounts = (1.0, float(opened), event.quantity, event.value, event.discount)
        position = np.searchsorted(state["daily_days"], day)
        if position == len(state["daily_days"]) or state["daily_days"][position] != day:
            for name in columns.DAILY_LISTS:
                had, value = state[name], np.asarray([day if name == "daily_days" else 0], dtype=LIST_TYPES[name])
                state[name] = np.concatenate((had[:position], value, had[position:]))
        for name, amount in zip(columns.DAILY_LISTS[1:], amounts, strict=True):
            state[name][position] += amount
        kept = state["daily_days"] > end_day - self.calendar.pace.spans(max(self.windows_days))
        if not kept.all():
            for name in columns.DAILY_LISTS:
                state[name] = state[name][kept]


def remembered(event: Event, *, texts: bool) -> memory.Remembered:
    """Return an event as a memory holds it."""
    found = memory.Remembered(event.at, event.session_id, event.item_id, event.event, event.value)
    return found._replace(text=event.text) if texts else found


def _remembering(state: State, events: Sequence[Event], *, texts: bool) -> State:
    """Return a state whose memory holds more events; all of a call at once, since it is read and written whole."""
    new = [remembered(event, texts=texts) for event in events]
    return state | {columns.MEMORY: memory.added(state[columns.MEMORY], new)} if new else state


def _position(state: State, names: tuple[str, ...], key: int) -> int | None:
    """Return where a key first stands in its parallel lists, None where it does not."""
    same = state[names[0]] == key
    place = int(same.argmax()) if len(same) else 0
    return place if len(same) and same[place] else None


def _count(
    state: State,
    names: tuple[str, ...],
    key: int,
    at: int,
    worth: tuple[float, float],
    *,
    place: int | None,
    new_week: bool,
) -> None:
    """Add a key's week to its parallel lists, in place, opening a place for a key that is new.

    `place` is where the key stands; `worth` is what the slow and the fast decay leave of the week.
    """
    ids, weeks, slow, fast, first_at, last_at = names
    if place is None:
        opened = (key, 0, 0, 0, at, at)
        for name, value in zip(names, opened, strict=True):
            state[name] = np.concatenate((state[name], np.asarray([value], dtype=LIST_TYPES[name])))
        place, new_week = len(state[ids]) - 1, True
    if new_week:
        state[weeks][place] += 1
        state[slow][place] += worth[0]
        state[fast][place] += worth[1]
    if at < state[first_at][place]:
        state[first_at][place] = at
    if at > state[last_at][place]:
        state[last_at][place] = at


def _remember(state: State, target: int, week: int) -> bool:
    """Put (target, week) among the recent pairs, which are ordered by week and target; False: it is there already."""
    targets, weeks = (state[name] for name in columns.RECENT_LISTS)
    if ((targets == target) & (weeks == week)).any():
        return False
    targets = np.concatenate((targets, np.asarray([target], dtype=np.int32)))
    weeks = np.concatenate((weeks, np.asarray([week], dtype=np.int32)))
    order = np.lexsort((targets, weeks))
    state["recent_targets"], state["recent_weeks"] = targets[order], weeks[order]
    return True


def _by_strength(state: State, names: tuple[str, ...], *, limit: int | None) -> None:
    """Order parallel lists by slow sum, largest first, ties by key, as the batch does."""
    order = np.lexsort((state[names[0]], -state[names[2]]))[:limit]
    for name in names:
        state[name] = state[name][order]


def moved_on(rows: UserRows, until: int, calendar: Calendar) -> UserRows:
    """Return rows as of `until`, for users of whom nothing new was known by then: sums decay, old weeks drop out."""
    behind = rows.known & (rows.state_at < until)
    if not np.logical_or.reduce(behind):
        return rows

    def upcoming(seconds: int) -> int:
        return calendar.week(dt.datetime.fromtimestamp(seconds - 1, dt.UTC)) + 1

    instants, place = np.unique(np.where(behind, rows.state_at, until), return_inverse=True)
    weeks = (upcoming(until) - np.asarray([upcoming(int(s)) for s in instants]))[place]  # [B], 0 where nothing moves
    state_at = np.where(behind, until, rows.state_at)
    if not weeks.any():
        return dataclasses.replace(rows, state_at=state_at)
    numbers, lists = dict(rows.numbers), dict(rows.lists)
    for name in ("sessions_slow", "value_slow"):
        numbers[name] = numbers[name] * calendar.pace.slow**weeks
    for name, decay in (("slow", calendar.pace.slow), ("fast", calendar.pace.fast)):
        for family in (family for family in FAMILIES if f"{family}_{name}" in lists):
            had = lists[f"{family}_{name}"]
            lists[f"{family}_{name}"] = Ragged(
                had.values * (decay ** weeks[had.row_of_value()]).astype(np.float32), had.offsets
            )
    recent = lists["recent_weeks"]
    owner = recent.row_of_value()
    kept = ~(weeks > 0)[owner] | (recent.values >= upcoming(until) - calendar.pace.recent)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[kept], minlength=len(rows)))]).astype(np.int64)
    for name in columns.RECENT_LISTS:
        lists[name] = Ragged(lists[name].values[kept], offsets)
    return dataclasses.replace(rows, state_at=state_at, numbers=numbers, lists=lists)
