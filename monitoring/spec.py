"""The spec's `monitoring` slice."""

from pydantic import Field

from feature_repo.model import Slice


class Monitoring(Slice):
    """When data counts as drifted."""

    psi: float = Field(default=0.2, gt=0, le=10, description="Population stability index of a column that has drifted")
    share: float = Field(default=0.3, gt=0, le=1, description="Share of columns that must drift for a verdict")
    sample: int = Field(default=20_000, ge=100, le=100_000, description="Rows compared on each side")
