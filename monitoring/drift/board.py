"""What Evidently's dashboard shows of a recommender: drift, quality, freshness and predictions of the last 90 days.

Data and arithmetic only; workspace.py keeps it. A point is what was known at one instant of the data's time: the
figures of a check, or the signals of a period. Every point has the limits too, so that a panel draws each as a level
line, and a panel has one unit. Signals of different sizes are shown as times their usual value, the median of the
periods before.
"""

import datetime as dt
import statistics
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_repo import files
from monitoring.spec import Monitoring

if TYPE_CHECKING:
    from monitoring.drift.compare import Drift
    from monitoring.drift.watch_record import PeriodValues

DAYS = 90  # shown
BEFORE, LEAST = 12, 3  # periods that make a usual value
LINES = 10  # in a panel, beside its limits
NAMESPACE = uuid.UUID("6d1f4a0e-6f3f-4d53-9a53-0d4c6a3b7c11")  # of the ids that our panels get


@dataclass(frozen=True)
class Point:
    """Figures at an instant of the data's time; a point of the same `of` takes the place of the one before."""

    of: str
    at: dt.datetime
    figures: Mapping[str, float]

    @property
    def key(self) -> str:
        """Return what makes it the same point."""
        return files.digest([self.of, self.at.isoformat(), dict(self.figures)])


@dataclass(frozen=True)
class Panel:
    """One chart: the figures whose names begin so, and level lines by name; a figure of one name has no tail."""

    title: str
    about: str
    prefixes: tuple[str, ...]
    limits: Mapping[str, float]

    def shown(self, figures: Iterable[str]) -> list[str]:
        """Return the figures that it draws, at most `LINES`."""
        mine = (
            name
            for name in figures
            if any(name == p or (p.endswith(".") and name.startswith(p)) for p in self.prefixes)
        )
        return sorted(set(mine))[:LINES]


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def sections(spec: Monitoring) -> tuple[Section, ...]:
    """Return the board. A line stands where a check would call a single period large."""
    volume, level = {"limit 0.65": 0.65, "limit 1.35": 1.35}, {"limit 0.5": 0.5, "limit 1.5": 1.5}
    psi, distance, share = (f"limit {value:g}" for value in (spec.psi, spec.distance, spec.share))
    return (
        Section(
            "Drift",
            (
                Panel("Number columns: PSI", "Against the training weeks.", ("psi.",), {psi: spec.psi}),
                Panel(
                    "Category columns: Jensen-Shannon distance", "Against the training weeks.", ("distance.",),
                    {distance: spec.distance},
                ),
                Panel(
                    "Share of columns that drifted", "From the line on the verdict is `drifted`.", ("drifted share",),
                    {share: spec.share},
                ),
            ),
        ),
        Section(
            "Quality",
            (
                Panel("Labels that came, of those predicted", "1 is as predicted.", ("labels.ratio.",),
                      {"limit 0.5": 0.5}),
                Panel("Realised quality", "On labels that came since, 0 to 1.", ("labels.realised.",), {}),
                Panel("Answers that were acted on", "Share of those whose time to act has passed.", ("rewards.rate",),
                      {}),
            ),
        ),
        Section(
            "Freshness",
            (
                Panel("Events, visits and users, times their usual", "The median of 12 periods before is 1.",
                      ("relative events.volume", "relative events.users", "relative events.sessions"), volume),
                Panel("Events that lack something", "Shares, 0 to 1.",
                      ("events.null.", "events.unknown_items", "events.repeats", "events.set_aside"),
                      {"limit 0.04": 0.04}),
                Panel("Age in days", "Of what was learned, at the newest period that was compared.",
                      ("age of training",), {}),
            ),
        ),
        Section(
            "Predictions",
            (
                Panel("Mean predictions, times their usual", "The median of 12 periods before is 1.",
                      ("relative scores.mean.", "relative served.mean.", "relative forecasts.mean."), level),
                Panel("Spread and number of predictions, times their usual", "Near 0: a model that stands still.",
                      ("relative scores.spread.", "relative scores.distinct.", "relative scores.distinct",
                       "relative forecasts.spread.", "relative forecasts.distinct"), level),
            ),
        ),
    )  # fmt: skip


