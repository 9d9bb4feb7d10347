"""A made world of any size for the scale of profiles: baskets at random times, week by week, in bounded memory.

It is made like a shop's: few items sold often, many seldom; some users come often, most seldom. Nothing can be learnt
from it: `components/data/synthetic.py` plants what can.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import files
from feature_repo.calendar import Calendar

CALENDAR = Calendar("2024-01-01", "America/New_York")
LINES_A_SESSION = 4  # mean
ITEMS, CATEGORIES = 20_000, 120
WEEK_S = 7 * 86_400


def write(folder: Path, *, events: int, users: int, weeks: int, seed: int = 0) -> int:
    """Write a `clean` folder of about so many events, in order of time; return how many there are."""
    rng = np.random.default_rng(seed)
    per_week = events / (users * weeks * LINES_A_SESSION)  # sessions of a user
    activity = rng.gamma(2.0, per_week / 2.0, users)
    popularity = 1.0 / np.arange(10, ITEMS + 10)
    cumulated = np.cumsum(popularity / popularity.sum())
    user_ids, item_ids = _pseudonyms(users), _names("i", np.arange(ITEMS))
    folder.mkdir(parents=True)
    total, sessions, ends = 0, 0, []
    writer = None
    for week in range(weeks):
        owner = np.repeat(np.arange(users), rng.poisson(activity))  # of a session
        if not len(owner):
            continue
        start = np.sort(int(CALENDAR.start(week + 1).timestamp()) + rng.integers(0, WEEK_S - 3600, len(owner)))
        owner = rng.permutation(owner)
        lines = 1 + rng.poisson(LINES_A_SESSION - 1, len(owner))
        session = np.repeat(np.arange(len(owner)), lines)  # of an event
        n = len(session)
        at = pa.array(start[session] * 1_000_000, pa.timestamp("us", tz="UTC"))
        item = np.minimum(np.searchsorted(cumulated, rng.random(n)), ITEMS - 1)
        table = pa.table(
            {
                "user_id": user_ids.take(pa.array(owner[session])),
                "item_id": item_ids.take(pa.array(item)),
                "event": pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["purchase"]).cast(pa.string()),
                "timestamp": at,
                "created_at": at,
                "session_id": _names("s", sessions + np.arange(len(owner))).take(pa.array(session)),
                "quantity": rng.integers(1, 4, n).astype(float),
                "value": rng.gamma(2.0, 2.0, n).round(2),
                "discount": rng.gamma(1.0, 0.3, n).round(2),
            }
        )
        writer = writer or pq.ParquetWriter(folder / "events.parquet", table.schema)
        writer.write_table(table, row_group_size=1 << 18)
        total, sessions = total + n, sessions + len(owner)
        ends += [int(start[0]), int(start[-1])]
    assert writer is not None, "a world has events"
    writer.close()
    pq.write_table(_items(item_ids), folder / "items.parquet")
    pq.write_table(pa.table({"user_id": user_ids}), folder / "users.parquet")
    first, last = (dt.datetime.fromtimestamp(at, dt.UTC).isoformat() for at in (ends[0], ends[-1]))
    snapshot = {
        "source": "scattered",
        "digest": files.digest([events, users, weeks, seed]),
        "rows": {"events": total, "items": ITEMS, "users": users},
        "first": first,
        "last": last,
        "calendar": {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone},
        "weeks": weeks,
        "last_week_complete": True,
    }
    files.write_json(folder / "snapshot.json", snapshot)
    return total


def _items(ids: pa.Array) -> pa.Table:
    category = [f"C{n % CATEGORIES}" for n in range(len(ids))]
    none = pa.nulls(len(ids), pa.string())
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


def _names(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pa.compute.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")


def _pseudonyms(n: int) -> pa.Array:
    """Return ids as long as real pseudonyms, 16 hex digits."""
    scrambled = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # odd: no two alike
    return pa.array([f"{number:016x}" for number in scrambled.tolist()])
