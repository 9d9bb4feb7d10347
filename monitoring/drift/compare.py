"""Compare a current window of user-weeks with a reference window: a score a column, and one verdict.

The scores come from an Evidently report with the method and threshold of every column fixed here: Evidently's own
default changes its method at 1,000 reference rows, and with it what a score means. The verdict is our rule over the
report's statuses. Which rows make a window is decided in `window.py`; where reports are kept, in `workspace.py`.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from monitoring.drift.permutation import floor
from monitoring.drift.statistics import Statistic, is_number, statistic_of
from monitoring.spec import Monitoring

LOST = 0.5  # share of its values past which a column that lacks them is a broken feed, whatever those left say
Verdict = Literal["stable", "drifted", "no_data"]


@dataclass(frozen=True)
class Column:
    """What became of one column. `noise` is the score that chance alone reaches at these row counts."""

    score: float | None  # None: one side has no values
    method: str
    threshold: float
    noise: float | None
    drifted: bool
    lost: float = 0.0  # share of its values that are null now and were not


@dataclass(frozen=True)
class Drift:
    """A verdict with its reasons. `snapshot` is Evidently's run; there is none without data."""

    verdict: Verdict
    reason: str
    share: float  # drifted columns / compared columns
    columns: dict[str, Column]
    rows: dict[str, int]  # compared: {"reference": …, "current": …}
    snapshot: Any = None

    @property
    def drifted(self) -> list[str]:
        """Name the drifted columns, worst first."""
        names = [name for name, column in self.columns.items() if column.drifted]
        return sorted(names, key=lambda name: -_times_over(self.columns[name]))

    def document(self) -> dict[str, Any]:
        """Return what drift.json says of it."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "share": self.share,
            "drifted": self.drifted,
            "columns": {name: asdict(column) for name, column in self.columns.items()},
        }


def compare(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    spec: Monitoring,
    at: dt.datetime | None = None,
    metadata: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Drift:
    """Compare two frames, column by column: floats as numbers, everything else as categories."""
    current, reference = (_sampled(frame, spec.sample, seed=seed) for frame in (current, reference))
    rows = {"reference": len(reference), "current": len(current)}
    if short := [side for side, count in rows.items() if count < spec.min_rows]:
        reason = f"{rows[short[0]]} rows in the {short[0]} window, fewer than {spec.min_rows} (monitoring.min_rows)"
        return Drift("no_data", reason, 0.0, {}, rows)
    plan = {
        str(c): statistic_of(reference[c]) for c in reference.columns if c in current and reference[c].notna().any()
    }
    gone = [c for c in plan if current[c].isna().all()]
    full = [c for c in plan if c not in gone and pd.concat([reference[c], current[c]]).nunique() > 1]
    if not full:
        return Drift("no_data", "no column has values in both windows", 0.0, {}, rows)
    snapshot = _report(current, reference, plan={c: plan[c] for c in full}, spec=spec, at=at, metadata=metadata)
    scores, failed = _read(snapshot)
    columns = {}
    for column in full:
        used = plan[column]
        now, then = (frame[column].dropna() for frame in (current, reference))
        noise = floor(now, then, number=used.number, score=used.score)
        lost = _lost(current[column], reference[column])
        drifted = lost >= LOST or (column in failed and scores[column] > noise)
        columns[column] = Column(scores[column], used.name, used.threshold(spec), noise, drifted, lost)
    for column in gone:  # values that were there and are not any more: Evidently would only drop the column
        columns[column] = Column(None, plan[column].name, plan[column].threshold(spec), None, True, 1.0)
    return _judged(columns, rows, spec=spec, snapshot=snapshot)


def _lost(now: pd.Series, then: pd.Series) -> float:
    """Return the share of a column's values that are null now and were not."""
    had = float(then.notna().mean())
    return round(max(0.0, 1 - float(now.notna().mean()) / had), 4) if had else 0.0


def _judged(columns: dict[str, Column], rows: dict[str, int], *, spec: Monitoring, snapshot: Any) -> Drift:
    """Turn the columns' statuses into the verdict: drifted when `share` of them did, or one lost most of its values."""
    share = round(sum(column.drifted for column in columns.values()) / len(columns), 4)
    broken = any(column.lost >= LOST for column in columns.values())
    verdict: Verdict = "drifted" if share >= spec.share or broken else "stable"
    drift = Drift(verdict, "", share, columns, rows, snapshot)
    counted = f"{len(drift.drifted)} of {len(columns)} columns drifted"
    named = [_named(name, columns[name]) for name in drift.drifted[:3]]
    if not named:
        worst = max(columns, key=lambda name: _times_over(columns[name]))
        named = [f"nearest to it {_named(worst, columns[worst])}"]
    reason = f"{counted} (a verdict needs a share of {spec.share:g}): {', '.join(named)}"
    return Drift(verdict, reason, share, columns, rows, snapshot)


def _named(name: str, column: Column) -> str:
    if column.score is None:
        return f"{name} has no values any more"
    if column.lost >= LOST:
        return f"{name} lost {column.lost * 100:.0f} % of its values"
    return f"{name} {column.method} {column.score:.3f} of {column.threshold:g}"


def _times_over(column: Column) -> float:
    return math.inf if column.score is None or column.lost >= LOST else column.score / column.threshold


def _sampled(frame: pd.DataFrame, rows: int, *, seed: int) -> pd.DataFrame:
    """Take at most `rows` rows, the same ones each time, in their order, with types that Evidently tells apart."""
    if len(frame) > rows:
        frame = frame.iloc[np.sort(np.random.default_rng(seed).choice(len(frame), rows, replace=False))]
    numbers = {c: frame[c] for c in frame.columns if is_number(frame[c])}
    # Evidently leaves infinite values out of scores without a word, but its histograms fail on them. They also fail
    # on values that differ in the last bits, as equal ratios of differing amounts do; single precision ends that.
    exact = {c: values.astype(np.float32).astype(np.float64) for c, values in numbers.items()}
    frame = frame.assign(**{c: values.replace([np.inf, -np.inf], np.nan) for c, values in exact.items()})
    return frame.reset_index(drop=True)


def _report(
    current: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    plan: Mapping[str, Statistic],
    spec: Monitoring,
    at: dt.datetime | None,
    metadata: Mapping[str, str] | None,
) -> Any:
    """Run Evidently over the planned columns and return its snapshot."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[c for c, used in plan.items() if used.number],
        categorical_columns=[c for c, used in plan.items() if not used.number],
    )
    preset = DataDriftPreset(
        columns=list(plan),
        drift_share=spec.share,
        per_column_method={c: used.name for c, used in plan.items()},
        per_column_threshold={c: used.threshold(spec) for c, used in plan.items()},
    )
    report = Report([preset], include_tests=True, metadata=dict(metadata or {}))
    now, then = (Dataset.from_pandas(frame[list(plan)], data_definition=definition) for frame in (current, reference))
    with np.errstate(invalid="ignore", divide="ignore"):  # correlations of constant columns, which we do not read
        return report.run(now, then, timestamp=at)


def _read(snapshot: Any) -> tuple[dict[str, float], set[str]]:
    """Return a snapshot's score by column, and the columns whose drift test failed."""
    answer = snapshot.dict()
    drifts = [m for m in answer["metrics"] if m["config"]["type"].endswith(":ValueDrift")]
    params = [(t["metric_config"]["params"], t["status"].value) for t in answer["tests"]]
    failed = {p["column"] for p, status in params if p["type"].endswith(":ValueDrift") and status == "FAIL"}
    return {m["config"]["column"]: float(m["value"]) for m in drifts}, failed
