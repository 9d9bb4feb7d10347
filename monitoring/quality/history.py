"""The history of realised quality: one line a period, release, cohort and placement, kept when logs are gone.

`<home>/monitoring/quality.jsonl` is written anew as a whole and renamed, so that a reader or a kill never meets half of
it. A line whose labels are ripe is final; one that waits for them is replaced, and keeps the estimate that was made
before they came. Lines hold sums over at least `LEAST_USERS` users and name nobody.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import DataError

FILE = Path("monitoring") / "quality.jsonl"  # of the state folder
LEAST_USERS = 20
KEPT = 20_000  # lines, the newest
Key = tuple[int, str, str, str]


@dataclass(frozen=True)
class Line:
    """Figures of one group of answers. `cohort` and `placement` are '' for all."""

    period: int
    starts: str  # ISO, as the clock on the wall shows it
    release: str
    cohort: str = ""
    placement: str = ""
    ripe: bool = False
    rows: int = 0
    users: int = 0
    estimate: dict[str, float] = field(default_factory=dict)  # before labels came; decides nothing
    realised: dict[str, dict[str, float | None]] = field(default_factory=dict)  # value, low, high by metric

    @property
    def key(self) -> Key:
        """Return what tells it from every other line."""
        return (self.period, self.release, self.cohort, self.placement)


def read(home: Path) -> list[Line]:
    """Return the lines, oldest first; [] where there is no history."""
    path = home / FILE
    if not path.is_file():
        return []
    try:
        return [Line(**json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines() if text]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path}: is no history of quality ({error}); restore it from a backup, or delete it to begin anew"
        ) from None


def merged(before: Sequence[Line], found: Iterable[Line]) -> list[Line]:
    """Return a history with what was found now: ripe lines stand, others are replaced and keep their estimate.

    >>> old, new = Line(1, "", "a", estimate={"map": 0.3}), Line(1, "", "a", ripe=True, estimate={"map": 0.9})
    >>> merged([old], [new])[0].estimate, merged([new], [old])[0].ripe
    ({'map': 0.3}, True)
    """
    kept = {line.key: line for line in before}
    for line in found:
        old = kept.get(line.key)
        if old is None:
            kept[line.key] = line
        elif not old.ripe:
            kept[line.key] = replace(line, estimate=old.estimate if line.ripe and old.estimate else line.estimate)
    return sorted(kept.values(), key=lambda line: line.key)[-KEPT:]


def write(home: Path, lines: Sequence[Line]) -> None:
    """Replace the history."""
    with files.written(home / FILE) as aside:
        aside.write_text("".join(f"{_text(asdict(line))}\n" for line in lines), encoding="utf-8")


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
