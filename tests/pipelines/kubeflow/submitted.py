"""What tests ask a server of Kubeflow's: a spec, a recurring run, and a run that is followed to its end."""

from pathlib import Path
from typing import Any

from pipelines.environment import Installation
from pipelines.kubeflow import declare, submit

SPEC = Path("pipelines/specs/synthetic.yaml")


NIGHTLY = {"pipeline": "retrain", "name": "nightly", "cron": "30 2 * * *"}


STEPS = ("ingest", "validate", "build-profiles", "training-set", "train-intent", "train-ranking", "register", "watch")


def actions(found: declare.Declaration) -> dict[str, str]:
    return {change.name: change.action for change in found.changes}


def followed(at: Installation, **options: Any) -> tuple[submit.Run, list[dict[str, Any]], list[str]]:
    lines: list[dict[str, Any]] = []
    pages: list[str] = []
    asked = {"pipeline": "train", "wait": True} | options
    found = submit.run(at, lines.append, say=pages.append, every_s=0.01, **asked)
    return found, lines, pages


def done(**more: str) -> dict[str, str]:
    return dict.fromkeys(STEPS, "SUCCEEDED") | {name.replace("_", "-"): state for name, state in more.items()}


def ignore(_line: Any) -> None:
    """Watch nothing."""
