"""Make a news site whose truth is known: stories come by the hour, interest in them halves, readers have topics.

A story is published at the start of an hour with a quality of its own. Whoever visits in an hour is shown each story of
the last LIFE hours with probability quality x SHOWN x 2^(-age / half-life), and clicks what is shown with a probability
that the reader and the topic decide; what was clicked is not shown again. So the chance of a click is known for every
reader, story and hour (`Planted.chance`), and it says how much there was to be found. One event a shown story, one more
a click, as impression logs such as MIND's have them. Ages count in whole hours, times are UTC.

Letters: U users, I stories, H hours.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1  # counts up when the same seed gives other rows
USER_COLUMNS: dict[str, str] = {"taste": "taste"}  # columns of its users that are theirs
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)  # a Monday
HOUR_S, DAY_H = 3600, 24
LIFE = 24  # hours for which a story is shown at all
SHOWN = 0.5  # chance that a new story of quality 1 is shown to a visitor
MOST_SHOWN = 0.9
RARE, LIKELY = 0.02, (0.25, 0.6)  # chance of a click on what is shown: of any topic, of a reader's two favourites
FAVOURITES = 2
NIGHT, MORNING = 0.2, 8  # least activity beside the day's mean, and the hour of the day when most visit


@dataclass(frozen=True)
class Planted:
    """The truth: who likes which topic, and what each story is worth when."""

    affinity: np.ndarray  # float64 [U, topics]: chance that a shown story of the topic is clicked
    visits: np.ndarray  # float64 [U]: expected a day
    topic: np.ndarray  # int [I]
    born: np.ndarray  # int [I]: hour of publication; below 0: there before the first event
    quality: np.ndarray  # float64 [I]
    half_life: float  # hours

    def shown(self, hour: int) -> np.ndarray:
        """Return the chance that a visitor of an hour is shown each story, float64 [I]."""
        age = hour - self.born
        alive = (age >= 0) & (age < LIFE)
        fresh = self.quality * SHOWN * 0.5 ** (np.where(alive, age, 0) / self.half_life)
        return np.where(alive, np.minimum(fresh, MOST_SHOWN), 0.0)

    def chance(self, hour: int, read: np.ndarray) -> np.ndarray:
        """Return the chance that a visit in an hour brings a click on each story, given what was read, [U, I]."""
        return np.where(read, 0.0, self.shown(hour) * self.affinity[:, self.topic])


def plant(
    *,
    users: int,
    days: int,
    stories_per_day: int,
    topics: int,
    half_life_hours: float,
    visits_per_day: float,
    seed: int,
) -> Planted:
    """Draw the truth."""
    dice = np.random.default_rng([seed, 0])
    affinity = np.full((users, topics), RARE)
    liked = np.argsort(dice.random((users, topics)), axis=1)[:, :FAVOURITES]
    affinity[np.arange(users)[:, None], liked] = dice.uniform(*LIKELY, size=liked.shape)
    stories = stories_per_day * (days + 1)
    born = np.sort(dice.integers(-DAY_H, days * DAY_H, size=stories))
    return Planted(
        affinity=affinity,
        visits=visits_per_day * dice.gamma(4.0, 0.25, size=users),
        topic=dice.integers(topics, size=stories),
        born=born,
        quality=dice.lognormal(0.0, 0.5, size=stories),
        half_life=half_life_hours,
    )


def hours(planted: Planted, *, days: int, seed: int) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Play hour by hour: yield the hour, its visitors [V], and what each was shown and clicked, bool [V, I]."""
    dice = np.random.default_rng([seed, 1])
    read = np.zeros((len(planted.affinity), len(planted.topic)), dtype=bool)
    for hour in range(days * DAY_H):
        visitors = np.flatnonzero(dice.random(len(read)) < planted.visits * share_of_day(hour % DAY_H))
        asked = (len(visitors), len(planted.topic))
        shown = (dice.random(asked) < planted.shown(hour)) & ~read[visitors]
        clicked = shown & (dice.random(asked) < planted.affinity[visitors][:, planted.topic])
        read[visitors] |= clicked
        yield hour, visitors, shown, clicked


def share_of_day(hour: int) -> float:
    """Return the share of a day's visits that fall into an hour of the day.

    >>> round(sum(share_of_day(hour) for hour in range(24)), 6), share_of_day(8) > 5 * share_of_day(20)
    (1.0, True)
    """
    wave = 1.0 + (1.0 - NIGHT) * np.cos(2 * np.pi * (hour - MORNING) / DAY_H)
    return float(wave / DAY_H)


def write_events(
    folder: Path,
    *,
    users: int,
    days: int,
    stories_per_day: int,
    topics: int,
    half_life_hours: float,
    visits_per_day: float,
    seed: int,
) -> int:
    """Write events/*.parquet, items.parquet, users.parquet and truth.parquet; return the number of events."""
    planted = plant(
        users=users,
        days=days,
        stories_per_day=stories_per_day,
        topics=topics,
        half_life_hours=half_life_hours,
        visits_per_day=visits_per_day,
        seed=seed,
    )
    (folder / "events").mkdir(parents=True, exist_ok=True)
    _write_items(folder / "items.parquet", planted)
    _write_users(folder, planted)
    events = _events(planted, days=days, seed=seed)
    pq.write_table(events, folder / "events" / "part-00000.parquet")
    written: int = events.num_rows
    return written


def _events(planted: Planted, *, days: int, seed: int) -> pa.Table:
    """List impressions and clicks, each visit's at one moment and its clicks a little later."""
    dice = np.random.default_rng([seed, 2])
    user, item, clicks, at = [], [], [], []
    for hour, visitors, shown, clicked in hours(planted, days=days, seed=seed):
        moment = hour * HOUR_S + dice.integers(HOUR_S // 2, size=len(visitors))
        for kind, which in ((0, shown), (1, clicked)):
            visit, story = np.nonzero(which)
            user.append(visitors[visit])
            item.append(story)
            clicks.append(np.full(len(visit), kind))
            at.append(moment[visit] + kind * dice.integers(1, HOUR_S // 3, size=len(visit)))
    users, seconds = np.concatenate(user), np.concatenate(at)
    order = np.argsort(seconds, kind="stable")
    start = int(START.timestamp())
    columns = {
        "user_id": users[order] + 1,
        "item_id": np.concatenate(item)[order] + 1,
        "event": pa.array(np.where(np.concatenate(clicks)[order] == 1, "click", "impression")),
        "timestamp": pa.array((seconds[order] + start) * 1_000_000, pa.timestamp("us", tz="UTC")),
        "session_id": (users * days * DAY_H + seconds // HOUR_S)[order],
    }
    return pa.table(columns)


def _write_items(path: Path, planted: Planted) -> None:
    start = int(START.timestamp())
    count = range(1, len(planted.topic) + 1)
    topics = [f"topic {t + 1:02}" for t in planted.topic]
    columns = {
        "item_id": pa.array(count, pa.int64()),
        "title": [f"Story {i} of {t}" for i, t in zip(count, topics, strict=True)],
        "category": topics,
        "first_seen": pa.array((start + planted.born * HOUR_S) * 1_000_000, pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(columns), path)


def _write_users(folder: Path, planted: Planted) -> None:
    ids = np.arange(1, len(planted.affinity) + 1)
    favourite = planted.affinity.argmax(axis=1)
    pq.write_table(pa.table({"user_id": ids, "taste": [str(t) for t in favourite]}), folder / "users.parquet")
    truth = {"user_id": ids, "visits": planted.visits, "affinity": planted.affinity.tolist()}
    pq.write_table(pa.table(truth), folder / "truth.parquet")
