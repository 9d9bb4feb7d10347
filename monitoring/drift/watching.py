"""Watch a recommender: measure its periods, join them with the history, judge them all, and say what the newest means.

The history is longer than a snapshot and is what was known at its time: of a period on record the record counts. Only
the newest period is measured anew (watch_record.add).
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitoring.drift import watch_record
from monitoring.drift.measuring import measured
from monitoring.drift.occasions import explanation
from monitoring.drift.period_reader import Folders, Periods
from monitoring.drift.signal_verdicts import LEAST, Table, class_of, replay, verdicts_of
from monitoring.drift.signals import KEPT, Measured, kind_of
from monitoring.drift.watch_record import UNDECIDED, PeriodValues, WatchRecord
from monitoring.spec import Monitoring

NAMED = ("events.share.", "events.kind.")  # signals of a name that may vanish


def watch(
    name: str, folders: Folders, spec: Monitoring, *, release: str, home: Path | None, at: int | None = None
) -> tuple[WatchRecord, list[PeriodValues]]:
    """Return what is to be said of the newest period, and what the history lacks; nothing is written."""
    at = round(time.time()) if at is None else at
    periods = Periods(folders, spec.watch)
    found = measured(map(periods.observed, periods.numbers))
    known = [] if home is None else watch_record.history(home)
    joined = _joined(found, known, periods)
    new = [
        PeriodValues(periods.starts(number), release, at, {name: one.line() for name, one in joined[number].items()})
        for number in found
    ]
    return judged(name, joined, periods, spec, release=release, at=at), new


def judged(
    name: str,
    history: Mapping[int, Mapping[str, Measured]],
    periods: Periods,
    spec: Monitoring,
    *,
    release: str,
    at: int,
) -> WatchRecord:
    """Judge a history and say what its newest period means."""
    table = Table.of(history)
    if len(table.periods) <= LEAST:
        why = f"{len(table.periods)} {periods.calendar.step}s are over, {LEAST + 1} are needed to tell what is ordinary"
        starts = periods.starts(table.periods[-1]) if table.periods else ""
        newest = table.periods[-1] if table.periods else 0
        return WatchRecord(name, newest, starts, release, at, UNDECIDED, (), 0, len(table.periods), why)
    state, row = replay(table, spec.watch), len(table.periods) - 1
    verdicts = verdicts_of(
        table, row, state, days=periods.days, starts=periods.starts,
        explains=lambda signal, period: explanation(signal, period, calendar=periods.calendar, declared=spec.occasions),
    )  # fmt: skip
    count, number = int(state.judged[row]), table.periods[row]
    why = "" if count else f"no signal has {LEAST} ordinary periods behind it"
    reason = class_of(verdicts, judged=count)
    return WatchRecord(
        name, number, periods.starts(number), release, at, reason, verdicts, count, len(table.periods), why
    )


def _joined(
    found: Mapping[int, Mapping[str, Measured]], known: Sequence[PeriodValues], periods: Periods
) -> dict[int, dict[str, Measured]]:
    """Return each period's signals: as on record, and what the record lacks; the newest as measured now."""
    recorded: dict[int, dict[str, Measured]] = {}
    for of in known:
        starts = dt.datetime.fromisoformat(of.starts)
        number = periods.calendar.week(starts)
        if periods.calendar.start(number) == starts:  # else it is of another calendar
            recorded[number] = {name: Measured(*numbers) for name, numbers in of.values.items()}
    newest = max([*found, *recorded], default=0)
    joined = {
        number: {**found.get(number, {}), **recorded.get(number, {})}
        if number != newest
        else {**recorded.get(number, {}), **found.get(number, {})}
        for number in sorted({*found, *recorded})
    }
    if newest in found and recorded:
        joined[newest] |= _vanished(joined, found[newest], periods, newest)
    return joined


def _vanished(
    joined: Mapping[int, Mapping[str, Measured]], now: Mapping[str, Measured], periods: Periods, newest: int
) -> dict[str, Measured]:
    """Return what the record names and the catalogue does not any more: nothing is bought of it."""
    before = max((number for number in joined if number < newest), default=None)
    named = [] if before is None else [n for n in joined[before] if n.startswith(NAMED) and n not in now]
    n = now["events.volume"].value if "events.volume" in now else 0.0
    return {name: Measured(0.0, n) for name in named if kind_of(name) != KEPT and not periods.lists(name)}
