"""The spec's `monitoring` slice."""

from pydantic import Field

from feature_repo.slice import Slice


class Monitoring(Slice):
    """When data counts as drifted. Methods are fixed by kind of column, so a score means the same at every size."""

    psi: float = Field(default=0.2, gt=0, le=10, description="Population stability index of a drifted number column")
    distance: float = Field(
        default=0.1, gt=0, le=1, description="Jensen-Shannon distance (natural log) of a drifted category column"
    )
    share: float = Field(default=0.3, gt=0, le=1, description="Share of columns that must drift for a verdict")
    sample: int = Field(default=20_000, ge=100, le=100_000, description="Rows compared on each side")
    min_rows: int = Field(default=100, ge=10, le=100_000, description="With fewer on a side the verdict is undecided")
    min_users: int = Field(
        default=20, ge=2, le=100_000, description="With fewer users on a side the verdict is undecided"
    )
