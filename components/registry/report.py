"""A verdict as a page for people: its word first, then the gates, cohorts, budgets, and what was skipped.

Shown by Kubeflow as the step's Markdown and by MLflow as the version's description. Judges nothing.
"""

from collections.abc import Callable, Sequence

from components.registry.gate_metrics import BY_NAME
from components.registry.gates import Outcome, Verdict, shown
from components.verdicts import LEVEL, REFUSED, UNDECIDED

HEAD = "| gate | value | against | limit | verdict | why |\n| --- | --- | --- | --- | --- | --- |\n"
COHORTS = (
    "| gate | cohort | rows | value | against | limit | interval | verdict |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
)
INTERVALS = (
    f"Intervals come from resampling users; each end is {LEVEL:.0%} sure. What they span in part is undecided.\n"
)
CUT = "\nMore is in the tag `verdict`.\n"


def markdown(verdict: Verdict, *, title: str, most: int | None = None) -> str:
    """Return the report; with `most`, cut after the last whole line within so many characters."""
    judged = [outcome for outcome in verdict.outcomes if not outcome.skipped]
    plain = [o for o in judged if not o.cohort and _kind(o) == "quality"]
    parts = [
        f"# {title}: {verdict.word}\n\n{_summary(judged)}\n",
        _section("Gates", HEAD, plain, _row),
        _section("By cohort", COHORTS, [o for o in judged if o.cohort], _cohort_row),
        _section("What serving costs", HEAD, [o for o in judged if _kind(o) == "budget"], _row),
        _section("One row at a time against the batch", HEAD, [o for o in judged if _kind(o) == "variant"], _row),
        _skipped([outcome for outcome in verdict.outcomes if outcome.skipped]),
        INTERVALS if any(outcome.interval for outcome in judged) else "",
    ]
    text = "\n".join(part for part in parts if part)
    if most is None or len(text) <= most:
        return text
    return text[: text.rindex("\n", 0, most - len(CUT)) + 1] + CUT


def _kind(outcome: Outcome) -> str:
    """Return the kind of metric that was judged; parity, which is none, stands among the qualities."""
    return BY_NAME[outcome.metric].kind if outcome.metric in BY_NAME else "quality"


def _summary(judged: Sequence[Outcome]) -> str:
    parts = []
    for word, said in ((REFUSED, "refused"), (UNDECIDED, "could not tell")):
        found = [outcome for outcome in judged if outcome.verdict == word]
        if found:
            why = "\n".join(f"- {outcome.reason}" for outcome in found)
            parts.append(f"{len(found)} of {len(judged)} gates {said}:\n\n{why}")
    return "\n\n".join(parts) or f"Every gate passed ({len(judged)})."


def _section(title: str, head: str, outcomes: Sequence[Outcome], row: Callable[[Outcome], str]) -> str:
    return f"## {title}\n\n{head}{''.join(map(row, outcomes))}" if outcomes else ""


def _row(o: Outcome) -> str:
    return (
        f"| {o.metric} | {shown(o.value)} | {o.against} {shown(o.compared)} | {shown(o.limit)} "
        f"| {_said(o)} | {o.reason} |\n"
    )


def _cohort_row(o: Outcome) -> str:
    rows = "-" if o.rows is None else o.rows
    return (
        f"| {o.metric} | {o.cohort} | {rows} | {shown(o.value)} | {o.against} {shown(o.compared)} "
        f"| {shown(o.limit)} | {_interval(o)} | {_said(o)} |\n"
    )


def _interval(o: Outcome) -> str:
    if o.interval is None:
        return "-"
    low, high = o.interval
    return f"{shown(low)} to {shown(high)}" if o.against == "value" else f"{low:+.3g} to {high:+.3g}"


def _said(o: Outcome) -> str:
    return o.verdict if o.passed else f"**{o.verdict}**"


def _skipped(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    return "## Skipped\n\n" + "".join(f"- {o.metric}: {o.reason}\n" for o in outcomes)
