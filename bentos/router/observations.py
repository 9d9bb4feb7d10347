"""What a router has seen of the two arms: the document of GET /router/observations.

Counts grow from the router's start (`boot`) and begin anew when `rollout` changes; a reader adds differences. Arms
count the reads of users (feature_repo/endpoints.py: kind read), so that both arms count the same kind of work; writes
are counted beside them as `events`, and mirrored requests in `shadow` alone.
"""

from pydantic import BaseModel, ConfigDict, Field

PATH = "/router/observations"
BUCKETS_MS = (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)
ENDLESS = "+Inf"
LABELS = (*(f"{le:g}" for le in BUCKETS_MS), ENDLESS)  # of the buckets, in order


class _Seen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmSeen(_Seen):
    """What one arm answered. `errors` are 5xx, refused, reset and late; a retry elsewhere does not undo them."""

    requests: int = 0
    errors: int = 0
    degraded: int = Field(default=0, description="Answers from a lower rung, since something failed behind the door")
    shed: int = Field(default=0, description="429: the door had enough to do, or the caller asked too often")
    buckets_ms: dict[str, int] = Field(default={}, description="Cumulative count by upper bound; +Inf holds all")
    seconds_sum: float = 0.0
    events: int = Field(default=0, description="Writes: requests of /events, copies too")
    event_errors: int = 0


class ShadowSeen(_Seen):
    """What the candidate answered to mirrored reads, compared with what stable had answered."""

    mirrored: int = 0
    errors: int = 0
    dropped: int = Field(default=0, description="Not mirrored: the queue was full")
    differing: int = Field(default=0, description="Answered with another status than stable's")
    buckets_ms: dict[str, int] = {}
    seconds_sum: float = 0.0
    overlap_sum: float = Field(default=0.0, description="Of the shares of items that both recommended, 0..1 each")
    compared: int = Field(default=0, description="Pairs of recommendations in overlap_sum")


class CopiesSeen(_Seen):
    """Copies of /events for the arm that did not take the original."""

    sent: int = 0
    failed: int = Field(default=0, description="Given up after retries")
    dropped: int = Field(default=0, description="The queue was full")


class Observations(_Seen):
    """Everything that one router has seen of one rollout."""

    boot: str
    rollout: str
    arms: dict[str, ArmSeen] = Field(description="By arm: stable, candidate, and those of an experiment")
    shadow: ShadowSeen = ShadowSeen()
    copies: CopiesSeen = CopiesSeen()
