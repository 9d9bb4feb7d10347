"""Follow a run on the server step by step, from the details of its tasks, until it ends.

Kubeflow names tasks as the IR does and runs a driver beside each (`<task>-driver`). A skipped task whose driver
succeeded came from the cache; any other skipped task had a condition that was not met.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pipelines.kubeflow.client import Api, line
from pipelines.kubeflow.compiled import Tasks

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
SLOWEST_S = 15.0
# Tasks: that asks the gates, that runs where they passed, that registers a baseline where they did not and nobody
# serves. `promote-2` then promotes it, so a step's name is not enough.
JUDGES, PROMOTES, STANDS_IN = "register", "promote", "register-baseline"
Observer = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class RunEnd:
    """How a run ended."""

    state: str
    passed: bool | None  # its gates; None where they were not asked, or where the details do not say
    silent: bool  # a run with gates that succeeded, and nothing says what they said
    failed: tuple[str, str]  # step and Kubeflow's words, where it failed
    steps: list[dict[str, Any]]  # closing lines
    baseline: bool = False  # one was registered in place of what the gates held back


@dataclass
class Watch:
    """What was shown of a run so far."""

    tasks: Tasks
    observe: Observer
    shown: dict[str, str] = field(default_factory=dict)  # task -> state
    closed: list[dict[str, Any]] = field(default_factory=list)

    def show(self, details: Iterable[Any]) -> dict[str, Any]:
        """Show what is new; returns the details by task."""
        now = latest(details)
        for task, step in self.tasks.steps.items():
            if task in now:
                self._step(task, step, now)
        return now

    def _step(self, task: str, step: str, now: dict[str, Any]) -> None:
        detail, driver = now[task], now.get(f"{task}-driver")
        state = str(detail.state or "PENDING")
        if self.shown.get(task) == state or self.shown.get(task) in ENDED:
            return
        self.shown[task] = state
        if state not in ENDED:
            self.observe({"step": step, "share": 0.0, "note": state.lower()})
            return
        line: dict[str, Any] = {"step": step, "share": 1.0, "seconds": _seconds(detail)}
        if state == "SKIPPED":
            cached = driver is not None and driver.state == "SUCCEEDED"
            line |= {"cached": True} if cached else {"skipped": True}
        elif state != "SUCCEEDED":
            line |= {"state": state.lower()}
        self.closed.append(line)
        self.observe(line)


def follow(api: Api, run_id: str, tasks: Tasks, observe: Observer, *, every_s: float) -> RunEnd:
    """Show the run's steps until it ends."""
    watch, pause = Watch(tasks, observe), every_s
    while True:
        run = api.ask(f"run {run_id}", api.kfp.get_run, run_id)
        details = (run.run_details.task_details or []) if run.run_details else []
        now = watch.show(details)
        state = str(run.state or "")
        if state in ENDED:
            passed = _passed(now)
            silent = state == "SUCCEEDED" and passed is None and _due(now, tasks)
            return RunEnd(state, passed, silent, _failed(run, now, tasks), watch.closed, _ended(now, STANDS_IN))
        time.sleep(pause)
        pause = min(pause * 1.2, max(every_s, SLOWEST_S))


def latest(details: Iterable[Any]) -> dict[str, Any]:
    """Return the newest detail of each task: a task that is tried again has several."""
    found: dict[str, Any] = {}
    for one in details:
        name = str(one.display_name or "")
        if name not in found or str(one.create_time or "") >= str(found[name].create_time or ""):
            found[name] = one
    return found


def _passed(now: dict[str, Any]) -> bool | None:
    """Tell whether the gates passed: what stands behind them ran, or did not; None where they were never asked.

    Conditions are no help: Kubeflow numbers them within each group, so two may have one name.
    """
    return _ended(now, PROMOTES) if _ended(now, JUDGES) else None


def _ended(now: dict[str, Any], task: str) -> bool:
    """Tell whether a task ran and succeeded."""
    return task in now and str(now[task].state) == "SUCCEEDED"


def _due(now: dict[str, Any], tasks: Tasks) -> bool:
    """Tell whether a run that succeeded has asked its gates, as far as details do not say that it did not."""
    return JUDGES in tasks.steps.values() and not any(task in now for task in tasks.steps)


def _failed(run: Any, now: dict[str, Any], tasks: Tasks) -> tuple[str, str]:
    """Name the first step that failed and what Kubeflow says of it."""
    broken = [(task, detail) for task, detail in now.items() if detail.state == "FAILED"]
    own = [pair for pair in broken if pair[0].removesuffix("-driver") in tasks.steps]
    for task, detail in [*own, *broken]:
        if detail.error is not None and detail.error.message:
            return tasks.steps.get(task.removesuffix("-driver"), task), line(detail.error.message)
    step = tasks.steps.get(own[0][0].removesuffix("-driver"), own[0][0]) if own else "run"
    words = run.error.message if run.error is not None and run.error.message else "failed; the step's log says why"
    return step, line(words)


def _seconds(detail: Any) -> float:
    start, end = detail.start_time or detail.create_time, detail.end_time
    if not isinstance(start, dt.datetime) or not isinstance(end, dt.datetime):
        return 0.0
    return max((end - start).total_seconds(), 0.0)
