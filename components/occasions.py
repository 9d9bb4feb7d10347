"""Declared days on which much is otherwise: the watch explains with them, the contract's learnt volume spares them."""

import datetime as dt
from collections.abc import Sequence

from pydantic import Field, model_validator

from feature_repo.slice import Slice

MOST_DAYS = 92  # of one declared holiday or campaign: what holds longer is the world, not an occasion


class Occasion(Slice):
    """A holiday, a campaign, a closed week: days on which much is otherwise, and nobody is to be woken."""

    name: str = Field(min_length=1, max_length=80, description="What it is called in verdicts")
    first: dt.date = Field(description="Its first day, local")
    last: dt.date = Field(description="Its last day, at most 92 days in all")

    @model_validator(mode="after")
    def _in_order(self) -> "Occasion":
        days = (self.last - self.first).days + 1
        if not 0 < days <= MOST_DAYS:
            raise ValueError(f"'{self.name}' is from {self.first} to {self.last}, {days} days; give 1 to {MOST_DAYS}")
        return self


def touching(declared: Sequence[Occasion], first: dt.date, end: dt.date) -> str:
    """Name the first occasion with a day from `first` to before `end`; '' where none has.

    >>> feast = Occasion(name="Feast", first=dt.date(2024, 12, 24), last=dt.date(2024, 12, 26))
    >>> touching([feast], dt.date(2024, 12, 26), dt.date(2025, 1, 2)), touching([feast], feast.last, feast.last)
    ('Feast', '')
    """
    return next((one.name for one in declared if one.first < end and one.last >= first and first < end), "")
