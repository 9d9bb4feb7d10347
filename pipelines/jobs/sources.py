"""The source as it is now, through the pipeline's own first steps: clean tables, and the rows that drift compares.

A job in a fresh pod has no run of the training pipeline. It makes what it needs from the source, in a folder named
after everything that determines the result, so that it is made once; older folders are deleted. Nothing is trained.
"""

import shutil
from pathlib import Path
from typing import Any

from feature_repo import files
from pipelines.environment import Installation
from pipelines.graphs import parameters
from pipelines.leases.lease import JOBS

SOURCES = "sources"
CLEAN = ("reading", "data", "source", "data_code")
ROWS = (*CLEAN, "profiles", "split", "vocabulary", "ranking_rows", "profiles_code")


def state(place: Installation) -> str:
    """Digest what clean tables come from: the source, who is left out, and the code that reads it."""
    return _digest(parameters.run_parameters(place), CLEAN)


def clean(place: Installation) -> Path:
    """Return the clean tables of the source as it is now; raises what ingest and the contract raise."""
    return _clean(place, parameters.run_parameters(place))


def _clean(place: Installation, asked: dict[str, Any]) -> Path:
    from components.data import steps

    folder = _folder(place) / f"clean-{_digest(asked, CLEAN)}"
    if not folder.is_dir():
        scratch = _folder(place) / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "clean").parent.mkdir(parents=True)
        steps.run_ingest(asked["reading"], str(scratch / "tables"))
        steps.run_validate(
            asked["data"],
            str(scratch / "tables"),
            clean=str(scratch / "clean"),
            report=str(scratch / "contract.html"),
            log_metric=lambda _name, _value: None,
        )
        (scratch / "clean").rename(folder)
        shutil.rmtree(scratch)
    _only(folder)
    return folder


def rows(place: Installation) -> Path:
    """Return training's rows of the source as it is now: what drift compares."""
    from components.profiles import steps

    asked = parameters.run_parameters(place)
    folder = _folder(place) / f"rows-{_digest(asked, ROWS)}"
    if not folder.is_dir():
        tables, profiles = _clean(place, asked), _folder(place) / "profiles"
        steps.run_profiles(asked["profiles"], asked["split"], asked["vocabulary"], clean=tables, destination=profiles)
        steps.run_training_set(
            asked["split"], asked["ranking_rows"], clean=tables, profiles=profiles, destination=folder
        )
        shutil.rmtree(profiles)
    _only(folder)
    return folder


def _folder(place: Installation) -> Path:
    return place.home / JOBS / SOURCES


def _digest(asked: dict[str, Any], names: tuple[str, ...]) -> str:
    return files.digest({name: asked[name] for name in names})


def _only(folder: Path) -> None:
    """Remove what earlier states of the source left."""
    kind = folder.name.partition("-")[0]
    for old in folder.parent.glob(f"{kind}-*"):
        if old != folder:
            shutil.rmtree(old)
