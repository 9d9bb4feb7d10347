"""What the run's last page says of a release: the data, each model beside its baseline, the gates, who serves.

Plain values out of a pipeline's result; monitoring/runs/page.py makes sentences of them.
"""

from typing import Any

from components.registry.gates import Verdict
from components.registry.lineage import Result
from components.registry.release import Release
from components.verdicts import REFUSED, UNDECIDED

# Of each part: the metric that people compare by, its words, and the baseline; None: the best of them, by whose name
# metrics.json has the interval of the gain. An intent's gain is by metric, over its decayed rate.
COMPARED = {
    "intent": ("map", "mean average precision", "decayed_rate"),
    "ranking": ("ndcg_at_10", "NDCG@10", None),
}


def told(result: Result, verdict: Verdict, made: Release | None, *, run_id: str, champion: str) -> dict[str, Any]:
    """Return the facts of a run that trained."""
    return {
        "data": {key: result.snapshot.get(key) for key in ("rows", "first", "last", "weeks")},
        "compared": {part: found for part in COMPARED if (found := _compared(result.metrics.get(part, {}), part))},
        "passed": verdict.passed,
        "verdict": verdict.word,
        "places": sorted({o.place for o in verdict.outcomes if not o.passed}),
        "gates": sum(not outcome.skipped for outcome in verdict.outcomes),
        "refused": [o.reason for o in verdict.outcomes if not o.skipped and o.verdict == REFUSED],
        "undecided": [o.reason for o in verdict.outcomes if not o.skipped and o.verdict == UNDECIDED],
        "skipped": [f"{outcome.name}: {outcome.reason}" for outcome in verdict.outcomes if outcome.skipped],
        "release": {"id": made.id, "version": made.version, "created": made.created} if made else None,
        "mlflow_run": run_id,
        "champion": champion,
    }


def _compared(metrics: dict[str, Any], part: str) -> dict[str, Any] | None:
    """Return a model's figure beside its baseline's, with the interval of the difference as far as there is one."""
    name, words, fixed = COMPARED[part]
    others = {by: row[name] for by, row in metrics.get("baselines", {}).items() if name in row}
    baseline = fixed or max(others, key=lambda by: others[by], default="")
    value, other = metrics.get("test", {}).get(name), others.get(baseline)
    if value is None or other is None:
        return None
    interval = metrics.get("gain", {}).get(name if fixed else baseline)
    return {"metric": words, "value": value, "baseline": baseline, "other": other, "interval": interval} | (
        {"weeks": metrics["weeks"]} if metrics.get("weeks") else {}
    )
