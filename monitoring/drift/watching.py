"""Watch a recommender: measure its periods, join them with the history, judge them all, and say what the newest means.

The history is longer than a snapshot and is what was known at its time: of a period on record the record counts. Only
the newest period is measured anew (watch_record.add), and what the champion says of all of them.
"""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.volumes import LEAST
from monitoring.drift import watch_record
from monitoring.drift.measuring import measured
from monitoring.drift.model_signals import SERVED_BY
from monitoring.drift.occasions import as_accepted, explanation, require_known
from monitoring.drift.period_reader import Periods
from monitoring.drift.run_folders import Folders
from monitoring.drift.signal_verdicts import Table, class_of, replay, verdicts_of
from monitoring.drift.signals import KEPT, Measured, kind_of
from monitoring.drift.watch_record import PeriodValues, WatchRecord
from monitoring.reason_classes import UNDECIDED
from monitoring.spec import Monitoring

NAMED = ("events.share.", "events.kind.")  # signals of a name that may vanish
ASKED_ANEW = ("scores.", "forecasts.", "labels.ratio.")  # of the champion, of all periods that are scored


def watch(
    name: str, folders: Folders, spec: Monitoring, *, release: str, home: Path | None, at: int | None = None
) -> tuple[WatchRecord, list[PeriodValues]]:
    """Return what is to be said of the newest period, and what the history lacks; nothing is written."""
    at = round(time.time()) if at is None else at
    periods = Periods(folders, spec.signals)
    found = measured(map(periods.observed, periods.numbers))
    known = [] if home is None else watch_record.history(home, days=periods.days)
    history = joined(found, known, periods)
    new = [
        PeriodValues(
            periods.starts(number), release, at, {name: one.line() for name, one in history[number].items()},
            periods.days,
        )
        for number in found
    ]  # fmt: skip
    return judged(name, history, periods, spec, release=release, at=at), new


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
    require_known(spec.signals.accepted, history)
    table = Table.of(as_accepted(history, spec.signals.accepted, calendar=periods.calendar), days=periods.days)
    if len(table.periods) <= LEAST:
        why = f"{len(table.periods)} {periods.calendar.step}s are over, {LEAST + 1} are needed to tell what is ordinary"
        starts = periods.starts(table.periods[-1]) if table.periods else ""
        newest = table.periods[-1] if table.periods else 0
        return WatchRecord(name, newest, starts, release, at, UNDECIDED, (), 0, len(table.periods), why)
    state, row = replay(table, spec.signals), len(table.periods) - 1
    verdicts = verdicts_of(
        table, row, state, days=periods.days, starts=periods.starts,
        explains=lambda signal, period: explanation(signal, period, calendar=periods.calendar, declared=spec.calendar),
    )  # fmt: skip
    count, number = int(state.judged[row]), table.periods[row]
    why = "" if count else f"no signal has {LEAST} ordinary periods behind it"
    reason = class_of(verdicts, judged=count)
    return WatchRecord(
        name, number, periods.starts(number), release, at, reason, verdicts, count, len(table.periods), why
    )


def joined(
    found: Mapping[int, Mapping[str, Measured]], known: Sequence[PeriodValues], periods: Periods
) -> dict[int, dict[str, Measured]]:
    """Return each period's signals: as on record, and what the record lacks; the newest as measured now.

    What the champion says of past periods is never the record's, which another champion may have said.
    """
    recorded: dict[int, dict[str, Measured]] = {}
    for of in known:
        starts = dt.datetime.fromisoformat(of.starts)
        number = periods.calendar.week(starts)
        if periods.calendar.start(number) == starts:  # else it is of another calendar
            recorded[number] = {
                name: Measured(*numbers) for name, numbers in of.values.items() if not name.startswith(ASKED_ANEW)
            }
    newest = max(found, default=0)
    last = max((number for number, values in recorded.items() if "events.volume" in values), default=0)
    whole = {
        number: {**found.get(number, {}), **recorded.get(number, {})}
        if number != newest
        else {**recorded.get(number, {}), **found[number]}
        for number in sorted({*found, *recorded})
    }
    if newest in found and recorded:
        whole[newest] |= _vanished(whole, found[newest], periods, newest)
    if last > newest:  # the source does not have any more what it had
        whole[last] = {"events.volume": Measured(0.0, 0.0)}
    return _of_the_present_model(whole)


def _of_the_present_model(history: Mapping[int, Mapping[str, Measured]]) -> dict[int, dict[str, Measured]]:
    """Leave out what another release served: a promotion is no drift."""
    told = {number: values[SERVED_BY].value for number, values in history.items() if SERVED_BY in values}
    served_by = told[max(told)] if told else None
    kept = {}
    for number, values in history.items():
        mine = SERVED_BY not in values or values[SERVED_BY].value == served_by
        kept[number] = {name: value for name, value in values.items() if mine or not name.startswith("served.")}
    return kept


def _vanished(
    joined: Mapping[int, Mapping[str, Measured]], now: Mapping[str, Measured], periods: Periods, newest: int
) -> dict[str, Measured]:
    """Return what the record names and the catalogue does not any more: nothing is bought of it."""
    before = max((number for number in joined if number < newest), default=None)
    named = [] if before is None else [n for n in joined[before] if n.startswith(NAMED) and n not in now]
    n = now["events.volume"].value if "events.volume" in now else 0.0
    return {name: Measured(0.0, n) for name in named if kind_of(name) != KEPT and not periods.lists(name)}
