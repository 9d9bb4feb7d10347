"""Build the feature tables from clean events: user rows at every weekly cutoff, item and target state.

The expressions are in `feature_repo/transforms.py`; this module feeds them to DuckDB block by block of users,
so that memory is bounded by a block, and writes one parquet file a feature view.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

from feature_repo import columns, transforms
from feature_repo.calendar import Calendar
from feature_repo.vocabulary import Vocabulary

BLOCK_USERS = 500
Table = Any


@dataclass(frozen=True)
class Weeks:
    """Which weeks have which part; a label week w is predicted from the cutoff at its start."""

    train: tuple[int, ...]
    validate: tuple[int, ...]
    test: tuple[int, ...]
    last: int  # the week after the data's end, which serving predicts

    @property
    def cutoffs(self) -> tuple[int, ...]:
        """Every week whose start is a cutoff."""
        return (*self.train, *self.validate, *self.test, self.last)


def connect(memory: str = "3GB") -> Any:
    """Open an in-memory DuckDB that spills to disk past `memory` and speaks UTC."""
    connection = ibis.duckdb.connect()
    connection.raw_sql(f"SET memory_limit = '{memory}'; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    return connection


def stored(connection: Any, name: str, table: Any) -> Table:
    """Materialise an expression or an Arrow table under a name (ibis 12 cannot drop the view of a bare one)."""
    return connection.create_table(name, ibis.memtable(table) if isinstance(table, pa.Table) else table)


def days(calendar: Calendar, weeks: int) -> pa.Table:
    """List the local days of weeks 1..weeks with the instants at which they start and end."""
    first = dt.date.fromisoformat(calendar.first_day)
    starts = [calendar.midnight(first + dt.timedelta(days=n)) for n in range(7 * weeks + 1)]
    numbers = range(7 * weeks)
    return pa.table(
        {
            "day": pa.array(numbers, pa.int64()),
            "starts": pa.array(starts[:-1], pa.timestamp("us", tz="UTC")),
            "ends": pa.array(starts[1:], pa.timestamp("us", tz="UTC")),
            "week": pa.array([n // 7 + 1 for n in numbers], pa.int64()),
            "weekend": pa.array([int((first + dt.timedelta(days=n)).weekday() >= 5) for n in numbers], pa.int64()),
        }
    )


def cutoffs(calendar: Calendar, weeks: Weeks, *, data_end: dt.datetime) -> pa.Table:
    """List the cutoffs: the start of each week, and for the last one the end of the data."""
    at = [min(calendar.start(w), data_end) for w in weeks.cutoffs]
    first = dt.date.fromisoformat(calendar.first_day)
    end_days = [(calendar.day(instant - dt.timedelta(seconds=1)) - first).days for instant in at]
    return pa.table(
        {
            "week": pa.array(weeks.cutoffs, pa.int64()),
            "state_at": pa.array(at, pa.timestamp("us", tz="UTC")),
            "end_day": pa.array(end_days, pa.int64()),
        }
    )


@dataclass(frozen=True)
class Keyed:
    """The tables that feature expressions start from, materialised once in DuckDB."""

    events: Table
    items: Table  # keyed by item position
    targets: Table
    active: Table
    item_index: Table
    users: Table  # user_id, block
    cutoffs: Table
    blocks: int


def key(
    connection: Any, events: Table, users: pa.Table, vocabulary: Vocabulary, cuts: pa.Table, *, item_event: str | None
) -> Keyed:
    """Key the dated events by item and by target, and number blocks of users."""

    def make(name: str, table: Any) -> Table:
        return stored(connection, name, table)

    n = users.num_rows
    ids = users[columns.USER_ID].combine_chunks()
    blocks = make(
        "users", pa.table({"user_id": ids, "block": pa.array([i // BLOCK_USERS for i in range(n)], pa.int64())})
    )
    index = make("item_index", vocabulary.items.select([columns.ITEM_ID, columns.ITEM_INDEX]))
    pairs = make("item_targets", vocabulary.item_targets)
    anywhere = [(i, t.event or "") for i, t in enumerate(vocabulary.targets) if t.column is None]
    everywhere = make(
        "everywhere",
        pa.table(
            {
                "target_id": pa.array([i for i, _k in anywhere], pa.int32()),
                "kind": pa.array([k for _i, k in anywhere], pa.string()),
            }
        ),
    )
    counted = events if item_event is None else events.filter(_.event == item_event)
    return Keyed(
        events=events,
        items=make("keyed_items", transforms.of_items(counted, index)),
        targets=make("keyed_targets", transforms.of_targets(events, pairs, everywhere)),
        active=make("active", events.group_by("week").agg(users=_.user_id.nunique())),
        item_index=index,
        users=blocks,
        cutoffs=make("cutoffs", cuts),
        blocks=(n - 1) // BLOCK_USERS + 1,
    )


def user_targets(tables: Keyed, block: int) -> Table:
    """Per-target state and the recent weeks of a block of users."""
    keyed = _of_block(tables.targets, tables, block)
    lists = transforms.as_lists(transforms.state(keyed, tables.cutoffs), columns.TARGET_LISTS)
    return transforms.joined_on_user([lists, transforms.recent(keyed, tables.cutoffs)])


def user_history(tables: Keyed, block: int, *, from_week: int) -> Table:
    """Per-item state of a block of users, the strongest items only, at the cutoffs from a week on.

    It is the largest table by far, and only ranking reads it.
    """
    keyed = _of_block(tables.items, tables, block)
    state = transforms.state(keyed, tables.cutoffs.filter(_.week >= from_week))
    return transforms.as_lists(state, columns.HISTORY_LISTS, limit=columns.HISTORY_LIMIT)


def user_profile(tables: Keyed, block: int, *, windows_days: tuple[int, ...]) -> Table:
    """Totals and windows of a block of users."""
    return transforms.profile(_of_block(tables.events, tables, block), tables.cutoffs, windows_days=windows_days)


def user_daily(tables: Keyed, block: int, *, windows_days: tuple[int, ...]) -> Table:
    """Daily sums of a block of users, as far back as the widest window, and the session they are in."""
    events = _of_block(tables.events, tables, block)
    lists = transforms.daily_lists(events, tables.cutoffs, windows_days=windows_days)
    last = transforms.last_session(events, tables.cutoffs)
    return transforms.joined_on_user([last, lists.drop("state_at")])


def item_state(tables: Keyed) -> Table:
    """Shares, recent price and repeat share of every item at every cutoff."""
    shares = transforms.shares(tables.items, tables.active, tables.cutoffs)
    numbers = transforms.item_numbers(tables.events, tables.item_index, tables.items, tables.cutoffs)
    return shares.left_join(numbers, ["cutoff", "key"]).drop("cutoff_right", "key_right").rename(item_index="key")


def target_state(tables: Keyed) -> Table:
    """Shares of every target at every cutoff."""
    return transforms.shares(tables.targets, tables.active, tables.cutoffs).rename(target_id="key")


def _of_block(table: Table, tables: Keyed, block: int) -> Table:
    return table.semi_join(tables.users.filter(_.block == block), "user_id")


def write_blocks(
    path: Path, tables: Keyed, expression: Callable[[Keyed, int], Table], *, each: Callable[[], None]
) -> None:
    """Write one expression for every block of users into one parquet file."""
    _write(path, (expression(tables, block) for block in range(tables.blocks)), each=each)


def write_whole(path: Path, table: Table) -> None:
    """Write one expression into a parquet file."""
    _write(path, iter([table]), each=lambda: None)


def _write(path: Path, tables: Iterator[Table], *, each: Callable[[], None]) -> None:
    writer: pq.ParquetWriter | None = None
    for table in tables:
        arrow = as_feature_rows(table.to_pyarrow())
        writer = writer or pq.ParquetWriter(path, arrow.schema, compression="zstd")
        writer.write_table(arrow, row_group_size=1 << 16)
        each()
    if writer is not None:
        writer.close()


def as_feature_rows(table: pa.Table) -> pa.Table:
    """Name the key columns as Feast wants them: `state_at` becomes event_timestamp and stays as epoch seconds."""
    at = table["state_at"].cast(pa.timestamp("us", tz="UTC"))
    seconds = at.cast(pa.timestamp("s", tz="UTC")).cast(pa.int64())
    rest = table.drop(["state_at", "cutoff"])
    return (
        rest.append_column("week", table["cutoff"].cast(pa.int64()))
        .append_column(columns.STATE_AT, at)
        .append_column("state_at", seconds)
    )
