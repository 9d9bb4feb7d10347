"""Run a pipeline on this machine: kfp's local runner, its output in a log file, a progress bar for each step.

Each step is a process of its own; warm_start.py says how it starts. Its output goes to the run's log, its progress to
the progress file, and the reason of a failure to the error file.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.registry.spec import DRY_RUN
from components.step import ERROR_FILE, PROGRESS_FILE, QUIET
from feature_repo import files
from feature_repo.checkout import ROOT
from feature_repo.errors import ServerError, SpecError, of_code
from monitoring.runs.page import plain
from pipelines.environment import Installation, exported
from pipelines.environment_spec import WARM
from pipelines.graphs import index
from pipelines.graphs.graph import RETURNED
from pipelines.graphs.step_table import ADMIT, OUTCOME, step_of
from pipelines.runs.warm_start import warm

RUN_FILE = "run.json"  # of the last run that trained
OTHER_RUN_FILE = "run-{pipeline}.json"
RUNS = "runs"
SCORED = ("recommendations", "intents")  # folders of a batch run
# Artifacts that are remembered of a run, as others call them: by the name that the step gives them.
KEPT = {
    **{
        name: name
        for name in ("tables", "clean", "features", "rows", "intent", "intent_evaluation", "ranking_evaluation")
    },
    "forecasts": "forecasts",  # only where the spec has some
    "verdict": "drift",
    **{name: name for name in ("policy_rows", "learned_policy")},
    **{name: name for name in SCORED},
}
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
    page: str = ""  # how it ended, in sentences
    baseline: str = ""  # version of the release that it made of baselines, since no champion was there
    champion: str = ""  # version that it promoted, or found promoted

    @property
    def trained(self) -> bool:
        """Tell whether the run trained models."""
        return "ranking_evaluation" in self.folders

    @property
    def dry(self) -> bool:
        """Tell whether the run was to change nothing."""
        return self.parameters.get("mode") == DRY_RUN

    @property
    def verdict(self) -> str:
        """Return the word of the gates, '' where they were not asked."""
        return next((str(line.get("verdict", "")) for line in self.steps if line.get("step") == "register"), "")

    @property
    def baseline_serves(self) -> bool:
        """Tell whether a baseline is the champion in place of what the gates held back."""
        return bool(self.baseline) and self.champion == self.baseline

    @property
    def held_places(self) -> list[str]:
        """Return the places in the spec of the gates that held the release back."""
        facts: dict[str, Any] = next(
            (line.get("facts", {}) for line in self.steps if line.get("step") == "register"), {}
        )
        return list(facts.get("places", []))

    @property
    def refused(self) -> str:
        """Say why gates held the release back, '' where none did."""
        return next((str(line["refused"]) for line in self.steps if line.get("refused")), "")

    def text(self) -> str:
        """Return it as a person reads it."""
        files = [f"{name:<16} {self.folders[name] / f'{name}.parquet'}" for name in SCORED if name in self.folders]
        scored = files if SCORED[0] in self.folders else []
        return "\n".join([self.page, "", *scored, f"In {self.seconds:.0f} s."])

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
            "page": self.page,
            "baseline": self.baseline,
            "champion": self.champion,
        }


def run(
    place: Installation, observe: Observer, *, pipeline: str = "train", form: Mapping[str, Any] | None = None
) -> Run:
    """Run a pipeline; `observe` is called with every progress line. Raises what the failed step raised.

    `form` holds fields of the run form that differ from the spec's.
    """
    home, chosen = place.home, index.pipeline(pipeline)
    with alone(home):
        with _environment(place) as (progress, error), _followed(progress, observe) as lines:
            start = time.monotonic()
            log = home / "logs" / f"run-{time.strftime('%Y%m%dT%H%M%S')}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            left = Left()
            with log.open("w", encoding="utf-8") as stream, _captured(stream):
                try:
                    _execute(place, chosen, chosen.values(place.spec, form or {}), left)
                except RuntimeError as failure:
                    raise _reason(error, log, failure) from None
            seconds = time.monotonic() - start
        # Only now are `lines` whole: the last step's closing line is read when following ends.
        found = _outcome(left, seconds=seconds, lines=lines)
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


class Left:
    """What the tasks of a run left: outputs by task, artifacts as their paths."""

    def __init__(self) -> None:
        self.outputs: dict[str, dict[str, Any]] = {}

    def artifacts(self) -> dict[str, Path]:
        """Return the folders of artifacts that are remembered, by the names that others know them under."""
        found = {key: one for outputs in self.outputs.values() for key, one in outputs.items()}
        return {KEPT[key]: Path(one.path) for key, one in found.items() if key in KEPT and hasattr(one, "path")}

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what each task leaves: kfp tells it to later tasks alone, and forgets it when the pipeline ends."""
        from kfp.local.orchestrator import task_executor

        execute = task_executor.execute_single_task

        def executed(*arguments: Any, **named: Any) -> Any:
            outputs, status = execute(*arguments, **named)
            self.outputs[step_of(named["task_name"])] = outputs
            return outputs, status

        task_executor.execute_single_task = executed
        try:
            yield
        finally:
            task_executor.execute_single_task = execute


def _execute(place: Installation, pipeline: index.Pipeline, values: dict[str, Any], left: Left) -> None:
    with warm(wanted=place.environment.runner == WARM), warnings.catch_warnings():
        from kfp import local

        warnings.simplefilter("ignore")
        built = pipeline.build(place.spec)
        _keep_measures(place.home / RUNS)
        runner = local.SubprocessRunner(use_venv=False)
        local.init(runner=runner, pipeline_root=str(place.home / RUNS), enable_caching=True)
        with left.noted():
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


def _outcome(left: Left, *, seconds: float, lines: list[dict[str, Any]]) -> Run:
    """Gather what the run's tasks left."""
    outputs = left.outputs
    judged = outputs.get("register", {}).get("release_version", outputs.get("champion", {}).get("version", ""))
    version = outputs.get("register_refit", {}).get(RETURNED, judged)
    version = outputs.get("register_policy", {}).get(RETURNED, version)
    slices = {name: int(one) if isinstance(one, float) else one for name, one in outputs[ADMIT].items()}
    return Run(
        folders=left.artifacts(),
        release_version=str(version),
        passed=bool(outputs.get("register", {}).get(RETURNED, False)),
        steps=[line for line in lines if "seconds" in line],
        seconds=seconds,
        parameters=slices,
        drifted=any(bool(outputs.get(step, {}).get(RETURNED)) for step in ("decide", "decide_retraining")),
        baseline=str(outputs.get("register_baseline", {}).get("baseline_version", "")),
        champion=str((outputs.get("promote") or outputs.get("promote_retrained", {})).get(RETURNED, "")),
        page=plain(Path(outputs[OUTCOME]["page"].path).read_text(encoding="utf-8")),
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
    files.keep_private(home)  # one that was made before, or by hand
    with (home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{home}: another run of this recommender is under way; wait for it to end") from None
        yield


@contextlib.contextmanager
def _environment(place: Installation) -> Iterator[tuple[Path, Path]]:
    """Give the steps their variables, and fresh progress and error files."""
    progress, error = (place.home / name for name in ("progress.jsonl", "error.json"))
    progress.write_text("")
    error.unlink(missing_ok=True)
    added = QUIET | dict(place.variables) | {PROGRESS_FILE: str(progress), ERROR_FILE: str(error)}
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
