"""The job `audiences`: the users most likely to want an item or an offer, published whole into a dated folder.

`<home>/audiences/<day>` (UTC) holds the newest result of a day, `latest.json` names the newest of all, as of `score`.
The batch pipeline runs first, from its cache where nothing changed; components/ranking/audiences.py turns candidates
around. Users go by pseudonyms, and `forget` finds them here as in every file of the state folder.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Any

from feature_repo import files
from feature_repo.errors import SpecError
from pipelines.environment import Installation
from pipelines.jobs.score import LATEST, remove_old
from pipelines.leases.lease import Lease
from pipelines.releases import release as releases
from pipelines.runs import local

FOLDER = "audiences"


def audiences(place: Installation, lease: Lease) -> dict[str, Any]:
    """Find the audiences that the environment names, with the champion, and publish them."""
    from components.ranking import audiences as found_by

    said = place.environment.jobs.audiences
    if not said.of:
        raise SpecError(
            "jobs.audiences.of: names no audience; say which items in the environment, such as `{spring: [tea, cups]}`"
        )
    if not place.spec.models.ranking.audiences:
        raise SpecError("models.ranking.audiences: is false, so no probabilities are learnt; set it and run again")
    scored = local.run(place, lambda _line: None, pipeline="batch")
    release = releases.assembled(place, scored.release_version)
    target = place.home / FOLDER / dt.datetime.now(dt.UTC).date().isoformat()
    with files.written_folder(target) as aside:
        counts = found_by.write(
            scored.folders["rows"],
            scored.folders["intents"],
            release,
            aside,
            wanted=said.of,
            most=said.most,
            environment=os.environ,
        )
        lease.require()
    about = {"recommender": place.spec.name, "release_version": scored.release_version, "folder": target.name}
    files.write_json(place.home / FOLDER / LATEST, about)
    removed = remove_old(place.home / FOLDER, keep=said.keep)
    return {**counts, "release_version": scored.release_version, "folder": str(Path(target)), "removed": removed}
