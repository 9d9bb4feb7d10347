"""Sentences about signals, in English and Chinese: what moved, how far, since when, and what explains it.

Pure: a signal's verdict in, words out. Nothing here knows how a verdict was reached.
"""

import datetime as dt
import math
from typing import TYPE_CHECKING

from monitoring.page import words
from monitoring.page.words import Words

if TYPE_CHECKING:
    from monitoring.drift.watch_record import SignalVerdict

SHARES = ("share", "null")  # kinds that are said in percent
COUNTS = ("volume", "count")
TWICE = 1.0  # from this relative effect on "times as much" is easier read than a percentage


def changed(found: "SignalVerdict") -> Words:
    """Say what moved, how far, and what is usual."""
    low, high = found.interval
    return words.CHANGED.filled(
        what=called(found.signal),
        moved=words.UP if found.direction == "up" else words.DOWN,
        by=_by(found),
        value=number(found.value, found.kind),
        low=number(low, found.kind),
        high=number(high, found.kind),
    )


def since(found: "SignalVerdict") -> Words:
    """Say since when it has been so."""
    return words.SINCE.filled(date=day(found.since_starts))


def expected(found: "SignalVerdict") -> Words:
    """Say what explains it; nothing where nothing does."""
    if not found.explained_by:
        return words.NOTHING
    why = found.explained_by.removesuffix(" (monitoring.calendar)")
    same = words.LAST_YEAR if why == "the same season last year" else Words(why, why)
    return words.EXPECTED.filled(why=same)


def called(signal: str) -> Words:
    """Return what a signal is called, by the longest prefix that has words.

    >>> called("events.null.value").en, called("events.users.segment.Young: families").zh, called("other").en
    ('The share of actions without “value”', '“Young: families”类活跃顾客数', 'The signal “other”')
    """
    parts = signal.split(".")
    for length in range(len(parts), 0, -1):
        prefix, rest = ".".join(parts[:length]), ".".join(parts[length:])
        found = words.SIGNALS.get(prefix)
        if found is None:
            continue
        if "{rest}" not in found.en:
            return Words(f"{found.en} ({rest})", f"{found.zh}（{rest}）") if rest else found
        if rest:
            return found.filled(rest=words.TAILS.get(prefix, {}).get(rest, rest))
    return words.UNKNOWN.filled(rest=signal)


def day(instant: str) -> Words:
    """Return a date as people write it.

    >>> day("2017-10-02T00:00:00+00:00")
    Words(en='2 October 2017', zh='2017年10月2日')
    """
    at = dt.datetime.fromisoformat(instant)
    month = words.MONTHS[at.month - 1]
    return words.DAY.filled(day=str(at.day), month=month, number=str(at.month), year=str(at.year))


def number(value: float, kind: str) -> str:
    """Return a value as its kind is read: shares in percent, counts whole, all else with three digits.

    >>> number(0.0523, "share"), number(29268.0, "volume"), number(3.14159, "level"), number(0.0, "null")
    ('5.2 %', '29,268', '3.14', '0 %')
    >>> number(14.1, "clock"), number(23.999, "clock")
    ('14:06', '0:00')
    """
    if kind == "clock" and math.isfinite(value):
        minutes = round(60 * value) % (24 * 60)
        return f"{minutes // 60}:{minutes % 60:02}"
    if kind in SHARES:
        percent = 100 * value
        return f"{_digits(round(percent, 1) if percent >= 1 else percent)} %"
    return f"{value:,.0f}" if kind in COUNTS and abs(value) >= 10 else _digits(value)


def _digits(value: float) -> str:
    """Return three significant digits, without an exponent.

    >>> _digits(1234.5), _digits(0.01234), _digits(5.23), _digits(2.0), _digits(52.34)
    ('1,234', '0.0123', '5.23', '2', '52.3')
    """
    if not math.isfinite(value) or value == 0:
        return "0" if value == 0 else "–"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _by(found: "SignalVerdict") -> Words:
    """Say how far it moved, in the unit of its kind."""
    size = abs(found.effect)
    if found.kind == "null":
        return words.POINTS.filled(effect=_digits(round(100 * size, 1)))
    if found.kind == "clock":
        return words.HOURS.filled(effect=_digits(round(size, 1)))
    if found.kind == "mean" or not math.isfinite(size):
        return words.CLEARLY
    if found.effect >= TWICE:
        return words.TIMES.filled(effect=_digits(round(1 + size, 1)))
    return words.BY.filled(effect=f"{_digits(round(100 * size, 1 if size < 0.1 else 0))} %")
