"""The frame around every step: telemetry off, libraries quiet, one log line, and the reason of a failure on file.

Kubeflow hides the cause of a failed task, so a step writes `error.json` beside its outputs' root (the
environment names the file) before it re-raises. How far it is, and what it found, is on the progress file, which the
command line follows and the run's last step reads. Nothing here knows what a step does.
"""

import contextlib
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import run_record
from feature_repo import env_names, files
from feature_repo.errors import Refused, UserError

ERROR_FILE = env_names.ERROR_FILE
PROGRESS_FILE = env_names.PROGRESS_FILE
OWN_KEYS = ("step", "share", "seconds", "peak_memory_gib", "cached", "facts", "failed")  # of a line, set by this frame
ENDED_S = 2 * 3600  # a run whose steps said nothing for so long was stopped
RUN, HOME = env_names.RUN, env_names.HOME  # on a cluster: the run's id, and the state folder that steps may share
QUIET = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "False",
    "FEAST_USAGE": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # it sets its own loggers as it is imported
}
# Threads that wait sleep instead of spinning: on a busy machine spinning makes torch up to six times slower. OpenMP
# reads it when torch is first imported, so a step that trains imports torch inside its frame.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}

OWN_PROCESS = "_KFP_RUNTIME"  # set by kfp where a process is one step's own: a pod, or one of the local runner's
log = logging.getLogger("intentflow")


class Progress:
    """Says how far a step is: a line on the progress file that the command line follows."""

    def __init__(self, name: str, *, followed: bool = True) -> None:
        self.name, self.followed = name, followed
        self.counts: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def at(self, share: float, note: str = "") -> None:
        """Report the share of the work that is done, 0..1."""
        if self.followed:
            _append({"step": self.name, "share": round(share, 4), "note": note})

    def count(self, **counts: Any) -> None:
        """Remember figures for the step's closing log line; ValueError for a name that the frame itself sets."""
        if taken := sorted(set(counts) & set(OWN_KEYS)):
            raise ValueError(
                f"step {self.name}: the frame sets {', '.join(taken)} of its line; count under other names"
            )
        self.counts |= counts

    def tell(self, **facts: Any) -> None:
        """Remember what the run's last page says of the step; no log shows it."""
        self.facts |= facts


@contextlib.contextmanager
def step(name: str, *, followed: bool = True) -> Iterator[Progress]:
    """Run the body as the step `name`; on failure leave the reason in the error file and raise it on.

    One that is not `followed` says nothing on the progress file: the run's last step, which reads it.
    """
    os.environ.update({k: v for k, v in (QUIET | PATIENT).items() if k not in os.environ})
    _quiet()
    progress, start = Progress(name, followed=followed), time.monotonic()
    progress.at(0.0)
    try:
        with reason_left(step=name, facts=progress.facts):
            yield progress
    except Exception as error:
        log.error(json.dumps(_closing(progress, start) | {"failed": f"{type(error).__name__}: {error}"}, default=str))
        raise
    closing = _closing(progress, start)
    if followed:
        _append(closing | {"share": 1.0} | ({"facts": progress.facts} if progress.facts else {}))
    log.info(json.dumps(closing, default=str))


def _closing(progress: Progress, start: float) -> dict[str, Any]:
    """Return a step's one line. A step that is taken from the cache does not run, so one that speaks was not."""
    seconds = round(time.monotonic() - start, 2)
    peak_gib = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    known = {"step": progress.name, "seconds": seconds, "peak_memory_gib": peak_gib, "cached": False}
    return known | progress.counts


class _Lines(logging.Formatter):
    """Our lines as they are, each a JSON document; those of others with who says them."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if _ours(record) else f"{record.levelname} {record.name}: {text}"


def _ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == log.name


def _heard(record: logging.LogRecord) -> bool:
    """Tell whether a line is shown, also where a library gives a logger of its own a level."""
    return record.levelno >= logging.WARNING or _ours(record)


def _quiet() -> None:
    """Let libraries speak from WARNING on, and our own lines from INFO on.

    kfp's executor lets everything through: of one step's 217 lines 216 were Great Expectations'.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    handler.addFilter(_heard)
    logging.basicConfig(handlers=[handler], force=os.environ.get(OWN_PROCESS) == "true")
    root = logging.getLogger()
    root.setLevel(max(root.level, logging.WARNING))
    log.setLevel(logging.INFO)


@contextlib.contextmanager
def reason_left(*, facts: dict[str, Any] | None = None, **about: str) -> Iterator[None]:
    """Leave the reason of a failure in the error file, for whoever started this process, and raise it on.

    `facts` are what the step has told by then: of a dry run that fails at its first step, that it is one.
    """
    try:
        yield
    except Exception as error:
        code = error.exit_code if isinstance(error, UserError | Refused) else 1
        left = about | {"code": code, "message": str(error)} | ({"facts": facts} if facts else {})
        if (path := error_file()) is not None:
            files.write_json(path, left)
        if run_record.kept():
            run_record.note(left)
        raise


def error_file() -> Path | None:
    """Return where this run's reason of failure goes: where the environment says, or by run in the state folder."""
    return _of_run(ERROR_FILE, "errors", ".json")


def progress_file(run: str = "") -> Path | None:
    """Return where a run's progress goes, this one's by default: where the environment says, or by run as above."""
    return _of_run(PROGRESS_FILE, "progress", ".jsonl", run=run)


def said() -> list[dict[str, Any]]:
    """Return what the steps of this run said so far, the oldest first; a line that is half written is left out."""
    if run_record.kept():
        return [entry for entry in run_record.entries() if "share" in entry]
    path = progress_file()
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path is not None and path.is_file() else []
    return [json.loads(line) for line in lines if line]


def reason() -> dict[str, Any]:
    """Return the reason that a step of this run left: {step, code, message}, or nothing."""
    if run_record.kept():
        return next((entry for entry in run_record.entries() if "message" in entry), {})
    path = error_file()
    try:
        return dict(files.read_json(path)) if path is not None and path.is_file() else {}
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s)", path, error)
        return {}


def _of_run(variable: str, folder: str, suffix: str, *, run: str = "") -> Path | None:
    if (path := os.environ.get(variable)) and not run:
        return Path(path)
    run, home = run or os.environ.get(RUN, ""), os.environ.get(HOME)
    return Path(home) / folder / f"{run}{suffix}" if run and home else None


def _append(line: dict[str, Any]) -> None:
    if run_record.kept() and ("seconds" in line or not line["share"]):  # how far a step is, no later step asks
        run_record.note(line)
    if (path := progress_file()) is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")
