"""Trips of users by number, and what the simple next-basket rankers make of those before one of them.

The last trip of a user is judged, the one before it validates; `back` counts from the end: 0 is the last. What is
scored is a user's history and the items that near users and popularity bring: flat pairs.

Letters: U users, I items, L lines (an item of a trip), N pairs of a user and an item to score.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import scipy.sparse as sp

from benchmarks import tifu

LEAST_TRIPS, LEAST_LINES = 5, 10  # of a user, of an item: the published protocol
NOISE = 2.0  # deviations of lines a day above the mean
DAY_S = 86_400
BLOCK = 256  # users whose scores of all items are dense at a time


@dataclass(frozen=True)
class Trips:
    """All lines, ordered by user, trip and item."""

    user: np.ndarray  # [L] 0..U-1
    item: np.ndarray  # [L] 0..I-1
    trip: np.ndarray  # [L] 1..
    day: np.ndarray  # [L] float64 days
    n_items: int

    @classmethod
    def read(cls, events: Path) -> "Trips":
        """Read a canonical events table; items with few lines go first, then users with few trips."""
        query = """
            WITH kept AS (SELECT item_id FROM read_parquet($path) GROUP BY 1 HAVING count(*) >= $lines),
            lines AS (
                SELECT user_id, session_id, item_id, min(min(epoch(timestamp))) OVER (PARTITION BY user_id, session_id)
                       AS began
                FROM read_parquet($path) JOIN kept USING (item_id) GROUP BY user_id, session_id, item_id
            ),
            numbered AS (
                SELECT *, dense_rank() OVER (PARTITION BY user_id ORDER BY began, session_id) AS trip FROM lines
            ),
            users AS (SELECT user_id FROM numbered GROUP BY 1 HAVING max(trip) >= $trips)
            SELECT dense_rank() OVER (ORDER BY user_id) - 1 AS u, dense_rank() OVER (ORDER BY item_id) - 1 AS i,
                   trip, began
            FROM numbered JOIN users USING (user_id) ORDER BY u, trip, i"""
        asked = {"path": str(events), "lines": LEAST_LINES, "trips": LEAST_TRIPS}
        with duckdb.connect() as db:
            found = db.sql(query, params=asked).fetchnumpy()
        u, i, trip, began = (np.asarray(found[name]) for name in ("u", "i", "trip", "began"))
        return cls(u.astype(np.int64), i.astype(np.int64), trip.astype(np.int64), began / DAY_S, int(i.max()) + 1)

    @cached_property
    def last(self) -> np.ndarray:
        """Return how many trips each user has, [U]."""
        found = np.zeros(int(self.user.max()) + 1, dtype=np.int64)
        np.maximum.at(found, self.user, self.trip)
        return found

    @cached_property
    def usual(self) -> np.ndarray:
        """Tell which users the published protocol keeps, bool [U]: of several days, and no noise by their lines a day.

        Noise is what lies two deviations or more above the mean. The others stay in the data here, so that they are
        near users, and every setting is chosen with them; they can be left out of a judgement.
        """
        users = len(self.last)
        first, latest = np.full(users, np.inf), np.full(users, -np.inf)
        np.minimum.at(first, self.user, self.day)
        np.maximum.at(latest, self.user, self.day)
        a_day = np.bincount(self.user, minlength=users) / np.ceil(1e-10 + latest - first)
        return np.asarray((np.floor(first) < np.floor(latest)) & (a_day < a_day.mean() + NOISE * a_day.std()))

    def before(self, back: int) -> "Past":
        """Return what was known before the trip that is `back` before the last."""
        target = self.last - back  # [U]
        known, now = self.trip < target[self.user], self.trip == target[self.user]
        at = np.zeros(len(self.last))
        np.maximum.at(at, self.user[now], self.day[now])
        return Past(self.user[known], self.item[known], self.trip[known], self.day[known], target - 1, at,
                    self.user[now], self.item[now], self.n_items)  # fmt: skip


@dataclass(frozen=True)
class Past:
    """The lines before a trip of each user, and the trip."""

    user: np.ndarray  # [L]
    item: np.ndarray  # [L]
    trip: np.ndarray  # [L]
    day: np.ndarray  # [L]
    trips: np.ndarray  # [U] how many are known
    at: np.ndarray  # [U] the day of the trip to rank for
    wanted_user: np.ndarray  # [W] and its items
    wanted_item: np.ndarray
    n_items: int

    @property
    def n_users(self) -> int:
        """Count the users."""
        return len(self.trips)

    def matrix(self, weight: np.ndarray, where: np.ndarray | None = None) -> sp.csr_matrix:
        """Sum weights of lines by user and item, float32 [U, I]."""
        user, item = (self.user, self.item) if where is None else (self.user[where], self.item[where])
        value = weight if where is None else weight[where]
        return sp.csr_matrix((value.astype(np.float32), (user, item)), shape=(self.n_users, self.n_items))

    @cached_property
    def share(self) -> np.ndarray:
        """Return the share of users whose trips hold each item, by lines a user: popularity, [I]."""
        return np.bincount(self.item, minlength=self.n_items) / self.n_users

    def counts(self) -> sp.csr_matrix:
        """Count trips by user and item."""
        return self.matrix(np.ones(len(self.user)))

    def decayed(self, half_life_days: float) -> sp.csr_matrix:
        """Count trips, each worth half for every half-life of age at the trip to rank for."""
        return self.matrix(0.5 ** ((self.at[self.user] - self.day) / half_life_days))

    def tifu(self, *, group: int, within: float, among: float) -> sp.csr_matrix:
        """Return TIFU-KNN's own vectors."""
        return self.matrix(tifu.weights(self.trip, self.trips[self.user], group=group, within=within, among=among))

    def recent(self, trips: int) -> sp.csr_matrix:
        """Return in what share of a user's last trips each item was (the popularity of UP-CF@r)."""
        lately = self.trip > self.trips[self.user] - trips
        return self.matrix(1.0 / np.minimum(self.trips, trips)[self.user], lately)


