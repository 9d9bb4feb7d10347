"""The page of the day: a check's record, the history of its signals and what was done about it, as HTML.

A shop owner reads it: sentences in English and Chinese, no name of a statistic, no address outside, no script. What is
said of a signal is in sentences.py and words.py; the page's look in day.html.jinja. Pure but for the template.
"""

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitoring.page import sentences, words
from monitoring.page.chart import HEIGHT, WIDTH, Chart, chart
from monitoring.page.words import Words
from monitoring.reason_classes import DATA_FAULT

if TYPE_CHECKING:
    from monitoring.drift.watch_record import PeriodValues, SignalVerdict, WatchRecord

TEMPLATE = Path(__file__).with_name("day.html.jinja")
PERIODS = 13  # drawn
SMALL = 5  # matters without consequence that are listed


@dataclass(frozen=True)
class Change:
    """One thing that moved."""

    text: Words
    since: Words
    expected: Words
    chart: Chart | None
    signal: str


@dataclass(frozen=True)
class Day:
    """What the page says."""

    name: str
    checked: str  # wall time, ISO 8601
    about: Words  # the period
    reason: str  # class
    headline: Words
    meaning: Words
    changes: tuple[Change, ...]
    expected: tuple[Change, ...]
    small: tuple[Change, ...]
    did: tuple[Words, ...]


def day(
    name: str,
    reason: str,
    *,
    at: dt.datetime,
    starts: str,
    record: "WatchRecord | None" = None,
    history: Sequence["PeriodValues"] = (),
    marks: Mapping[str, Mapping[str, Any]] | None = None,
) -> Day:
    """Collect what a page says: `record` of the check, `history` the oldest first, `marks` of what was done since."""

    def of(found: "SignalVerdict") -> Change:
        return _change(found, history)

    return Day(
        name=name,
        checked=at.isoformat(timespec="minutes"),
        about=words.BEGINS.filled(date=sentences.day(starts)),
        reason=reason,
        headline=words.HEADLINES[reason],
        meaning=words.MEANING[reason],
        changes=tuple(map(of, record.alarms)) if record else (),
        expected=tuple(map(of, record.explained)) if record else (),
        small=tuple(map(of, record.information[:SMALL])) if record else (),
        did=tuple(_did(reason, record, marks or {})),
    )


def html(page: Day) -> str:
    """Return the page."""
    text: str = _template().render(day=page, size=(WIDTH, HEIGHT))
    return text


def _change(found: "SignalVerdict", history: Sequence["PeriodValues"]) -> Change:
    there = [one.values[found.signal][0] for one in history if found.signal in one.values][-PERIODS:]
    drawn = chart(there, found.interval)
    return Change(sentences.changed(found), sentences.since(found), sentences.expected(found), drawn, found.signal)


def _did(reason: str, record: "WatchRecord | None", marks: Mapping[str, Mapping[str, Any]]) -> list[Words]:
    """Say what was done: that we looked, what was held back, what was learned anew, whom we told."""
    found = []
    if record is not None:
        found.append(words.WATCHED.filled(judged=str(record.judged), periods=str(record.periods)))
    if reason == DATA_FAULT:
        found.append(words.HELD)
    retraining, notice = marks.get("retraining", {}), marks.get("notice", {})
    if (action := str(retraining.get("action", ""))) in words.DID and (action, reason) != ("hold", DATA_FAULT):
        found.append(words.DID[action])
    if notice.get("problem"):
        found.append(words.UNTOLD.filled(why=str(notice["problem"])))
    elif notice.get("at"):
        told = dt.datetime.fromtimestamp(float(notice["at"]), dt.UTC)
        found.append(words.TOLD.filled(date=sentences.day(told.isoformat())))
    return found


@functools.cache
def _template() -> Any:
    """Compile the template, once a process."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
