"""The last drift check, as `intentflow status` shows it: from its mark, and from its record where that is here."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.registry import heartbeats
from monitoring import announcement
from monitoring.drift import watch_record
from monitoring.drift_verdicts import class_of, read
from monitoring.reason_classes import NONE

SHOWN = 3  # signals by name in the line


def summary(home: Path, marks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what is known of the last check; None where none left a mark."""
    mark = marks.get(heartbeats.DRIFT)
    if mark is None:
        return None
    notice, record = marks.get(heartbeats.NOTICE, {}), record_of(home, mark)
    alarms = record.alarms if record is not None else ()
    page = home / announcement.MONITORING / announcement.TODAY
    return {
        "verdict": read(mark["verdict"]),
        "class": class_of(mark),
        "at": _instant(mark["at"]),
        "release": str(mark.get("release", "")),
        "alarms": list(mark.get("alarms", [])),
        "since": min((alarm.since_starts for alarm in alarms), key=dt.datetime.fromisoformat, default=""),
        "lost": list(mark.get("lost", [])),
        "untold": str(notice.get("problem", "")),
        "page": str(page) if page.is_file() else "",
    }


def record_of(home: Path, mark: Mapping[str, Any]) -> watch_record.WatchRecord | None:
    """Return the record of the check that left a mark; None where what is here is another check's."""
    record = watch_record.last(home)
    fits = record is not None and record.at <= float(mark["at"]) + 1 and record.reason == mark.get("class")
    return record if fits else None


def lines(found: Mapping[str, Any] | None) -> list[str]:
    """Return the check as a person reads it."""
    if found is None:
        return []
    reason = "" if found["class"] in (NONE, found["verdict"]) else f" ({found['class']})"
    names = found["alarms"] or found["lost"]
    what = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    since = f" since {found['since'][:10]}" if found["since"] else ""
    said = [f"  drift       {found['verdict']}{reason}{since}{f': {what}' if what else ''}, checked {found['at']}"]
    if found["untold"]:
        said.append(f"    not told: {found['untold']}; the next check tries again (monitoring.notify)")
    if found["page"]:
        said.append(f"    {found['page']} says what changed and what was done")
    return said


def _instant(seconds: float) -> str:
    return dt.datetime.fromtimestamp(float(seconds), dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
