"""The spec's `profiles` slice."""

from typing import Literal

from pydantic import Field

from feature_repo import columns
from feature_repo.model import Slice


class Segments(Slice):
    """Groups of users with alike behaviour, fitted on training weeks only."""

    method: Literal["kmeans"] = "kmeans"
    k: int = Field(default=8, ge=2, le=64)


class Profiles(Slice):
    """What is kept about a user and for how long it may be used."""

    windows_days: tuple[int, ...] = Field(default=columns.WINDOWS_DAYS, min_length=1, max_length=5)
    ttl_days: int = Field(default=120, ge=1, le=3650, description="A row older than this is stale")
    segments: Segments = Segments()
