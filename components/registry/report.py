"""A verdict as a page for people: passed or refused first, then the gates, cohorts, budgets, and what was skipped.

Shown by Kubeflow as the step's Markdown and by MLflow as the version's description. Judges nothing.
"""

from collections.abc import Callable, Sequence

from components.registry.gate_metrics import BY_NAME
from components.registry.gates import Outcome, Verdict, shown

HEAD = "| gate | value | against | limit | verdict | why |\n| --- | --- | --- | --- | --- | --- |\n"
COHORTS = "| gate | cohort | rows | value | against | limit | verdict |\n| --- | --- | --- | --- | --- | --- | --- |\n"
CUT = "\nMore is in the tag `verdict`.\n"


def markdown(verdict: Verdict, *, title: str, most: int | None = None) -> str:
    """Return the report; with `most`, cut after the last whole line within so many characters."""
    judged = [outcome for outcome in verdict.outcomes if not outcome.skipped]
    plain = [o for o in judged if not o.cohort and _kind(o) == "quality"]
    parts = [
        f"# {title}: {'passed' if verdict.passed else 'refused'}\n\n{_summary(verdict, judged)}\n",
        _section("Gates", HEAD, plain, _row),
        _section("By cohort", COHORTS, [o for o in judged if o.cohort], _cohort_row),
        _section("What serving costs", HEAD, [o for o in judged if _kind(o) == "budget"], _row),
        _section("One row at a time against the batch", HEAD, [o for o in judged if _kind(o) == "variant"], _row),
        _skipped([outcome for outcome in verdict.outcomes if outcome.skipped]),
    ]
    text = "\n".join(part for part in parts if part)
    if most is None or len(text) <= most:
        return text
    return text[: text.rindex("\n", 0, most - len(CUT)) + 1] + CUT


def _kind(outcome: Outcome) -> str:
    """Return the kind of metric that was judged; parity, which is none, stands among the qualities."""
    return BY_NAME[outcome.metric].kind if outcome.metric in BY_NAME else "quality"


def _summary(verdict: Verdict, judged: Sequence[Outcome]) -> str:
    refusals = [outcome for outcome in judged if not outcome.passed]
    if not refusals:
        return f"Every gate passed ({len(judged)})."
    why = "\n".join(f"- {outcome.reason}" for outcome in refusals)
    return f"{len(refusals)} of {len(judged)} gates refused:\n\n{why}"


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
        f"| {shown(o.limit)} | {_said(o)} |\n"
    )


def _said(o: Outcome) -> str:
    return "passed" if o.passed else "**refused**"


def _skipped(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    return "## Skipped\n\n" + "".join(f"- {o.metric}: {o.reason}\n" for o in outcomes)
