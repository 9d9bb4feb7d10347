"""Known-answer worlds: small canonical tables whose truth is plain.

Checkerboard: even users buy even items and odd users odd items, a basket every week on the same weekday.
"""

import datetime as dt
import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import files
from feature_repo.calendar import Calendar
from feature_repo.clock import Step

FIRST_DAY = "2024-01-01"  # a Monday
SPLIT = {"warmup_weeks": 4, "validate_weeks": 2, "test_weeks": 2}
VOCABULARY = {
    "intents": [
        {"name": "buy", "event": "purchase", "column": "category", "top": 4},
        {"name": "visit", "event": None, "column": None, "top": 1},
    ],
    "items": {"event": None, "min_sessions": 2, "min_users": 1},
    "history_weeks": 3,
}


@dataclass(frozen=True)
class World:
    """Canonical tables as `clean` holds them."""

    events: list[dict[str, object]]
    items: list[dict[str, object]]
    users: list[str]
    weeks: int
    timezone: str = "UTC"
    step: Step = "week"

    @property
    def calendar(self) -> Calendar:
        """Return the clock that counts `weeks`."""
        return Calendar(FIRST_DAY, self.timezone, self.step)

    def write(self, folder: Path) -> Path:
        """Write the `clean` folder."""
        folder.mkdir(parents=True, exist_ok=True)
        times = {"timestamp": pa.timestamp("us", tz="UTC"), "created_at": pa.timestamp("us", tz="UTC")}
        events = pa.Table.from_pylist(sorted(self.events, key=lambda e: str(e["timestamp"])))
        for name, kind in times.items():
            events = events.set_column(events.schema.get_field_index(name), name, events[name].cast(kind))
        pq.write_table(events, folder / "events.parquet")
        pq.write_table(pa.Table.from_pylist(self.items), folder / "items.parquet")
        pq.write_table(pa.table({"user_id": self.users}), folder / "users.parquet")
        stamps = [e["timestamp"] for e in self.events]
        snapshot = {
            "source": "world",
            "digest": files.digest([str(e) for e in self.events]),
            "rows": {"events": len(self.events), "items": len(self.items), "users": len(self.users)},
            "first": min(stamps).isoformat(),  # type: ignore[type-var, union-attr]
            "last": max(stamps).isoformat(),  # type: ignore[type-var, union-attr]
            "calendar": self.calendar.document(),
            "weeks": self.weeks,
            "last_week_complete": True,
        }
        files.write_json(folder / "snapshot.json", snapshot)
        return folder


def event(user: str, item: str, at: dt.datetime, *, session: str, **values: object) -> dict[str, object]:
    """Return one canonical event."""
    base: dict[str, object] = {
        "user_id": user,
        "item_id": item,
        "event": "purchase",
        "timestamp": at,
        "created_at": at,
        "session_id": session,
        "quantity": 1.0,
        "value": 2.0,
        "discount": 0.0,
    }
    return base | values


def item(name: str, category: str) -> dict[str, object]:
    """Return one canonical item."""
    return {
        "item_id": name,
        "title": name.title(),
        "category": category,
        "category_path": f"FOOD > {category}",
        "brand": "none",
        "price": None,
        "first_seen": None,
    }


def checkerboard(*, users: int = 24, items: int = 12, weeks: int = 16) -> World:
    """Even users buy three even items a week, odd users three odd ones; items rotate with the week."""
    catalogue = [item(f"i{n}", f"C{n % 4}") for n in range(items)]
    events = []
    calendar = Calendar(FIRST_DAY)
    for week in range(1, weeks + 1):
        for user in range(users):
            at = calendar.start(week) + dt.timedelta(days=user % 7, hours=9 + user % 12)
            mine = [n for n in range(items) if n % 2 == user % 2]
            for step in range(3):
                chosen = mine[(week + user + step) % len(mine)]
                events.append(event(f"u{user:02}", f"i{chosen}", at, session=f"s{week}-{user}"))
    return World(events, catalogue, [f"u{n:02}" for n in range(users)], weeks)


def scattered(
    seed: int, *, users: int = 4, items: int = 8, weeks: int = 9, timezone: str = "UTC", step: Step = "week"
) -> World:
    """Random baskets at random times, some users silent for weeks: for properties that hold whatever the data.

    `weeks` counts steps.
    """
    rng = random.Random(seed)
    calendar = Calendar(FIRST_DAY, timezone, step)
    whole_s = int(weeks * calendar.pace.seconds)
    catalogue = [item(f"i{n}", f"C{n % 4}") for n in range(items)]
    events = []
    for user in range(users):
        for session in range(rng.randrange(3, 14)):
            at = calendar.start(1) + dt.timedelta(seconds=rng.randrange(whole_s))
            for line in range(rng.randrange(1, 5)):
                events.append(
                    event(
                        f"u{user:02}",
                        f"i{rng.randrange(items)}",
                        at + dt.timedelta(seconds=line),
                        session=f"s{user}-{session}",
                        event=rng.choice(["purchase", "purchase", "view"]),
                        quantity=float(rng.randrange(1, 4)),
                        value=round(rng.random() * 9, 2),
                        discount=round(rng.random(), 2),
                    )
                )
    last = max(calendar.week(e["timestamp"]) for e in events)  # type: ignore[arg-type]
    return World(
        events, catalogue, [f"u{n:02}" for n in range(users)], weeks if step == "week" else last, timezone, step
    )
