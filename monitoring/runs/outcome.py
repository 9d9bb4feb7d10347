"""The last step of every pipeline: say in sentences how the run ended, and tell of a failure.

On one machine it runs once, when nothing else can. Kubeflow runs it after each step of the root that ends, however it
ended, so it may find a run under way; it then tells nobody. It takes no artifact: what steps found is on the progress
file that they share, and why one failed in the error file. Of a dry run it leaves no mark and alerts nobody.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import run_lock
from components.registry.spec import DRY_RUN
from components.step import reason, reason_left, said, step
from feature_repo import env_names, files
from monitoring.runs import failure
from monitoring.runs.page import Links, Page
from monitoring.runs.page import page as page_of
from monitoring.runs.run_state import RunState, run_state

STEP, ADMIT = "outcome", "admit"  # this step, and the first, which tells the run's mode


def outcome(name: str, pipeline: str, *, page: str, metadata: dict[str, Any] | None = None) -> str:
    """Write the page, mark the end of the run, tell of a failure; return the outcome in a word or two."""
    with step(STEP, followed=False) as progress:
        run = _state(pipeline)
        found = _page(name, pipeline, run)
        with files.written(Path(page)) as part:
            part.write_text(found.markdown)
        if metadata is not None:
            metadata |= {"outcome": found.word}
        dry = run.of(ADMIT).get("mode") == DRY_RUN
        if run.state in ("failed", "stopped"):
            failure.told(name, pipeline, step=run.step, code=run.code, why=run.why, dry=dry)
        elif run.state == "ended" and not dry:
            failure.succeeded(name, pipeline)
        if run.state in ("failed", "stopped", "ended"):
            run_lock.free()
        progress.count(state=run.state, outcome=found.word)
    return found.word


def _state(pipeline: str) -> RunState:
    here = not os.environ.get(env_names.RUN)
    repeats = os.environ.get(env_names.CLOCK) == "data_end"
    return run_state(pipeline, said(), reason(), whole=here, repeats=repeats)


def _page(name: str, pipeline: str, run: RunState) -> Page:
    links = Links(**json.loads(os.environ.get(env_names.LINKS) or "{}"))
    return page_of(name, pipeline, run, links)


def conclude(name: str, *, folders: Mapping[str, str | None], facts: Mapping[str, Any], page: str) -> None:
    """Write the page of a pipeline that was compiled by 0.1: what it left, in a table."""
    with reason_left(step="conclude"):
        there = {key: folder for key, folder in folders.items() if folder}
        rows = [f"| {key} | {value} |" for key, value in {**facts, **there}.items()]
        with files.written(Path(page)) as part:
            part.write_text("\n".join([f"# {name}", "", "| what | value |", "| --- | --- |", *rows, ""]))
