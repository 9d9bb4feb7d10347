"""How fast do profiles get built, and in what memory? `run_profiles` on a made world of scattered baskets.

One machine and one process (DuckDB, with this machine's cores): `python -m benchmarks.profiles --users N --weeks W`.
The peer is the same world with half the users, in the same run: `growth` near 1 means that seconds grow as the users
do. The world is made like a grocer's: about eleven lines a user and week, few items sold often, many seldom.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import script
from benchmarks.script import Document
from feature_repo import artifacts
from feature_repo.calendar import Calendar

CALENDAR = Calendar("2024-01-01", "America/New_York")
SESSIONS_A_WEEK, LINES_A_SESSION = 1.4, 8  # means
ITEMS, CATEGORIES = 20_000, 120
SPLIT = {"warmup_weeks": 4, "validate_weeks": 1, "test_weeks": 2}
VOCABULARY = {
    "intents": [
        {"name": "buy", "event": "purchase", "column": "category", "top": 100},
        {"name": "visit", "event": None, "column": None, "top": 1},
    ],
    "items": {"event": None, "min_sessions": 20, "min_users": 5},
    "history_weeks": 8,
}
WEEK_S = 7 * 86_400


def measure(asked: argparse.Namespace) -> Document:
    """Build the profiles of two worlds, the second of twice the users."""
    users, weeks = (60, 12) if asked.quick else (asked.users, asked.weeks)
    half, whole = (_built(n, weeks) for n in (max(users // 2, 1), users))
    per_user = [found["seconds"] / found["users"] for found in (half, whole)]
    return {"world": whole, "half": half, "growth": round(per_user[1] / per_user[0], 3)}


def _built(users: int, weeks: int) -> Document:
    script.note(f"{users} users, {weeks} weeks")
    with tempfile.TemporaryDirectory(prefix="intentflow-benchmark-") as folder:
        events = scattered(Path(folder) / "clean", users=users, weeks=weeks)
        # A process of its own: the peak is of the step alone, as it is in a pipeline.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            cost = pool.submit(_profiles, Path(folder)).result()
        stored = sum(file.stat().st_size for file in (Path(folder) / "profiles").rglob("*.parquet"))
    seconds = cost["seconds"]
    return {
        "users": users,
        "weeks": weeks,
        "events": events,
        **{name: round(value, 3) for name, value in cost.items()},
        "events_per_s": round(events / seconds),
        "written_mib": round(stored / 2**20, 1),
    }


def _profiles(folder: Path) -> dict[str, float]:
    """Run the step and return what it cost this process."""
    from components.profiles.steps import run_profiles

    start, cpu = time.monotonic(), time.process_time()
    run_profiles("{}", json.dumps(SPLIT), json.dumps(VOCABULARY), clean=folder / "clean",
                 destination=folder / "profiles")  # fmt: skip
    return {
        "seconds": time.monotonic() - start,
        "cpu_s": time.process_time() - cpu,
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def scattered(folder: Path, *, users: int, weeks: int, seed: int = 0) -> int:
    """Write a `clean` folder of baskets at random times; return the number of its events."""
    rng = np.random.default_rng(seed)
    activity = rng.gamma(2.0, SESSIONS_A_WEEK / 2.0, users)  # sessions a week, by user
    owner = np.repeat(np.arange(users), 1 + rng.poisson(activity * weeks))  # of a session
    first = int(CALENDAR.start(1).timestamp())
    start = first + rng.integers(0, WEEK_S * weeks, len(owner))
    lines = 1 + rng.poisson(LINES_A_SESSION - 1, len(owner))
    session = np.repeat(np.arange(len(owner)), lines)  # of an event
    order = np.argsort(start[session], kind="stable")
    session = session[order]
    n = len(session)
    popularity = 1.0 / np.arange(10, ITEMS + 10)
    item = rng.choice(ITEMS, n, p=popularity / popularity.sum())
    seconds = pa.array(start[session] * 1_000_000, pa.timestamp("us", tz="UTC"))
    events = pa.table(
        {
            "user_id": _names("u", users).take(owner[session]),
            "item_id": _names("i", ITEMS).take(item),
            "event": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["purchase"]).cast(pa.string()),
            "timestamp": seconds,
            "created_at": seconds,
            "session_id": _names("s", len(owner)).take(session),
            "quantity": rng.integers(1, 4, n).astype(float),
            "value": rng.gamma(2.0, 2.0, n).round(2),
            "discount": rng.gamma(1.0, 0.3, n).round(2),
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(events, folder / "events.parquet")
    pq.write_table(_items(), folder / "items.parquet")
    pq.write_table(pa.table({"user_id": _names("u", users)}), folder / "users.parquet")
    ends = [dt.datetime.fromtimestamp(int(start[at]), dt.UTC).isoformat() for at in session[[0, -1]]]
    snapshot = {
        "source": "scattered",
        "digest": artifacts.digest([users, weeks, seed]),
        "rows": {"events": n, "items": ITEMS, "users": users},
        "first": ends[0],
        "last": ends[1],
        "calendar": {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone},
        "weeks": weeks,
        "last_week_complete": True,
    }
    artifacts.write_json(folder / "snapshot.json", snapshot)
    return n


def _items() -> pa.Table:
    category = [f"C{n % CATEGORIES}" for n in range(ITEMS)]
    none = pa.nulls(ITEMS, pa.string())
    return pa.table(
        {
            "item_id": _names("i", ITEMS),
            "title": _names("item ", ITEMS),
            "category": category,
            "category_path": category,
            "brand": none,
            "price": none.cast(pa.float64()),
            "first_seen": none.cast(pa.timestamp("us", tz="UTC")),
        }
    )


def _names(prefix: str, n: int) -> pa.Array:
    return pa.array([f"{prefix}{number}" for number in range(n)])


def text(document: Document) -> str:
    """Write the table."""
    names = ("users", "weeks", "events", "seconds", "cpu_s", "events_per_s", "peak_memory_gib", "written_mib")
    lines = [[part, *(document[part][name] for name in names)] for part in ("half", "world")]
    return script.table(["", *names], lines) + f"\n\nSeconds a user, whole over half: {document['growth']}"


if __name__ == "__main__":
    switches = script.parser(__doc__, trained=False)
    switches.add_argument("--users", type=int, default=2_000)
    switches.add_argument("--weeks", type=int, default=26)
    script.main(switches, measure, text)
