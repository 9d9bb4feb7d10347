"""The job `digests`: mail and push texts for each segment of users, published whole into a dated folder.

`<home>/digests/<day>` (UTC) holds the newest result of a day, `latest.json` names the newest of all, as of `score`.
The batch pipeline runs first, from its cache where nothing changed; components/content/digests.py writes. Nobody is
sent anything: a mailer reads the file.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Any

from feature_repo import env_names, files
from feature_repo.errors import SpecError
from feature_repo.release_folder import RANKING
from pipelines.environment import Installation
from pipelines.jobs.score import LATEST, remove_old
from pipelines.leases.lease import Lease
from pipelines.releases import release as releases
from pipelines.runs import local

FOLDER = "digests"


def digests(place: Installation, lease: Lease) -> dict[str, Any]:
    """Write the digests of the champion's segments, and publish them."""
    from bentos.release import Release
    from components.content import digests as written_by

    said = place.environment.jobs.digests
    if place.spec.data.items_are_users:
        raise SpecError(
            "job: digests: items are users, and a text for a segment would tell many people of one; use /describe"
        )
    model = _model(place)  # first: a mistake in the environment is said before anything is scored
    scored = local.run(place, lambda _line: None, pipeline="batch")
    release = Release.verified(releases.assembled(place, scored.release_version))
    at = _of_release(release)
    found = written_by.segments(
        scored.folders["rows"], scored.folders["recommendations"], at, items=said.items, least_users=said.least_users
    )
    target = place.home / FOLDER / dt.datetime.now(dt.UTC).date().isoformat()
    with files.written_folder(target) as aside:
        writer = None if model is None or release.prompts is None else _writer(place, release, *model)
        counts = written_by.write(found, at, aside, channels=said.channels, language=said.language, model=writer)
        lease.require()
    about = {"recommender": place.spec.name, "release_version": scored.release_version, "folder": target.name}
    files.write_json(place.home / FOLDER / LATEST, about)
    removed = remove_old(place.home / FOLDER, keep=said.keep)
    return {**counts, "release_version": scored.release_version, "folder": str(Path(target)), "removed": removed}


def _model(place: Installation) -> tuple[Any, str] | None:
    """Return the endpoint that the environment names and its key; the small model of `up` where that runs."""
    from pipelines.releases import words

    return words.endpoint(place)


def _writer(place: Installation, release: Any, endpoint: Any, key: str) -> Any:
    """Return the release's writer, under the budget and with the cache of this state folder."""
    from components.content.llm.client import Client
    from components.content.llm.store import Store
    from components.content.llm.writer import ModelWriter

    assert release.content.model is not None
    return ModelWriter(Client(endpoint, key), release.content.model, release.prompts, Store(place.home))


def _of_release(release: Any) -> Any:
    """Return what of a release texts are made from, with the items as the document log has them now."""
    from components.content.digests import Release
    from feature_repo.documents.log import Snapshot
    from feature_repo.documents.opened import document_log_if_any
    from feature_repo.fallback import Fallback
    from feature_repo.live_items import LiveItems, of_log
    from feature_repo.vocabulary import Vocabulary

    folder = release.folder / RANKING
    words = Vocabulary.load(folder / "vocabulary")
    documents = document_log_if_any(release.name) if os.environ.get(env_names.FEAST) else None
    live = LiveItems(words, frozenset(), {})
    if documents is not None:
        live = of_log(words, documents.refreshed(Snapshot()), under=release.key)
    return Release(
        id=release.id,
        vocabulary=live.vocabulary,
        hidden=live.hidden,
        fallback=Fallback.load(folder),
        content=release.content,
        verb=release.verb,
        step=release.calendar.step,
    )
