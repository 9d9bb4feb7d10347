"""Whether a verdict of drift asks for training: the `decide` step, between `watch` and the training that may follow.

The verdict alone decides; a signal that moved in the newest period only is no reason yet. A column that lost its
values, and any other fault of the data that a signal tells, is no reason to train: models would learn the broken feed.
It fails the step, so that the run ends as a refusal does (exit code 3) and whoever hears of failed runs hears of it.
"""

from pathlib import Path

from components.step import step
from feature_repo import files
from feature_repo.errors import Refused
from monitoring.drift_verdicts import DRIFTED, FAULTY, LOST, lasts, read
from monitoring.reason_classes import DATA_FAULT


def decide(verdict: str) -> bool:
    """Tell whether the verdict in a folder is drift that lasts; Refused where the data is at fault."""
    with step("decide") as progress:
        found = files.read_json(Path(verdict) / "drift.json")
        word = read(found["verdict"])
        train = word == DRIFTED and lasts(found)
        progress.count(verdict=word, reason=found["reason"], train=train)
        if word == LOST:
            raise Refused(_held_back(found["lost"], str(found["reason"])))
        if word == FAULTY or found.get("class") == DATA_FAULT:  # whatever else the verdict says, no fault is learnt
            raise Refused(_faulty(str(found["reason"])))
    return train


def _faulty(reason: str) -> str:
    return (
        f"monitoring: the data is at fault ({reason}), so nothing is trained on it; mend the source or "
        "data.source.mapping, then start the run again; where it is meant, `intentflow run SPEC` trains without "
        "asking; days that are known to be otherwise belong in monitoring.calendar, what is meant to stay in "
        "monitoring.signals.accepted"
    )


def _held_back(lost: list[str], reason: str) -> str:
    named, several = ", ".join(lost), len(lost) > 1
    return (
        f"monitoring: the column{'s' * several} {named} lost {'their' if several else 'its'} values ({reason}), so "
        "nothing is trained on this data; mend the source or data.source.mapping, then start the run again; where the "
        "loss is meant, `intentflow run SPEC` trains without asking"
    )
