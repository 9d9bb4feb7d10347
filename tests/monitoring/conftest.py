"""A made world of shoppers for monitors: one that stands still, and the same with a planted change."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest

from feature_repo import columns, files
from feature_repo.calendar import Calendar
from feature_repo.vocabulary import Target, Vocabulary

CALENDAR = Calendar("2024-01-01", "America/New_York")
VALUES = ("SOUP", "BREAD", "FRUIT", "CHRISTMAS")
TARGETS = (*(Target("buy", v, "purchase", "category") for v in VALUES), Target("visit", None, None, None))
TRAIN, TEST = tuple(range(6, 16)), tuple(range(18, 22))
DAYS = (7, 28, 91)
STILL = (0.4, 0.3, 0.25, 0.05)  # of the values


def user_weeks(rng: np.random.Generator, week: int, *, users: int, spend: float, mix: tuple[float, ...]) -> pa.Table:
    """Make one week's rows. Totals and the 91-day window grow with the weeks, as they do when nothing changes."""
    now = int(CALENDAR.start(week).timestamp())
    sessions = {d: rng.poisson(d / 7, users).astype(float) for d in DAYS}
    sessions[91] *= min(week - 1, 13) / 13
    recent = [rng.choice(len(VALUES), 3, p=mix).tolist() if n else [] for n in sessions[7]]
    table = {
        columns.USER_ID: [f"{u:016x}" for u in range(users)],
        "week": pa.array([week] * users, pa.int64()),
        "now": pa.array([now] * users, pa.timestamp("s", tz="UTC")),
        "state_at": pa.array([now] * users, pa.timestamp("s", tz="UTC")),
        "last_at": pa.array(now - rng.integers(1, 20, users) * 86_400, pa.int64()),
        "value_total": rng.gamma(2, 10, users) * week,
        columns.SEGMENT: pa.array(np.arange(users) % 4, pa.int64()),
        # Of the last whole week, of the week before it (which the mix must not see), and the visits.
        "recent_targets": [[3, *r, len(VALUES)] for r in recent],
        "recent_weeks": [[week - 2, *[week - 1] * len(r), week - 1] for r in recent],
    }
    for days, count in sessions.items():
        value = count * rng.gamma(4, 5 * spend, users)
        made = {"events": count * 6, "sessions": count, "quantity": count * 8, "value": value, "discount": value / 9}
        table |= {columns.windowed(name, days): column for name, column in made.items()}
    return pa.table(table)


@dataclass(frozen=True)
class World:
    """The world's constants, and a maker of its rows artifacts."""

    folder: pytest.TempPathFactory
    calendar: Calendar = CALENDAR
    targets: tuple[Target, ...] = TARGETS
    train: tuple[int, ...] = TRAIN
    test: tuple[int, ...] = TEST

    def rows(self, *, spend: float = 1.0, mix: tuple[float, ...] = STILL, users: int = 200, seed: int = 0) -> Path:
        """Write a rows artifact whose test weeks have this spend (times the train weeks') and mix."""
        folder = self.folder.mktemp("rows")
        rng = np.random.default_rng(seed)
        weeks = [user_weeks(rng, week, users=users, spend=1.0, mix=STILL) for week in TRAIN]
        weeks += [user_weeks(rng, week, users=users, spend=spend, mix=mix) for week in TEST]
        pq.write_table(pa.concat_tables(weeks), folder / "intent.parquet")
        visits = [w.filter(pa.compute.greater(w["sessions_7d"], 0)) for w in weeks]
        pq.write_table(pa.concat_tables(visits), folder / "ranking.parquet")
        split = {"train": list(TRAIN), "validate": [16, 17], "test": list(TEST), "incomplete": []}
        files.write_json(folder / "split.json", split)
        calendar = {"first_day": CALENDAR.first_day, "timezone": CALENDAR.timezone}
        files.write_json(folder / "calendar.json", calendar)
        items = pa.table({"item_index": pa.array([], pa.int64()), columns.ITEM_ID: pa.array([], pa.string())})
        links = pa.table({"item_id": pa.array([], pa.string()), "target_id": pa.array([], pa.int64())})
        Vocabulary(TARGETS, items, links).save(folder / "vocabulary")
        return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give the world."""
    return World(tmp_path_factory)
