"""The spec's sources of made-up data of other domains than a shop, each with a truth that is known."""

from typing import Literal

from pydantic import Field

from feature_repo.slice import Slice


class SyntheticNews(Slice):
    """Stories that come by the hour and age, shown to readers with topics: impressions and clicks of known chance."""

    type: Literal["synthetic_news"]
    users: int = Field(default=400, ge=2, le=100_000, description="How many readers")
    days: int = Field(default=10, ge=2, le=120, description="How many days of events")
    stories_per_day: int = Field(default=60, ge=1, le=10_000, description="How many are published a day")
    topics: int = Field(default=10, ge=3, le=200, description="How many topics; a reader likes two")
    half_life_hours: float = Field(default=6, gt=0, le=240, description="After how long a story is shown half as often")
    visits_per_day: float = Field(default=3, gt=0, le=12, description="Expected of a reader")
    seed: int = Field(default=1, ge=0, description="The same seed makes the same data")


class SyntheticMusic(Slice):
    """Listeners who find tracks of their genres, play them again and tire of them, all with known chances."""

    type: Literal["synthetic_music"]
    users: int = Field(default=300, ge=2, le=100_000, description="How many listeners")
    tracks: int = Field(default=600, ge=2, le=100_000, description="How many tracks")
    genres: int = Field(default=12, ge=3, le=200, description="How many genres; a listener likes two")
    days: int = Field(default=120, ge=2, le=1500, description="How many days of events")
    half_life_days: float = Field(
        default=14, gt=0, le=1000, description="After how long a track is played half as often"
    )
    discoveries_per_week: float = Field(default=2, gt=0, le=100, description="New tracks of a listener, expected")
    seed: int = Field(default=1, ge=0, description="The same seed makes the same data")


class Clickstream(Slice):
    """A made-up shop's visits of views, carts and purchases, in which the chance of what follows is known."""

    type: Literal["clickstream"]
    users: int = Field(default=4000, ge=2, le=10_000_000, description="How many visitors; most come once or twice")
    items: int = Field(default=1000, ge=2, le=1_000_000, description="How many items")
    categories: int = Field(default=10, ge=2, le=200, description="How many categories of items")
    days: int = Field(default=42, ge=2, le=3650, description="How many days of visits")
    visits_per_user: float = Field(default=3, ge=1, le=1000, description="Expected, of a visitor")
    seed: int = Field(default=1, ge=0, description="The same seed makes the same data")