def of_check(drift: "Drift", *, at: dt.datetime, learned: dt.datetime, spec: Monitoring) -> Point:
    """Return the point of a comparison: its columns' scores, the share that drifted, and how old the training is."""
    scores = {
        f"{'psi' if found.method == 'psi' else 'distance'}.{name}": found.score
        for name, found in drift.columns.items()
        if found.score is not None
    }
    more = {"drifted share": drift.share, "age of training": (at - learned).total_seconds() / 86400}
    return Point("check", at, scores | more | limits(spec))


def of_periods(history: Sequence["PeriodValues"], spec: Monitoring) -> list[Point]:
    """Return the points of the periods of the last `DAYS` days, the oldest first."""
    if not history:
        return []
    begins = [dt.datetime.fromisoformat(one.starts) for one in history]
    since = begins[-1] - dt.timedelta(days=DAYS)
    return [
        Point(
            f"period {at.astimezone(dt.UTC).isoformat()}",
            at,
            _figures(one, history[max(0, row - BEFORE) : row]) | limits(spec),
        )
        for row, (one, at) in enumerate(zip(history, begins, strict=True))
        if at > since
    ]


def limits(spec: Monitoring) -> dict[str, float]:
    """Return the level lines by name."""
    return {
        name: value for section in sections(spec) for panel in section.panels for name, value in panel.limits.items()
    }


def _figures(one: "PeriodValues", before: Sequence["PeriodValues"]) -> dict[str, float]:
    """Return a period's signals as they are, and as times their usual value where there is one."""
    found = {name: float(numbers[0]) for name, numbers in one.values.items()}
    times = {}
    for name, value in found.items():
        behind = [float(earlier.values[name][0]) for earlier in before if name in earlier.values]
        if len(behind) >= LEAST and (usual := statistics.median(behind)) > 0:
            times[f"relative {name}"] = round(value / usual, 6)
    return found | times


def drawn(names: Iterable[str], spec: Monitoring) -> set[str]:
    """Return those of the figures that some panel draws, and the limits: no others are kept."""
    names = set(names)
    return {
        name for section in sections(spec) for panel in section.panels for name in (*panel.shown(names), *panel.limits)
    }


def laid_out(names: Iterable[str], spec: Monitoring) -> list[Any]:
    """Return Evidently's panels: a heading a section, a chart for every panel that has some of the figures."""
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel, text_panel

    names, found = set(names), list[Any]()
    for section in sections(spec):
        charts = []
        for panel in section.panels:
            if shown := panel.shown(names):
                values = [
                    PanelMetric(legend=_legend(name, panel), metric="MeanValue", metric_labels={"column": name})
                    for name in (*shown, *panel.limits)
                ]
                charts.append(line_plot_panel(panel.title, values, description=panel.about, size="half"))
        if charts:
            found += [text_panel(section.title), *charts]
    return [panel.copy(update={"id": uuid.uuid5(NAMESPACE, panel.title)}) for panel in found]


def _legend(name: str, panel: Panel) -> str:
    """Shorten a figure's name by what the panel's title says already."""
    prefix = next((p for p in panel.prefixes if p.endswith(".") and name.startswith(p)), "")
    return name.removeprefix(prefix).removeprefix("relative ")


def snapshot(point: Point, names: Iterable[str], *, metadata: Mapping[str, str]) -> Any:
    """Return Evidently's run of a point: one row, whose columns are the figures."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import MeanValue

    kept = {name: [float(point.figures[name])] for name in sorted(names) if name in point.figures}
    frame = Dataset.from_pandas(pd.DataFrame(kept), data_definition=DataDefinition(numerical_columns=list(kept)))
    report = Report([MeanValue(column=name) for name in kept], metadata=dict(metadata))
    return report.run(frame, None, timestamp=point.at)
