"""The job `monitor`: drift, as `intentflow monitor` tells it; where there is no run here, on rows made anew.

The verdict goes where that verb's goes. A release is not touched: what follows from drift is the retraining pipeline's.
"""

from typing import Any

from pipelines.environment import Installation
from pipelines.jobs import sources
from pipelines.rollout.lease import Lease
from pipelines.runs import drift_check, local


def monitor(place: Installation, lease: Lease) -> dict[str, Any]:
    """Compare, keep the report, return the verdict."""
    with local.alone(place.home):
        last = local.last_run(place.home)
        rows = sources.rows(place) if last is None else last.folders["rows"]
    lease.require()
    found = drift_check.watch(place, rows=rows)
    return {key: found[key] for key in ("verdict", "share", "rows", "page") if key in found} | {"rows_of": rows.name}
