"""What the run's last page says of a release: the data, each model beside its baseline, the gates, who serves.

Plain values out of a pipeline's result; monitoring/runs/page.py makes sentences of them.
"""

from typing import Any

from components.registry.gate_metrics import FORECAST
from components.registry.gates import Verdict
from components.registry.lineage import Result
from components.registry.release import Release
from components.verdicts import REFUSED, UNDECIDED

# Of a forecast the first that it has; lower is better.
LOSSES = {"pinball": "pinball loss", "rmse": "RMSE", "log_loss": "log loss", "dr_loss": "DR loss"}
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
        **({"forecasts": others} if (others := _forecasts(result.metrics.get(FORECAST, {}))) else {}),
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


def _forecasts(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each forecast's loss beside its best baseline's, with the interval of the difference."""
    found = []
    for name, about in metrics.get("intents", {}).items():
        metric, words = next(pair for pair in LOSSES.items() if f"{pair[0]}:{name}" in metrics["test"])
        key = f"{metric}:{name}"
        others = {by: row[key] for by, row in metrics["baselines"].items() if row.get(key) is not None}
        best = min(others, key=lambda by: others[by])
        interval = about["differences"][metric][best]["interval"]
        one = {"name": name, "metric": words, "value": metrics["test"][key]}
        found.append(one | {"baseline": best, "other": others[best], "interval": interval})
    return found


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
