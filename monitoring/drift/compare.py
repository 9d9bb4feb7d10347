"""Compare a current window of user-weeks with a reference window: a score a column, and one verdict.

The scores come from an Evidently report with the method and threshold of every column fixed here: Evidently's own
default changes its method at 1,000 reference rows, and with it what a score means. The verdict is our rule over the
columns' own verdicts (`column.py`). Which rows make a window is decided in `window.py`; where reports are kept, in
`workspace.py`.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from components import verdicts
from components.verdicts import Least, Sample
from feature_repo import columns as names
from monitoring.drift.column import Column, judge
from monitoring.drift.resampled import Draws
from monitoring.drift.statistics import Statistic, is_number, statistic_of
from monitoring.drift_verdicts import DRIFTED, LOST, STABLE, UNDECIDED, WORDS, Verdict
from monitoring.spec import Monitoring


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
        found = [name for name, column in self.columns.items() if column.drifted]
        return sorted(found, key=lambda name: -self.columns[name].times_over)

    @property
    def lost(self) -> list[str]:
        """Name the columns that lost their values."""
        return [name for name in self.drifted if self.columns[name].broken]

    def document(self) -> dict[str, Any]:
        """Return what drift.json says of it."""
        return {
            "verdict": self.verdict,
            "word": WORDS[self.verdict],
            "reason": self.reason,
            "share": self.share,
            "drifted": self.drifted,
            "lost": self.lost,
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
    windows, least = {"reference": reference, "current": current}, least_of(spec)
    rows, users = {side: len(frame) for side, frame in windows.items()}, {s: _users(f, s) for s, f in windows.items()}
    for side in ("current", "reference"):
        if why := verdicts.too_little(Sample(None, None, rows[side], len(np.unique(users[side]))), least):
            said = f"the {side} window is too small: {why} (monitoring.min_rows, monitoring.min_users)"
            return Drift(UNDECIDED, said, 0.0, {}, rows)
    current, reference = (frame.reset_index(drop=True) for frame in (current, reference))
    plan = {
        str(c): statistic_of(reference[c]) for c in reference.columns if c in current and reference[c].notna().any()
    }
    gone = [c for c in plan if current[c].isna().all()]
    full = [c for c in plan if c not in gone and pd.concat([reference[c], current[c]]).nunique() > 1]
    if not full and not gone:
        return Drift(UNDECIDED, "no column has values in both windows", 0.0, {}, rows)
    snapshot, scores = None, {}
    if full:
        snapshot = _report(current, reference, plan={c: plan[c] for c in full}, spec=spec, at=at, metadata=metadata)
        scores = _read(snapshot)
    draws = Draws.of(users["current"], users["reference"])
    columns = {
        c: judge(
            *(current[c], reference[c], scores.get(c)),
            used=plan[c],
            threshold=plan[c].threshold(spec),
            draws=draws,
            least=least,
        )
        for c in (*full, *gone)
    }
    return _judged(columns, rows, spec=spec, snapshot=snapshot)


def least_of(spec: Monitoring) -> Least:
    """Return the fewest rows and users that a verdict of drift may rest on."""
    return Least(spec.min_rows, spec.min_users)


def _users(frame: pd.DataFrame, side: str) -> np.ndarray:
    """Return each row's user; where a frame names none each row is of another."""
    if names.USER_ID in frame.index.names:
        return frame.index.get_level_values(names.USER_ID).to_numpy()
    return np.array([f"{side} {row}" for row in range(len(frame))], dtype=object)


def _judged(columns: dict[str, Column], rows: dict[str, int], *, spec: Monitoring, snapshot: Any) -> Drift:
    """Turn the columns' verdicts into one: `lost` where one lost its values, else by the share that drifted.

    It is undecided where the columns that nobody can tell of would make the share.
    """
    share = round(sum(column.drifted for column in columns.values()) / len(columns), 4)
    open_ = [name for name, column in columns.items() if column.word == verdicts.UNDECIDED]
    drift = Drift(STABLE, "", share, columns, rows, snapshot)
    if drift.lost:
        verdict: Verdict = LOST
    elif share >= spec.share:
        verdict = DRIFTED
    else:
        verdict = UNDECIDED if share + len(open_) / len(columns) >= spec.share else STABLE
    return replace(drift, verdict=verdict, reason=_reason(drift, open_, spec=spec))


def _reason(drift: Drift, open_: list[str], *, spec: Monitoring) -> str:
    """Say how many columns drifted, how many nobody can tell of, and which went furthest."""
    columns = drift.columns
    counted = f"{len(drift.drifted)} of {len(columns)} columns drifted (a verdict needs a share of {spec.share:g})"
    said = [", ".join(columns[name].told(name) for name in drift.drifted[:3])] if drift.drifted else []
    worst = max(columns, key=lambda name: columns[name].times_over)
    if open_:
        first = max(open_, key=lambda name: columns[name].times_over)
        said.append(f"{len(open_)} undecided: {columns[first].told(first)}")
    elif not said:
        said.append(f"nearest to it {columns[worst].told(worst)}")
    return f"{counted}: {'; '.join(said)}"


def _sampled(frame: pd.DataFrame, rows: int, *, seed: int) -> pd.DataFrame:
    """Take at most `rows` rows, the same ones each time, in their order, with types that Evidently tells apart."""
    if len(frame) > rows:
        frame = frame.iloc[np.sort(np.random.default_rng(seed).choice(len(frame), rows, replace=False))]
    numbers = {c: frame[c] for c in frame.columns if is_number(frame[c])}
    # Evidently leaves infinite values out of scores without a word, but its histograms fail on them. They also fail
    # on values that differ in the last bits, as equal ratios of differing amounts do; single precision ends that.
    exact = {c: values.astype(np.float32).astype(np.float64) for c, values in numbers.items()}
    frame = frame.assign(**{c: values.replace([np.inf, -np.inf], np.nan) for c, values in exact.items()})
    return frame


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


def _read(snapshot: Any) -> dict[str, float]:
    """Return a snapshot's score by column."""
    drifts = [m for m in snapshot.dict()["metrics"] if m["config"]["type"].endswith(":ValueDrift")]
    return {m["config"]["column"]: float(m["value"]) for m in drifts}
