"""What a watch said last, and the history of every signal: the files of a state folder, read without heavy imports.

The history outlives snapshots: of a period that is over, a signal's first value stays, whatever later snapshots say of
that period; only the newest period is measured anew. A line names the release that served.
"""

import datetime as dt
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from feature_repo import files
from monitoring.reason_classes import DATA_FAULT as DATA_FAULT
from monitoring.reason_classes import NONE as NONE
from monitoring.reason_classes import PERFORMANCE as PERFORMANCE
from monitoring.reason_classes import UNDECIDED as UNDECIDED
from monitoring.reason_classes import WORLD as WORLD
from monitoring.reason_classes import Class as Class
from monitoring.reason_classes import Reason as Reason

When = Literal["now", "lasting", "information"]
ORDER: tuple[Reason, ...] = (DATA_FAULT, PERFORMANCE, WORLD)  # the first that alarms names the class of the whole
NOW: When = "now"
LASTING: When = "lasting"
INFORMATION: When = "information"
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

    starts: str  # ISO, UTC: what names the period
    release: str  # that served when each value was first measured; the last line's
    at: int  # epoch seconds
    values: Mapping[str, Numbers] = field(default_factory=dict)


def last(home: Path) -> WatchRecord | None:
    """Return what the last watch said; None where there was none."""
    path = home / FOLDER / LAST
    return WatchRecord.read(files.read_json(path)) if path.is_file() else None


def keep_last(home: Path, record: WatchRecord) -> None:
    """Keep what a watch said as the last word."""
    files.write_json(home / FOLDER / LAST, record.document())


def history(home: Path) -> list[PeriodValues]:
    """Return the periods on record, oldest first, each once: of two lines of a signal the later one counts."""
    return merged(_lines(home / FOLDER / HISTORY))


def merged(lines: Iterable[Mapping[str, Any]]) -> list[PeriodValues]:
    """Merge lines by period."""
    found: dict[str, PeriodValues] = {}
    for line in lines:
        before = found.get(line["starts"])
        values = dict(line["values"]) if before is None else {**before.values, **line["values"]}
        found[line["starts"]] = PeriodValues(line["starts"], line["release"], line["at"], values)
    return sorted(found.values(), key=lambda of: dt.datetime.fromisoformat(of.starts))


def append(home: Path, *, starts: str, release: str, at: int, values: Mapping[str, Numbers]) -> None:
    """Add signals of a period to the history."""
    add(home, [PeriodValues(starts, release, at, values)])


def add(home: Path, periods: Sequence[PeriodValues]) -> int:
    """Add what the history does not hold yet, and of its newest period what differs; return how many lines came."""
    path = home / FOLDER / HISTORY
    known = {of.starts: of for of in history(home)}
    lines = []
    newest = max((dt.datetime.fromisoformat(s) for s in [*known, *(of.starts for of in periods)]), default=None)
    for of in periods:
        have = known[of.starts].values if of.starts in known else {}
        again = dt.datetime.fromisoformat(of.starts) == newest
        new = {
            name: [float(number) for number in numbers]
            for name, numbers in of.values.items()
            if name not in have or (again and list(have[name]) != [float(number) for number in numbers])
        }
        if new:
            lines.append({"starts": of.starts, "at": of.at, "release": of.release, "values": new})
    if lines:
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        with files.written(path) as aside:
            aside.write_text(before + "".join(files.canonical(line) + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
