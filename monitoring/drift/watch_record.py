"""What a watch said last, and the history of every signal: the files of a state folder, read without heavy imports.

The history outlives snapshots: of a period that is over, a signal's first value stays, whatever later snapshots say of
that period; only the newest period is measured anew. A line names the release that served.
"""

import datetime as dt
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from feature_repo import files
from feature_repo.errors import DataError
from monitoring.reason_classes import INFORMATION, UNDECIDED, Class, Reason, When

FOLDER = "monitoring"  # of the state folder
HISTORY = "signals.jsonl"
LAST = "signals.json"
log = logging.getLogger("intentflow")
Numbers = Sequence[float]


@dataclass(frozen=True)
class SignalVerdict:
    """One signal that moved. `interval` holds 99 % of its ordinary values; `effect` is as its kind has it."""

    signal: str
    source: str
    kind: str
    value: float
    reference: float  # median of the last 12 periods that were not extraordinary
    interval: tuple[float, float]
    effect: float
    p: float
    direction: Literal["up", "down"]
    since: int  # the first period of this move
    since_starts: str  # ISO
    when: When
    reason: Reason
    explained_by: str = ""

    @property
    def alarm(self) -> bool:
        """Tell whether somebody should look."""
        return self.when != INFORMATION and not self.explained_by

    def told(self) -> str:
        """Say it in a line."""
        moved = f"{self.signal} {self.direction} to {self.value:.4g} from {self.reference:.4g}"
        explained = f", explained by {self.explained_by}" if self.explained_by else ""
        return f"{moved} since {self.since_starts[:10]} ({self.when}, {self.reason}{explained})"


@dataclass(frozen=True)
class WatchRecord:
    """What a watch said of the newest period that is over."""

    name: str
    period: int
    starts: str  # ISO
    release: str
    at: int  # epoch seconds of the check
    reason: Class
    verdicts: tuple[SignalVerdict, ...]  # alarms first, then what is explained, then information
    judged: int  # signals
    periods: int  # of history behind them
    why: str = ""  # nothing could be judged, since ...

    @property
    def alarms(self) -> tuple[SignalVerdict, ...]:
        """The moves that somebody should look at."""
        return tuple(v for v in self.verdicts if v.alarm)

    @property
    def explained(self) -> tuple[SignalVerdict, ...]:
        """The moves that would be alarms on another day."""
        return tuple(v for v in self.verdicts if v.explained_by and v.when != INFORMATION)

    @property
    def information(self) -> tuple[SignalVerdict, ...]:
        """The moves that nobody need look at."""
        return tuple(v for v in self.verdicts if v.when == INFORMATION)

    def document(self) -> dict[str, Any]:
        """Return it as files hold it."""
        return asdict(self) | {"verdicts": [asdict(v) | {"interval": list(v.interval)} for v in self.verdicts]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "WatchRecord":
        """Read what `document` gave."""
        verdicts = (SignalVerdict(**v | {"interval": tuple(v["interval"])}) for v in document["verdicts"])
        return cls(**{**document, "verdicts": tuple(verdicts)})

    def told(self) -> str:
        """Say in a sentence what moved."""
        if self.reason == UNDECIDED:
            return self.why
        if not self.alarms:
            return f"{self.judged} signals, nothing that asks for anybody"
        first, others = self.alarms[0], len(self.alarms) - 1
        return first.told() + (f", and {others} more signal{'s' * (others > 1)}" if others else "")


@dataclass(frozen=True)
class PeriodValues:
    """A period's signals: numbers by name, each a value, what is behind it and where it has one a spread."""

    starts: str  # ISO: the instant names the period, and the date is its first day
    release: str  # that served when each value was first measured; the last line's
    at: int  # epoch seconds
    values: Mapping[str, Numbers] = field(default_factory=dict)
    days: int = 0  # of the period; 0: a line of before, which did not say

    def line(self) -> dict[str, Any]:
        """Return it as the history holds it."""
        said = asdict(self) | {"values": dict(self.values)}
        return said if self.days else {name: value for name, value in said.items() if name != "days"}


def last(home: Path) -> WatchRecord | None:
    """Return what the last watch said; None where there was none."""
    path = home / FOLDER / LAST
    return WatchRecord.read(files.read_json(path)) if path.is_file() else None


def keep_last(home: Path, record: WatchRecord) -> None:
    """Keep what a watch said as the last word."""
    files.write_json(home / FOLDER / LAST, record.document())


def history(home: Path, *, days: int | None = None) -> list[PeriodValues]:
    """Return the periods of a length on record, oldest first, each once: of two lines of a signal the later one counts.

    `days` is the length; None: that of the line that was written last. A day is no week, though both start on Monday.
    """
    lines = _lines(home / FOLDER / HISTORY)
    days = next((line.days for line in reversed(lines)), 0) if days is None else days
    return merged(line for line in lines if 0 in (days, line.days) or line.days == days)


def merged(lines: Iterable[PeriodValues]) -> list[PeriodValues]:
    """Merge lines by the instant at which their period starts."""
    found: dict[dt.datetime, PeriodValues] = {}
    for line in lines:
        at = dt.datetime.fromisoformat(line.starts)
        found[at] = line if at not in found else replace(line, values={**found[at].values, **line.values})
    return [found[at] for at in sorted(found)]


def add(home: Path, periods: Sequence[PeriodValues]) -> int:
    """Add what the history does not hold yet, and of its newest period what differs; return how many lines came.

    The periods are of one length.
    """
    path = home / FOLDER / HISTORY
    before = history(home, days=periods[0].days) if periods else []
    known = {dt.datetime.fromisoformat(of.starts): of.values for of in before}
    begins = {of.starts: dt.datetime.fromisoformat(of.starts) for of in periods}
    newest = max([*known, *begins.values()], default=None)
    lines = []
    for of in periods:
        have = known.get(begins[of.starts], {})
        again = begins[of.starts] == newest
        new = {
            name: [float(number) for number in numbers]
            for name, numbers in of.values.items()
            if name not in have or (again and list(have[name]) != [float(number) for number in numbers])
        }
        if new:
            lines.append(replace(of, values=new).line())
    if lines:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        with files.written(path) as aside:
            aside.write_text(text + "".join(files.canonical(line) + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def _lines(path: Path) -> list[PeriodValues]:
    if not path.is_file():
        return []
    found = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = PeriodValues(**json.loads(text))
            dt.datetime.fromisoformat(line.starts)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: is no line of the history of signals ({error}); restore the file from a backup, or "
                "delete that line: its period is measured anew where the source still has it"
            ) from None
        found.append(line)
    return found
