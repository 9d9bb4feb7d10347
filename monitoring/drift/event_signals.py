"""Signals of the raw events of a period: how many, of whom, at what price, when, of what, and what they lack."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from components import verdicts
from monitoring.drift.observed import Observed
from monitoring.drift.signals import DESIGN, Measured

QUANTILES = (0.1, 0.5, 0.9)
RESAMPLES = 30
HOURS = 3  # of a block of the day
DAY_S = 86_400
VAGUE_HOURS = 3.0  # of a mean that is no better known nothing is told
TINY = 1e-9
NULLABLE = ("value", "quantity", "discount", "session")
TOTALS = ("quantity", "value", "discount")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Found = Iterator[tuple[str, Measured]]


def measure(of: Observed) -> dict[str, Measured]:
    """Return every signal of a period's events; {} of none where a feed is silent is told by the volume, 0."""
    found: dict[str, Measured] = {}
    for part in (_volume, _nulls, _money, _times, _items):
        found.update(part(of))
    return found


def _volume(of: Observed) -> Found:
    events, users = of.events, int(of.events["user"].nunique())
    yield "events.volume", Measured(len(events), users, unevenness(events["user"].to_numpy()))
    yield "events.users", Measured(users, users)
    pairs = _sessions(events)
    sessions = None if pairs is None else len(pairs)
    if pairs is not None:
        yield "events.sessions", Measured(len(pairs), users, unevenness(pairs >> 32))
    yield from _each(events)
    kinds = events["event"].astype("category").value_counts()
    if len(kinds) > 1:
        for kind, count in kinds.items():
            yield f"events.kind.{kind}", Measured(count / max(len(events), 1), apart(events))
    yield "events.total.events", Measured(len(events), users)
    if sessions is not None:
        yield "events.total.sessions", Measured(sessions, users)
    for name in TOTALS:
        yield f"events.total.{name}", Measured(float(np.nansum(events[name])), users)
    if of.segment is not None and of.segments:
        active = np.bincount(of.segment[_first_of_user(events)] + 1, minlength=len(of.segments) + 1)[1:]
        for name, count in zip(of.segments, active, strict=True):
            yield f"events.users.segment.{name}", Measured(int(count), int(count))


def unevenness(user: np.ndarray) -> float | None:
    """Return how far a count of what users [N] did strays by chance, on the log scale: 1 / sqrt(U) where all did alike.

    A user who rates a thousand films is there or not.

    >>> unevenness(np.array([1, 2, 3, 4])), round(unevenness(np.array([1] * 9 + [2])), 4)
    (0.5, 0.9055)
    """
    counts = np.bincount(user).astype(np.float64)
    return float(np.sqrt((counts**2).sum()) / counts.sum()) if len(user) else None


def _each(events: pd.DataFrame) -> Found:
    """Yield how many events a visit has, or a user where nothing names visits: the geometric mean.

    Where half of the lines are lost, each visit is half as long, however many visits there were.
    """
    user, session = events["user"].to_numpy(), events["session"].to_numpy()
    named = session >= 0
    name, of = ("session", user[named].astype(np.int64) << 32 | session[named]) if named.any() else ("user", user)
    visits, counts = np.unique(of, return_counts=True)
    if not len(visits):
        return
    who = visits >> 32 if named.any() else visits
    mean, error = _geometric(counts, who)
    yield f"events.each.{name}", Measured(mean, len(np.unique(who)), error)


def _sessions(events: pd.DataFrame) -> np.ndarray | None:
    """Return the pairs of a user and a session, the user in the upper bits; None where no event names a session."""
    named = events["session"].to_numpy() >= 0
    if len(events) and not named.any():
        return None
    pairs = events["user"].to_numpy()[named].astype(np.int64) << 32 | events["session"].to_numpy()[named]
    return np.unique(pairs)


def _first_of_user(events: pd.DataFrame) -> np.ndarray:
    return np.unique(events["user"].to_numpy(), return_index=True)[1]


def _nulls(of: Observed) -> Found:
    events, n = of.events, len(of.events)
    if n:
        for name in NULLABLE:
            lacks = events[name].to_numpy() < 0 if name == "session" else events[name].isna().to_numpy()
            yield f"events.null.{name}", Measured(float(lacks.mean()), n)
        dates = (events["at"].to_numpy() % DAY_S == 0) | (events["local_s"].to_numpy() % DAY_S == 0)
        yield "events.null.time", Measured(float(dates.mean()), n)  # a date, of which nobody knows the hour
        again = events.duplicated(["user", "item", "event", "local_s"]).mean()
        yield "events.repeats", Measured(float(again), n)
    if of.ingested:
        yield "events.set_aside", Measured(max(1 - n / of.ingested, 0.0), of.ingested)
        if of.unknown is not None:
            yield "events.unknown_items", Measured(of.unknown / of.ingested, of.ingested)


