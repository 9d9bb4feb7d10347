"""What the environment tells the service, read and checked once, before anything heavy is imported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import bentoml

from bentos.recommender.clock import Clock, make_clock
from bentos.release import MODEL_ALIAS, Release
from feature_repo.errors import SpecError
from feature_repo.pseudonyms import KEY, matching, ring
from feature_repo.tombstones import Tombstones

HOME, CLOCK = "INTENTFLOW_HOME", "INTENTFLOW_CLOCK"
RELEASE = "INTENTFLOW_RELEASE"  # on a cluster: the folder that the init container fetched
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Settings:
    """Where the service keeps its logs, what it serves, how it hashes users, what time it is, how many threads."""

    home: Path
    key: str  # the one that the release was made under
    tombstones: Tombstones
    release: Release
    clock: Clock
    threads: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; a mistake there is one line."""
        home, _ = Path(_required(environment, HOME)), _required(environment, KEY)
        keys = ring(environment)
        release = Release.load(_release_folder(environment))
        return cls(
            home=home,
            key=matching(keys, release.key, what=f"release {release.id}"),
            tombstones=Tombstones(home, keys),
            release=release,
            clock=make_clock(environment.get(CLOCK, "wall"), release.data_end),
            threads=_positive(environment.get(THREADS, "1")),
        )


def _release_folder(environment: Mapping[str, str]) -> Path:
    if folder := environment.get(RELEASE):
        return Path(folder)
    return Path(bentoml.models.get(MODEL_ALIAS).path)


def _required(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise SpecError(f"{name} is not set; `intentflow serve` sets it, and a Deployment's ConfigMap and Secret do")
    return environment[name]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(f"{THREADS}: '{text}' is no number of threads; allowed: 1 or more")
    return int(text)
