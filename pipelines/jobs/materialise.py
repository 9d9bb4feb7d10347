"""The job `materialise`: write the newest profiles from the source to the online store, for each vocabulary in use.

A vocabulary is in use by a release with an alias, or by one that is named. Clean tables are made once, then each
vocabulary's rows from them, with the release's own vocabulary and segments. The store is written only where a row
changed (components/profiles/online/materialise.py). Rows of unused vocabularies stay: the rollout's `prune` drops them.
"""

import dataclasses
import datetime as dt
import functools
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo import files
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.graphs import code_digests
from pipelines.jobs import sources
from pipelines.leases.lease import JOBS, Lease
from pipelines.releases import release as releases
from pipelines.runs import local

if TYPE_CHECKING:
    from feature_repo.documents.log import DocumentLog

LATER = "later_people.json"  # below the job's folder: what the log's documents of people were made from
SOURCE = "source.json"  # beside the feature files of a vocabulary: what they were made from


def materialise(place: Installation, lease: Lease) -> dict[str, Any]:
    """Bring every vocabulary in use up to date."""
    from components.registry import rollout_tags as registry

    in_use = registry.aliased(place.spec.name)
    with local.alone(place.home):
        folders = [releases.assembled(place, version) for version in in_use]
        counts = brought(place, folders, lease)
        if most := place.environment.jobs.materialise.later_items:
            lease.require()
            counts |= _later(place, folders, most)
        if place.spec.vectors is not None:
            lease.require()
            counts |= _vectors(place, folders)
        return counts


def _vectors(place: Installation, folders: list[Path]) -> dict[str, int]:
    """Bring the vectors of items that came later, or whose texts changed, into the document log."""
    from components.vectors.build import Work
    from feature_repo.documents.opened import document_log
    from pipelines.jobs import item_vectors

    rankers = [ReleaseFolder.read(folder).ranking for folder in folders]
    work = Work(place.spec_path.absolute().parent, place.home, time.monotonic)
    return item_vectors.bring(document_log(place.spec.name), rankers, work, at=dt.datetime.now(dt.UTC))


def _later(place: Installation, folders: list[Path], most: int) -> dict[str, int]:
    """Put items, or people, that came after training into the document log."""
    from feature_repo.documents.opened import document_log
    from feature_repo.vocabulary import Vocabulary
    from pipelines.jobs import later_items

    log, now = document_log(place.spec.name), dt.datetime.now(dt.UTC)
    if place.spec.data.items_are_users:
        return _later_people(place, [ReleaseFolder.read(folder) for folder in folders], log, most, now)
    words = [Vocabulary.load(ReleaseFolder.read(folder).ranking / "vocabulary") for folder in folders]
    return {"later_items": later_items.bring(log, words, sources.clean(place), most=most, at=now)}


def _later_people(
    place: Installation, releases: list[ReleaseFolder], log: "DocumentLog", most: int, now: dt.datetime
) -> dict[str, int]:
    """Do so for people, unless source, releases and log are as the last such run left them: rows are made for it."""
    from feature_repo.online import erase
    from pipelines.jobs import later_people

    if not releases:
        return {"later_people": 0, "later_people_left_out": 0, "later_people_waiting": 0}
    forgotten = functools.partial(erase.forgotten_among, place.spec.name)
    scratch = place.home / JOBS / "materialise"
    scratch.mkdir(parents=True, exist_ok=True)
    words = [sources.state(place), *(one.id for one in releases), most, code_digests.step_digest("profiles")]
    noted = {"made_from": files.digest(words), "log": dataclasses.asdict(log.head())}
    if (
        not forgotten(log.people())
        and (scratch / LATER).is_file()
        and (before := files.read_json(scratch / LATER))["of"] == noted
    ):
        return {"later_people": 0, "later_people_left_out": int(before["left_out"]), "later_people_waiting": 0}
    asked = {
        "split": files.canonical(place.spec.split_slice()),
        "vocabulary": files.canonical(place.spec.vocabulary_rule()),
    }
    clean = sources.clean(place)
    counts = later_people.bring(log, releases, clean, asked, most=most, at=now, scratch=scratch, forgotten=forgotten)
    if counts["later_people_waiting"]:  # the next run goes on, whatever has changed
        (scratch / LATER).unlink(missing_ok=True)
        return counts
    of = noted | {"log": dataclasses.asdict(log.head())}
    files.write_json(scratch / LATER, {"of": of, "left_out": counts["later_people_left_out"]})
    return counts


def of_version(place: Installation, version: str, lease: Lease) -> dict[str, Any]:
    """Bring the rows of one version's vocabulary up to date, before it serves."""
    with local.alone(place.home):
        return brought(place, [releases.assembled(place, version)], lease)


def brought(place: Installation, folders: list[Path], lease: Lease) -> dict[str, Any]:
    """Bring in the rows of some releases' vocabularies, each vocabulary once; return counts."""
    from components.profiles.online import materialise as store

    by_vocabulary = {released.vocabulary: released for released in map(ReleaseFolder.read, folders)}
    counts: dict[str, Any] = {"vocabularies": len(by_vocabulary), "built": 0}
    source = sources.state(place)  # once: it looks at every file of the source
    for vocabulary, released in sorted(by_vocabulary.items()):
        features = store.published(place.home, vocabulary)
        if _made_from(features) != (made_from := _wanted(source, released)):
            lease.require()
            _build(place, released, features)
            files.write_json(features / SOURCE, {"made_from": made_from})
            counts["built"] += 1
        lease.require()
        for word, count in store.run(place.spec.name, features, store.folding(features)).items():
            counts[word] = counts.get(word, 0) + count
    return counts


def _wanted(source: str, released: ReleaseFolder) -> str:
    """Digest what a vocabulary's rows come from."""
    return files.digest([source, released.vocabulary, released.segments, code_digests.step_digest("profiles")])


def _made_from(features: Path) -> str:
    path = features / SOURCE
    return str(files.read_json(path)["made_from"]) if path.is_file() else ""


def _build(place: Installation, released: ReleaseFolder, features: Path) -> None:
    """Write a vocabulary's feature files from the source as it is now."""
    from components.profiles.online import materialise as store
    from components.profiles.steps import run_profiles

    asked = place.spec.split_slice()
    made = place.home / JOBS / "materialise" / "profiles"
    run_profiles(
        files.canonical(released.slices["profiles"]),
        files.canonical(asked),
        files.canonical(place.spec.vocabulary_rule()),
        clean=sources.clean(place),
        destination=made,
        fitted=released.ranking,
        training=False,
    )
    store.publish(made, features)
    shutil.rmtree(made)
