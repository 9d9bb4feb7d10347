"""The service's settings: environment variables, read and checked once, before anything heavy is imported."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bentoml

from bentos import workers
from bentos.access import Access, access_of
from bentos.http import bounded_pool
from bentos.recommender.clock import Clock, make_clock
from bentos.recommender.shared_time import SharedTime
from bentos.release import MODEL_ALIAS, Release
from feature_repo import env_names
from feature_repo.errors import SpecError
from feature_repo.privacy.pseudonyms import KEY, matching, ring
from feature_repo.privacy.tombstones import Tombstones

HOME, CLOCK = env_names.HOME, env_names.CLOCK
REQUESTS_URL = env_names.REQUESTS_URL
RELEASE = env_names.RELEASE  # on a cluster: the folder that the init container fetched
INTENT_URL, RANKING_URL = env_names.INTENT_URL, env_names.RANKING_URL
THREADS = "OMP_NUM_THREADS"
LOCAL_STORE = "sqlite"  # a file of this machine
ACCESS = env_names.SERVING  # the environment's `serving` block
LIMITS_STORE, SHADOW_TOKEN = env_names.LIMITS_STORE, env_names.SHADOW_TOKEN
OTLP, OTLP_SHARE = env_names.OTLP, env_names.OTLP_SHARE


@dataclass(frozen=True)
class Settings:
    """Where the service keeps its logs, what it serves, how it hashes users, what time it is, how many threads."""

    home: Path
    key: str  # the one that the release was made under
    tombstones: Tombstones
    release: Release
    clock: Clock
    threads: int
    intent_url: str = ""  # of the model as a service of its own; '' is in this process
    ranking_url: str = ""
    access: Access = field(default_factory=Access)
    limits_store: str = ""  # Redis, where replicas share their counts; may hold a password
    shadow_token: str = ""  # the router's
    otlp: str = ""  # the collector's URL for traces; '' sends none
    otlp_share: float = 1.0  # of the traces that begin here
    requests_url: str = ""  # where closed files of the logs are copied to
    logs_keep_bytes: int = 0  # of these, where that is a folder; 0: everything stays
    doors: Path | None = None  # the state folders of all doors of a shared volume
    ports: tuple[int, ...] = ()  # of this door's processes, where it has several
    shared: Path | None = None  # folder of what these processes share

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment; a mistake there is one line."""
        home, _ = Path(_required(environment, HOME)), _required(environment, KEY)
        keys = ring(environment)
        release = Release.load(release_folder(environment))
        shared = Path(found) if (found := environment.get(env_names.DOOR_SHARED)) else None
        return cls(
            home=home,
            key=matching(keys, release.key, what=f"release {release.id}"),
            tombstones=Tombstones(home, keys),
            release=release,
            clock=make_clock(
                environment.get(CLOCK, "wall"),
                release.data_end,
                shared=None if shared is None else SharedTime(shared),
            ),
            threads=threads(environment),
            intent_url=environment.get(INTENT_URL, ""),
            ranking_url=environment.get(RANKING_URL, ""),
            requests_url=environment.get(REQUESTS_URL, ""),
            logs_keep_bytes=_bytes(environment, env_names.LOGS_KEEP_BYTES),
            doors=Path(found) if (found := environment.get(env_names.DOORS)) else None,
            ports=workers.ports(environment),
            shared=shared,
            access=access_of(environment.get(ACCESS, "")),
            limits_store=environment.get(LIMITS_STORE, ""),
            shadow_token=environment.get(SHADOW_TOKEN, ""),
            otlp=environment.get(OTLP, ""),
            otlp_share=_share(environment.get(OTLP_SHARE) or "1"),
        )


def release_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of the release to serve: the one that is named, or the Bento's own."""
    if folder := environment.get(RELEASE):
        return Path(folder)
    return Path(bentoml.models.get(MODEL_ALIAS).path)


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (share := float(text)) <= 1:
            return share
    raise SpecError(f"{OTLP_SHARE}: '{text}' is no share; allowed: 0 to 1")


def _bytes(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name) or "0"
    if not text.isdecimal():
        raise SpecError(f"{name}: '{text}' is no number of bytes; allowed: 0 (everything stays) or more")
    return int(text)


def _required(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise SpecError(f"{name} is not set; `intentflow serve` sets it, and a Deployment's ConfigMap and Secret do")
    return environment[name]


def threads(environment: Mapping[str, str]) -> int:
    """Return how many threads the models may use."""
    text = environment.get(THREADS, "1")
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(f"{THREADS}: '{text}' is no number of threads; allowed: 1 or more")
    return int(text)


def reading_threads(environment: Mapping[str, str]) -> int:
    """Return how many reads run at once: one where they only compute, a few where they wait for a network.

    >>> reading_threads({"INTENTFLOW_FEAST": '{"online_store": {"type": "sqlite"}}'})
    1
    """
    if environment.get(INTENT_URL) or environment.get(RANKING_URL):
        return bounded_pool.THREADS
    with contextlib.suppress(ValueError, TypeError, KeyError):  # who opens the store says what is wrong with it
        if json.loads(environment.get(env_names.FEAST, ""))["online_store"]["type"] == LOCAL_STORE:
            return bounded_pool.ALONE
    return bounded_pool.THREADS
