"""A shop that stands still, week by week, as `Observed` holds it: what a watch of signals is tested on.

Each user buys some lines in one or two visits a week, with a taste and a budget of its own; nothing else happens. The
rows at a week's end are exact sums of the weeks that their windows cover.
"""

import datetime as dt
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from feature_repo.calendar import Calendar
from monitoring.drift.observed import ItemValues, Labels, Observed

CALENDAR = Calendar("2024-01-01", "UTC")
SEGMENTS = (0.5, 0.24, 0.21, 0.05)  # of the users
CATEGORIES = ("SOUP", "BREAD", "FRUIT", "TEA")
ITEMS = 40


class MadePeriods:
    """Stands in for `period_reader.Periods`: the same numbers and calendar, made and not read."""

    def __init__(self, *, users: int = 800, weeks: int = 26, seed: int = 0) -> None:
        self.calendar, self.days = CALENDAR, 7
        self.users, self.weeks, self.seed = users, weeks, seed
        self.numbers = list(range(1, weeks + 1))

    def starts(self, period: int) -> str:
        """Return when a period starts."""
        return self.calendar.local_start(period).isoformat()

    def lists(self, signal: str) -> bool:
        """Tell that everything is still sold."""
        return True

    def observed(self, period: int) -> Observed:
        """Make one week."""
        events = self._week(period)
        segment = self._segment
        rng = np.random.default_rng([self.seed, period, 1])
        done = rng.binomial(4, 0.3, (self.users, 1)).astype(float)
        scores = np.clip(0.3 + 0.1 * self._taste[:, 0] + 0.02 * rng.normal(size=self.users), 0, 1)
        return Observed(
            period=period,
            days=7,
            events=events,
            values=_values(),
            new_items=np.zeros(len(events), dtype=bool),
            usual=np.full(len(events), np.exp(0.5)),
            age=period,
            segment=segment[events["user"].to_numpy()],
            segments=tuple(f"s.{place}" for place in range(len(SEGMENTS))),
            ingested=len(events),
            unknown=0,
            frame=self._frame(period),
            weight=np.ones(self.users),
            row_segment=segment,
            scores=pd.DataFrame({"buy": scores * 4}),
            labels=Labels(("buy",), done, np.ones(self.users), np.full((self.users, 1), 1.2), np.arange(self.users)),
        )

    @cached_property
    def _taste(self) -> np.ndarray:
        return np.random.default_rng(self.seed).normal(size=(self.users, 2))

    @cached_property
    def _segment(self) -> np.ndarray:
        return np.searchsorted(np.cumsum(SEGMENTS), (np.arange(self.users) + 0.5) / self.users)

    @cached_property
    def _made(self) -> dict[int, pd.DataFrame]:
        return {}

    def _week(self, period: int) -> pd.DataFrame:
        if period not in self._made:
            rng = np.random.default_rng([self.seed, period])
            user = np.repeat(np.arange(self.users), rng.poisson(6, self.users))
            n = len(user)
            at = (rng.normal(15, 2, n).clip(8, 21) * 3600).astype(np.int64)
            start = int(CALENDAR.start(period).timestamp())
            local = start + rng.integers(0, 7, n) * 86_400 + at
            quantity = rng.integers(1, 4, n).astype(float)
            price = np.exp(0.5 + 0.3 * self._taste[user, 1] + 0.4 * rng.normal(size=n))
            self._made[period] = pd.DataFrame(
                {
                    "user": user,
                    "item": rng.integers(0, ITEMS, n),
                    "event": pd.Categorical(["purchase"] * n),
                    "at": local,
                    "local_s": local,
                    "session": (period * 2 * self.users + user * 2 + rng.integers(0, 2, n)).astype(np.int64),
                    "quantity": quantity,
                    "value": price * quantity,
                    "discount": np.where(rng.random(n) < 0.3, 0.5, 0.0),
                }
            )
        return self._made[period]

    def _frame(self, period: int) -> pd.DataFrame:
        made = {}
        for weeks in (1, 4):
            parts = [self._week(p) for p in range(max(period - weeks + 1, 1), period + 1)]
            names = {"value": "value", "events": "user", "sessions": "session"}
            for name, column in names.items():
                total = np.zeros(self.users)
                for part in parts:
                    grouped = part.groupby("user")[column]
                    of = grouped.sum() if name == "value" else grouped.size() if name == "events" else grouped.nunique()
                    total[of.index.to_numpy()] += of.to_numpy()
                made[f"{name}_{7 * weeks}d"] = total
        return pd.DataFrame(made)


def _values() -> ItemValues:
    held = csr_matrix(np.eye(len(CATEGORIES))[np.arange(ITEMS) % len(CATEGORIES)])
    return ItemValues(tuple(f"category.{name}" for name in CATEGORIES), held)


def day(week: int) -> dt.date:
    """Return the first day of a week."""
    return CALENDAR.start(week).date()
