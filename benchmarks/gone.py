"""A made world whose users mostly leave: many weeks, few events, and the true probability of every answer.

A user comes back with a probability that falls by a fifth a week since the last visit, down to next to nothing, and
likes two of the categories. So the chance of each target in each week follows from what was known before it and from
the user's tastes: `truth` says it, and no model can beat it for long.

Letters: U users, W weeks, C categories, I items, R rows.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import files
from feature_repo.calendar import Calendar

CALENDAR = Calendar("2010-01-04", "UTC")  # a Monday
CATEGORIES = 20
BACK, FADES, SELDOM = 0.26, 0.8, 0.001  # chance to come back a week after a visit, its fall by week, its floor
MORE = 0.6  # ratings of a visit beyond the first, mean
LIKED, SHARE = 2, 0.85  # categories that a user likes, and the share of ratings that they get
EARLY = 1.86  # above 1: most users come in the early weeks
WEEK_S = 7 * 86_400


@dataclass(frozen=True)
class World:
    """Who came when, and what they like."""

    came: np.ndarray  # [U, W] bool
    taste: np.ndarray  # [U, C] shares of a user's ratings, sum 1
    events: int

    def truth(self, user: np.ndarray, week: np.ndarray) -> np.ndarray:
        """Return the chance of each category, and of any at all, for rows of users and weeks from 1, [R, C + 1]."""
        gap = np.asarray([_gap(self.came[u], w) for u, w in zip(user, week, strict=True)])
        comes = chance(gap)[:, None]  # [R, 1]
        q = self.taste[user]  # [R, C]
        return np.concatenate([comes * (1 - (1 - q) * np.exp(-MORE * q)), comes], axis=1)


def chance(gap: np.ndarray) -> np.ndarray:
    """Return the probability to come in a week, `gap` weeks after the last visit.

    >>> chance(np.array([1, 2, 100])).round(3).tolist()
    [0.261, 0.209, 0.001]
    """
    return np.asarray(BACK * FADES ** (gap - 1) + SELDOM)


def _gap(came: np.ndarray, week: int) -> int:
    return int(week - 1 - np.flatnonzero(came[: week - 1])[-1])


def draw(*, users: int, weeks: int, seed: int = 0) -> tuple[World, dict[str, np.ndarray]]:
    """Draw a world; return it with its ratings: user, week and category, by week."""
    rng = np.random.default_rng(seed)
    start = (weeks * rng.random(users) ** EARLY).astype(np.int64)  # [U] first week, from 0
    came = np.zeros((users, weeks), dtype=bool)
    last = np.full(users, -1)
    for at in range(weeks):
        again = (last >= 0) & (rng.random(users) < chance(np.maximum(at - last, 1)))
        came[:, at] = again | (start == at)
        last[came[:, at]] = at
    taste = np.full((users, CATEGORIES), (1 - SHARE) / CATEGORIES)
    for column in np.argsort(rng.random((users, CATEGORIES)), axis=1)[:, :LIKED].T:
        taste[np.arange(users), column] += SHARE / LIKED
    week, user = np.nonzero(came.T)
    many = 1 + rng.poisson(MORE, len(user))
    week, user = np.repeat(week, many) + 1, np.repeat(user, many)
    category = (rng.random(len(user))[:, None] > np.cumsum(taste, axis=1)[user]).sum(axis=1)
    rated = {"user": user, "week": week, "category": np.minimum(category, CATEGORIES - 1)}
    return World(came, taste, len(user)), rated


def write(folder: Path, *, users: int, items: int, weeks: int, seed: int = 0) -> World:
    """Write the world's `clean` folder."""
    world, rated = draw(users=users, weeks=weeks, seed=seed)
    rng = np.random.default_rng(seed + 1)
    each = items // CATEGORIES
    item = rated["category"] + CATEGORIES * np.minimum(each * rng.random(world.events) ** 3, each - 1).astype(np.int64)
    second = np.asarray([int(CALENDAR.start(w).timestamp()) for w in range(1, weeks + 1)])[rated["week"] - 1]
    second = second + rng.integers(0, WEEK_S, world.events)
    order = np.argsort(second, kind="stable")
    at = pa.array(second[order] * 1_000_000, pa.timestamp("us", tz="UTC"))
    one = np.ones(world.events)
    events = {
        "user_id": names("u", rated["user"][order]),
        "item_id": names("i", item[order]),
        "event": pa.array(["rate"] * world.events),
        "timestamp": at,
        "created_at": at,
        "session_id": names("s", np.arange(world.events)),
        "quantity": one,
        "value": one,
        "discount": 0 * one,
    }
    folder.mkdir(parents=True)
    pq.write_table(pa.table(events), folder / "events.parquet")
    pq.write_table(_items(items), folder / "items.parquet")
    pq.write_table(pa.table({"user_id": names("u", np.arange(users))}), folder / "users.parquet")
    first, last = (dt.datetime.fromtimestamp(int(s), dt.UTC).isoformat() for s in (second.min(), second.max()))
    snapshot = {
        "source": "gone",
        "digest": files.digest([users, items, weeks, seed]),
        "rows": {"events": world.events, "items": items, "users": users},
        "first": first,
        "last": last,
        "calendar": {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone},
        "weeks": weeks,
        "last_week_complete": True,
    }
    files.write_json(folder / "snapshot.json", snapshot)
    return world


def _items(items: int) -> pa.Table:
    ids, category = names("i", np.arange(items)), names("C", np.arange(items) % CATEGORIES)
    none = pa.nulls(items, pa.string())
    return pa.table(
        {
            "item_id": ids,
            "title": ids,
            "category": category,
            "category_path": category,
            "brand": none,
            "price": none.cast(pa.float64()),
            "first_seen": none.cast(pa.timestamp("us", tz="UTC")),
        }
    )


def names(prefix: str, numbers: np.ndarray) -> pa.Array:
    """Name numbers.

    >>> names("u", np.array([7])).to_pylist()
    ['u7']
    """
    return pa.compute.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
