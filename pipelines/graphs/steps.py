"""The training pipeline's steps by name and what makes each run again. No kfp here: `plan` must stay fast."""

from collections.abc import Mapping
from typing import Any

STEP_OF = {"build_profiles": "profiles"}  # by component, where a step goes by another name in logs and `plan`
# Parameters that a step reads, and the steps whose artifacts it reads.
READS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (("reading", "source", "data_code"), ()),
    "validate": (("data", "data_code"), ("ingest",)),
    "profiles": (("profiles", "split", "vocabulary", "profiles_code"), ("validate",)),
    "training_set": (("split", "ranking_rows", "profiles_code"), ("profiles",)),
    "train_intent": (("intents", "intent", "ranking_weeks", "intent_code"), ("training_set",)),
    "evaluate_intent": (("intents", "intent_code"), ("train_intent",)),
    "train_ranking": (("ranking", "ranking_code"), ("train_intent",)),
    "evaluate_ranking": (("ranking", "ranking_code"), ("train_ranking",)),
    "register": (("lineage", "promotion", "serving"), ("evaluate_intent", "evaluate_ranking")),
    "materialise": ((), ("register",)),
    "promote": (("mode",), ("materialise",)),
    "watch": (("monitoring",), ("training_set", "register")),
}


def outdated(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Name the steps that the next run does anew, given the parameters of the last run.

    >>> same = dict.fromkeys((p for reads, _ in READS.values() for p in reads), "x")
    >>> outdated(same, same)
    []
    >>> outdated(same, same | {"ranking_code": "y"})[:3]
    ['train_ranking', 'evaluate_ranking', 'register']
    """
    if before is None:
        return list(READS)
    found: list[str] = []
    for step, (parameters, after) in READS.items():
        if any(before.get(p) != now.get(p) for p in parameters) or any(a in found for a in after):
            found.append(step)
    return found
