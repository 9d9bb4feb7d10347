"""Make a shop whose truth is known: each user's chance of wanting each category in a week, and how it drifts.

A user wants category c in a week with probability p[c], independently of all else: the truth. A few favourites,
which users of a group share in part, are likely; the rest is rare. From `drift_week` on, the users that drift have
their probabilities moved by half the categories. Without a funnel to want is to buy; with one it is to view, and of
those who view CARTS put into the cart and BUYS buy. Written in chunks of users, so memory does not grow with them.

    python -m components.data.synthetic FOLDER          # a clickstream for pipelines/specs/shop-events.yaml
"""

import argparse
import datetime as dt
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VERSION = 1  # counts up when the same seed gives other rows
USER_COLUMNS: dict[str, str] = {"taste": "taste"}  # columns of its users that are theirs
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)  # a Monday
GROUPS, FAVOURITES, RARE = 6, 3, 0.03  # a favourite pair for each group, and one of the user's own
LIKELY = (0.15, 0.75)  # weekly probability of a favourite; fewer events scale all of them down, more add lines
CARTS, BUYS = 0.6, 0.4  # of those who view, with a funnel
USUAL = 0.4  # share of a category's lines that are the user's usual item
DRAWS = 1 << 23  # user-week-categories in a chunk
WEEK_S, DAY_S = 7 * 86_400, 86_400
EVENTS = pa.array(["view", "cart", "purchase"])
VIEW, CART, PURCHASE = range(3)


@dataclass(frozen=True)
class World:
    """What is asked for; arrays below are [U] users of a chunk, [C] categories, [W] weeks, [N] events."""

    users: int
    items: int
    weeks: int
    events_per_user: float
    categories: int
    drift_week: int | None
    drift_share: float
    funnel: bool
    seed: int

    @property
    def kinds(self) -> float:
        """Expected events of one line."""
        return 1 + CARTS + BUYS if self.funnel else 1.0

    @property
    def scale(self) -> float:
        """Expected lines of a user in a week, against the categories that a user wants without any scaling."""
        unscaled = RARE * (self.categories - FAVOURITES) + FAVOURITES * sum(LIKELY) / 2
        return self.events_per_user / self.weeks / self.kinds / unscaled


def write_events(
    folder: Path,
    *,
    users: int,
    items: int,
    weeks: int,
    events_per_user: float,
    categories: int = 20,
    drift_week: int | None = None,
    drift_share: float = 0.5,
    funnel: bool = False,
    seed: int = 1,
) -> int:
    """Write events/*.parquet, items.parquet, users.parquet and truth.parquet; return the number of events.

    Ids are whole numbers, times UTC. A chunk's rows depend on the seed and its place alone.
    """
    categories = min(categories, items)
    world = World(users, items, weeks, events_per_user, categories, drift_week, drift_share, funnel, seed)
    (folder / "events").mkdir(parents=True, exist_ok=True)
    _write_items(folder / "items.parquet", world)
    total = 0
    with (
        pq.ParquetWriter(folder / "users.parquet", USERS) as people,
        pq.ParquetWriter(folder / "truth.parquet", TRUTH) as truth,
    ):
        for number, (first, last) in enumerate(_chunks(world)):
            rng = np.random.default_rng([seed, number])
            ids = np.arange(first, last)
            tastes = _tastes(world, ids, rng)
            people.write_table(pa.table([ids, tastes.group.astype(str)], schema=USERS))
            truth.write_table(_truth(ids, tastes))
            events = _events(world, ids, tastes, rng)
            pq.write_table(events, folder / "events" / f"part-{number:05}.parquet")
            total += events.num_rows
    return total


USERS = pa.schema([("user_id", pa.int64()), ("taste", pa.string())])
TRUTH = pa.schema(
    [
        ("user_id", pa.int64()),
        ("drifts", pa.bool_()),
        ("before", pa.list_(pa.float32())),  # by category: the weekly probability of wanting it
        ("after", pa.list_(pa.float32())),  # from drift_week on
    ]
)


@dataclass(frozen=True)
class Tastes:
    """The truth about a chunk of users."""

    group: np.ndarray  # int [U]
    drifts: np.ndarray  # bool [U]
    before: np.ndarray  # float32 [U, C]
    after: np.ndarray  # float32 [U, C]


