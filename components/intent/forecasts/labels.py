"""Labels of forecasts, and what a user's own past says of them, from the clean events: no model sees either.

A label of a cutoff at step w with a horizon of h steps is about the events that happened in [w, w + h). The past of the
same cutoff holds events that had happened and were known (`created_at`) before it, and nothing else.

Letters: R rows, N events, U users of the rows, W steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.intent.forecasts.spec import COUNT, Forecast
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.errors import DataError, nearest

STEPS = 10_000_000  # more than any clock counts
SECOND = 1_000_000  # microseconds
PRIOR_STEPS = 2.0  # of evidence that the training mean weighs in a user's own


@dataclass(frozen=True)
class Happened:
    """Events of one intent by users of the rows, in the order of time within a user."""

    user: np.ndarray  # [N] int64
    step: np.ndarray  # [N] int64, when it happened
    known: np.ndarray  # [N] int64, the first step after whose end it was known
    at: np.ndarray  # [N] int64, epoch microseconds
    value: np.ndarray  # [N] float64, of a regression
    label: np.ndarray  # [N] str, of a multiclass; '' of others

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: np.ndarray) -> "Happened":
        """Return some of them."""
        return Happened(**{name: values[index] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Rows:
    """Which user and step each row is of."""

    user: np.ndarray  # [R] int64, a place in `user_ids`
    week: np.ndarray  # [R] int64
    user_ids: np.ndarray  # [U] str

    @classmethod
    def of(cls, user_id: np.ndarray, week: np.ndarray) -> "Rows":
        """Number the users of rows."""
        ids, user = np.unique(user_id.astype(str), return_inverse=True)
        return cls(np.asarray(user, dtype=np.int64), week.astype(np.int64), ids)


def happened(events: pa.Table, items: pa.Table | None, intent: Forecast, rows: Rows, calendar: Calendar) -> Happened:
    """Take what an intent counts: its kind of event, with a value where it is about one, by users of the rows."""
    table = _of_kind(events, intent)
    place = pc.index_in(table[columns.USER_ID].cast(pa.string()), pa.array(rows.user_ids, pa.string()))
    value, label = _values(table, intent), _labels(table, items, intent)
    at = _micros(table[columns.TIMESTAMP])
    known = np.maximum(at, _micros(table[columns.CREATED_AT])) if columns.CREATED_AT in table.column_names else at
    user = np.asarray(pc.fill_null(place, -1), dtype=np.int64)
    counts = (user >= 0) & ~np.isnan(value) & ((label != "") | (intent.column is None))
    whole = Happened(user, calendar.weeks(at // SECOND), calendar.weeks(known // SECOND), at, value, label)
    found = whole.take(np.flatnonzero(counts))
    return found.take(np.lexsort((found.label, found.at, found.user)))


def amounts(events: Happened, rows: Rows, intent: Forecast) -> np.ndarray:
    """Return what each row's user comes to within the horizon, float64 [R]; nan where a mean is of no event."""
    low, high = _span(events, rows, intent.steps)
    length = high - low
    row = np.repeat(np.arange(len(low)), length)
    place = np.repeat(low, length) + np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    total = np.bincount(row, weights=events.value[place], minlength=len(low)).astype(np.float64)
    if intent.aggregate == "sum":
        return total
    return np.where(length > 0, total / np.maximum(length, 1), np.nan)


def own_means(events: Happened, rows: Rows, intent: Forecast, *, decay: float, usual: float) -> np.ndarray:
    """Return each row's own decayed mean as known at its cutoff, in the label's unit, float64 [R].

    A user's sums lose `1 - decay` a step. They are drawn towards `usual`, the training mean, by two steps of evidence;
    of an aggregate `mean`, by two events. Someone without a past has the usual.
    """
    per_event = intent.aggregate == "mean"
    prior = usual if per_event else usual / intent.steps
    found = np.full(len(rows.user), usual)
    sums, weight, first = (np.zeros(len(rows.user_ids)) for _ in range(3))
    first[:] = np.inf
    news = _News(events)
    for week, mine in _by_week(rows):
        for step, new in news.until(week):
            sums *= decay
            weight *= decay
            age = decay ** (step - events.step[new]).astype(np.float64)
            np.add.at(sums, events.user[new], events.value[new] * age)
            np.add.at(weight, events.user[new], age)
            np.minimum.at(first, events.user[new], events.step[new])
        user = rows.user[mine]
        if per_event:
            found[mine] = (sums[user] + PRIOR_STEPS * prior) / (weight[user] + PRIOR_STEPS)
            continue
        tenure = np.where(np.isfinite(first[user]), week - first[user], 0.0)
        possible = (1 - decay**tenure) / (1 - decay)
        found[mine] = intent.steps * (sums[user] + PRIOR_STEPS * prior) / (possible + PRIOR_STEPS)
    return found


def values_of(events: Happened, *, before: int, top: int, name: str) -> tuple[str, ...]:
    """Return the values that a multiclass tells apart: the commonest among events before a step, ties by name."""
    labels = events.label[events.step < before]
    if not len(labels):
        raise DataError(
            f"intents.{name}: no event of the training steps has a value of its level; name another level or event"
        )
    values, counts = np.unique(labels, return_counts=True)
    return tuple(values[np.lexsort((values, -counts))][:top].tolist())


