"""Worlds whose events are of several kinds: a funnel that carts tell the end of, and listeners who skip for good.

Rows are made by folding events, so that what a ranker learns from here is what a door would hold.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.signs import Signs
from feature_repo.update import Event, Folding
from tests.ranking import board
from tests.ranking.board import CALENDAR, ITEMS, SPLIT, USERS, WEEKS, Row

Events = Mapping[str, Sequence[Event]]
WINDOWS = columns.WINDOWS_DAYS
HOUR, DAY = 3600, 86_400


def happened(kind: str, item: int, week: int, *, day: int) -> Event:
    """Return an event on a day of a week, Monday being 0."""
    return Event(f"i{item:02}", kind, board.start(week) + day * DAY + 9 * HOUR, f"w{week}d{day}")


def funnel(seed: int = 0) -> Events:
    """Look at seven items a week, in two weeks of five cart one that was not bought, and mostly buy it a week later."""
    rng, world = np.random.default_rng(seed), {}
    for user in range(USERS):
        mine, events, bought, carted = np.arange(user % 2, ITEMS, 2), [], set(), None
        for week in range(1, WEEKS + 1):
            if carted is not None and rng.random() < 0.8:
                events.append(happened("purchase", carted, week, day=1))
                bought.add(carted)
            seen = rng.choice(mine, 7, replace=False).tolist()
            events += [happened("view", item, week, day=2) for item in seen]
            carted = next((item for item in seen if item not in bought), None) if rng.random() < 0.4 else None
            events += [happened("cart", carted, week, day=3)] if carted is not None else []
        world[f"u{user:02}"] = events
    return world


def listeners(seed: int = 0) -> Events:
    """Play four items a week; one that was skipped is never played again, the others as often as before."""
    rng, world = np.random.default_rng(seed), {}
    for user in range(USERS):
        mine, events = np.arange(user % 2, ITEMS, 2).tolist(), []
        for week in range(1, WEEKS + 1):
            for item in rng.choice(mine, 4, replace=False).tolist():
                events.append(happened("play", item, week, day=1))
                if rng.random() < 0.12 and len(mine) > 5:
                    mine.remove(item)
                    events.append(happened("skip", item, week, day=2))
        world[f"u{user:02}"] = events
    return world


def readers(seed: int = 0) -> Events:
    """Be shown six items a week of both colours, and click half of those of one's own."""
    rng, world = np.random.default_rng(seed), {}
    for user in range(USERS):
        events = []
        for week in range(1, WEEKS + 1):
            for item in rng.choice(ITEMS, 6, replace=False).tolist():
                events.append(happened("impression", item, week, day=1))
                if item % 2 == user % 2 and rng.random() < 0.5:
                    events.append(happened("click", item, week, day=2))
        world[f"u{user:02}"] = events
    return world


def skipped(events: Sequence[Event], week: int) -> set[int]:
    """Return the items that were skipped before a week."""
    return {int(e.item_id[1:]) for e in events if e.event == "skip" and e.at < board.start(week)}


def write(folder: Path, world: Events, declared: Signs) -> tuple[Path, Path]:
    """Write the `rows` artifact of a world, and the part of `intent` that ranking reads."""
    weeks = [*SPLIT["train"][-6:], *SPLIT["validate"], *SPLIT["test"]]  # type: ignore[index]
    known = dataclasses.replace(board.vocabulary(), whole_history=True, signs=declared)
    rows: list[Row] = [row for user, events in world.items() for row in _rows(user, events, weeks, known, declared)]
    rows = sorted((row for row in rows if row["bought"]), key=lambda row: (row["week"], row["user_id"]))
    (folder / "rows").mkdir(parents=True)
    (folder / "intent").mkdir()
    worth = pa.array([row.pop(columns.LABEL_STRENGTH) for row in rows], pa.list_(pa.float64()))
    shown_lists = [row.pop(columns.LABEL_SHOWN) for row in rows]
    table = board.table(rows).append_column(columns.LABEL_STRENGTH, worth)
    if declared.shown:
        shown = pa.array(shown_lists, pa.list_(pa.int64()))
        table = table.append_column(columns.LABEL_SHOWN, shown)
    pq.write_table(table, folder / "rows/ranking.parquet")
    wanted = {user: _wanted(events, declared) for user, events in world.items()}
    pq.write_table(board.item_state(wanted, [*weeks, SPLIT["next"]]), folder / "rows/item_state.parquet")
    known.save(folder / "rows/vocabulary")
    calendar = {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone}
    files.write_json(folder / "rows/calendar.json", calendar)
    files.write_json(folder / "rows/split.json", SPLIT)
    scores = {"user_id": [r["user_id"] for r in rows], "week": [r["week"] for r in rows]}
    likely = pa.array([board.intents(r["user_id"]) for r in rows], pa.list_(pa.float32()))
    pq.write_table(pa.table(scores | {"probabilities": likely}), folder / "intent/out_of_time.parquet")
    return folder / "rows", folder / "intent"


def _rows(user: str, events: Sequence[Event], weeks: Sequence[int], known: object, declared: Signs) -> list[Row]:
    folding = Folding(CALENDAR, known, WINDOWS)  # type: ignore[arg-type]
    state, found, rest = folding.empty(), [], sorted(events, key=lambda e: e.at)
    for week in weeks:
        start, end = board.start(week), board.start(week + 1)
        before, rest = [e for e in rest if e.at < start], [e for e in rest if e.at >= start]
        state = folding.moved(folding.fold(state, before), start)
        worth: dict[int, float] = {}
        for e in (e for e in rest if e.at < end and e.event in declared.wanted):
            item = int(e.item_id[1:])
            worth[item] = max(worth.get(item, 0.0), declared.wanted[e.event])
        row: Row = {name: state[name] for name in columns.profile_columns(WINDOWS)}
        row |= {name: state[name] for name in (*columns.HISTORY_LISTS, *columns.TARGET_LISTS)}
        row |= {"user_id": user, "week": week, "now": start, "state_at": start, "segment": int(user[1:]) % 2}
        row |= {name: int(state[name]) for name in columns.PROFILE_TIMES}
        items = sorted(worth)
        row[columns.LABEL_SHOWN] = sorted(
            {int(e.item_id[1:]) for e in rest if e.at < end and e.event == declared.shown}
        )
        found.append(row | {"recent_targets": [], "recent_weeks": [], "bought": items}
                     | {columns.LABEL_STRENGTH: [worth[item] for item in items]})  # fmt: skip
    return found


def _wanted(events: Sequence[Event], declared: Signs) -> board.Happened:
    weeks: board.Happened = {}
    for e in events:
        if e.event in declared.wanted:
            week = (e.at - board.start(1)) // (7 * DAY) + 1
            weeks.setdefault(week, []).append(int(e.item_id[1:]))
    return {week: sorted(set(items)) for week, items in weeks.items()}