def near_mean(vectors: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """Return the weights of each user's k nearest users by Euclidean distance, 1/k each, [U, U]."""
    square = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()
    far = square[:, None] + square - 2 * (vectors @ vectors.T).toarray()
    np.fill_diagonal(far, np.inf)
    users, k = len(square), min(k, len(square) - 1)
    near = np.argpartition(far, k - 1, axis=1)[:, :k]
    return sp.csr_matrix((np.full(users * k, 1 / k, np.float32), near.ravel(), np.arange(users + 1) * k),
                         shape=(users, users))  # fmt: skip


def up_cf(past: Past, *, power: float, asymmetry: float = 0.25) -> np.ndarray:
    """Return the weights of users for each user, cosine of items had, asymmetric and raised to a power, [U, U]."""
    had = (past.counts() > 0).astype(np.float32)
    common = (had @ had.T).toarray()
    size = np.maximum(np.asarray(had.sum(axis=1)).ravel(), 1.0)
    alike = common / (size[:, None] ** asymmetry * size[None] ** (1 - asymmetry))
    return np.asarray(alike**power, dtype=np.float32)


def best_new(scores: sp.csr_matrix | np.ndarray, of: sp.csr_matrix, had: sp.csr_matrix, k: int) -> np.ndarray:
    """Return keys user * I + item of the k items of each user that score highest and they never had."""
    parts = []
    for start in range(0, had.shape[0], BLOCK):
        block = slice(start, start + BLOCK)
        dense = np.asarray((scores[block] @ of).toarray() if sp.issparse(scores) else scores[block] @ of)
        dense[had[block].nonzero()] = 0
        found = np.argpartition(-dense, k - 1, axis=1)[:, :k]
        row, place = np.nonzero(np.take_along_axis(dense, found, axis=1) > 0)
        parts.append((row + start) * had.shape[1] + found[row, place])
    return np.concatenate(parts)


def at_pairs(scores: sp.csr_matrix | np.ndarray, of: sp.csr_matrix, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Return the products' values at pairs, ordered by user, [N]."""
    parts = []
    for start in range(0, scores.shape[0], BLOCK):
        block = slice(start, start + BLOCK)
        dense = np.asarray((scores[block] @ of).toarray() if sp.issparse(scores) else scores[block] @ of)
        mine = (user >= start) & (user < start + BLOCK)
        parts.append(dense[user[mine] - start, item[mine]])
    return np.concatenate(parts)
