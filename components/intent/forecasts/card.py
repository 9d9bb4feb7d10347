"""The forecasts' card: what each is, its figures beside the baselines, in Markdown. Computes nothing."""

from collections.abc import Mapping
from typing import Any

from components.intent.forecasts.evaluate import COHORTS, Evaluation
from components.intent.forecasts.spec import COUNT, Forecast
from components.resamples import MODEL
from components.verdicts import REFUSED

TITLES = {
    "rmse": "RMSE",
    "mae": "MAE",
    "pinball": "pinball loss",
    "coverage": "coverage",
    "coverage_gap": "off its coverage",
    "accuracy": "accuracy",
    "top3": "top 3",
    "log_loss": "log loss",
    "macro_f1": "macro F1",
    "dr_loss": "DR loss",
    "effect": "effect",
    "placebo": "placebo, farther end",
    "uncompared": "rows without a like",
}

OF_UNIT = ("rmse", "mae", "pinball", "effect", "placebo")


def write(found: Evaluation, *, intents: tuple[Forecast, ...], step: str, counts: Mapping[str, Any]) -> str:
    """Write the card."""
    parts = ["# Forecasts", "What a user comes to, and what comes next, beside the intents that are yes or no."]
    for intent in intents:
        about = found.intents[intent.name]
        parts += [
            f"## {intent.name}",
            f"{_meant(intent, step)} Judged on {about['rows']:,} rows of {about['users']:,} users in the test {step}s.",
            _table(found, intent.name, intent.unit),
            _differences(about["differences"]),
            *_cohorts(about.get(COHORTS, {}), intent.unit),
            *_told(counts.get("intents", {}).get(intent.name, {})),
        ]
    parts += [
        "## Data and limits",
        f"Labels are what happened in the {step}s from the cutoff on; rows are purged by the longest horizon. Inputs "
        "are those of the intent model. Baselines are fitted on training rows, the boosting's size on validation rows. "
        "Intervals come from resampling users (95 % at each end).",
    ]
    return "\n\n".join(parts) + "\n"


def _meant(intent: Forecast, step: str) -> str:
    ahead = f"the coming {step}" if intent.steps == 1 else f"the coming {intent.steps} {step}s"
    of = f" of {intent.event} events" if intent.event else ""
    if intent.kind == "multiclass":
        return f"The `{intent.column}` of the first event{of} in {ahead}, or none."
    what = f"the number of events{of}" if intent.value == COUNT else f"the {intent.aggregate} of `{intent.value}`{of}"
    unit = f", in {intent.unit}" if intent.unit else ""
    if intent.kind == "uplift":
        after = "step" if intent.steps == 2 else f"{intent.steps - 1} steps"
        return f"What `{intent.offer}` within a step changes of {what} in the {after} after it{unit}."
    loss = f" Quantiles {', '.join(f'{q:g}' for q in intent.quantiles)}." if intent.quantiles else ""
    some = " Rows without such an event have no label." if intent.aggregate == "mean" else ""
    return f"{what[0].upper()}{what[1:]} in {ahead}{unit}.{loss}{some}"


def _table(found: Evaluation, name: str, unit: str) -> str:
    metrics = [key.removesuffix(f":{name}") for key in found.test if key.endswith(f":{name}")]
    heads = [
        f"{TITLES[m]} ({unit})" if unit and m in ("rmse", "mae", "pinball", "effect", "placebo") else TITLES[m]
        for m in metrics
    ]
    lines = [f"| | {' | '.join(heads)} |", f"| --- {'| ---: ' * len(metrics)}|"]
    for side, numbers in {MODEL: found.test, **found.baselines}.items():
        if f"{metrics[0]}:{name}" in numbers:
            cells = " | ".join(_number(numbers.get(f"{m}:{name}")) for m in metrics)
            lines.append(f"| {side.replace('_', ' ')} | {cells} |")
    return "\n".join(lines)


def _differences(found: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for metric, others in found.items():
        said = ", ".join(f"{other.replace('_', ' ')} {_difference(one)}" for other, one in others.items())
        lines.append(f"- {TITLES[metric]} less that of {said}")
    return "\n".join(lines)


def _cohorts(found: Mapping[str, Any], unit: str) -> list[str]:
    """Say the loss by cohort, and in which the model is surely behind."""
    if not found.get("by_name"):
        return []
    metric, other = TITLES[found["metric"]], found["baseline"].replace("_", " ")
    said = f"{metric} ({unit})" if unit and found["metric"] != "log_loss" else metric
    lines = [
        f"| {name} | {one['rows']:,} | {_number(one[MODEL])} | {_number(one[found['baseline']])} | {_difference(one)} |"
        for name, one in found["by_name"].items()
    ]
    behind = [name for name, one in found["by_name"].items() if one["verdict"] == REFUSED]
    return [
        f"| {said} by cohort | rows | model | {other} | difference |\n| --- | ---: | ---: | ---: | ---: |\n"
        + "\n".join(lines),
        f"Behind {other} in: {', '.join(behind) or 'no cohort, beyond chance'}.",
    ]


def _difference(one: Mapping[str, Any]) -> str:
    if one["estimate"] is None:
        return "not measured"
    ends = one["interval"]
    return f"{one['estimate']:+.4g}" + ("" if ends is None else f" [{ends[0]:+.4g}, {ends[1]:+.4g}]")


def _told(counts: Mapping[str, Any]) -> list[str]:
    found = []
    if "treated" in counts:
        found += _changed(counts)
    if "values" in counts:
        found.append(
            f"{counts['values']} values are told apart. At {counts['tied']:.1%} of the instants events of several "
            "values come at once: such an instant has the value of most events, ties by the commoner value."
        )
    if counts.get("unlabelled"):
        found.append(f"{counts['unlabelled']:,} rows have no label and are left out.")
    return found


def _changed(counts: Mapping[str, Any]) -> list[str]:
    """Say what an offer changes by what was learnt, and what speaks against it."""
    seen, said = counts["overlap"], [f"{value:+.4g} [{low:+.4g}, {high:+.4g}]" for value, low, high in counts["groups"]]
    placebo = counts["placebo"]
    told = "could not be asked" if placebo is None else "shows {:+.4g} [{:+.4g}, {:+.4g}]".format(*placebo)
    quarters = f"By quarters of expected effect: {', '.join(said)}." if len(said) > 1 else "Users are not told apart."
    return [
        f"{counts['treated']:,} of {counts['rows']['train']:,} rows got it. Doubly robust effect "
        "{:+.4g} [{:+.4g}, {:+.4g}], where the plain difference is {:+.4g}. ".format(
            *counts["effect"], counts["naive"][0]
        )
        + quarters,
        f"The placebo {told}. What was known tells who got it with an AUC of {seen['auc']:.2f}; {seen['compared']:.0%} "
        f"of the rows have somebody to be compared with.",
        f"**Not to be believed: {counts['warning']}.**" if counts["warning"] else "Nothing speaks against it.",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
