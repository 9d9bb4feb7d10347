"""Runs trials one after another while customers ask, and keeps their table."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from feature_repo.errors import Refused, ServerError, UserError
from tests.cluster.field import Field
from tests.cluster.kube import Seen
from tests.cluster.trials import Trial

SETTLE_S = 8.0  # after an act: what it broke late is seen too
HEAD = ("what", "command", "s", "reads", "failed", "degraded", "slowest ms", "events", "result")


@dataclass(frozen=True)
class Row:
    """What came of one command or one act."""

    what: str
    command: str
    seconds: float
    fine: bool
    note: str
    reads: int = 0
    failed: int = 0
    spared: int = 0  # failures of the first seconds, which its bar leaves out
    degraded: int = 0
    slowest_ms: float = 0.0
    events: dict[str, int] = field(default_factory=dict)
    examples: tuple[dict[str, Any], ...] = ()

    def cells(self) -> tuple[str, ...]:
        """Return the table's line."""
        events = ", ".join(f"{status}: {n}" for status, n in sorted(self.events.items()))
        spared = f" (+{self.spared})" if self.spared else ""
        asked = (
            (str(self.reads), f"{self.failed}{spared}", str(self.degraded), f"{self.slowest_ms:.0f}", events)
            if self.reads
            else ("",) * 5
        )
        verdict = "ok" if self.fine else "MISSED"
        return (self.what, f"`{self.command}`", f"{self.seconds:.0f}", *asked, f"{verdict}: {self.note}")


@dataclass
class Table:
    """The rows so far; written after each, so that nothing is lost when a trial ends the run."""

    folder: Path
    about: str
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Note a row, print it, write the table."""
        self.rows.append(row)
        print(" | ".join(row.cells()), flush=True)
        (self.folder / "table.md").write_text(self.text(), encoding="utf-8")
        document = {"about": self.about, "rows": [asdict(row) for row in self.rows]}
        (self.folder / "table.json").write_text(json.dumps(document, indent=1, default=str), encoding="utf-8")

    def text(self) -> str:
        """Return the table as Markdown."""
        lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD))]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row.cells())} |" for row in self.rows]
        return f"{self.about}\n\n" + "\n".join(lines) + "\n"

    def finished(self) -> int:
        """Say what was missed; return the exit code. Nothing tried is no success."""
        missed = [row.what for row in self.rows if not row.fine]
        print(f"\n{self.text()}\n{len(self.rows) - len(missed)} of {len(self.rows)} as they should be", flush=True)
        return 1 if missed or not self.rows else 0


def all_of(field: Field, trials: Sequence[Trial], table: Table, *, rate: float, users: int) -> None:
    """Run trials in their order; one that is missed does not keep the next from being tried."""
    items = [item["item_id"] for item in first_answer(field)["items"]]
    with field.kube.customers(rate=rate, users=users, items=items):
        field.kube.shell("sleep 5")
        for trial in trials:
            table.add(tried(field, trial))


def first_answer(field: Field) -> dict[str, Any]:
    """Return what the tenth command prints."""
    from tests.cluster.kube import documented

    found: dict[str, Any] = json.loads(field.kube.shell(documented()[10]).stdout)
    if not found.get("items"):
        raise ServerError(f"the tenth command recommends nothing: {found}")
    return found


def tried(field: Field, trial: Trial) -> Row:
    """Do one act and judge what customers were told meanwhile."""
    since, started = time.time(), time.monotonic()
    try:
        note, done = trial.act(field), True
    except (ServerError, UserError, Refused, AssertionError, OSError, KeyError, ValueError) as error:
        note, done = f"{type(error).__name__}: {error}".replace("\n", " ")[:600], False
    seconds = time.monotonic() - started
    field.kube.shell(f"sleep {SETTLE_S}")
    seen = field.kube.seen(since, time.time() - 1)
    return judged(trial, seen, since, seconds=seconds, done=done, note=note)


def judged(trial: Trial, seen: Seen, since: float, *, seconds: float, done: bool, note: str) -> Row:
    """Hold what was seen to the trial's bar. Customers that were not there prove nothing."""
    counted = [one for one in seen.failed if one["at"] >= since + trial.spared_s]
    if seen.reads == 0:
        note = f"{note}; no customer asked"
    if counted:
        note = f"{note}; failed by status {seen.reasons()}, over {counted[-1]['at'] - counted[0]['at']:.0f} s"
    return Row(
        trial.name, trial.command, round(seconds, 1), done and seen.reads > 0 and len(counted) <= trial.bar, note,
        reads=seen.reads, failed=len(counted), spared=len(seen.failed) - len(counted), degraded=seen.degraded,
        slowest_ms=seen.slowest_ms,
        events={str(status): n for status, n in seen.events.items()}, examples=tuple(counted[:5]),
    )  # fmt: skip
