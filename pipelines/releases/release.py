"""From the champion to what serves it: the release folder, its Bento, its Kubernetes overlay."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_repo import files, release_folder
from feature_repo.errors import DataError
from feature_repo.release_folder import ReleaseFolder
from pipelines.environment import Installation, exported

RELEASES = "releases"  # below the state folder, one folder an id
MATCHED = (  # what a release fixes: two releases with the same values are one
    *("intent", "ranking", "feature_services", "policy", "prompt", "vocabulary", "segments"),
    *("data", "spec", "lock", "git", "judged"),
)


@dataclass(frozen=True)
class ReleasedFiles:
    """A release on this machine."""

    id: str
    version: str
    folder: Path  # release.json, intent/, ranking/
    bento: str  # tag in the state folder's Bento store
    manifests: Path
    checked: bool  # whether the manifests were held to the rules: not without kubectl, nor twice

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "id": self.id,
            "version": self.version,
            "folder": str(self.folder),
            "bento": self.bento,
            "manifests": str(self.manifests),
            "checked": self.checked,
            "set": self.matched,
        }

    @property
    def matched(self) -> dict[str, Any]:
        """Return the matched set by digest or version, as release.json has it."""
        document = ReleaseFolder.read(self.folder).document
        return {key: document[key] for key in MATCHED if key in document}

    def text(self) -> str:
        """Return it as a person reads it."""
        lines = [f"release    {self.id} (version {self.version})"]
        lines += [f"  {key:<16} {_shown(value)}" for key, value in self.matched.items()]
        return "\n".join([*lines, f"bento      {self.bento}", f"manifests  kubectl apply -k {self.manifests}"])


def release(
    place: Installation, which: str = "champion", *, overlay: str | None = None, check: bool = False
) -> ReleasedFiles:
    """Fetch a version (a number or an alias) from the registry, build its Bento and write its manifests.

    Manifests that are new are held to the rules, and with `check` those that were there too.
    """
    from pipelines.manifests import release_overlay

    version = resolved(place, which)
    folder, tag = built(place, version)
    released = ReleaseFolder.read(folder)
    target = place.home / RELEASES / released.id / "k8s"
    before = {path: path.read_bytes() for path in target.glob("*")}
    written = release_overlay.write(
        released.document,
        target,
        version=version,
        overlay=overlay or place.environment.kubernetes.overlay,
        rollout=place.spec.promotion.rollout,
    )
    changed = any(before.get(path) != path.read_bytes() for path in written)
    checked = (check or changed) and release_overlay.require(target)
    return ReleasedFiles(released.id, version, folder, tag, target, checked)


def resolved(place: Installation, which: str = "champion") -> str:
    """Return the version that a number or an alias names."""
    from components.registry import client
    from components.registry import release as registry

    with variables(place), client.connected() as mlflow:
        return registry.resolve(mlflow, place.spec.name, which)


def built(place: Installation, version: str) -> tuple[Path, str]:
    """Fetch a version and build its Bento, unless both are there; return the release folder and the Bento's tag."""
    from bentos import build

    with variables(place):
        folder = assembled(place, version)
        return folder, build.build(folder, home=place.home)


def assembled(place: Installation, version: str) -> Path:
    """Return the release folder of a version, fetched from the registry once."""
    from components.registry import release as registry

    releases = place.home / RELEASES
    known = _known(releases)
    folder = models_of(place.home, known.get(version, "none"))
    if _whole(folder):
        return folder
    scratch = registry.assemble(place.spec.name, version, releases / f".version-{version}")
    release_id = ReleaseFolder.read(scratch).id
    folder = models_of(place.home, release_id)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch.rename(folder)
    files.write_json(releases / "versions.json", known | {version: release_id})
    return folder


def _whole(folder: Path) -> bool:
    """Tell whether a folder holds a release as it was registered; what was changed meanwhile is fetched again."""
    try:
        return release_folder.holds(folder) and ReleaseFolder.verified(folder) is not None
    except DataError:
        return False


def models_of(home: Path, release_id: str) -> Path:
    """Return the release folder of an id below a state folder, fetched or not."""
    return home / RELEASES / release_id / "models"


def fetched(home: Path) -> list[ReleaseFolder]:
    """Read what every release was that was fetched into a state folder, those of before it was signed included."""
    folders = sorted((home / RELEASES).glob("*/models"))
    return [ReleaseFolder.described(folder) for folder in folders if release_folder.holds(folder)]


def _known(releases: Path) -> dict[str, str]:
    """Return the release id of each version that was fetched before."""
    path = releases / "versions.json"
    return dict(files.read_json(path)) if path.is_file() else {}


def _shown(value: Any) -> str:
    """Say one part of the set in a line.

    >>> _shown({"version": "3", "digest": "aa"}), _shown("greedy@1")
    ('version 3, digest aa', 'greedy@1')
    """
    if not isinstance(value, dict):
        return str(value)
    return ", ".join(f"{key} {part}" for key, part in value.items() if not isinstance(part, dict))


@contextmanager
def variables(place: Installation) -> Iterator[None]:
    """Give this process the environment's variables while it talks to the registry or a store."""
    from components.step import QUIET

    with exported(QUIET | dict(place.variables)):
        yield
