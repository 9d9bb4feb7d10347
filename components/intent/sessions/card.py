"""The session model's card: what it is worth by place in the visit, in Markdown."""

from collections.abc import Sequence
from typing import Any

from components.intent.sessions.evaluate import Evaluation
from components.resamples import MODEL


def write(found: Evaluation, *, intents: Sequence[str], told: str, counts: dict[str, Any]) -> str:
    """Write the card."""
    test, sides = found.test, [MODEL, *found.baselines]
    lines = [
        "# Session intents",
        "",
        f"{', '.join(intents)}: after each moment of a visit, what the rest of it holds. Visits are {told}.",
        "",
        f"Judged on {test['rows']:,} moments of {test['sessions']:,} visits of {test['users']:,} users in the test "
        f"steps; {counts['sessions_left_out']:,} of {counts['sessions']:,} visits are in no part (warm-up, over a "
        "boundary, or not over when the data ends).",
        "",
        "| | AUROC | AP | BCE |",
        "| --- | ---: | ---: | ---: |",
        *(_row(side, test if side == MODEL else found.baselines[side], ("auroc", "ap", "bce")) for side in sides),
        "",
        "Difference of AUROC, with its 95 % interval (users resampled):",
        "",
        *(f"- {name}: {_difference(one)}" for name, one in found.differences["auroc"].items()),
        "",
        "AUROC by place in the visit:",
        "",
        f"| events so far | rows | {' | '.join(sides)} |",
        f"| --- | ---: {'| ---: ' * len(sides)}|",
        *(
            f"| {entry['position']} | {entry['rows']:,} | {' | '.join(_number(entry[side]) for side in sides)} |"
            for entry in found.by_position
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(side: str, numbers: dict[str, Any], metrics: Sequence[str]) -> str:
    return f"| {side} | {' | '.join(_number(numbers[metric]) for metric in metrics)} |"


def _difference(one: dict[str, Any]) -> str:
    ends = one["interval"]
    within = "" if ends is None else f" [{ends[0]:+.4f}, {ends[1]:+.4f}]"
    return f"{one['estimate']:+.4f}{within}" if one["estimate"] is not None else "not measured"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
