"""Watch for drift outside the training pipeline: the same step, on the rows of the last run."""

from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.releases.release import variables
from pipelines.runs import local


def watch(place: Installation, *, rows: Path | None = None) -> dict[str, Any]:
    """Compare the last window with the training weeks, add the report to the workspace, return the verdict.

    The rows are the last run's, unless others are given.
    """
    from components.registry import aliases
    from monitoring import steps

    last = local.last_run(place.home)
    if rows is None and last is not None:
        rows = last.folders["rows"]
    if rows is None:
        raise SpecError(f"{place.home}: no finished run to compare with; `intentflow run {place.spec_path}` makes one")
    folder = place.home / "monitoring"
    with variables(place):
        champion = aliases.status(place.spec.name).holders.get("champion", "")
        steps.watch(
            place.spec.name,
            place.spec.monitoring.model_dump_json(),
            release=champion,
            rows=str(rows),
            verdict=str(folder / "verdict"),
            report=str(folder / "drift.html"),
            log_metric=lambda _name, _value: None,
        )
    found: dict[str, Any] = files.read_json(folder / "verdict" / "drift.json")
    return found | {"page": str(folder / "drift.html")}
