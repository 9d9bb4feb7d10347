"""The port of releases: who serves and why, what was judged of each version, and the way back to the one before."""

from dataclasses import dataclass
from typing import Literal, Protocol

RollbackState = Literal["none", "running", "done", "failed"]


@dataclass(frozen=True)
class Gate:
    """What one gate said of a version."""

    metric: str
    cohort: str  # "" is everybody
    verdict: str  # passed, refused, undecided or skipped
    reason: str


@dataclass(frozen=True)
class Move:
    """A move of an alias, as the registry's history has it; versions are '' for nobody."""

    alias: str
    origin: str
    to: str
    who: str
    at: str  # ISO 8601, UTC
    why: str


@dataclass(frozen=True)
class ReleaseVersion:
    """A version of the recommender's release."""

    version: str
    release: str  # its id
    created: str  # ISO 8601, UTC
    aliases: tuple[str, ...]
    serves: str  # "stable", "candidate" or "": by the routes or the rollout's record, not by the aliases
    judged: str  # in a word: passed, refused, undecided, baseline
    gates: tuple[Gate, ...]
    moves: tuple[str, ...]  # how it came to its aliases, a line each, the newest first
    story: tuple[str, ...]  # of its rollout, a line each, the newest first
    taken_back: str = ""  # when, by whom and why


@dataclass(frozen=True)
class WayBack:
    """Where a rollback leads now; `refusal` says in a sentence why there is none."""

    champion: str
    to: str
    refusal: str = ""
    experiment: str = ""  # that is under way, and ends with it


@dataclass(frozen=True)
class LastRollback:
    """The newest rollback that this console was asked for."""

    state: RollbackState
    champion: str = ""  # that was taken back
    to: str = ""
    who: str = ""
    since_s: float = 0.0  # how long it has run, or ran
    note: str = ""  # the registry's own line; of one that failed, why
    serving: str = ""  # release that all users are led to, as read back afterwards; "": nothing runs


@dataclass(frozen=True)
class ReleasesShown:
    """All that the page shows."""

    versions: tuple[ReleaseVersion, ...]  # the newest first
    versions_in_all: int
    history: tuple[Move, ...]  # the newest first
    champion: str  # version, "" is nobody
    stable: str  # release that users are led to; "" where nothing runs, or nobody knows
    recorded: bool  # it is what the rollout recorded; else what the routes say by now
    whole: bool  # all of them, and no copies go elsewhere
    standing: str  # of the rollout, in a sentence
    problem: str  # why it is not known what serves
    notice: str  # what differs between what is recorded and what runs
    back: WayBack
    last: LastRollback


class Releases(Protocol):
    """What the page of releases asks; refusals are UserError, Refused or ServerError."""

    def shown(self) -> ReleasesShown:
        """Return who holds which alias, who serves, and where a rollback leads."""

    def rollback(self, champion: str, to: str, *, why: str, who: str) -> LastRollback:
        """Go back from a champion to the version before, both as the page showed them; refuse it where they moved.

        It returns after a few seconds: the state then is `done`, `failed`, or `running` where serving follows still.
        """
