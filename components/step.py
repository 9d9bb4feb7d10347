"""The frame around every step: telemetry off, libraries quiet, one log line, and the reason of a failure on file.

Kubeflow hides the cause of a failed task, so a step writes `error.json` beside its outputs' root (the
environment names the file) before it re-raises. Nothing here knows what a step does.
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

from feature_repo import env_names, files
from feature_repo.errors import Refused, UserError

ERROR_FILE = env_names.ERROR_FILE
PROGRESS_FILE = env_names.PROGRESS_FILE
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

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: dict[str, Any] = {}

    def at(self, share: float, note: str = "") -> None:
        """Report the share of the work that is done, 0..1."""
        _append(PROGRESS_FILE, {"step": self.name, "share": round(share, 4), "note": note})

    def count(self, **counts: Any) -> None:
        """Remember figures for the step's closing log line."""
        self.counts |= counts


@contextlib.contextmanager
def step(name: str) -> Iterator[Progress]:
    """Run the body as the step `name`; on failure leave the reason in the error file and raise it on."""
    os.environ.update({k: v for k, v in (QUIET | PATIENT).items() if k not in os.environ})
    _quiet()
    progress, start = Progress(name), time.monotonic()
    progress.at(0.0)
    try:
        with reason_left(step=name):
            yield progress
    except Exception as error:
        log.error(json.dumps(_closing(progress, start) | {"failed": f"{type(error).__name__}: {error}"}, default=str))
        raise
    closing = _closing(progress, start)
    _append(PROGRESS_FILE, closing | {"share": 1.0})
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
def reason_left(**about: str) -> Iterator[None]:
    """Leave the reason of a failure in the error file, for whoever started this process, and raise it on."""
    try:
        yield
    except Exception as error:
        code = error.exit_code if isinstance(error, UserError | Refused) else 1
        if (path := error_file()) is not None:
            files.write_json(path, about | {"code": code, "message": str(error)})
        raise


def error_file() -> Path | None:
    """Return where this run's reason of failure goes: where the environment says, or by run in the state folder."""
    if path := os.environ.get(ERROR_FILE):
        return Path(path)
    run, home = os.environ.get(RUN), os.environ.get(HOME)
    return Path(home) / "errors" / f"{run}.json" if run and home else None


def _append(variable: str, line: dict[str, Any]) -> None:
    if path := os.environ.get(variable):
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")
