"""What the steps of a run said, from its log: kfp's local runner writes each task's output below the task's name."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.graphs.step_lines import ALWAYS, COUNTS
from pipelines.graphs.step_table import step_of

TASK = re.compile(r"Executing task \S*?'([\w-]+)'")
EXECUTOR = re.compile(r"\[KFP Executor [^\]]*\]: (Looking for|Loading KFP|Got executor_input|Wrote executor)")
INFO = re.compile(r"\bINFO\b|\bDEBUG\b")
RUNNER = re.compile(r"^\S*\d\d:\d\d:\d\d\.\d+ - INFO - ")  # kfp's own, of the process that starts tasks


@dataclass
class Said:
    """The lines of one task: ours, and those of libraries below WARNING."""

    ours: list[dict[str, Any]] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)


def said(log: Path) -> dict[str, Said]:
    """Return by step what it said."""
    found: dict[str, Said] = {}
    current = Said()
    for line in log.read_text(encoding="utf-8").splitlines():
        if task := TASK.search(line):
            current = found.setdefault(step_of(task[1]), Said())
        elif (text := line.strip()).startswith('{"step":'):
            current.ours.append(json.loads(text))
        elif INFO.search(line) and not EXECUTOR.search(line) and not RUNNER.search(line):
            current.noise.append(text)
    return found


def problems(log: Path) -> Iterator[str]:
    """Yield what is wrong with a run's log: a library's line, a step without its one line, a line without its keys."""
    for name, lines in said(log).items():
        yield from (f"{name}: {noise}" for noise in lines.noise)
        if len(lines.ours) != 1:
            yield f"{name}: {len(lines.ours)} lines"
            continue
        (line,) = lines.ours
        missing = {*ALWAYS, *(() if "failed" in line else COUNTS[name])} - set(line)
        if missing or (line["step"], line["cached"]) != (name, False):
            yield f"{name}: lacks {sorted(missing)}: {line}"