def _chunks(world: World) -> Iterator[tuple[int, int]]:
    size = max(1, DRAWS // (world.weeks * world.categories))
    for first in range(1, world.users + 1, size):
        yield first, min(first + size, world.users + 1)


def _tastes(world: World, ids: np.ndarray, rng: np.random.Generator) -> Tastes:
    """Draw each user's probabilities: two favourites of the group's, one of the user's own, the rest rare."""
    U, C = len(ids), world.categories
    group = rng.integers(GROUPS, size=U)
    first = group[:, None] * 2
    own = first + 2 + rng.integers(max(1, C - 2), size=(U, 1))
    liked = np.concatenate([first, first + 1, own], axis=1) % C  # [U, F]
    p = np.full((U, C), RARE, dtype=np.float32)
    p[np.arange(U)[:, None], liked] = rng.uniform(*LIKELY, size=liked.shape).astype(np.float32)
    before = p * np.float32(min(1.0, world.scale))
    drifts = (rng.random(U) < world.drift_share) & (world.drift_week is not None)
    after = np.where(drifts[:, None], np.roll(before, C // 2, axis=1), before)
    return Tastes(group, drifts, before, after)


def _events(world: World, ids: np.ndarray, tastes: Tastes, rng: np.random.Generator) -> pa.Table:
    """Draw who wanted what in which week, and from it lines with their items and times."""
    U, C, W = len(ids), world.categories, world.weeks
    draws = rng.random((U, W, C), dtype=np.float32)
    drift = W if world.drift_week is None else world.drift_week - 1
    draws[:, :drift] -= tastes.before[:, None]
    draws[:, drift:] -= tastes.after[:, None]
    user, rest = np.divmod(np.flatnonzero(draws < 0), W * C)  # [N]
    week, category = np.divmod(rest, C)
    if world.scale > 1:
        again = 1 + rng.poisson(world.scale - 1, size=len(user))
        user, week, category = (np.repeat(x, again) for x in (user, week, category))
    item = _items(world, ids[user], category, rng)
    visit = rng.integers(7, size=(U, W)) * DAY_S + rng.integers(8 * 3600, 21 * 3600, size=(U, W))  # [U, W]
    at = week * WEEK_S + visit[user, week] + rng.integers(1800, size=len(user))  # seconds since START
    session = ids[user] * 1000 + week
    event = np.full(len(user), PURCHASE, dtype=np.int8)
    if world.funnel:
        step = rng.random(len(user))
        goers = [np.arange(len(user)), np.flatnonzero(step < CARTS), np.flatnonzero(step < BUYS)]
        event = np.repeat(np.array([VIEW, CART, PURCHASE], dtype=np.int8), [len(those) for those in goers])
        rows = np.concatenate(goers)
        user, item, session, at = user[rows], item[rows], session[rows], at[rows] + 60 * event
    bought = event == PURCHASE
    return pa.table(
        {
            "user_id": ids[user],
            "item_id": item,
            "event": pa.DictionaryArray.from_arrays(event, EVENTS),
            "timestamp": pa.array((int(START.timestamp()) + at) * 1000).cast(pa.timestamp("ms", tz="UTC")),
            "session_id": session,
            "quantity": np.ones(len(user), dtype=np.int8),
            "value": np.where(bought, price(item), 0.0),
        }
    )


def _items(world: World, user: np.ndarray, category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose an item of each line's category: the user's usual one, or by a popularity that falls off."""
    size = (world.items - 1 - category) // world.categories + 1  # items of the category: those equal to it modulo C
    usual = (user * 2_654_435_761 + category * 40_503) >> 7
    popular = (size * rng.random(len(user)) ** 3).astype(np.int64)
    rank = np.where(rng.random(len(user)) < USUAL, usual % size, popular)
    return np.asarray(1 + category + world.categories * rank)


def price(item: np.ndarray) -> np.ndarray:
    """Return the items' prices, in the currency.

    >>> price(np.array([1, 2])).tolist()
    [3.37, 5.74]
    """
    return np.round(1 + (item * 237 % 1900) / 100, 2)


def _write_items(path: Path, world: World) -> None:
    item = np.arange(1, world.items + 1)
    names = [f"category {c + 1:03}" for c in range(world.categories)]
    category = [names[c] for c in (item - 1) % world.categories]
    columns = {
        "item_id": item,
        "title": [f"Item {i} of {c}" for i, c in zip(item, category, strict=True)],
        "category": category,
        "brand": [f"brand {i % 17 + 1}" for i in item],
        "price": price(item),
    }
    pq.write_table(pa.table(columns), path)


def _truth(ids: np.ndarray, tastes: Tastes) -> pa.Table:
    def lists(p: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(np.arange(0, p.size + 1, p.shape[1], dtype=np.int32), p.ravel())

    return pa.table([ids, tastes.drifts, lists(tastes.before), lists(tastes.after)], schema=TRUTH)


def main() -> None:
    """Write a clickstream of a made-up shop into a folder."""
    parser = argparse.ArgumentParser(prog="python -m components.data.synthetic", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--weeks", type=int, default=26)
    parser.add_argument("--events-per-user", type=float, default=150)
    parser.add_argument("--drift-week", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = vars(parser.parse_args())
    folder = asked.pop("folder")
    sys.stdout.write(f"{write_events(folder, funnel=True, **asked):,} events in {folder}\n")


if __name__ == "__main__":
    main()
