"""Run a pipeline on this machine: kfp's local runner, its output in a log file, a progress bar for each step.

The steps run in subprocesses of this environment. Their output goes to the run's log, their progress to the progress
file, and the reason of a failure to the error file.
"""

import contextlib
import fcntl
import io
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.registry.spec import DRY_RUN
from components.step import ERROR_FILE, PROGRESS_FILE, QUIET
from feature_repo import files
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError, of_code
from monitoring.runs import outcome
from pipelines.environment import Installation, exported
from pipelines.graphs import index

RUN_FILE = "run.json"  # of the last run that trained
OTHER_RUN_FILE = "run-{pipeline}.json"
RUNS = "runs"
OUTCOME = "outcome.json"
SCORED = ("recommendations", "intents")  # folders of a batch run
MEASURES = ("system.Metrics", "system.ClassificationMetrics")
Observer = Callable[[dict[str, Any]], None]


class Busy(SpecError):
    """Another run holds the recommender's state folder."""


@dataclass(frozen=True)
class Run:
    """What a finished run left: artifacts by name, parameters by name, and its steps' closing lines."""

    folders: dict[str, Path]
    release_version: str  # that was made, or that scored
    passed: bool  # its gates
    steps: list[dict[str, Any]]  # of the steps that ran; cached ones are not among them
    seconds: float
    parameters: dict[str, Any]
    drifted: bool = False  # where that was the question

    @property
    def trained(self) -> bool:
        """Tell whether the run trained models."""
        return "ranking_evaluation" in self.folders

    @property
    def dry(self) -> bool:
        """Tell whether the run was to change nothing."""
        return self.parameters.get("mode") == DRY_RUN

    @property
    def refused(self) -> str:
        """Say why gates refused, '' where none did."""
        return next((str(line["refused"]) for line in self.steps if line.get("refused")), "")

    def text(self) -> str:
        """Return it as a person reads it."""
        took = f"in {self.seconds:.0f} s"
        if self.trained:
            release = (
                f"release version {self.release_version}" if self.release_version else "dry run, nothing registered"
            )
            return f"{release}: passed, {took}"
        if SCORED[0] not in self.folders:
            return f"no drift that asks for training, {took}: {self.folders['drift'] / 'drift.json'}"
        files = [f"{name:<16} {self.folders[name] / f'{name}.parquet'}" for name in SCORED]
        return "\n".join([f"release version {self.release_version}: scored all users, {took}", *files])

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "folders": {k: str(v) for k, v in self.folders.items()},
            "release_version": self.release_version,
            "passed": self.passed,
            "steps": self.steps,
            "seconds": round(self.seconds, 2),
            "parameters": self.parameters,
            "drifted": self.drifted,
        }


def run(place: Installation, observe: Observer, *, pipeline: str = "train") -> Run:
    """Run a pipeline; `observe` is called with every progress line. Raises what the failed step raised."""
    home, chosen = place.home, index.pipeline(pipeline)
    with alone(home):
        with _environment(place) as (progress, error), _followed(progress, observe) as lines:
            start = time.monotonic()
            log = home / "logs" / f"run-{time.strftime('%Y%m%dT%H%M%S')}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            values = chosen.parameters(place)
            with log.open("w", encoding="utf-8") as stream, _captured(stream):
                try:
                    _execute(home, chosen, values)
                except RuntimeError as failure:
                    raise _reason(error, log, failure) from None
            seconds = time.monotonic() - start
        # Only now are `lines` whole: the last step's closing line is read when following ends.
        found = _outcome(home / OUTCOME, seconds=seconds, lines=lines, values=values)
        if not found.dry:  # what was judged and not released is not what `status`, `monitor` and `explain` speak of
            name = RUN_FILE if found.trained else OTHER_RUN_FILE.format(pipeline=pipeline)
            files.write_json(home / name, found.document())
    return found


