"""The state of a rollout between two looks: its phase, and the counts so far. Kept in the registry as JSON.

Router counters are kept as sums of differences, so a router's restart loses nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from bentos.router.observations import ENDLESS, LABELS, Observations
from bentos.router.routes import CANDIDATE, STABLE
from pipelines.rollout.experiment_state import ExperimentState
from pipelines.rollout.sequential import Counts

Phase = Literal["idle", "build", "warm", "shadow", "canary", "promoting", "rolling_back"]


@dataclass(frozen=True)
class ReleaseRef:
    """A version of <name>-release and the release that it is."""

    version: str
    release: str

    def __str__(self) -> str:
        """Name it as people do."""
        return f"version {self.version} (release {self.release})"


@dataclass(frozen=True)
class Seen:
    """Counters of the router since the phase began."""

    boot: str = ""
    raw: Mapping[str, float] = field(default_factory=dict)  # as last read
    sums: Mapping[str, float] = field(default_factory=dict)  # of the differences

    def grown(self, observed: Observations, *, slow_ms: float) -> "Seen":
        """Add what has happened since the last look."""
        raw = _flat(observed, slow_ms)
        before = self.raw if observed.boot == self.boot else {}
        if any(raw[key] < before.get(key, 0) for key in raw):  # counted anew
            before = {}
        sums = {key: self.sums.get(key, 0) + raw[key] - before.get(key, 0) for key in raw}
        return Seen(observed.boot, raw, sums)

    def anew(self) -> "Seen":
        """Begin a phase: what was seen before does not count in it."""
        return replace(self, sums={})

    def count(self, arm: str, bad: str) -> Counts:
        """Return how often an arm did a bad thing."""
        of = "requests" if bad == "errors" else "answers"
        n = round(self.sums.get(f"{arm}.{of}", 0))
        return Counts(n, min(n, round(self.sums.get(f"{arm}.{bad}", 0))))

    def total(self, key: str) -> float:
        """Return a sum."""
        return self.sums.get(key, 0)


def _flat(observed: Observations, slow_ms: float) -> dict[str, float]:
    """Name what is compared; one key a counter, so that differences are easy."""
    shadow = observed.shadow
    found = {
        "shadow.requests": shadow.mirrored,
        "shadow.errors": max(shadow.errors, shadow.differing),
        **_times("shadow", shadow.buckets_ms, slow_ms),
        "shadow.compared": shadow.compared,
        "shadow.overlap": round(shadow.overlap_sum, 4),
    }
    for name in (STABLE, CANDIDATE):
        if arm := observed.arms.get(name):
            found |= {f"{name}.requests": arm.requests, f"{name}.errors": arm.errors, f"{name}.degraded": arm.degraded}
            found |= _times(name, arm.buckets_ms, slow_ms)
    return found


def _times(name: str, buckets: Mapping[str, int], slow_ms: float) -> dict[str, float]:
    answers = buckets.get(ENDLESS, 0)
    quick = buckets.get(next(label for label in LABELS if label == f"{slow_ms:g}"), 0)
    return {f"{name}.answers": answers, f"{name}.slow": answers - quick}


@dataclass(frozen=True)
class State:
    """Where the rollout stands."""

    phase: Phase = "idle"
    rollout: str = ""  # names it; who is in its canary hangs on it
    number: int = 0  # of rollouts so far
    stable: ReleaseRef | None = None
    candidate: ReleaseRef | None = None
    previous: ReleaseRef | None = None  # its door is kept for a rollback
    keep_until: float = 0.0  # epoch seconds
    earlier: str = ""  # version that served before stable: what the alias `previous` is for
    direct: bool = False  # nothing to compare with, or it served before: no shadow, no canary
    step: int = 0
    since: float = 0.0  # epoch seconds; of the phase, in a canary of the step
    began: float = 0.0  # of the canary
    base: float = 0.0  # the candidate's answers when the step began
    attempts: int = 0  # of the phase's work that failed for a reason that may pass
    held: int = 0  # times that the only release failed and was kept, since nothing else could serve
    retry_at: float = 0.0  # epoch seconds; of a release that is held
    why: str = ""  # while rolling back
    seen: Seen = Seen()
    last: Mapping[str, Any] = field(default_factory=dict)  # version, release, result, why, at
    experiment: ExperimentState | None = None  # under way beside stable
    tried: Mapping[str, Any] = field(default_factory=dict)  # the last experiment: number, name, result, why, arms, at

    def document(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        made = asdict(self)
        return {name: value for name, value in made.items() if name not in ("experiment", "tried") or value}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "State":
        """Read it back; fields that are unknown here are a newer loop's."""
        known = {key: value for key, value in document.items() if key in cls.__dataclass_fields__}
        for key in ("stable", "candidate", "previous"):
            known[key] = ReleaseRef(**known[key]) if known.get(key) else None
        if known.get("experiment"):
            known["experiment"] = ExperimentState.of(known["experiment"])
        return cls(**known | {"seen": Seen(**known.get("seen", {}))})