def _money(of: Observed) -> Found:
    events = of.events
    value, quantity = events["value"].to_numpy(), events["quantity"].to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        price = value / quantity
    paid = np.flatnonzero(np.isfinite(price) & (price > 0))
    if len(paid):
        users = int(events["user"].iloc[paid].nunique())
        found, *among = prices(price[paid], events["user"].to_numpy()[paid])
        yield "events.price.mean", Measured(found[0], users, found[1])
        yield "events.same.price", Measured(_most_common(price[paid]), apart(events))
        for q, (reached, error) in zip(QUANTILES, among, strict=True):
            yield f"events.price.p{q * 100:.0f}", Measured(reached, users, error)
    if of.usual is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            times = price / of.usual
        alike = np.flatnonzero(np.isfinite(times) & (times > 0))
        if len(alike):
            user = events["user"].to_numpy()[alike]
            mean, error = _geometric(times[alike], user)
            yield "events.price.index", Measured(mean, len(np.unique(user)), error)
    held = quantity[np.isfinite(quantity) & (quantity >= 0)]
    if len(held):
        logs = np.log1p(held)
        yield "events.quantity", Measured(float(logs.mean()), apart(events), float(logs.std()))
        yield "events.same.quantity", Measured(_most_common(held), apart(events))
    off = events["discount"].to_numpy()
    if np.isfinite(off).any():
        yield "events.discounted", Measured(float((off[np.isfinite(off)] > 0).mean()), apart(events))


def _most_common(values: np.ndarray) -> float:
    """Return the share of values [N] that are the most common one: 1 where a number stands still.

    >>> _most_common(np.array([1.0, 2.0, 2.0, 3.0]))
    0.5
    """
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def prices(values: np.ndarray, user: np.ndarray) -> list[tuple[float, float]]:
    """Return the geometric mean of positive values [N] and each of QUANTILES, with standard errors on the log scale.

    An error is that over resamples of users, whole with all their events: the prices of one user are alike, so a
    quantile of a small shop strays much further than as many events of as many people would say.
    """
    order = np.argsort(values, kind="stable")
    ranked, numbers = values[order], np.unique(user[order], return_inverse=True)[1]
    drawn = verdicts.draws(int(numbers.max()) + 1, resamples=RESAMPLES)  # [U, R]
    many = np.cumsum(drawn[numbers], axis=0)  # [N, R]
    logs = np.log(ranked)
    means = verdicts.means(np.bincount(numbers, logs), np.bincount(numbers), drawn)
    found = [(float(np.exp(logs.mean())), float(means.std(ddof=1)))]
    for q in QUANTILES:
        at = [int(np.searchsorted(column, q * column[-1])) for column in many.T]
        resampled = np.log(ranked[np.minimum(at, len(ranked) - 1)])
        found.append((float(np.quantile(ranked, q)), float(resampled.std(ddof=1))))
    return found


def _geometric(values: np.ndarray, user: np.ndarray) -> tuple[float, float]:
    """Return the geometric mean of positive values [N], and its standard error on the log scale, users whole."""
    logs = np.log(values)
    off = np.bincount(np.unique(user, return_inverse=True)[1], logs - logs.mean())
    return float(np.exp(logs.mean())), float(np.sqrt((off**2).sum()) / len(logs))


def _clock(local: np.ndarray, user: np.ndarray) -> Found:
    """Yield the hour of the day around which users [N] act, each user once, with its standard error in hours.

    The direction of the mean of their hours on the clock (Mardia and Jupp 2000). None where users act around it.
    """
    turn = np.exp(2j * np.pi * (local % DAY_S) / DAY_S)
    who = np.unique(user, return_inverse=True)[1]
    counts = np.bincount(who)
    each = (np.bincount(who, turn.real) + 1j * np.bincount(who, turn.imag)) / counts  # [U]
    length = float(abs(each.mean()))
    if length < TINY:
        return
    aside = (each * np.conj(each.mean()) / length).imag
    error = float(np.sqrt((aside**2).mean() / len(each))) / length * 24 / (2 * np.pi)
    if error <= VAGUE_HOURS:
        hour = float(np.angle(each.mean())) * 24 / (2 * np.pi) % 24
        yield "events.clock", Measured(hour, len(each), error)


def _times(of: Observed) -> Found:
    local, n = of.events["local_s"].to_numpy(), len(of.events)
    if not n:
        return
    behind = apart(of.events)
    blocks = np.bincount(local % DAY_S // (HOURS * 3600), minlength=24 // HOURS) / n
    if blocks.max() < 1:  # a source of dates alone has no hours
        yield from _clock(local, of.events["user"].to_numpy())
        for block, share in enumerate(blocks):
            yield f"events.hour.{block * HOURS:02}", Measured(float(share), behind)
    if of.days == len(WEEKDAYS):
        # 1 January 1970 was a Thursday.
        for day, share in enumerate(np.bincount((local // DAY_S + 3) % 7, minlength=7) / n):
            yield f"events.weekday.{WEEKDAYS[day]}", Measured(float(share), behind)


def _items(of: Observed) -> Found:
    n = len(of.events)
    if not n:
        return
    behind = apart(of.events)
    if of.new_items is not None:
        yield "events.new_items", Measured(float(of.new_items.mean()), behind)
    if of.values is not None:
        item = of.events["item"].to_numpy()
        counts = np.bincount(item[item >= 0], minlength=of.values.held.shape[0])
        for name, share in zip(of.values.names, np.asarray(counts @ of.values.held).ravel() / n, strict=True):
            yield f"events.share.{name}", Measured(float(share), behind)


def apart(events: pd.DataFrame) -> float:
    """Return how many events a share rests on, where all that one user does is alike (Kish 1965).

    Who rates a hundred films in an evening is one person of one evening. A share's error counts rows of one user as
    DESIGN alike ones already (signals.py), so this is three times what Kish counts, and at most the events.

    >>> apart(pd.DataFrame({"user": [1, 2, 3, 4]})), apart(pd.DataFrame({"user": [1, 1, 1, 1]}))
    (4.0, 3.0)
    """
    counts = np.bincount(events["user"].to_numpy()).astype(np.float64)
    return min(DESIGN * float(counts.sum() ** 2 / (counts**2).sum()), float(len(events))) if len(events) else 0.0
