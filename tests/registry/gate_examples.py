"""Gates, and what was measured for them, that tests judge by hand."""

from components.registry.gate_inputs import Group, Measurements
from components.registry.spec import Gate

BETTER = Gate(metric="intent.map", against="baseline")


CALIBRATED = Gate(metric="intent.ece", limit=0.02)


NOT_WORSE = Gate(metric="ranking.ndcg_at_10", against="champion", tolerance=0.02)


COUNTED = NOT_WORSE.model_copy(update={"repeats": 2})


NDCG = "ranking.ndcg_at_10"


OLD = " (no interval: written before evaluations kept resamples)"


FIRST = {"place": "promotion.gates[0]"}


def overall(baseline: dict[str, float] | None = None, **values: float) -> Measurements:
    """A candidate without cohorts; `intent__map` stands for intent.map."""
    return Measurements(Group({k.replace("__", "."): v for k, v in values.items()}, baseline or {}))
