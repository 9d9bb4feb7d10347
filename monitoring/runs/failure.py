"""Report a run that failed: as a tag of the registered model, beside the releases, and to a webhook.

The exit handler of every pipeline calls it, however the run ended. Kubeflow says that a step failed and not why; the
reason is in the error file that the step wrote (components/step.py), where the steps share a state folder. It never
fails itself: a report that cannot be sent is logged.
"""

import datetime as dt
import json
import logging
import os
import urllib.request
from typing import Any

from components.registry import heartbeats
from components.registry.spec import DRY_RUN
from components.step import error_file
from feature_repo import env_names, files

MARK = "last_failure"  # a tag of the model of releases, where the registry is a server
ALERT_URL = env_names.ALERT_URL
PATIENCE_S = 10.0
LONGEST = 4_000  # characters of a reason, so that a tag holds it
log = logging.getLogger("intentflow.failure")


def report(
    name: str, pipeline: str, *, mode: str, state: str, job: str, task: str, message: str
) -> dict[str, Any] | None:
    """Record how a run ended and report one that failed; return the report, None where there is none.

    The report of a dry run that failed stands in the log only: it leaves no mark and alerts nobody.
    """
    dry = mode == DRY_RUN
    if not dry:
        heartbeats.ended(name, pipeline, succeeded=state == "SUCCEEDED")
    if state == "SUCCEEDED":
        return None
    found = _report_of(name, pipeline, state=state, job=job, task=task, message=message)
    log.error("%s", json.dumps(found))
    if dry:
        return found
    heartbeats.leave(name, MARK, found)
    if url := os.environ.get(ALERT_URL):
        _post(url, found)
    return found


def _report_of(name: str, pipeline: str, *, state: str, job: str, task: str, message: str) -> dict[str, Any]:
    """Say what failed and why, in the step's own words where they can be read."""
    left = _reason()
    return {
        "recommender": name,
        "pipeline": pipeline,
        "run": os.environ.get(env_names.RUN) or job,
        "state": state,
        "step": left.get("step", task),
        "code": left.get("code", 1),
        "why": str(left.get("message", message or "see the log of the step that failed"))[:LONGEST],
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _reason() -> dict[str, Any]:
    path = error_file()
    try:
        return dict(files.read_json(path)) if path is not None and path.is_file() else {}
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s)", path, error)
        return {}


def _post(url: str, found: dict[str, Any]) -> None:
    """Send it to the webhook as JSON, with a line of text as chat programs show it."""
    text = f"{found['recommender']}: {found['pipeline']} failed at {found['step']}: {found['why']}"
    body = json.dumps({"text": text, **found}).encode()
    try:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE_S):
            pass
    except (OSError, ValueError) as error:  # no one listens, a refusal, an address that is none; never name the address
        log.warning("the alert was not sent (%s)", getattr(error, "reason", type(error).__name__))
