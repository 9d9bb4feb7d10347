"""What a run produced, on one page: for Kubeflow's UI, and as a file for the process that started the run here.

The last step of a pipeline calls it: artifacts made within an exit handler cannot be the pipeline's outputs. It reads
no artifact and judges nothing.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.step import reason_left
from feature_repo import env_names, files

FILE = env_names.OUTCOME_FILE


def conclude(name: str, *, folders: Mapping[str, str | None], facts: Mapping[str, Any], page: str) -> None:
    """Write the page; where the environment names an outcome file, add folders and facts to it."""
    with reason_left(step="conclude"):
        _write(name, {key: folder for key, folder in folders.items() if folder}, facts, page)


def _write(name: str, there: dict[str, str], facts: Mapping[str, Any], page: str) -> None:
    rows = [f"| {key} | {value} |" for key, value in {**facts, **there}.items()]
    with files.written(Path(page)) as part:
        part.write_text("\n".join([f"# {name}", "", "| what | value |", "| --- | --- |", *rows, ""]))
    if path := os.environ.get(FILE):
        before = read(Path(path))
        found = {"folders": before["folders"] | there, "facts": before["facts"] | dict(facts)}
        files.write_json(Path(path), found)


def read(path: Path) -> dict[str, Any]:
    """Return what steps concluded so far."""
    return dict(files.read_json(path)) if path.is_file() else {"folders": {}, "facts": {}}
