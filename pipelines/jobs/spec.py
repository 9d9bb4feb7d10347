"""The environment's `jobs` slice: what scheduled work keeps. Schedules belong to cron or to CronJobs."""

from pydantic import Field

from feature_repo.slice import Slice


class Score(Slice):
    """What batch scoring keeps."""

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
