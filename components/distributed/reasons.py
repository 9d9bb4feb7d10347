"""Why a TrainJob is not complete: from the ranks' own error files, else from its pods, else from its conditions."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from components.kube_api import Api, Object
from feature_repo.errors import ServerError, of_code

log = logging.getLogger("intentflow")


def condition(job: Object, kind: str) -> Object | None:
    """Return a condition that is true of a job."""
    found = (job.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == kind and c["status"] == "True"), None)


def failure(pods: list[str], name: str, failed: Object, *, shared: Path) -> Exception:
    """Return the error that a failed job means for its step; `pods` is what `of_pods` says."""
    said = [json.loads(path.read_text()) for path in sorted(shared.glob("error*.json"))]
    # A rank that was killed leaves no file, and the others only say that they lost it.
    own = [reason for reason in said if "another rank of the job ended early" not in reason["message"]]
    if own:
        return of_code(own[0]["code"])(f"TrainJob {name}: {own[0]['message']}")
    why = pods or [reason["message"] for reason in said] or [f"{failed.get('reason')}: {failed.get('message')}"]
    return ServerError(f"TrainJob {name} failed: {'; '.join(why)}")


def of_pods(pods: Sequence[Object]) -> list[str]:
    """Say what is wrong with each pod: why it ended, why it does not start, or why it has no node.

    >>> ended = {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "name": "node"}
    >>> of_pods([{"metadata": {"name": "job-node-0-0"}, "status": {"containerStatuses": [ended]}}])
    ['job-node-0-0: OOMKilled (exit code 137)']
    """
    found = []
    for pod in pods:
        status, name = pod.get("status") or {}, pod["metadata"]["name"]
        for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
            found += [f"{name}: {reason}" for reason in _of_container(container)]
        for entry in status.get("conditions") or []:
            if entry["type"] == "PodScheduled" and entry["status"] == "False":
                found.append(f"{name}: {entry.get('reason')}: {entry.get('message')}")
    return found


def close(api: Api, name: str) -> None:
    """Delete a job; where the API is away, its time to live does."""
    try:
        api.delete("TrainJob", name, propagation="Foreground")
    except ServerError as error:
        log.warning(json.dumps({"trainjob": name, "note": f"not deleted: {error}"}))


def _of_container(container: Object) -> list[str]:
    state = container.get("state") or {}
    if (ended := state.get("terminated")) and ended.get("exitCode"):
        text = " ".join(str(ended.get("message") or "").split())
        return [f"{ended.get('reason') or 'ended'} (exit code {ended['exitCode']}){': ' + text if text else ''}"]
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CrashLoopBackOff"):
        return [f"{waiting['reason']}: {waiting.get('message', '')}"]
    return []
