"""The environment's `jobs` slice: what scheduled work keeps. Schedules belong to cron or to CronJobs."""

from typing import Annotated

from pydantic import Field

from feature_repo.slice import Slice


class Score(Slice):
    """What batch scoring keeps."""

    keep: int = Field(default=7, ge=1, le=400, description="Results of the last so many days")


class Audiences(Slice):
    """Whom the job `audiences` looks for."""

    of: dict[
        Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)],
        Annotated[tuple[str, ...], Field(min_length=1, max_length=256)],
    ] = Field(
        default={},
        max_length=64,
        description="Audiences by name, each with items of which a user wants one or more, such as those of an offer",
    )
    most: int = Field(default=1000, ge=1, le=10_000_000, description="Users of an audience, the likeliest")
    keep: int = Field(default=7, ge=1, le=400, description="Results of the last so many days")


class Materialise(Slice):
    """What materialising brings beside profiles."""

    later_items: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Items, or people where items are people, that came after training, put into the catalogue each "
        "time, at most",
    )


class Compact(Slice):
    """What compaction touches."""

    settle_hours: int = Field(
        default=2, ge=0, le=48, description="After a day's end (UTC), before its files are merged"
    )
    events_after_days: int = Field(
        default=30, ge=0, le=3650, description="Closed files of the event log that are older get compressed; 0: none"
    )


class Jobs(Slice):
    """Scheduled work."""

    score: Score = Score()
    compact: Compact = Compact()
    materialise: Materialise = Materialise()
    audiences: Audiences = Audiences()
