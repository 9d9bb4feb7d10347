"""A world in which the order of events decides: who looked at A last buys A in the following week, else B.

Both are looked at in every week, within an hour, so that no count by week tells them apart.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.intent.examples import Examples, load
from feature_repo import event_lists, files, memory
from feature_repo.memory import Remembered
from feature_repo.vocabulary import Target, Vocabulary

from .conftest import (
    CALENDAR,
    CATEGORIES,
    INTENTS,
    SPLIT,
    VISIT,
    WEEKS,
    Happened,
    context,
    known_row,
    noon,
    start,
    table,
)

KEPT = 6  # events of a memory here: two weeks of them
HOUR_S = 3600


def items() -> Vocabulary:
    """Return the targets of the checkerboard, with an item of each category."""
    ids = [f"i{n}" for n in range(len(CATEGORIES))]
    targets = [Target("buy", name, "purchase", "category") for name in CATEGORIES]
    return Vocabulary(
        (*targets, Target("visit", None, None, None)),
        pa.table({"item_index": range(len(ids)), "item_id": ids, "title": ids}),
        pa.table({"item_id": ids, "target_id": range(len(ids)), "kind": ["purchase"] * len(ids)}),
    )


def lived(users: int, seed: int) -> dict[str, tuple[Happened, list[Remembered]]]:
    """Return what happened by user: the targets of each week, and the events."""
    rng = np.random.default_rng(seed)
    world = {}
    for user in range(users):
        happened: Happened = {}
        events: list[Remembered] = []
        bought = int(rng.integers(2))
        for week in range(1, WEEKS + 1):
            happened[week] = [bought, VISIT]
            events.append(Remembered(noon(week) - HOUR_S, f"s{week}", f"i{bought}", "purchase", 3.0))
            first = int(rng.integers(2))
            for n, item in enumerate((first, 1 - first)):
                events.append(Remembered(noon(week) + n * HOUR_S // 2, f"s{week}", f"i{item}", "view", 0.0))
            bought = 1 - first
        world[f"u{user:02}"] = (happened, events)
    return world


def write(folder: Path, *, users: int = 80, seed: int = 0) -> Path:
    """Write the `rows` artifact, with the rows' memories as lists."""
    world, known = lived(users, seed), items()
    weeks = [week for part in SPLIT.values() for week in part]
    rows, memories = [], []
    for week in weeks:
        for user, (happened, events) in world.items():
            rows.append(known_row(user, happened, week))
            memories.append(memory.encode([event for event in events if event.at < start(week)][-KEPT:]))
    whole = table(rows)
    for name, column in event_lists.arrow(event_lists.of(memories, known)).items():
        whole = whole.append_column(name, column)
    folder.mkdir(parents=True)
    pq.write_table(whole, folder / "intent.parquet")
    known.save(folder / "vocabulary")
    context({user: happened for user, (happened, _) in world.items()}).save(folder / "target_state.parquet")
    files.write_json(folder / "calendar.json", CALENDAR.document())
    files.write_json(folder / "split.json", SPLIT | {"incomplete": [], "next": WEEKS + 1})
    return folder


@cache
def examples(folder: Path, users: int = 80) -> Examples:
    """Return the world's examples, written once."""
    rows = folder / "rows"
    return load(rows if rows.is_dir() else write(rows, users=users), INTENTS)
