"""Where requests go: `routes.json`, written by the rollout's loop and read by the router, and who is in which arm.

The file is the router's only input. routes_file.py reads it again and again, upstreams.py sends requests.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SEED = "seed"  # the release of the committed routes: whichever the doors have (k8s/components/router)
FOLDER, FILE = "router", "routes.json"  # below the state folder of a recommender

Arm = Literal["stable", "candidate"]
STABLE: Arm = "stable"
CANDIDATE: Arm = "candidate"


def _bare(url: str) -> str:
    if urlsplit(url).port == 0:  # one that is no number or too large raises by itself
        raise ValueError("port 0 is none; give 1 to 65535")
    return url.rstrip("/")


Url = Annotated[str, Field(pattern=r"^https?://[^/\s?#@]+/?$"), AfterValidator(_bare)]


class Known(BaseModel):
    """A part of the file. What a newer loop writes beside it is left out: an old router must go on following."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Backend(Known):
    """The door of one release."""

    release: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$", description="Its release id")
    url: Url = Field(description="http://host:port; no path")
    workers: tuple[Url, ...] = Field(default=(), max_length=64, description="The same of each of its processes")

    def processes(self, owner: int) -> tuple[str, ...]:
        """Return where to ask for a user, best first: their process, its neighbours, the address that all share.

        >>> door = {"release": "a", "url": "http://h:1", "workers": ["http://h:2", "http://h:3"]}
        >>> Backend.model_validate(door).processes(5)
        ('http://h:3', 'http://h:2', 'http://h:1')
        """
        if not self.workers:
            return (self.url,)
        first = owner % len(self.workers)
        return (*self.workers[first:], *self.workers[:first], self.url)


class Routes(Known):
    """Which releases answer, and how much of the traffic the candidate sees."""

    rollout: str = Field(default="", max_length=128, description="Which one; who is in its canary hangs on it")
    mode: Literal["stable", "shadow", "canary"] = "stable"
    share: float = Field(default=0.0, ge=0, le=1, description="Of users whom the candidate answers; in mode canary")
    mirror: float = Field(default=1.0, ge=0, le=1, description="Of stable's answers that are mirrored; in mode shadow")
    shared: bool = Field(default=False, description="Both releases keep the same profiles: events are not copied")
    stable: Backend
    candidate: Backend | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Routes":
        if self.mode != "stable" and self.candidate is None:
            raise ValueError(f"mode {self.mode} needs a candidate; give one, or mode stable")
        return self

    def backend(self, arm: Arm) -> Backend | None:
        """Return the door of an arm."""
        return self.stable if arm == STABLE else self.candidate

    @property
    def spread(self) -> bool:
        """Tell whether a door has several processes, of which each has its users."""
        return bool(self.stable.workers) or (self.candidate is not None and bool(self.candidate.workers))

    def over(self, workers: Mapping[str, Sequence[str]]) -> "Routes":
        """Return the same routes with the processes of each door, by its URL."""
        named: dict[str, Backend] = {}
        for arm in (STABLE, CANDIDATE):
            if (door := self.backend(arm)) is not None:
                named[arm] = door.model_copy(update={"workers": tuple(workers.get(door.url, ()))})
        return self.model_copy(update=named)

    def other(self, arm: Arm) -> Arm | None:
        """Return the arm beside this one, if its door runs."""
        if arm == CANDIDATE:
            return STABLE
        return CANDIDATE if self.candidate is not None else None


def place_of(user_id: str, rollout: str) -> float:
    """Return a user's place in a rollout, in [0, 1): evenly spread, and another one in each rollout.

    >>> place_of("1", "r1") == place_of("1", "r1") != place_of("1", "r2")
    True
    """
    mark = hashlib.blake2b(f"{rollout}:{user_id}".encode("utf-8", "surrogatepass")).digest()[:8]
    return (int.from_bytes(mark, "big") >> 11) / 2**53  # 53 bits: what a float holds, so that 1.0 is never reached


def arm_of(user_id: str, routes: Routes) -> Arm:
    """Say which arm answers a user. A share that grows moves nobody back.

    >>> door = {"release": "a", "url": "http://127.0.0.1:1"}
    >>> arm_of("1", Routes.model_validate({"mode": "canary", "share": 1.0, "stable": door, "candidate": door}))
    'candidate'
    """
    taken = routes.mode == "canary" and place_of(user_id, routes.rollout) < routes.share
    return CANDIDATE if taken else STABLE
