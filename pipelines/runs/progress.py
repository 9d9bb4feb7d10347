"""Show a run's progress on stderr: a bar for each step on a terminal, a line for each step elsewhere."""

import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Bars:
    """Shows the progress lines of a run."""

    def __init__(self, *, quiet: bool = False) -> None:
        # The stream is taken now: during a run sys.stderr goes to the log.
        self._console = Console(file=sys.stderr)
        self._quiet, self._live = quiet, self._console.is_terminal and not quiet
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description:<17}"),
            BarColumn(bar_width=30),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._live,
        )

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, line: dict[str, Any]) -> None:
        """Show one progress line: {step, share, note} or a step's closing line with its counts."""
        step, share = line["step"], float(line["share"])
        closing = "seconds" in line
        note = _counts(line) if closing else str(line.get("note", ""))
        if not self._live:
            if closing and not self._quiet:
                self._console.print(f"{step:<17} {line['seconds']:>7.1f} s  {note}", highlight=False, markup=False)
            return
        if step not in self._bars:
            self._bars[step] = self._progress.add_task(step, total=1.0, note="")
        self._progress.update(self._bars[step], completed=share, note=note)
        if closing:
            self._progress.stop_task(self._bars[step])


def _counts(line: dict[str, Any]) -> str:
    """Return a closing line's figures in words.

    >>> _counts({"step": "x", "share": 1.0, "seconds": 2, "peak_memory_gib": 1.0, "rows": 12000, "ok": True})
    'rows 12,000, ok yes'
    """
    skip = {"step", "share", "seconds", "peak_memory_gib", "cached", "facts"}
    return ", ".join(f"{k.replace('_', ' ')} {_word(v)}" for k, v in line.items() if k not in skip)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
