"""Report a run that failed: as a tag of the registered model, beside the releases, and to a webhook.

The last step of every pipeline calls it. Kubeflow says that a step failed and not why; the reason is in the error file
that the step wrote (components/step.py), where the steps share a state folder. It never fails itself: a report that
cannot be sent is logged.
"""

import datetime as dt
import json
import logging
import os
import urllib.request
from typing import Any

from components.registry import heartbeats
from components.step import reason
from feature_repo import env_names

MARK = "last_failure"  # a tag of the model of releases, where the registry is a server
ALERT_URL = env_names.ALERT_URL
PATIENCE_S = 10.0
LONGEST = 4_000  # characters of a reason, so that a tag holds it
log = logging.getLogger("intentflow.failure")


def report(name: str, pipeline: str, *, state: str, job: str, task: str, message: str) -> dict[str, Any] | None:
    """Report how a run of a pipeline compiled by 0.1 ended, as its exit handler knows it; None where it succeeded."""
    if state == "SUCCEEDED":
        succeeded(name, pipeline)
        return None
    left = reason()
    step, why = str(left.get("step", task)), str(left.get("message", message))
    return told(name, pipeline, step=step, code=int(left.get("code", 1)), why=why, state=state, job=job)


def succeeded(name: str, pipeline: str) -> None:
    """Mark that a run came to its end."""
    heartbeats.ended(name, pipeline, succeeded=True)


def told(
    name: str, pipeline: str, *, step: str, code: int, why: str, state: str = "FAILED", job: str = "", dry: bool = False
) -> dict[str, Any]:
    """Mark that a run failed, and tell of it; return what was told. Of a dry run the log alone tells."""
    found = {
        "recommender": name,
        "pipeline": pipeline,
        "run": os.environ.get(env_names.RUN) or job,
        "state": state,
        "step": step,
        "code": code,
        "why": (why or "see the log of the step that failed")[:LONGEST],
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    log.error("%s", json.dumps(found))
    if dry:
        return found
    heartbeats.ended(name, pipeline, succeeded=False)
    heartbeats.leave(name, MARK, found)
    if url := os.environ.get(ALERT_URL):
        _post(url, found)
    return found


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
