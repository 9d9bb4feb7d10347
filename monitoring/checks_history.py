"""The history of checks: what each said, one line a check, for whoever asks how long it has been so.

`<state folder>/monitoring/checks.jsonl` is written anew as a whole and renamed, so that a reader or a kill never meets
half of it. Lines hold verdicts and names of signals, and nobody.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feature_repo import files

FILE = Path("monitoring") / "checks.jsonl"  # of the state folder
KEPT = 1000  # checks, the newest
MOST_NAMED = 20  # signals of a check
log = logging.getLogger("intentflow")


@dataclass(frozen=True)
class Check:
    """What one check said."""

    at: str  # ISO, wall time
    period: str  # ISO, when the period began that it judged
    verdict: str
    reason: str  # class
    alarms: tuple[str, ...]  # signals
    release: str


def read(home: Path) -> list[Check]:
    """Return the checks, oldest first; a line that cannot be read is skipped and said so."""
    path, found = home / FILE, []
    if not path.is_file():
        return []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
            found.append(Check(**line | {"alarms": tuple(line["alarms"])}))
        except (ValueError, TypeError, KeyError):
            log.warning("%s line %d: is no check, skipped", path, number)
    return found


def add(home: Path, check: Check) -> None:
    """Add a check; one of the same instant is there once."""
    known = [one for one in read(home) if one.at != check.at]
    write(home, [*known, check][-KEPT:])


def write(home: Path, checks: Sequence[Check]) -> None:
    """Replace the history."""
    with files.written(home / FILE) as aside:
        aside.write_text("".join(f"{_line(asdict(one))}\n" for one in checks), encoding="utf-8")


def _line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)
