"""Whether a verdict of drift asks for training: the `decide` step, between `watch` and the training that may follow.

The verdict alone decides. Its reasons are in its drift.json.
"""

from pathlib import Path

from components.step import step
from feature_repo import files

DRIFTED = "drifted"


def decide(verdict: str) -> bool:
    """Tell whether the verdict in a folder is drift; one without enough data is none."""
    with step("decide") as progress:
        found = files.read_json(Path(verdict) / "drift.json")
        progress.count(verdict=found["verdict"], reason=found["reason"], train=found["verdict"] == DRIFTED)
    return bool(found["verdict"] == DRIFTED)
