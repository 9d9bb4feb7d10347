"""The port of drift: the last check, the signals over their periods, the history of checks, and what was done since."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bentos.console.ports.watch import Attempt, Check, Decided, Drift, Point, Said, Signal, Watched
from monitoring.drift_verdicts import DRIFTED, LOST
from pipelines.console.recent import Recent
from pipelines.environment import Installation

if TYPE_CHECKING:
    from monitoring.drift.watch_record import PeriodValues, SignalVerdict, WatchRecord
    from monitoring.page.words import Words
    from monitoring.retraining.machine import State

KEPT_S = 10.0
PERIODS = 26  # of a chart
CHECKS, ATTEMPTS = 60, 20  # shown
SMALL = 8
FIRST = ("events.volume", "events.users", "labels.ratio", "rewards.rate", "requests.degraded", "events.price.mean")
USUAL = 4  # of FIRST that did not move
NOTHING = Said("", "")


class Kept(Drift):
    """The port over an installation, which is read anew."""

    def __init__(self, place: Callable[[], Installation]) -> None:
        self._place = place
        self._found: Recent[Watched] = Recent(KEPT_S)

    def watched(self) -> Watched:
        """Return the last check, the history of checks and signals, and what was done."""
        return self._found.of("", lambda: watched(self._place()))


def port(place: Callable[[], Installation]) -> Drift:
    """Return the port over an installation, which is read anew at each call."""
    return Kept(place)


def watched(place: Installation) -> Watched:
    """Read what checks left in the state folder and in the registry."""
    from components.registry import heartbeats
    from components.registry import retraining as registry
    from monitoring import checks_history
    from monitoring.drift import watch_record
    from monitoring.page import words
    from monitoring.retraining.machine import State
    from pipelines import drift_status
    from pipelines.releases.release import variables

    with variables(place):
        marks = heartbeats.read(place.spec.name)
        state = State.read(registry.read(place.spec.name))
    found = drift_status.summary(place.home, marks)
    mark, history = marks.get(heartbeats.DRIFT), watch_record.history(place.home)
    record = drift_status.record_of(place.home, mark) if mark else None
    reason = str(found["class"]) if found else "undecided"
    return Watched(
        checked=str(found["at"]) if found else "",
        verdict=str(found["verdict"]) if found else "",
        reason=reason,
        headline=_said(words.HEADLINES[reason]),
        meaning=_said(words.MEANING[reason]),
        moved=_signals(record.alarms if record else (), history),
        explained=_signals(record.explained if record else (), history),
        small=_signals(record.information[:SMALL] if record else (), history),
        usual=_usual(record, history),
        columns=_columns(place) if found and found["verdict"] in (DRIFTED, LOST) else (),
        judged=record.judged if record else 0,
        periods=record.periods if record else len(history),
        checks=tuple(
            Check(one.at, one.period, one.verdict, one.reason, one.alarms, one.release)
            for one in reversed(checks_history.read(place.home)[-CHECKS:])
        ),
        attempts=_attempts(state),
        decided=_decided(state),
        rule=place.spec.monitoring.retrain is not None,
        untold=str(found["untold"]) if found else "",
    )


def _signals(found: "Sequence[SignalVerdict]", history: "Sequence[PeriodValues]") -> tuple[Signal, ...]:
    from monitoring.page import sentences

    return tuple(
        Signal(
            one.signal,
            _said(sentences.changed(one)),
            _said(sentences.since(one)),
            _said(sentences.expected(one)),
            one.reason,
            one.when,
            _points(one.signal, history),
            (float(one.interval[0]), float(one.interval[1])),
            one.kind,
        )
        for one in found
    )


def _usual(record: "WatchRecord | None", history: "Sequence[PeriodValues]") -> tuple[Signal, ...]:
    """Return the signals that a person looks at first, where they did not move and have at least two periods."""
    from monitoring.drift.signals import kind_of
    from monitoring.page import sentences

    moved = {one.signal for one in record.verdicts} if record else set()
    found = list[Signal]()
    for name in FIRST:
        points = _points(name, history)
        if name not in moved and len(points) >= 2 and len(found) < USUAL:
            found.append(
                Signal(name, _said(sentences.called(name)), NOTHING, NOTHING, "none", "", points, None, kind_of(name))
            )
    return tuple(found)


def _columns(place: Installation) -> tuple[str, ...]:
    """Return the columns that drifted between the windows of the newest verdict, in words."""
    from monitoring.drift.column import Column
    from pipelines.assistants.tools import newest_verdict

    verdict = newest_verdict(place) or {}
    return tuple(Column(**verdict["columns"][name]).told(name) for name in verdict.get("drifted", ()))


def _points(signal: str, history: "Sequence[PeriodValues]") -> tuple[Point, ...]:
    """Return a signal's periods, the oldest first; those before its first are left out, later gaps have no value."""
    there = [
        Point(one.starts[:10], float(one.values[signal][0]), round(one.values[signal][1]))
        if signal in one.values
        else Point(one.starts[:10], None)
        for one in history[-PERIODS:]
    ]
    first = next((n for n, one in enumerate(there) if one.value is not None), len(there))
    return tuple(there[first:])


def _attempts(state: "State") -> tuple[Attempt, ...]:
    return tuple(
        Attempt(
            began=_day(one.began),
            ended="" if one.ended is None else _day(one.ended),
            action=one.action,
            reason=one.reason,
            why=one.why,
            result=one.result,
            version=one.version,
            said=one.said,
        )
        for one in reversed(state.attempts[-ATTEMPTS:])
    )


def _decided(state: "State") -> Decided | None:
    if (last := state.last) is None:
        return None
    return Decided(
        action=last.action,
        reason=last.reason,
        why=last.why,
        at=_day(last.at),
        until="" if last.until is None else _day(last.until),
        stopped=bool(state.stopped),
        failures=state.failures,
    )


def _day(at: int) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()


def _said(words: "Words") -> Said:
    return Said(words.en, words.zh)
