"""TIFU-KNN, a peer of the ranker: personal frequency with two decays, blended with near users' (Hu et al., SIGIR 2020).

Baskets are grouped from the latest back, `GROUP` at a time; a basket decays within its group and a group among
groups. A user's scores are ALPHA x the own vector + (1 - ALPHA) x the mean of the K nearest users' vectors.

Letters: U users, I items, L lines (an item in a basket), B rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import scipy.sparse as sp

GROUP, WITHIN, AMONG, K, ALPHA = 7, 0.9, 0.7, 300, 0.7  # the figures of the published grids nearest to groceries


@dataclass(frozen=True)
class Baskets:
    """Items by basket, a basket numbered from 1 within its user by time."""

    users: np.ndarray  # [U] ids, sorted
    user: np.ndarray  # [L] position in users
    item: np.ndarray  # [L]
    number: np.ndarray  # [L]
    began: np.ndarray  # [L] epoch seconds

    @classmethod
    def read(cls, events: Path, item_ids: Sequence[str], *, event: str | None) -> "Baskets":
        """Read a canonical events table; items that have no index are left out."""
        items = pa.table({"item_id": list(item_ids), "item": np.arange(len(item_ids))})
        with duckdb.connect() as db:
            db.register("items", items)
            query = """
                WITH lines AS (
                    SELECT user_id, session_id, item, epoch(min(timestamp))::BIGINT AS moment
                    FROM read_parquet($path) JOIN items USING (item_id)
                    WHERE $event IS NULL OR event = $event GROUP BY ALL
                ), dated AS (
                    SELECT *, min(moment) OVER (PARTITION BY user_id, session_id) AS began FROM lines
                )
                SELECT user_id, item, began,
                       dense_rank() OVER (PARTITION BY user_id ORDER BY began, session_id) AS number
                FROM dated ORDER BY user_id, number, item"""
            found = db.sql(query, params={"path": str(events), "event": event}).to_arrow_table()
        users, user = np.unique(found["user_id"].to_numpy().astype(str), return_inverse=True)
        return cls(users, user, *(found[name].to_numpy() for name in ("item", "number", "began")))

    def vectors(self, before: int, n_items: int) -> sp.csr_matrix:
        """Return every user's vector as known at `before`, [U, I].

        >>> two = Baskets(np.array(["a"]), np.array([0, 0]), np.array([0, 1]), np.array([1, 2]), np.array([5, 6]))
        >>> two.vectors(9, 2).toarray().round(3).tolist()
        [[0.129, 0.143]]
        """
        known = self.began < before
        user, item, number = self.user[known], self.item[known], self.number[known]
        last = np.zeros(len(self.users), dtype=np.int64)
        np.maximum.at(last, user, number)
        weight = weights(number, last[user])
        return sp.csr_matrix((weight, (user, item)), shape=(len(self.users), n_items))


@dataclass(frozen=True)
class Tifu:
    """Everyone's vectors at one week, and who is near whom."""

    users: np.ndarray  # [U] ids, sorted
    vectors: sp.csr_matrix  # [U, I]
    near: np.ndarray  # [U, K]

    @classmethod
    def at(cls, baskets: Baskets, before: int, *, n_items: int) -> "Tifu":
        """Fit on the baskets before an instant."""
        vectors = baskets.vectors(before, n_items)
        square = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel()  # [U]
        far = square[:, None] + square - 2 * (vectors @ vectors.T).toarray()  # [U, U] squared distances
        np.fill_diagonal(far, np.inf)
        k = min(K, len(square) - 1)
        return cls(baskets.users, vectors, np.argpartition(far, k - 1, axis=1)[:, :k])

    def scores(self, user_id: np.ndarray) -> np.ndarray:
        """Score all items for users [B], float64 [B, I]."""
        place = np.searchsorted(self.users, user_id.astype(str))
        B, k = len(place), self.near.shape[1]
        mean = sp.csr_matrix(
            (np.full(B * k, 1 / k), self.near[place].ravel(), np.arange(B + 1) * k), shape=(B, len(self.users))
        )
        return np.asarray((ALPHA * self.vectors[place] + (1 - ALPHA) * (mean @ self.vectors)).toarray())


def weights(
    number: np.ndarray, last: np.ndarray, *, group: int = GROUP, within: float = WITHIN, among: float = AMONG
) -> np.ndarray:
    """Weigh lines by their basket's number and how many baskets their user has, each [L]."""
    groups, place = np.divmod(last - number, group)
    # A group that is not full counts for less: means over its baskets alone would make the oldest ones heavy
    # (.283 instead of .287 NDCG@10 on the grocery data).
    return np.asarray(within**place / group * among**groups / -(-last // group))


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the positions of each row's k largest positive scores, ties by position, -1 past the last, [B, k]."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(scores, order, axis=1) > 0, order, -1)