def last_run(home: Path) -> Run | None:
    """Return the last run that trained and finished, if its artifacts are still there."""
    path = home / RUN_FILE
    if not path.is_file():
        return None
    document = files.read_json(path)
    folders = {k: Path(v) for k, v in document.pop("folders").items()}
    return Run(folders=folders, **document) if all(f.exists() for f in folders.values()) else None


def _execute(home: Path, pipeline: index.Pipeline, values: dict[str, Any]) -> None:
    from kfp import local

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        built = pipeline.build()
        _keep_measures(home / RUNS)
        runner = local.SubprocessRunner(use_venv=False)
        local.init(runner=runner, pipeline_root=str(home / RUNS), enable_caching=True)
        built(**values)


def _keep_measures(runs: Path) -> None:
    """Let the cache find artifacts that are nothing but metadata.

    kfp's local cache misses where an output has no file, and metrics never have one: without these empty files
    every step with metrics, and all after it, would run every time.
    """
    for entry in (runs / ".kfp_cache").glob("*.json"):
        for output in files.read_json(entry).values():
            if isinstance(output, dict) and output.get("schema_title") in MEASURES:
                path = Path(output["uri"])
                if path.parent.is_dir():
                    path.touch()


def _outcome(path: Path, *, seconds: float, lines: list[dict[str, Any]], values: dict[str, Any]) -> Run:
    """Read what the run's last step concluded."""
    found = outcome.read(path)
    facts = found["facts"]
    return Run(
        folders={name: Path(folder) for name, folder in found["folders"].items()},
        release_version=str(facts["release_version"]),
        passed=bool(facts["passed"]),
        steps=[line for line in lines if "seconds" in line],
        seconds=seconds,
        parameters=values,
        drifted=bool(facts["drifted"]),
    )


def _reason(error: Path, log: Path, failure: RuntimeError) -> Exception:
    """Turn a failed step's error file into the exception that carries its exit code."""
    if not error.is_file():
        return ServerError(f"the run failed before a step could say why ({failure}); see {log}")
    found = files.read_json(error)
    kind = of_code(found["code"])
    tail = f"; see {log}" if kind is ServerError else ""
    return kind(f"{found['step']}: {found['message']}{tail}")


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the run lock; a second run of the same recommender is told so at once."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{home}: another run of this recommender is under way; wait for it to end") from None
        yield


@contextlib.contextmanager
def _environment(place: Installation) -> Iterator[tuple[Path, Path]]:
    """Give the steps their variables, and fresh progress, error and outcome files."""
    progress, error, concluded = (place.home / name for name in ("progress.jsonl", "error.json", OUTCOME))
    progress.write_text("")
    for path in (error, concluded):
        path.unlink(missing_ok=True)
    added = QUIET | dict(place.variables) | {PROGRESS_FILE: str(progress), ERROR_FILE: str(error)}
    added[outcome.FILE] = str(concluded)
    added["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # Byte code makes a step's imports twice as fast; some environments switch it off. Empty is the same as absent.
    added["PYTHONDONTWRITEBYTECODE"] = ""
    with exported(added):
        yield progress, error


@contextlib.contextmanager
def _captured(stream: io.TextIOBase) -> Iterator[None]:
    """Send what kfp prints and logs to the log file; the terminal is for the bars."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [logging.StreamHandler(stream)]
    try:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def _followed(path: Path, observe: Observer) -> Iterator[list[dict[str, Any]]]:
    """Follow the progress file in a thread; yields the list of lines, whole once the block has ended."""
    lines: list[dict[str, Any]] = []
    stop = threading.Event()

    def follow() -> None:
        with path.open(encoding="utf-8") as stream:
            rest = ""
            while True:
                last = stop.is_set()
                rest += stream.read()
                *whole, rest = rest.split("\n")
                for line in map(json.loads, filter(None, whole)):
                    lines.append(line)
                    observe(line)
                if last:
                    return
                stop.wait(0.2)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        stop.set()
        thread.join()
