"""A checkerboard world of items: even users buy even items, odd users odd ones, with favourites of their own.

Rows are made here by plain loops over what happened, so that candidates, encode and train are judged by a second hand.
"""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.ranking.spec import Candidates, Ranking
from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.rows import UserRows
from feature_repo.vocabulary import Target, Vocabulary

CALENDAR = Calendar("2024-01-01", "UTC")  # a Monday
USERS, ITEMS, CATEGORIES, WEEKS = 40, 30, 6, 20
VISIT = CATEGORIES
SPLIT = {"train": list(range(5, 17)), "validate": [17, 18], "test": [19, 20], "incomplete": [], "next": 21}
SPEC = Ranking(
    candidates=Candidates(history=10, neighbours=5, popular=5),
    train_weeks=6,
    width=16,
    epochs=3,
    batch_size=16,
    learning_rate=1e-2,
)
Happened = dict[int, list[int]]  # week: items bought
Row = dict[str, Any]


def noon(week: int) -> int:
    """Return the Wednesday noon of a week, epoch seconds."""
    return int((CALENDAR.start(week) + dt.timedelta(days=2, hours=12)).timestamp())


def start(week: int) -> int:
    """Return the first second of a week."""
    return int(CALENDAR.start(week).timestamp())


def checkerboard(seed: int = 0) -> dict[str, Happened]:
    """Let each user buy most of three favourites and one other item of its colour, in most weeks.

    From week 11 the favourites are others, so that what is recent tells more than what is frequent.
    """
    rng = np.random.default_rng(seed)
    world: dict[str, Happened] = {}
    for user in range(USERS):
        mine = np.arange(user % 2, ITEMS, 2)
        old, new = rng.choice(mine, 3, replace=False), rng.choice(mine, 3, replace=False)
        world[f"u{user:02}"] = {
            week: sorted({*(old if week < 11 else new)[rng.random(3) < 0.8].tolist(), int(rng.choice(mine[:8]))})
            for week in range(1, WEEKS + 1)
            if rng.random() < 0.9
        }
    return world


def category(item: int) -> int:
    """Return the target that an item fulfils; categories have one colour."""
    return item % CATEGORIES


def known_row(user: str, happened: Happened, week: int) -> Row:
    """Return the row of a user as known at the start of `week`."""
    past = {w: items for w, items in happened.items() if w < week}
    targets = {w: [*{category(i) for i in items}, VISIT] for w, items in past.items()}
    lines = sum(len(items) for items in past.values())
    row: Row = dict.fromkeys(columns.profile_columns(), 0.0)
    row |= {
        "user_id": user, "week": week, "now": start(week), "state_at": start(week) if past else None,
        "first_at": noon(min(past)) if past else 0, "last_at": noon(max(past)) if past else 0,
        "segment": int(user[1:]) % 2, "events_total": float(lines), "sessions_total": float(len(past)),
        "weeks_total": float(len(past)), "items_total": float(len({i for items in past.values() for i in items})),
        "quantity_total": float(lines), "value_total": 2.0 * lines,
        "sessions_slow": sum(0.96 ** (week - w) for w in past),
    }  # fmt: skip
    row |= _lists(columns.HISTORY_LISTS, past, week) | _lists(columns.TARGET_LISTS, targets, week)
    return row | {"recent_targets": [], "recent_weeks": [], "bought": happened.get(week, [])}


def _lists(names: tuple[str, ...], past: dict[int, list[int]], week: int) -> Row:
    weeks_of = {key: [w for w in sorted(past) if key in past[w]] for key in {k for ks in past.values() for k in ks}}
    slow = {key: sum(0.96 ** (week - w) for w in weeks) for key, weeks in weeks_of.items()}
    keys = sorted(weeks_of, key=lambda key: (-slow[key], key))
    values = (
        keys,
        [float(len(weeks_of[key])) for key in keys],
        [slow[key] for key in keys],
        [sum(0.80 ** (week - w) for w in weeks_of[key]) for key in keys],
        [noon(weeks_of[key][0]) for key in keys],
        [noon(weeks_of[key][-1]) for key in keys],
    )
    return dict(zip(names, values, strict=True))


