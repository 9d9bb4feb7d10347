"""The spec's `serving` slice."""

from pydantic import Field

from feature_repo.slice import Slice


class Log(Slice):
    """What the request log keeps."""

    sample: float = Field(default=1.0, gt=0, le=1, description="Share of answers; degraded ones are always kept")


class Serving(Slice):
    """What the door promises."""

    k: int = Field(default=10, ge=1, le=100, description="Items in an answer that does not say how many")
    max_k: int = Field(default=100, ge=1, le=500, description="Most items that a request may ask for")
    timeout_s: float = Field(default=2.0, gt=0, le=60, description="Longest time of an answer, seconds")
    max_concurrency: int = Field(default=64, ge=1, le=4096, description="Requests at a time; more are refused")
    log: Log = Log()
