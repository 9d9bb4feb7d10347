"""What of a state folder was made by other code and is made anew by this one: `intentflow doctor` names it.

Nothing is made here. Steps are cached by the digests of their code, Bentos are named after theirs; all else (registry,
profiles, releases, logs, keys) is read as it is.
"""

from dataclasses import dataclass
from pathlib import Path

from feature_repo import release_folder
from feature_repo.errors import DataError
from pipelines import plan
from pipelines.environment import Installation
from pipelines.graphs import index
from pipelines.graphs.graph import outdated
from pipelines.graphs.parameters import codes
from pipelines.releases.release import RELEASES, models_of


@dataclass(frozen=True)
class Upgrade:
    """What other code made."""

    steps: tuple[str, ...]  # that the next run computes anew because of their code
    bentos: tuple[str, ...]  # ids of releases whose Bento is built anew at their next start
    unreadable: tuple[str, ...]  # a line for each release that this code cannot read, and what rewrites it

    def text(self) -> str:
        """Return it in a line."""
        parts = list(self.unreadable)
        if self.steps:
            parts.append(f"other code ran {', '.join(self.steps)}: the next run does them anew")
        if self.bentos:
            parts.append(
                f"other code is in the Bento of release {', '.join(self.bentos)}: built anew at its next start"
            )
        return "; ".join(parts) or "made by this code"


def due(place: Installation) -> Upgrade:
    """Look at the last run and at the releases that were fetched."""
    bentos, unreadable = [], []
    for folder in sorted((place.home / RELEASES).glob("*")):
        models = models_of(place.home, folder.name)
        if not release_folder.holds(models):
            continue
        try:
            if _has_other_bento(place.home, models):
                bentos.append(folder.name)
        except DataError as error:
            unreadable.append(str(error))
    return Upgrade(_steps(place), tuple(bentos), tuple(unreadable))


def _steps(place: Installation) -> tuple[str, ...]:
    """Name the steps whose code changed since the last run, and those after them."""
    before = plan.last_parameters(place.home)
    if before is None:
        return ()
    now = before | {name: code for name, code in codes(place.spec).items() if name in before}
    return tuple(outdated(index.reads(spec=place.spec), before, now))


def _has_other_bento(home: Path, models: Path) -> bool:
    """Tell whether a release has a Bento, but none around this code."""
    from bentos import build
    from bentos.release import Release

    wanted = build.version_of(Release.load(models))
    there = {path.name for path in (build.bento_home(home) / "bentos" / build.NAME).glob("*") if path.is_dir()}
    return wanted not in there and any(name.startswith(f"{wanted.partition('-')[0]}-") for name in there)
