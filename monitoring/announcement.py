"""What follows a check: figures for alerts of silence, a call to whom the spec names, and the page of the day.

It comes after the verdict is written, so that nothing is told that is not kept. A dry run leaves its page and nothing
else.
"""

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.registry import heartbeats
from feature_repo import env_names, files
from monitoring import checks_history, notice
from monitoring.drift.watch_record import PeriodValues, WatchRecord
from monitoring.drift_verdicts import class_of
from monitoring.notice import Told
from monitoring.page import day as pages
from monitoring.spec import Monitoring

PAGE = "day.html"  # of the verdict's folder
MONITORING = "monitoring"  # of the state folder
TODAY, DAYS = "today.html", "days"  # in it: the last page, and one a day
KEPT = 90  # pages
WATCHED = ("labels.ratio", "rewards.rate")  # signals that alerts of silence watch, by how their names begin
MOST = 40  # of them


def announce(
    name: str,
    spec: Monitoring,
    verdict: Mapping[str, Any],
    *,
    folder: Path,
    history: Sequence[PeriodValues] = (),
    dry: bool = False,
) -> None:
    """Tell of a verdict, as drift.json in `folder` holds it, and write the page beside it; the oldest history first."""
    reason = class_of(verdict)
    record = WatchRecord.read(verdict["signals"]) if verdict.get("signals") else None
    starts = record.starts if record is not None and record.starts else str(verdict["at"])
    if not dry:
        if history:
            heartbeats.signals(name, starts=history[-1].starts, figures=figures(history[-1]))
        before = heartbeats.read(name).get(heartbeats.NOTICE, {})
        alarms = () if record is None else record.alarms
        told = Told(
            name, str(verdict["verdict"]), reason, str(verdict["reason"]), starts, str(verdict["release"]), alarms
        )
        notice.leave(name, notice.tell(told, spec.notify, variables=os.environ, before=before))
    marks = {} if dry else heartbeats.read(name)
    now = dt.datetime.now(dt.UTC)
    page = pages.day(name, reason, at=now, starts=starts, record=record, history=history, marks=marks)
    with files.written(folder / PAGE) as part:
        part.write_text(pages.html(page), encoding="utf-8")
    if not dry and (home := os.environ.get(env_names.HOME)):
        keep_page(Path(home) / MONITORING, folder, day=now.date())
        checks_history.add(Path(home), _check(verdict, reason, record, at=now, starts=starts))


def _check(
    verdict: Mapping[str, Any], reason: str, record: WatchRecord | None, *, at: dt.datetime, starts: str
) -> checks_history.Check:
    """Return what the history keeps of a check: signals that alarm, or the columns that drifted."""
    alarms = () if record is None else tuple(one.signal for one in record.alarms)
    named = alarms or tuple(str(one) for one in verdict.get("drifted", ()))
    return checks_history.Check(
        at=at.isoformat(timespec="seconds"),
        period=starts,
        verdict=str(verdict["verdict"]),
        reason=reason,
        alarms=named[: checks_history.MOST_NAMED],
        release=str(verdict["release"]),
    )


def figures(newest: PeriodValues) -> dict[str, tuple[float, float]]:
    """Return the values that alerts of silence watch, each with the users behind it."""
    mine = sorted(name for name in newest.values if name.startswith(WATCHED))[:MOST]
    return {name: (float(newest.values[name][0]), float(newest.values[name][1])) for name in mine}


def keep_page(folder: Path, verdict: Path, *, day: dt.date) -> Path:
    """Keep a check's page as the last one and as the day's; return where the last one is. Pages beyond `KEPT` go."""
    text = (verdict / PAGE).read_text(encoding="utf-8")
    for path in (folder / DAYS / f"{day.isoformat()}.html", folder / TODAY):
        with files.written(path) as part:
            part.write_text(text, encoding="utf-8")
    for old in sorted((folder / DAYS).glob("????-??-??.html"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return folder / TODAY
