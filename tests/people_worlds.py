"""Known-answer worlds of people who write to each other: who answers whom, and whose acquaintances meet.

People go by names that stand for pseudonyms; each is a user and an item.
"""

import datetime as dt
import json
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.profiles import steps
from feature_repo.calendar import Calendar
from tests import worlds

SPLIT = {"warmup_weeks": 3, "validate_weeks": 2, "test_weeks": 3}
VOCABULARY = {
    "intents": [{"name": "message", "event": None, "column": None, "top": 1}],
    "items": {"event": None, "min_sessions": 1, "min_users": 1},
    "history_weeks": 10,
    "people": True,
}
PROFILES = {"windows_days": [7, 28], "segments": {"k": 2}}


def world(pairs: list[tuple[int, int, int]], *, people: int, weeks: int, timezone: str = "UTC") -> worlds.World:
    """Make a world of (week, who, to whom), each at an hour of its own."""
    calendar, names = Calendar(worlds.FIRST_DAY, timezone), [f"p{n:02}" for n in range(people)]
    events = [
        worlds.event(
            names[one],
            names[other],
            calendar.start(week) + dt.timedelta(days=n % 7, hours=n % 23),
            session=f"{one}-{week}",
            event="message",
        )
        for n, (week, one, other) in enumerate(pairs)
    ]
    return worlds.World(events, [worlds.item(name, "person") for name in names], names, weeks, timezone)


def replies(*, people: int = 40, weeks: int = 16, seed: int = 1) -> worlds.World:
    """Let each person write to somebody every other week, whom nothing but chance tells; the other answers next week.

    So who wrote to me is what I do in every second week, and no habit and no acquaintance says it.
    """
    chance, pairs = random.Random(seed), []
    asked: dict[int, list[tuple[int, int]]] = {}
    for week in range(1, weeks + 1):
        for one in range(people):
            if (one + week) % 2 == 0:
                other = chance.choice([p for p in range(people) if p != one and (p + week) % 2])
                asked.setdefault(week, []).append((one, other))
                pairs.append((week, one, other))
        pairs += [(week, other, one) for one, other in asked.get(week - 1, [])]
    return world(pairs, people=people, weeks=weeks)


def triangles(*, people: int = 60, weeks: int = 16, seed: int = 1) -> worlds.World:
    """Let each person write every week, once each, to one of those with whom they have most acquaintances in common.

    Everyone begins in a circle of twenty, of which they know two. Nobody writes twice to the same person.
    """
    chance = random.Random(seed)
    knows: list[set[int]] = [set() for _ in range(people)]
    wrote: list[set[int]] = [set() for _ in range(people)]
    pairs: list[tuple[int, int, int]] = []
    for week in range(1, weeks + 1):
        known = [set(mine) for mine in knows]  # as the week began
        for one in range(people):
            circle = [p for p in range(people) if p != one and p % 3 == one % 3]
            free = [p for p in circle if p not in wrote[one]]
            if not free:
                continue
            if week == 1:
                chosen = chance.sample(free, 2)
            else:
                most = max(len(known[one] & known[p]) for p in free)
                chosen = [chance.choice([p for p in free if len(known[one] & known[p]) == most])]
            for other in chosen:
                pairs.append((week, one, other))
                wrote[one].add(other)
                knows[one].add(other)
                knows[other].add(one)
    return world(pairs, people=people, weeks=weeks)


def chatter(seed: int, *, people: int = 6, weeks: int = 8, timezone: str = "UTC", silent: int = 1) -> worlds.World:
    """Random messages at random times; the last `silent` people only receive."""
    chance, pairs = random.Random(seed), []
    for _ in range(people * weeks):
        one = chance.randrange(people - silent)
        pairs.append((chance.randrange(1, weeks + 1), one, chance.choice([p for p in range(people) if p != one])))
    return world(sorted(pairs), people=people, weeks=weeks, timezone=timezone)


@dataclass(frozen=True)
class Made:
    """A world and its folders."""

    world: worlds.World
    clean: Path
    profiles: Path
    rows: Path
    intent: Path


def make(of: worlds.World, folder: Path, *, whole_history: bool = False) -> Made:
    """Run the profile steps on a world; the intent model knows nothing."""
    made = Made(of, of.write(folder / "clean"), folder / "profiles", folder / "rows", folder / "intent")
    vocabulary = json.dumps(VOCABULARY | ({"whole_history": True} if whole_history else {}))
    split, profiles = json.dumps(SPLIT), json.dumps(PROFILES)
    steps.run_profiles(profiles, split, vocabulary, clean=made.clean, destination=made.profiles)
    ranking = json.dumps({"train_weeks": 10, "test_every_weeks": 1})
    steps.run_training_set(split, ranking, clean=made.clean, profiles=made.profiles, destination=made.rows)
    made.intent.mkdir()
    rows = pq.read_table(made.rows / "ranking.parquet", columns=["user_id", "week"])
    chances = pa.array([[0.5]] * rows.num_rows, pa.list_(pa.float32()))
    pq.write_table(rows.append_column("probabilities", chances), made.intent / "out_of_time.parquet")
    return made


NEWCOMERS = [(11, 24, 0), (12, 24, 0), (12, 1, 24), (12, 2, 24), (12, 2, 24), (12, 24, 3), (12, 25, 3), (12, 24, 25)]


def newcomers(seed: int = 1, *, people: int = 24, weeks: int = 12) -> worlds.World:
    """Let two people join a world of chatter in its test weeks: p24 writes and is written to, p25 mostly writes."""
    before, joined = chatter(seed, people=people, weeks=weeks), world(NEWCOMERS, people=people + 2, weeks=weeks)
    return worlds.World([*before.events, *joined.events], joined.items, joined.users, weeks)
