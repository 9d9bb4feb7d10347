"""The history lists of user rows, flat, with the dense views that sources and features look items up in.

Letters: B rows, I items, N history entries over all rows, D factors.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from components.ranking.catalogue import Catalogue
from components.ranking.content import Content
from components.ranking.graph import Graph, Ties
from components.ranking.neighbours import Neighbours
from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.item_vectors import ItemVectors
from feature_repo.rows import UserRows


@dataclass(frozen=True)
class History:
    """The history lists of rows, flat, with the dense views that lookups by item need."""

    row: np.ndarray  # [N] int64
    item: np.ndarray  # [N] int64
    slow: np.ndarray  # [N] float64, as stored: relative to the week of state_at
    near: np.ndarray  # [B, I] float64: nearness of every item to the row's history
    tastes: np.ndarray  # [B, D] float32
    neighbours: Neighbours
    n_rows: int
    ties: Ties | None = None  # where items are people
    content: Content | None = None  # where the spec declares vectors of items
    learnt: int | None = None  # items that training knew; the others came later. None: all
    last_at: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # [N] epoch seconds
    segment: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # [B] of the row's user
    rows: UserRows | None = None  # what this is read from, and by which calendar; of sources that read signals
    calendar: Calendar | None = None
    scored: dict[str, np.ndarray] = field(default_factory=dict)  # by fitted source: its scores, made once

    @property
    def n_items(self) -> int:
        """Count the items of the vocabulary."""
        return len(self.neighbours)

    @cached_property
    def aged(self) -> np.ndarray:
        """Return what the decay from `state_at` to now left of `slow`, 1 where no calendar tells, float64 [B]."""
        if self.rows is None or self.calendar is None:
            return np.ones(self.n_rows)
        return np.asarray(self.calendar.pace.slow ** behind(self.rows, self.calendar))

    @cached_property
    def near_items(self) -> np.ndarray:
        """Return the items that are near the first row's history at all, ascending, int64."""
        return np.flatnonzero(self.near[0] > 0)

    @cached_property
    def position(self) -> np.ndarray:
        """Return for every row and item its entry in the history, -1 where the user never had it, int32 [B * I]."""
        position = np.full(self.n_rows * self.n_items, -1, dtype=np.int32)
        position[self.row * self.n_items + self.item] = np.arange(len(self.item), dtype=np.int32)
        return position

    @classmethod
    def of(
        cls,
        rows: UserRows,
        neighbours: Neighbours,
        graph: Graph | None = None,
        vectors: ItemVectors | None = None,
        *,
        calendar: Calendar | None = None,
    ) -> "History":
        """Flatten the history lists of `rows`; fitted sources take them as of now by the `calendar`, or as stored."""
        items = rows.lists["history_items"]
        row, item = items.row_of_value(), items.values
        slow = rows.lists["history_slow"].values.astype(np.float64)
        near = neighbours.near(row, item, slow, rows=len(rows))
        ties = None if graph is None else Ties.of(rows, graph)
        content = None if vectors is None else Content.of(rows, vectors)
        return cls(
            row,
            item,
            slow,
            near,
            neighbours.tastes(items, slow),
            neighbours,
            len(rows),
            ties,
            content,
            last_at=rows.lists["history_last_at"].values,
            segment=rows.numbers[columns.SEGMENT].astype(np.int64),
            rows=rows,
            calendar=calendar,
        )

    def over(self, catalogue: Catalogue) -> "History":
        """Let later items be as near as what they are like is on average: no history has them yet."""
        if catalogue.learnt is None:
            return self
        for group in catalogue.like:
            self.near[:, group.later] = self.near[:, group.known].mean(axis=1, keepdims=True)
        return replace(self, learnt=catalogue.learnt)


def behind(rows: UserRows, calendar: Calendar) -> np.ndarray:
    """Return the weeks from the upcoming week of each row's state to that of its now, int64 [B]; 0 without a row."""
    weeks = calendar.upcoming(np.concatenate([rows.now, np.where(rows.known, rows.state_at, rows.now)]))
    return np.asarray(weeks[: len(rows)] - weeks[len(rows) :])
