"""Where requests go: `routes.json`, written by the rollout's loop and read by the router, and who is in which arm.

The file is the router's only input. routes_file.py reads it again and again, upstreams.py sends requests.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

SEED = "seed"  # the release of the committed routes: whichever the doors have (k8s/components/router)
FOLDER, FILE = "router", "routes.json"  # below the state folder of a recommender

Arm = str  # stable, candidate, or the name of an experiment's arm
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


class ArmDoor(Backend):
    """The door of an experiment's arm; stable's answers the control."""

    arm: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=32, description="Its name")
    share: float = Field(ge=0, le=1, description="Of users, always the same ones")
    begins: float | None = Field(
        default=None, ge=0, le=1, description="Where its part of [0, 1) begins; left out: where the arm before it ends"
    )


class Routes(Known):
    """Which releases answer, and how much of the traffic the candidate sees."""

    rollout: str = Field(default="", max_length=128, description="Which one; who is in its canary hangs on it")
    mode: Literal["stable", "shadow", "canary"] = "stable"
    share: float = Field(default=0.0, ge=0, le=1, description="Of users whom the candidate answers; in mode canary")
    mirror: float = Field(default=1.0, ge=0, le=1, description="Of stable's answers that are mirrored; in mode shadow")
    shared: bool = Field(default=False, description="Both releases keep the same profiles: events are not copied")
    stable: Backend
    candidate: Backend | None = None
    experiment: str = Field(
        default="", max_length=128, description="Which one; who is in which of its arms hangs on it"
    )
    arms: tuple[ArmDoor, ...] = Field(default=(), max_length=8, description="Of the experiment; stable has the others")

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the experiment out where there is none: most files have none."""
        dumped: dict[str, Any] = dump(self)
        return {name: value for name, value in dumped.items() if name not in ("experiment", "arms") or value}

    @model_validator(mode="after")
    def _arms_fit(self) -> "Routes":
        if self.arms and (self.mode != STABLE or not self.experiment):
            raise ValueError(f"arms: go with mode {STABLE} and the experiment's name; give both, or no arms")
        if sum(arm.share for arm in self.arms) > 1 + 1e-9:
            raise ValueError("arms: their shares sum to more than 1; the rest of the users is stable's")
        if {arm.arm for arm in self.arms} & {STABLE, CANDIDATE}:
            raise ValueError(f"arms: {STABLE} and {CANDIDATE} are doors of their own; give the arm another name")
        return self

    @model_validator(mode="after")
    def _whole(self) -> "Routes":
        if self.mode != "stable" and self.candidate is None:
            raise ValueError(f"mode {self.mode} needs a candidate; give one, or mode stable")
        return self

    def backend(self, arm: Arm) -> Backend | None:
        """Return the door of an arm."""
        if arm in (STABLE, CANDIDATE):
            return self.stable if arm == STABLE else self.candidate
        return next((door for door in self.arms if door.arm == arm), None)

    @property
    def named(self) -> tuple[Arm, ...]:
        """Return the arms that have a door."""
        two = (STABLE, CANDIDATE) if self.candidate is not None else (STABLE,)
        return (*two, *(door.arm for door in self.arms))

    @property
    def spread(self) -> bool:
        """Tell whether a door has several processes, of which each has its users."""
        return any(bool(door.workers) for door in (self.stable, self.candidate, *self.arms) if door is not None)

    def over(self, workers: Mapping[str, Sequence[str]]) -> "Routes":
        """Return the same routes with the processes of each door, by its URL."""
        named: dict[str, Any] = {}
        for arm in (STABLE, CANDIDATE):
            if (door := self.backend(arm)) is not None:
                named[arm] = door.model_copy(update={"workers": tuple(workers.get(door.url, ()))})
        if self.arms:
            named["arms"] = tuple(a.model_copy(update={"workers": tuple(workers.get(a.url, ()))}) for a in self.arms)
        return self.model_copy(update=named)

    def other(self, arm: Arm) -> Arm | None:
        """Return the arm that answers in this one's place, if its door runs."""
        if arm != STABLE:
            return STABLE
        return next((one for one in self.named if one != STABLE), None)

    def others(self, arm: Arm) -> tuple[Arm, ...]:
        """Return every arm beside this one."""
        return tuple(one for one in self.named if one != arm)


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
    if routes.arms:
        return _tried(place_of(user_id, routes.experiment), routes.arms)
    taken = routes.mode == "canary" and place_of(user_id, routes.rollout) < routes.share
    return CANDIDATE if taken else STABLE


def _tried(place: float, arms: Sequence[ArmDoor]) -> Arm:
    """Return the arm whose part of [0, 1) holds a place; stable has what is left at the end."""
    end = 0.0
    for door in arms:
        begins = end if door.begins is None else door.begins
        end = begins + door.share
        if begins <= place < end:
            return door.arm
    return STABLE
