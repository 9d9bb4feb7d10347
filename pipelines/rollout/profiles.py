"""The profiles of a release: write them to the online store before it serves, drop those that no release needs.

Rows of several vocabularies lie side by side (docs/online.md). Each vocabulary keeps its newest feature files in
`<home>/features/<digest>`, so that the rows can be written again after the run that made them is gone.
"""

from collections.abc import Collection
from pathlib import Path

from feature_repo import files, release_folder
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation
from pipelines.releases.release import models_of, variables
from pipelines.runs.local import RUNS


def materialise_release(place: Installation, release_id: str) -> str:
    """Bring the rows of the release's vocabulary up to date; return in words what was done. May be repeated."""
    from components.profiles.online import materialise

    vocabulary = _vocabulary(place, release_id)
    features = materialise.published(place.home, vocabulary)
    if not (features / "profiles.json").is_file():
        made = _of_runs(place, vocabulary)
        if made is not None:
            materialise.publish(made, features)
    if not (features / "profiles.json").is_file():
        raise DataError(
            f"{features}: release {release_id} has vocabulary {vocabulary}, whose feature files are not there; "
            "a run whose profiles have this vocabulary writes them: `intentflow run`"
        )
    with variables(place):
        done = materialise.run(place.spec.name, features, materialise.folding(features))
    return ", ".join(f"{count} rows {word}" for word, count in done.items())


def prune(place: Installation, keep: Collection[str]) -> list[str]:
    """Drop the rows and feature files of vocabularies that no release in `keep` (ids) uses; return which.

    A release that cannot be found raises before anything is dropped.
    """
    from components.profiles.online import materialise

    wanted = {_vocabulary(place, release) for release in keep}
    with variables(place):
        return materialise.prune(place.spec.name, place.home, wanted)


def _of_runs(place: Installation, vocabulary: str) -> Path | None:
    """Return the newest profiles with this vocabulary among the artifacts of runs on this machine."""
    found: dict[str, Path] = {}
    for path in (place.home / RUNS).glob("*/build-profiles/features/profiles.json"):
        about = files.read_json(path)
        if about["vocabulary"] == vocabulary:
            found[about["data_end"]] = path.parent
    return found[max(found)] if found else None


def _vocabulary(place: Installation, release_id: str) -> str:
    """Return the vocabulary of a release that was fetched from the registry before."""
    folder = models_of(place.home, release_id)
    if not release_folder.holds(folder):
        raise DataError(f"{folder}: release {release_id} was not fetched; prepare it first: `intentflow release`")
    return ReleaseFolder.read(folder).vocabulary