def instants(events: Happened, values: Sequence[str]) -> tuple[Happened, np.ndarray, float]:
    """Give each instant of a user one value: the one of most events there, ties by the order of `values`.

    Returns the instants, their codes (K is a value beyond the K told apart), and the share of instants with several.
    """
    code_of = {value: code for code, value in enumerate(values)}
    codes = np.asarray([code_of.get(one, len(values)) for one in events.label.tolist()], dtype=np.int64)
    unique, first, counts = np.unique(
        np.stack([events.user, events.at, codes]), axis=1, return_index=True, return_counts=True
    )
    order = np.lexsort((unique[2], -counts, unique[1], unique[0]))
    unique, first = unique[:, order], first[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(unique[0]) != 0) | (np.diff(unique[1]) != 0)
    several = np.diff(np.append(np.flatnonzero(new), len(new))) > 1
    return events.take(first[new]), unique[2][new], float(several.mean()) if len(several) else 0.0


def next_values(events: Happened, codes: np.ndarray, rows: Rows, intent: Forecast, *, none: int) -> np.ndarray:
    """Return the code of the first instant within each row's horizon, `none` where there is none, int64 [R]."""
    low, high = _span(events, rows, intent.steps)
    found = np.full(len(rows.user), none, dtype=np.int64)
    some = high > low
    found[some] = codes[low[some]]
    return found


def last_values(events: Happened, codes: np.ndarray, rows: Rows, *, none: int) -> np.ndarray:
    """Return the code of the last instant known at each row's cutoff, `none` where there is none, int64 [R]."""
    found = np.full(len(rows.user), none, dtype=np.int64)
    last, at = np.full(len(rows.user_ids), none, dtype=np.int64), np.full(len(rows.user_ids), np.iinfo(np.int64).min)
    news = _News(events)
    for week, mine in _by_week(rows):
        for _, new in news.until(week):
            ordered = new[np.argsort(events.at[new], kind="stable")]  # the latest is written last
            user = events.user[ordered]
            newer = events.at[ordered] >= at[user]
            last[user[newer]], at[user[newer]] = codes[ordered[newer]], events.at[ordered[newer]]
        found[mine] = last[rows.user[mine]]
    return found


def _span(events: Happened, rows: Rows, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places [R] of each row's events within its horizon: from, to."""
    key = events.user * STEPS + events.step
    mine = rows.user * STEPS + rows.week
    return np.searchsorted(key, mine, "left"), np.searchsorted(key, mine + steps, "left")


def _by_week(rows: Rows) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the steps of rows, ascending, with the places of theirs."""
    order = np.argsort(rows.week, kind="stable")
    weeks, starts = np.unique(rows.week[order], return_index=True)
    for week, mine in zip(weeks.tolist(), np.split(order, starts[1:]), strict=True):
        yield int(week), mine


class _News:
    """Hands out the events that became known step by step, each once."""

    def __init__(self, events: Happened) -> None:
        self.order = np.argsort(events.known, kind="stable")
        self.known = events.known[self.order]
        self.step = int(self.known[0]) if len(self.known) else 1

    def until(self, week: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each step before `week` that was not yet handed out, and the places of what became known in it."""
        while self.step < week:
            low, high = np.searchsorted(self.known, [self.step, self.step + 1])
            yield self.step, self.order[low:high]
            self.step += 1


def _of_kind(events: pa.Table, intent: Forecast) -> pa.Table:
    if intent.event is None:
        return events
    mine = events.filter(pc.equal(events[columns.EVENT].cast(pa.string()), intent.event))
    if not mine.num_rows:
        have = sorted(one for one in pc.unique(events[columns.EVENT].cast(pa.string())).to_pylist() if one)
        raise DataError(
            f"intents.{intent.name}.event: no event is of the kind '{intent.event}'; have {', '.join(have[:20])}"
            f"{nearest(intent.event, have)}"
        )
    return mine


def _values(table: pa.Table, intent: Forecast) -> np.ndarray:
    """Return the amount of each event, nan where its column is empty; refuse a column that can be no target."""
    if intent.kind == "multiclass" or intent.value == COUNT:
        return np.ones(table.num_rows)
    place = f"intents.{intent.name}.value"
    if intent.value not in table.column_names:
        have = [name for name in (columns.VALUE, columns.QUANTITY, columns.STRENGTH) if name in table.column_names]
        raise DataError(f"{place}: the events have no column '{intent.value}'; have {', '.join(have)}, or use count")
    found = np.asarray(table[intent.value].cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    if np.isinf(found).any():
        raise DataError(
            f"{place}: {np.isinf(found).sum():,} of {len(found):,} events have an infinite '{intent.value}', which is "
            "no amount; mend the source, or let the contract refuse them (data.contract: expect between)"
        )
    if np.isnan(found).all():
        raise DataError(
            f"{place}: none of {len(found):,} events has a '{intent.value}', so there is nothing to predict; map the "
            "column (data.source.events.columns), or use count"
        )
    return found


def _labels(table: pa.Table, items: pa.Table | None, intent: Forecast) -> np.ndarray:
    """Return the value of each event's item, '' where it has none; refuse a column that holds several at once."""
    if intent.column is None:
        return np.full(table.num_rows, "", dtype=object)
    place = f"intents.{intent.name}.level"
    if items is None or intent.column not in items.column_names:
        have = [] if items is None else [name for name in items.column_names if name != columns.ITEM_ID]
        raise DataError(
            f"{place}: the items have no column '{intent.column}'; have {', '.join(have) or 'none'}"
            f"{nearest(intent.column, have)}"
        )
    values = items[intent.column]
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        raise DataError(
            f"{place}: items.{intent.column} holds several values an item, and of kind multiclass exactly one happens "
            "next; name a column of single values, or use kind binary"
        )
    at = pc.index_in(
        table[columns.ITEM_ID].cast(pa.string()), items[columns.ITEM_ID].cast(pa.string()).combine_chunks()
    )
    found = values.cast(pa.string()).combine_chunks().take(at)
    return np.asarray(pc.fill_null(found, "").to_numpy(zero_copy_only=False), dtype=object)


def _micros(stamps: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(stamps.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(), dtype=np.int64)
