"""A look at realised quality: answers and events in, the history's new lines and a verdict out, with its mark.

Reads what pipelines/jobs/quality.py found; writes the history and the mark. It moves no alias and trains nothing:
`decide_retraining` reads the mark.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.registry import heartbeats
from feature_repo.calendar import Calendar
from monitoring.drift import watch_record
from monitoring.drift.watch_record import PeriodValues
from monitoring.quality import fall, figures, history, joined
from monitoring.quality.figures import Realised
from monitoring.quality.history import LEAST_USERS, Line
from monitoring.quality.joined import Events, Group, Reading, Rule
from monitoring.reason_classes import NONE, PERFORMANCE, UNDECIDED, Class
from monitoring.spec import Quality

JUDGED = ("map", "ece", "ndcg_at_10", "ctr")
WATCHED = (figures.CAME, "ctr")
DAY_S = 86_400
NOT_YET = "no answer's labels are ripe yet"


def look(
    name: str,
    home: Path,
    *,
    answers: Iterable[Mapping[str, Any]],
    events: Events,
    reading_of: Callable[[str], Reading | None],
    rule: Rule,
    spec: Quality,
    calendar: Calendar,
    limit: int,
) -> dict[str, Any]:
    """Measure, keep and judge; return the verdict and the newest lines of all answers."""
    before = history.read(home)
    done = {(line.period, line.release) for line in before if line.ripe}
    groups = joined.joined(answers, events, reading_of, rule, calendar=calendar, limit=limit, done=done)
    found = [line for (_, release), group in groups.items() for line in lines(group, release)]
    kept = history.merged(before, found)
    history.write(home, kept)
    verdict = judged(kept, floor=spec.floor)
    at, series = round(time.time()), ripe(kept)
    mark = {"at": at, "delay_days": round(rule.delay_s / DAY_S, 3), "figures": watched(series)}
    told = ("reason", "why", "since", "period", "release")
    heartbeats.leave(name, heartbeats.QUALITY, mark | {key: verdict[key] for key in told})
    days = round(joined.periods_of(calendar).pace.days)
    watch_record.add(home, [_on_record(line, at=at, days=days) for line in series])  # for boards: never judged there
    whole = [line for line in kept if not line.cohort and not line.placement]
    return verdict | {"periods": [asdict(line) for line in whole[-12:]], "lines": len(kept), "measured": len(found)}


def lines(group: Group, release: str) -> list[Line]:
    """Return the lines of a group; parts of fewer than LEAST_USERS users are left out, the whole never is."""
    made = []
    for cohort, placement in group.parts():
        said, shown = group.said(cohort=cohort, placement=placement), group.shown(cohort=cohort, placement=placement)
        users = len({*said.user.tolist(), *shown.user.tolist()})
        whole = not cohort and not placement
        if users < LEAST_USERS and not whole:
            continue
        realised: dict[str, Realised] = {}
        if group.ripe and users >= LEAST_USERS:
            realised = figures.of_intents(said) | figures.of_lists(shown)
        made.append(
            Line(
                period=group.period,
                starts=group.starts,
                release=release,
                cohort=cohort,
                placement=placement,
                ripe=group.ripe,
                rows=len(said.user) + len(shown.user),
                users=users,
                estimate=figures.expected(said) if users >= LEAST_USERS else {},
                realised={metric: asdict(one) for metric, one in realised.items()},
            )
        )
    return made


def ripe(kept: Sequence[Line]) -> list[Line]:
    """Return the ripe lines of all answers, oldest first, of each period that of the release with the most users."""
    largest: dict[int, Line] = {}
    for line in kept:
        if line.ripe and not line.cohort and not line.placement and line.realised:
            before = largest.get(line.period)
            largest[line.period] = line if before is None or line.users > before.users else before
    return [largest[period] for period in sorted(largest)]


def watched(series: Sequence[Line]) -> dict[str, list[float]]:
    """Return the figures of the newest ripe period that alerts of silence watch, each with the users behind it."""
    if not series:
        return {}
    values = {metric: series[-1].realised.get(metric, {}).get("value") for metric in WATCHED}
    return {f"quality.{metric}": [value, series[-1].users] for metric, value in values.items() if value is not None}


def _on_record(line: Line, *, at: int, days: int) -> PeriodValues:
    values = {metric: one["value"] for metric, one in line.realised.items()}
    told = {f"labels.realised.{m}": [value, line.users] for m, value in values.items() if value is not None}
    return PeriodValues(line.starts, line.release, at, told, days)


def judged(kept: Sequence[Line], *, floor: float) -> dict[str, Any]:
    """Judge each metric over all answers, of each period the release with the most users."""
    series = ripe(kept)
    newest = series[-1] if series else None
    falls = [fall.judged(metric, points(series, metric), floor=floor) for metric in JUDGED]
    newest_period = 0 if newest is None else newest.period
    fell = [one for one in falls if one.word == "fell" and one.period == newest_period]
    told = [one for one in falls if one.word == "usual"]
    reason: Class = PERFORMANCE if fell else NONE if told else UNDECIDED
    why = "; ".join(one.why for one in fell) or ("" if told else next((one.why for one in falls if one.why), NOT_YET))
    return {
        "reason": reason,
        "why": why,
        "since": min((one.since for one in fell), default=""),
        "period": newest_period,
        "release": "" if newest is None else newest.release,
        "metrics": {one.metric: one.word for one in falls},
    }


def points(series: Sequence[Line], metric: str) -> list[fall.Point]:
    """Return a metric's series, without periods that do not have it or its interval."""
    found = []
    for line in series:
        one = line.realised.get(metric, {})
        value, low, high = (one.get(key) for key in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            found.append(fall.Point(line.period, line.starts, value, low, high))
    return found
