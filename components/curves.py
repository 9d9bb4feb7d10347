"""How training went, epoch by epoch, as one self-contained page: no script, no address outside, light and dark.

Kubeflow has scalars, ROC curves and confusion matrices, but no curve over epochs. Both training steps leave this page
beside their model; it reads well in the side panel, which is narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo import files

TEMPLATE = Path(__file__).with_name("curves.html.jinja")
WIDTH, HEIGHT = 300, 110  # of a drawing, in its own units
SPARE = 0.08  # share of the height that stays free above and below


@dataclass(frozen=True)
class Chart:
    """One figure over epochs; several series of it stand in one drawing."""

    title: str
    lower_is_better: bool
    series: Mapping[str, Sequence[float]]  # by its label, a value an epoch
    chosen: int | None = None  # epoch, from 0, whose model was kept


def write(destination: Path, title: str, charts: Sequence[Chart]) -> None:
    """Write the page."""
    with files.written(destination) as aside:
        aside.write_text(page(title, charts), encoding="utf-8")


def page(title: str, charts: Sequence[Chart]) -> str:
    """Render the page."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(title=title, charts=[_drawn(chart) for chart in charts], size=(WIDTH, HEIGHT))


def _drawn(chart: Chart) -> dict[str, Any]:
    """Lay a chart out."""
    values = [value for series in chart.series.values() for value in series]
    low, high = min(values), max(values)
    epochs = max(map(len, chart.series.values()))
    lines = [
        {"label": label, "points": points(series, low=low, high=high, epochs=epochs), "last": _shown(series[-1])}
        for label, series in chart.series.items()
    ]
    rows = [
        {"epoch": n + 1, "values": [_shown(series[n]) if n < len(series) else "" for series in chart.series.values()]}
        for n in range(epochs)
    ]
    better = "lower is better" if chart.lower_is_better else "higher is better"
    chosen = None if chart.chosen is None else chart.chosen + 1
    return {"title": chart.title, "better": better, "low": _shown(low), "high": _shown(high), "epochs": epochs} | {
        "lines": lines,
        "rows": rows,
        "chosen": chosen,
        "chosen_x": None if chosen is None else _x(chosen - 1, epochs),
    }


def points(series: Sequence[float], *, low: float, high: float, epochs: int) -> list[dict[str, Any]]:
    """Place a series in the drawing, large values above.

    >>> points([1.0, 3.0], low=1.0, high=3.0, epochs=2)
    [{'x': 0.0, 'y': 101.2, 'epoch': 1, 'value': '1'}, {'x': 300.0, 'y': 8.8, 'epoch': 2, 'value': '3'}]
    """
    spread = (high - low) or 1.0
    found = []
    for n, value in enumerate(series):
        share = 0.5 if high == low else (value - low) / spread
        y = HEIGHT * (1 - SPARE - share * (1 - 2 * SPARE))
        found.append({"x": _x(n, epochs), "y": round(y, 1), "epoch": n + 1, "value": _shown(value)})
    return found


def _x(epoch: int, epochs: int) -> float:
    return round(WIDTH * (epoch / (epochs - 1) if epochs > 1 else 0.5), 1)


def _shown(value: float) -> str:
    return f"{value:.4g}"
