"""The request log by period: answers, what they showed, whether it was acted on, and the scores that they were made of.

Periods follow the data's clock, which each line names (`now`). What a router mirrored nobody asked for.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import columns
from feature_repo.calendar import Calendar
from feature_repo.logs import object_store, request_log, shipped_log

READ = [
    columns.USER_ID, columns.RELEASE, "now", "rung", "degraded", "latency_ms", "items", "probabilities", "mirrored",
    "endpoint", "sample",
]  # fmt: skip
SHOWS = "recommend"
AT_ONCE = 5_000  # shipped answers that are taken at a time: bounds memory
DAY_S = 86_400
ByIntent = Callable[[np.ndarray], pd.DataFrame]


def kept(log: Path) -> pa.Table:
    """Read the answers of a state folder's log."""
    return request_log.table(log, names=READ)


def shipped(address: str, *, days: int) -> pa.Table:
    """Read the answers that doors shipped in so many days, by the wall clock; ServerError where the store is away."""
    since_s, parts = time.time() - days * DAY_S, [request_log.SCHEMA.empty_table().select(READ)]
    with object_store.reached(address) as store:
        lines = shipped_log.read(store, names=[*dict.fromkeys([*READ, *request_log.KEY])], since_s=since_s)
        while some := list(itertools.islice(lines, AT_ONCE)):
            parts.append(request_log.table_of(some).select(READ))
    return pa.concat_tables(parts)


@dataclass(frozen=True)
class OfPeriod:
    """A period's answers, what they showed, and the scores of the models behind them; None of what it lacks."""

    answers: pd.DataFrame | None = None
    shown: pd.DataFrame | None = None
    served: pd.DataFrame | None = None
    served_by: str = ""  # the release whose scores these are


@dataclass(frozen=True)
class Answers:
    """The answers of a log, with the codes that a run's events have for users and items."""

    table: pa.Table
    period: np.ndarray  # int64 [answers]
    users: pa.Array
    items: pa.Array
    targets: int
    by_intent: ByIntent
    acts: Sequence[str]  # kinds of events that are an act on what was shown

    @classmethod
    def of_table(
        cls,
        table: pa.Table,
        *,
        calendar: Calendar,
        users: pa.Array,
        items: pa.Array,
        targets: int,
        by_intent: ByIntent,
        acts: Sequence[str],
    ) -> "Answers | None":
        """Take a log's answers, a table with READ; None where it holds none."""
        table = table.filter(pc.invert(pc.fill_null(table["mirrored"], False)))
        if not table.num_rows:
            return None
        return cls(table, calendar.weeks(table["now"].to_numpy()), users, items, targets, by_intent, acts)

    def of(self, period: int, events: pd.DataFrame) -> OfPeriod:
        """Return what the log holds of a period; a period without an answer, since the first, has none and says so."""
        if period < self.period.min():
            return OfPeriod()
        here = self.table.filter(pa.array(self.period == period))
        user = pc.fill_null(pc.index_in(here[columns.USER_ID], self.users), -1).to_numpy()
        answers = pd.DataFrame(
            {
                "user": here[columns.USER_ID].to_pandas(),
                "rung": here["rung"].to_pandas(),
                "degraded": here["degraded"].is_valid().to_numpy(),
                "latency_ms": here["latency_ms"].to_numpy(),
                "stands_for": 1 / here["sample"].fill_null(1.0).to_numpy(),
            }
        )
        if not here.num_rows:
            return OfPeriod(answers)
        release = pc.take(here[columns.RELEASE], [int(np.argmax(here["now"].to_numpy()))])[0].as_py() or ""
        by_it = here.filter(pc.fill_null(pc.equal(here[columns.RELEASE], release), not release))
        return OfPeriod(answers, self._shown(here, user, events), self._scores(by_it), release)

    def _shown(self, here: pa.Table, user: np.ndarray, events: pd.DataFrame) -> pd.DataFrame | None:
        rows = np.flatnonzero(pc.equal(here["endpoint"], SHOWS).to_numpy())
        lists = here["items"].combine_chunks()
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        owner = np.repeat(np.arange(here.num_rows), lengths)
        flat = lists.flatten()
        keep = np.isin(owner, rows)
        if not keep.any():
            return None
        item = pc.fill_null(pc.index_in(flat.field(columns.ITEM_ID), self.items), -1).to_numpy()
        source = flat.field("source").to_pandas().fillna("")
        shown = pd.DataFrame({"answer": owner, "user": user[owner], "item": item, "source": source})[keep]
        acts = events[events["event"].isin(self.acts)]
        return shown.assign(acted=_acted(shown, here["now"].to_numpy(), acts))

    def _scores(self, here: pa.Table) -> pd.DataFrame | None:
        scored = pc.and_(
            pc.is_in(here["rung"], value_set=pa.array(columns.MODELLED)),
            pc.equal(pc.list_value_length(here["probabilities"]), self.targets),
        )
        lists = here.filter(pc.fill_null(scored, False))["probabilities"].combine_chunks()
        if len(lists) < 2:
            return None
        return self.by_intent(lists.flatten().to_numpy().reshape(len(lists), self.targets))


def _acted(shown: pd.DataFrame, now: np.ndarray, events: pd.DataFrame) -> np.ndarray:
    """Tell of each item shown whether its user had an event with it later in the period, float64."""
    last = events[events["item"] >= 0].groupby(["user", "item"])["at"].max()
    at = last.reindex(pd.MultiIndex.from_frame(shown[["user", "item"]])).to_numpy()
    return np.asarray(at >= now[shown["answer"].to_numpy()], dtype=np.float64)
