"""Compare the last window with the training weeks outside the training pipeline: `intentflow monitor`, job `monitor`.

Both run the pipeline's own step and add the report to the workspace. The verb needs a finished run on this machine;
the job makes the rows anew from the source where there is none. Neither touches a release: the retraining pipeline
decides what follows from drift.
"""

from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.jobs import sources
from pipelines.leases.lease import Lease
from pipelines.releases.release import variables
from pipelines.runs import local


def monitor(place: Installation, lease: Lease) -> dict[str, Any]:
    """Do the job `monitor`: compare, keep the report, return the verdict."""
    with local.alone(place.home):
        last = local.last_run(place.home)
        rows = sources.rows(place) if last is None else last.folders["rows"]
        clean = sources.clean(place) if last is None else last.folders.get("clean")
    lease.require()
    found = check(place, rows=rows, clean=clean)
    told = ("verdict", "class", "reason", "share", "rows", "page")
    return {key: found[key] for key in told if key in found} | {"rows_of": rows.name}


def check(place: Installation, *, rows: Path | None = None, clean: Path | None = None) -> dict[str, Any]:
    """Compare the window with the training weeks, judge the newest period's signals, keep both, return the verdict.

    The rows and the clean tables are the last run's, unless others are given.
    """
    from components.registry import aliases
    from monitoring import announcement, notice, steps

    last = local.last_run(place.home)
    if rows is None and last is not None:
        rows, clean = last.folders["rows"], last.folders.get("clean")
    if rows is None:
        raise SpecError(f"{place.home}: no finished run to compare with; `intentflow run {place.spec_path}` makes one")
    if (notify := place.spec.monitoring.notify) is not None:
        notice.addressed(notify, place.outside)  # a name without a value is told now, not after the work
    folder = place.home / announcement.MONITORING
    with variables(place):
        champion = aliases.status(place.spec.name).holders.get("champion", "")
        steps.watch(
            place.spec.name,
            place.spec.monitoring.model_dump_json(),
            mode="auto",  # a check that was asked for is kept, whatever the spec lets a training run change
            release=champion,
            rows=str(rows),
            clean=str(clean or ""),
            tables=str(tables_of(last, clean) or ""),
            intent=str(champion_model(place, champion) or ""),
            verdict=str(folder / "verdict"),
            report=str(folder / "drift.html"),
            log_metric=lambda _name, _value: None,
        )
    found: dict[str, Any] = files.read_json(folder / "verdict" / "drift.json")
    return found | {"page": str(folder / "drift.html"), "today": str(folder / announcement.TODAY)}


def tables_of(last: local.Run | None, clean: Path | None) -> Path | None:
    """Return the source's own tables of the run that the clean ones are of."""
    if last is None or clean is None or last.folders.get("clean") != clean:
        return None
    return last.folders.get("tables")


def champion_model(place: Installation, champion: str) -> Path | None:
    """Return the champion's model folder, fetched where it is not here yet; None where nothing is champion."""
    from pipelines.releases import release as releases

    return releases.assembled(place, champion) / "intent" if champion else None
