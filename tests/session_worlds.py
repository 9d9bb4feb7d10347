"""Visits whose truth is known: the made-up clickstream as canonical tables, and small literal ones."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.data import clickstream
from components.intent.sessions import learn, visits
from components.intent.sessions.learn import Learnt
from components.intent.sessions.spec import SessionIntent, SessionModel, SessionRule
from components.intent.sessions.split import PARTS, parts
from components.intent.sessions.visits import Rows
from feature_repo import columns
from feature_repo.calendar import Calendar

BEGIN = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
CALENDAR = Calendar("2024-01-01", "UTC", "day")
BUY = SessionIntent(name="buy", event="purchase")
CART = SessionIntent(name="cart", event="cart")
LEAVE = SessionIntent(name="leave", ends=True)
SPLIT = {"train": list(range(3, 20)), "validate": [20, 21, 22], "test": list(range(23, 31))}


def table(rows: Sequence[tuple[str, int, str, str, str]]) -> pa.Table:
    """Return canonical events of (user, seconds since the first day, session, item, kind)."""
    user, at, session, item, kind = zip(*rows, strict=True)
    return pa.table(
        {
            columns.USER_ID: pa.array(user, pa.string()),
            columns.TIMESTAMP: pa.array([BEGIN + dt.timedelta(seconds=s) for s in at], pa.timestamp("us", tz="UTC")),
            columns.SESSION_ID: pa.array(session, pa.string()),
            columns.ITEM_ID: pa.array([one or None for one in item], pa.string()),
            columns.EVENT: pa.array(kind, pa.string()),
            columns.VALUE: pa.array([0.0] * len(rows), pa.float64()),
        }
    )


@dataclass(frozen=True)
class Shop:
    """The made-up clickstream."""

    events: pa.Table
    items: pa.Table
    truth: pd.DataFrame

    def learnt(self, *, intents: tuple[SessionIntent, ...] = (BUY, CART, LEAVE), seed: int = 0) -> Learnt:
        """Fit and judge a model on it."""
        rule = SessionRule(intents=intents, model=SessionModel(seed=seed))
        return learn.learn(self.events, self.items, rule, split=SPLIT, calendar=CALENDAR)

    def test_rows(self, intents: tuple[SessionIntent, ...]) -> tuple[visits.History, Rows, np.ndarray]:
        """Return the rows that a model is judged on, and the true chances [R, C] of purchase, cart and leave there."""
        found, gap = visits.cut(visits.history(self.events, timezone="UTC"), gap_s=None)
        assert gap is None
        every = visits.rows(found, intents)
        inside = parts(found, SPLIT, CALENDAR, quiet_s=1800)[every.visit] == PARTS.index("test")
        rows = every.take(np.flatnonzero(inside))
        place = {(user, at): n for n, (user, at) in enumerate(zip(self.truth.user, self.truth["at"], strict=True))}
        index = [place[found.user_ids[u], a] for u, a in zip(rows.user, found.at[rows.event].tolist(), strict=True)]
        return found, rows, self.truth[["purchase", "cart", "leave"]].to_numpy()[index]


def shop(folder: Path, *, users: int = 2500, seed: int = 1) -> Shop:
    """Make it."""
    clickstream.write_events(folder, users=users, items=1000, categories=10, days=30, visits_per_user=1.5, seed=seed)
    events, items, truth = (
        pq.read_table(folder / f"{name}.parquet") for name in ("events/part-00000", "items", "truth")
    )
    told = truth.to_pandas()
    seconds = told["timestamp"].astype("datetime64[s, UTC]").astype("int64")
    return Shop(_texts(events), _texts(items), told.assign(user=told["user_id"].astype(str), at=seconds))


def _texts(found: pa.Table) -> pa.Table:
    """Write ids and kinds as ingest does."""
    for name in (columns.USER_ID, columns.ITEM_ID, columns.SESSION_ID, columns.EVENT):
        if name in found.column_names:
            found = found.set_column(found.schema.get_field_index(name), name, found[name].cast(pa.string()))
    return found
