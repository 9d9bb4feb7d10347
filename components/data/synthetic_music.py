"""Make a listening log whose truth is known: people find tracks of their taste, play them again, and tire of them.

A listener finds tracks at a steady rate, each drawn by the listener's genres and the track's popularity. On each active
day a found track is played with probability strength x 2^(-days since found / half-life), independently of all else: so
the chance of a repeat is known for every listener, track and day, and that of a discovery follows from the rate
(`Planted.chance`). Several plays of a day are several events. Ages count in whole days, times are UTC.

Letters: U users, I tracks, D days, N discoveries.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1  # counts up when the same seed gives other rows
USER_COLUMNS: dict[str, str] = {"taste": "taste"}  # columns of its users that are theirs
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)  # a Monday
DAY_S, EVENING_S = 86_400, 17 * 3600
BEFORE = 60  # days before the first event in which tracks were found already
TASTE = (0.55, 0.3)  # shares of a listener's first and second genre; the rest is spread over all
STRENGTH = (0.3, 0.95)  # chance that a track just found is played on an active day
ACTIVE = (0.4, 0.9)  # chance that a listener is active on a day
AGAIN = 0.5  # further plays of a track on a day, expected
SKEW = 0.8  # exponent of popularity by rank within a genre


@dataclass(frozen=True)
class Planted:
    """The truth: who found which track when, how much they liked it, and what they are likely to find."""

    active: np.ndarray  # float64 [U]: chance to be active on a day
    finds: np.ndarray  # float64 [U, I]: share of the listener's discoveries that a track is, before any is found
    rate: float  # discoveries a day
    half_life: float  # days
    user: np.ndarray  # int [N]
    item: np.ndarray  # int [N]
    found: np.ndarray  # int [N]: the day, below 0 before the first event
    strength: np.ndarray  # float64 [N]

    def repeat(self, day: int) -> np.ndarray:
        """Return the chance that each discovery is played on an active day, 0 before the day after it, float64 [N]."""
        age = day - self.found
        return np.where(age > 0, self.strength * 0.5 ** (np.maximum(age, 0) / self.half_life), 0.0)

    def chance(self, day: int) -> np.ndarray:
        """Return the chance that an active day has each track, given what was found before it, float64 [U, I]."""
        chance = self.rate * self.finds
        known = self.found < day
        chance[self.user[known], self.item[known]] = self.repeat(day)[known]
        return chance


def plant(
    *,
    users: int,
    tracks: int,
    genres: int,
    days: int,
    half_life_days: float,
    discoveries_per_week: float,
    seed: int,
) -> Planted:
    """Draw the truth."""
    dice = np.random.default_rng([seed, 0])
    genre, rank = np.arange(tracks) % genres, np.arange(tracks) // genres + 1
    popularity = rank**-SKEW
    popularity /= np.bincount(genre, popularity, minlength=genres)[genre]  # shares within a genre
    taste = np.full((users, genres), (1 - sum(TASTE)) / genres)
    liked = np.argsort(dice.random((users, genres)), axis=1)[:, : len(TASTE)]
    taste[np.arange(users)[:, None], liked] += TASTE[: liked.shape[1]]
    finds = taste[:, genre] * popularity  # [U, I]
    finds /= finds.sum(axis=1, keepdims=True)
    rate = discoveries_per_week / 7
    count = dice.poisson(rate * (days + BEFORE), size=users)
    user = np.repeat(np.arange(users), count)
    edges = np.cumsum(finds, axis=1)
    item = np.asarray([np.searchsorted(edges[u], p) for u, p in zip(user, dice.random(len(user)), strict=True)])
    item = np.minimum(item, tracks - 1)
    found = dice.integers(-BEFORE, days, size=len(user))
    strength = dice.uniform(*STRENGTH, size=len(user))
    order = np.lexsort((found, item, user))  # of a track drawn twice the first time counts
    first = order[np.diff(user[order] * tracks + item[order], prepend=-1) > 0]
    return Planted(
        active=dice.uniform(*ACTIVE, size=users),
        finds=finds,
        rate=rate,
        half_life=half_life_days,
        user=user[first],
        item=item[first],
        found=found[first],
        strength=strength[first],
    )


def write_events(
    folder: Path,
    *,
    users: int,
    tracks: int,
    genres: int,
    days: int,
    half_life_days: float,
    discoveries_per_week: float,
    seed: int,
) -> int:
    """Write events/*.parquet, items.parquet, users.parquet and truth.parquet; return the number of events."""
    planted = plant(
        users=users,
        tracks=tracks,
        genres=genres,
        days=days,
        half_life_days=half_life_days,
        discoveries_per_week=discoveries_per_week,
        seed=seed,
    )
    (folder / "events").mkdir(parents=True, exist_ok=True)
    _write_items(folder / "items.parquet", tracks=tracks, genres=genres)
    _write_users(folder, planted, genres=genres)
    events = _events(planted, days=days, seed=seed)
    pq.write_table(events, folder / "events" / "part-00000.parquet")
    written: int = events.num_rows
    return written


def played(planted: Planted, *, days: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Play the days: return the discoveries [M] that were heard, and on which day; each at most once a day."""
    dice = np.random.default_rng([seed, 1])
    which, when = [], []
    for day in range(days):
        active = dice.random(len(planted.active)) < planted.active
        heard = dice.random(len(planted.user)) < planted.repeat(day)
        heard |= planted.found == day  # who finds a track hears it
        now = np.flatnonzero(heard & active[planted.user])
        which.append(now)
        when.append(np.full(len(now), day))
    return np.concatenate(which), np.concatenate(when)


def _events(planted: Planted, *, days: int, seed: int) -> pa.Table:
    """List the plays: one visit a day, in the evening."""
    dice = np.random.default_rng([seed, 2])
    which, day = played(planted, days=days, seed=seed)
    evening = dice.integers(3600, size=(len(planted.active), days))
    plays = 1 + dice.poisson(AGAIN, size=len(which))
    which, day = np.repeat(which, plays), np.repeat(day, plays)
    user = planted.user[which]
    at = day * DAY_S + EVENING_S + evening[user, day] + dice.integers(3600, size=len(which))
    order = np.argsort(at, kind="stable")
    columns = {
        "user_id": user[order] + 1,
        "item_id": planted.item[which][order] + 1,
        "event": pa.array(np.repeat("listen", len(which))),
        "timestamp": pa.array((at[order] + int(START.timestamp())) * 1_000_000, pa.timestamp("us", tz="UTC")),
        "session_id": (user * days + day)[order],
    }
    return pa.table(columns)


def _write_items(path: Path, *, tracks: int, genres: int) -> None:
    item = np.arange(1, tracks + 1)
    names = [f"genre {(i - 1) % genres + 1:02}" for i in item]
    columns = {"item_id": item, "title": [f"Track {i}" for i in item], "category": names}
    pq.write_table(pa.table(columns), path)


def _write_users(folder: Path, planted: Planted, *, genres: int) -> None:
    ids = np.arange(1, len(planted.active) + 1)
    by_genre = np.stack([planted.finds[:, genre::genres].sum(axis=1) for genre in range(genres)], axis=1)
    taste = [f"genre {g + 1:02}" for g in by_genre.argmax(axis=1)]
    pq.write_table(pa.table({"user_id": ids, "taste": taste}), folder / "users.parquet")
    bounds = np.searchsorted(planted.user, np.arange(len(ids) + 1)).astype(np.int32)
    truth = {
        "user_id": ids,
        "active": planted.active,
        "items": pa.ListArray.from_arrays(bounds, planted.item + 1),
        "found": pa.ListArray.from_arrays(bounds, planted.found),
        "strength": pa.ListArray.from_arrays(bounds, planted.strength),
    }
    pq.write_table(pa.table(truth), folder / "truth.parquet")