def table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as the `rows` artifact holds them."""
    floats = (*columns.TARGET_LISTS, *columns.HISTORY_LISTS)
    kinds: dict[str, Any] = dict.fromkeys(floats, pa.list_(pa.float32()))
    kinds |= dict.fromkeys((*columns.RECENT_LISTS, "target_ids", "history_items"), pa.list_(pa.int32()))
    kinds |= dict.fromkeys([name for name in floats if name.endswith("_at")], pa.list_(pa.int64()))
    kinds |= {"bought": pa.list_(pa.int64()), "user_id": pa.string()}
    kinds |= dict.fromkeys(("week", "now", "state_at", "segment", "first_at", "last_at"), pa.int64())
    return pa.table({n: pa.array([row[n] for row in rows], kinds.get(n, pa.float64())) for n in rows[0]})


def user_rows(*rows: Row) -> UserRows:
    """Return rows as arrays."""
    return UserRows.from_arrow(table(rows).drop(["week", "bought"]))


def cold_rows(now: int) -> UserRows:
    """Return the row of a user whom the store does not know."""
    return user_rows(known_row("u99", {}, 2) | {"now": now})


def vocabulary() -> Vocabulary:
    """Return six categories and a visit, and thirty items with a price and a brand by colour."""
    ids = [f"i{n:02}" for n in range(ITEMS)]
    items = pa.table(
        {
            "item_index": pa.array(range(ITEMS), pa.int32()),
            "item_id": ids,
            "title": [f"Item {n}" for n in range(ITEMS)],
            "category": [f"C{category(n)}" for n in range(ITEMS)],
            "category_path": [f"FOOD > C{category(n)} > K{n // 10}" for n in range(ITEMS)],
            "brand": ["EVEN" if n % 2 == 0 else "ODD" for n in range(ITEMS)],
        }
    )
    pairs = pa.table({"item_id": ids, "target_id": [category(n) for n in range(ITEMS)], "kind": ["purchase"] * ITEMS})
    targets = [Target("buy", f"C{n}", "purchase", "category") for n in range(CATEGORIES)]
    return Vocabulary((*targets, Target("visit", None, None, None)), items, pairs)


def item_state(world: dict[str, Happened], weeks: Sequence[int]) -> pa.Table:
    """Return the items' shares of the active users as known at the start of weeks."""
    rows = []
    for week in weeks:
        for item in range(ITEMS):
            shares = [_share(world, item, week - span, week) for span in (1, 4, 12)]
            state = dict.fromkeys(columns.ITEM_NUMBERS, 0.0) | dict(zip(columns.SHARES, shares, strict=True))
            state |= {"price": 2.0 + item % 3, "price_usual": 2.0, "repeat_share": 0.5}
            rows.append({"week": week, "item_index": item} | state)
    return pa.Table.from_pylist(rows)


def _share(world: dict[str, Happened], item: int, first: int, end: int) -> float:
    active = [items for happened in world.values() for week, items in happened.items() if first <= week < end]
    return sum(item in items for items in active) / max(len(active), 1)


def intents(user: str) -> list[float]:
    """Return a user's probabilities: its own colour's categories are likely."""
    return [0.6 if n % 2 == int(user[1:]) % 2 else 0.02 for n in range(CATEGORIES)] + [0.9]


def write(folder: Path, world: dict[str, Happened]) -> tuple[Path, Path]:
    """Write the `rows` artifact of a world, and the part of `intent` that ranking reads."""
    weeks = [*SPLIT["train"][-6:], *SPLIT["validate"], *SPLIT["test"]]
    rows = [known_row(u, happened, w) for w in weeks for u, happened in world.items() if happened.get(w)]
    (folder / "rows").mkdir(parents=True)
    (folder / "intent").mkdir()
    pq.write_table(table(rows), folder / "rows/ranking.parquet")
    pq.write_table(item_state(world, [*weeks, SPLIT["next"]]), folder / "rows/item_state.parquet")
    vocabulary().save(folder / "rows/vocabulary")
    calendar = {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone}
    files.write_json(folder / "rows/calendar.json", calendar)
    files.write_json(folder / "rows/split.json", SPLIT)
    scores = {"user_id": [r["user_id"] for r in rows], "week": [r["week"] for r in rows]}
    probabilities = pa.array([intents(r["user_id"]) for r in rows], pa.list_(pa.float32()))
    pq.write_table(pa.table(scores | {"probabilities": probabilities}), folder / "intent/out_of_time.parquet")
    return folder / "rows", folder / "intent"
