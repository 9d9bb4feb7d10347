"""The contract's verdict as one self-contained page: no script, no address outside, light and dark."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.verdicts import UNDECIDED

BAR, HEIGHT = 10, 64  # of the weeks' bars, in the drawing's units
TEMPLATE = Path(__file__).with_name("contract.html.jinja")


def render(verdict: Mapping[str, Any]) -> str:
    """Render a verdict, as contract.json holds it."""
    failed = [rule for rule in verdict["rules"] if not rule["success"]]
    page: str = _template().render(
        verdict=verdict,
        by_table={table: [r for r in verdict["rules"] if r["table"] == table] for table in verdict["rows"]},
        stops=[rule for rule in failed if rule["severity"] == "critical"],
        warns=[rule for rule in failed if rule["severity"] != "critical"],
        undecided=sum(rule["word"] == UNDECIDED for rule in verdict["rules"]),
        cleaned=sum(verdict["cleaned"].values()),
        bars=_bars(verdict["weekly"], complete=verdict["last_week_complete"]),
        size=(BAR, HEIGHT),
    )
    return page


@functools.cache
def _template() -> Any:
    """Compile the template, once a process: that takes longer than all else of a small page."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters["share"] = _share
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _bars(weekly: Sequence[int], *, complete: bool) -> list[dict[str, Any]]:
    """Lay weeks out as bars under one height.

    >>> _bars([5, 10], complete=False)[1]
    {'week': 2, 'events': 10, 'x': 10, 'y': 0.0, 'height': 64.0, 'complete': False}
    """
    most, bars = max(weekly, default=0) or 1, []
    for place, events in enumerate(weekly):
        height = round(HEIGHT * events / most, 1)
        whole = complete or place < len(weekly) - 1
        bar = {"week": place + 1, "events": events, "x": place * BAR, "y": round(HEIGHT - height, 1), "height": height}
        bars.append(bar | {"complete": whole})
    return bars


def _share(part: int, whole: int) -> str:
    """Say a share so that a few rows in a million do not read as none.

    >>> _share(13510, 1469307), _share(3, 1469307), _share(0, 5)
    ('0.92 %', '< 0.01 %', '0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    if percent == 0:
        return "0 %"
    return "< 0.01 %" if percent < 0.01 else f"{percent:.2f} %"
