"""The job `score`: run the batch scoring pipeline, publish its results whole into a dated folder.

`<home>/scores/<day>` (UTC) holds the newest result of a day, `latest.json` names the newest of all. A reader sees a
folder as it was or as it is, never half of it; `jobs.score.keep` bounds how many days stay. The scoring itself is
pipelines/graphs/batch.py.
"""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

from feature_repo import files
from pipelines.environment import Installation
from pipelines.leases.lease import Lease
from pipelines.runs import local

FOLDER = "scores"
LATEST = "latest.json"
ABOUT = "scores.json"


def score(place: Installation, lease: Lease) -> dict[str, Any]:
    """Score every user with the champion, and publish."""
    found = local.run(place, lambda _line: None, pipeline="batch")
    lease.require()
    folder = publish(place, {name: found.folders[name] for name in local.SCORED}, version=found.release_version)
    removed = remove_old(place.home / FOLDER, keep=place.environment.jobs.score.keep)
    return {"release_version": found.release_version, "folder": str(folder), "removed": removed}


def publish(place: Installation, folders: dict[str, Path], *, version: str, now: dt.datetime | None = None) -> Path:
    """Copy results into the day's folder; it takes the place of an earlier one of that day when it is whole."""
    at = now or dt.datetime.now(dt.UTC)
    target = place.home / FOLDER / at.date().isoformat()
    with files.written_folder(target) as aside:
        for source in folders.values():
            for path in sorted(source.iterdir()):
                shutil.copyfile(path, aside / path.name)
        about = {"recommender": place.spec.name, "release_version": version, "at": at.isoformat(timespec="seconds")}
        files.write_json(aside / ABOUT, about)
    files.write_json(place.home / FOLDER / LATEST, about | {"folder": target.name})
    return target


def remove_old(folder: Path, *, keep: int) -> int:
    """Remove the oldest days beyond `keep`, and what killed writers left aside; return how many days."""
    for aside in folder.glob(".*.part"):
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    days = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for old in days[:-keep]:
        gone = old.with_name(f".{old.name}.part")  # a reader finds it whole or not at all
        old.rename(gone)
        shutil.rmtree(gone)
    return len(days[:-keep])
