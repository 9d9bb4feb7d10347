"""What Evidently says with its own defaults of the same periods: the peer of a calibration.

Each period is compared with the twelve before it, events and rows each as one data set, with no setting at all. It
calls where a column drifted; `two_of_five` where the same column drifted in two of the last five periods.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from components.volumes import REFERENCE
from feature_repo import columns
from monitoring.drift.observed import Observed
from monitoring.drift.plants import PLANTS

ROWS = 1500  # of each side: past 1,000 its defaults are distances, below that tests
WINDOWS = 2  # the shortest: lifetime totals and long windows grow by themselves, which is nobody's fault
OF, TIMES = 5, 2
PLANTED = 2  # onsets


def compared(
    observed: Mapping[int, Observed], ordinary: Sequence[int], onsets: Sequence[int], *, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return how often Evidently calls in ordinary periods, and in which window it first names a column of a plant."""
    say("asking Evidently, with its defaults")
    frames = {row: _frames(of) for row, of in observed.items()}
    drifted = {row: _drifted(frames, row, frames[row]) for row in sorted(frames) if row >= REFERENCE}
    lasting = [row for row in ordinary if _twice(drifted, row)]
    some = [onsets[place] for place in sorted({0, len(onsets) // 2})][:PLANTED] if onsets else []
    power = {}
    for plant in PLANTS:
        noticed = []
        for row in some:
            changed = plant.change(observed[row], np.random.default_rng(row))
            if changed is None:
                break
            noticed.append(bool(_drifted(frames, row, _frames(changed)) - drifted[row]))
        else:
            power[plant.name] = 1 if noticed and all(noticed) else None
    calls = [row for row in ordinary if drifted.get(row)]
    return {"windows": len(ordinary), "false_alarms": len(calls), "two_of_five": len(lasting), "power": power}


def _frames(of: Observed) -> dict[str, pd.DataFrame]:
    """Return a period's events and rows as people hand them to Evidently, a sample of each."""
    events = pd.DataFrame(
        {name: of.events[name].to_numpy() for name in ("value", "quantity", "discount")}
        | {"hour": of.events["local_s"].to_numpy() // 3600 % 24}
    )
    if of.frame is None:
        return {"events": _sampled(events)}
    names = [str(name) for name in of.frame]
    windows = sorted({window[1] for name in names if (window := columns.window_of(name))})[:WINDOWS]
    kept = [name for name in names if (window := columns.window_of(name)) and window[1] in windows]
    return {"events": _sampled(events), "rows": _sampled(of.frame[kept])}


def _sampled(frame: pd.DataFrame) -> pd.DataFrame:
    chosen = np.random.default_rng(0).permutation(len(frame))[:ROWS]
    return frame.iloc[np.sort(chosen)].reset_index(drop=True)


def _drifted(frames: Mapping[int, dict[str, pd.DataFrame]], row: int, now: dict[str, pd.DataFrame]) -> set[str]:
    """Name the columns that drifted of a period against those before it."""
    found: set[str] = set()
    for part, current in now.items():
        before = [frames[r][part] for r in range(max(row - REFERENCE, 0), row) if r in frames and part in frames[r]]
        if before and len(current):
            found |= {f"{part}.{column}" for column in _report(current, _sampled(pd.concat(before)))}
    return found


def _report(current: pd.DataFrame, reference: pd.DataFrame) -> list[str]:
    """Name the columns whose test fails, by the method and the threshold that Evidently chooses itself."""
    from evidently import Dataset, Report
    from evidently.metrics import ValueDrift

    held = [c for c in reference if reference[c].notna().any() and current[c].notna().any()]
    lost = [c for c in reference if reference[c].notna().any() and not current[c].notna().any()]
    report = Report([ValueDrift(column=column) for column in held], include_tests=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        run = report.run(Dataset.from_pandas(current[held]), Dataset.from_pandas(reference[held]))
    failed = [test for test in run.dict()["tests"] if test["status"].value == "FAIL"]
    return lost + [test["metric_config"]["params"]["column"] for test in failed]


def _twice(drifted: Mapping[int, set[str]], row: int) -> bool:
    lately = [drifted.get(r, set()) for r in range(row - OF + 1, row + 1)]
    return any(sum(column in one for one in lately) >= TIMES for column in drifted.get(row, set()))
