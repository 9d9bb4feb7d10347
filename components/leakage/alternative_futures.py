"""Worlds with the same past and another future: clean folders that must give the same features at a cutoff.

Pure functions of Arrow tables, and `write`, which makes a temporary `clean` folder with them, row group by row
group, so that memory is bounded. `leaks.py` compares what is built from such worlds with what is stored; nothing
here builds a feature.
"""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import columns, files
from feature_repo.calendar import Calendar

WEEKS = 3  # that a world goes on for, from its cutoff
MOST = 100_000  # rows of a permuted future that a row group gives, at most: more only cost time
COPIES = 0.02  # of past events, copied once into the future and once as rows that become known late
TIMES = (columns.TIMESTAMP, columns.CREATED_AT, columns.VALID_FROM, columns.VALID_TO)
SNAPSHOT, USERS = "snapshot.json", "users.parquet"
Change = Callable[[str, pa.Table], pa.Table]  # of a table by its name, a row group at a time


@dataclass(frozen=True)
class Cutoff:
    """The start of a week."""

    week: int
    at: dt.datetime
    until: dt.datetime  # where the world ends

    @classmethod
    def of(cls, calendar: Calendar, week: int) -> "Cutoff":
        """Return the cutoff of a week."""
        return cls(week, calendar.start(week), calendar.start(week + WEEKS))

    @property
    def seconds(self) -> float:
        """Return how long the world goes on."""
        return (self.until - self.at).total_seconds()

    @property
    def split(self) -> dict[str, int]:
        """Return a split whose only training week is this one, so that few cutoffs are built."""
        return {"warmup_weeks": self.week - 1, "validate_weeks": 1, "test_weeks": 1}


def known(table: pa.Table, at: dt.datetime) -> np.ndarray:
    """Tell which rows were known at an instant, bool [N]: an event before it, anything else at it.

    A table without any time was always known.
    """
    mask = np.ones(table.num_rows, dtype=bool)
    is_events = columns.TIMESTAMP in table.column_names
    compare = pc.less if is_events else pc.less_equal  # the flyers of a week are known when it starts
    for name in (columns.TIMESTAMP, columns.CREATED_AT):
        if name in table.column_names:
            instant = pa.scalar(at, table.schema.field(name).type)
            mask &= np.asarray(pc.fill_null(compare(table[name], instant), True).to_numpy())
    return mask


def without_future(cutoff: Cutoff) -> Change:
    """Keep what was known at the cutoff; of events, one more at the world's end, so that knowledge goes on so far."""

    def change(_name: str, table: pa.Table) -> pa.Table:
        past = table.filter(pa.array(known(table, cutoff.at)))
        if columns.TIMESTAMP not in table.column_names or not past.num_rows:
            return past
        return pa.concat_tables([past, _ended(past.slice(past.num_rows - 1), cutoff)])

    return change


def permuted(cutoff: Cutoff, rng: np.random.Generator, *, late: bool = True) -> Change:
    """Keep what was known, and let all else happen at other times, with other items and other contents.

    Copies of past events are added to the future, and as late rows: of the past, but known only after the cutoff.
    Without `late` what happened before the cutoff but became known after it is left out.
    """

    def change(_name: str, table: pa.Table) -> pa.Table:
        mask = known(table, cutoff.at)
        past, future = np.flatnonzero(mask), np.flatnonzero(~mask)
        if columns.TIMESTAMP not in table.column_names:
            return pa.concat_tables([table.take(past), _shuffled(table.take(future), rng)])
        some = _some(future, rng, most=MOST)
        coming = _shuffled(table.take(np.concatenate([some, _some(past, rng, share=COPIES)])), rng)
        coming = _at(_at(coming, columns.TIMESTAMP, cutoff, rng), columns.CREATED_AT, cutoff, rng)
        parts = [table.take(past), coming]
        if late:
            copies = _shuffled(table.take(_some(past, rng, share=COPIES)), rng)
            parts.append(_at(copies, columns.CREATED_AT, cutoff, rng))
        return pa.concat_tables(parts)

    return change


def crossed(cutoff: Cutoff, rng: np.random.Generator) -> Change:
    """Mirror the times of half of the events near the cutoff: a leak, for a detector to prove itself on."""

    def change(_name: str, table: pa.Table) -> pa.Table:
        if columns.TIMESTAMP not in table.column_names:
            return table
        kind = table.schema.field(columns.TIMESTAMP).type
        micros = np.array(table[columns.TIMESTAMP].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy())
        middle = int(cutoff.at.timestamp() * 1e6)
        moved = (np.abs(micros - middle) < cutoff.seconds * 1e6) & (rng.random(len(micros)) < 0.5)
        micros[moved] = 2 * middle - 1_000_000 - micros[moved]
        at = pa.array(micros, pa.timestamp("us", tz="UTC")).cast(kind, safe=False)
        return _with(_with(table, columns.TIMESTAMP, at), columns.CREATED_AT, at)

    return change


def write(clean: Path, destination: Path, change: Change, *, cutoff: Cutoff, users: pa.Array | None = None) -> Path:
    """Write a clean folder of changed tables that ends WEEKS after the cutoff, of all users or of rows for some."""
    destination.mkdir(parents=True)
    for path in sorted(clean.iterdir()):
        if path.name == USERS and users is not None:
            table = pq.read_table(path)
            pq.write_table(table.filter(pc.is_in(table[columns.USER_ID], users)), destination / path.name)
        elif path.suffix == ".parquet":
            _rewrite(path, destination / path.name, change)
        elif path.suffix == ".json":
            shutil.copyfile(path, destination / path.name)
    snapshot: dict[str, Any] = files.read_json(clean / SNAPSHOT)
    last = (cutoff.until - dt.timedelta(seconds=1)).isoformat()
    snapshot |= {"weeks": cutoff.week + WEEKS - 1, "last": last, "last_week_complete": True}
    files.write_json(destination / SNAPSHOT, snapshot)
    return destination


def _rewrite(source: Path, target: Path, change: Change) -> None:
    file = pq.ParquetFile(source)
    if not {columns.TIMESTAMP, columns.CREATED_AT} & {*file.schema_arrow.names}:
        shutil.copyfile(source, target)
        return
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            writer.write_table(change(source.stem, file.read_row_group(group)))


def _some(rows: np.ndarray, rng: np.random.Generator, *, share: float = 1.0, most: int = MOST) -> np.ndarray:
    return np.sort(rng.choice(rows, min(-int(-len(rows) * share // 1), most), replace=False))


def _shuffled(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Permute every column but users and times by itself."""
    for name in table.column_names:
        if name != columns.USER_ID and name not in TIMES:
            table = _with(table, name, table[name].take(rng.permutation(table.num_rows)))
    return table


def _at(table: pa.Table, name: str, cutoff: Cutoff, rng: np.random.Generator) -> pa.Table:
    """Set a column to instants anywhere in the world's future."""
    if name not in table.column_names:
        return table
    micros = int(cutoff.at.timestamp() * 1e6) + (rng.random(table.num_rows) * cutoff.seconds * 1e6).astype(np.int64)
    values = pa.array(micros, pa.timestamp("us", tz="UTC")).cast(table.schema.field(name).type, safe=False)
    return _with(table, name, values)


def _ended(table: pa.Table, cutoff: Cutoff) -> pa.Table:
    """Move events to the last second of the world."""
    at = cutoff.until - dt.timedelta(seconds=1)
    for name in (columns.TIMESTAMP, columns.CREATED_AT):
        if name in table.column_names:
            table = _with(table, name, pa.array([at] * table.num_rows, table.schema.field(name).type))
    return table


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    if name not in table.column_names:
        return table
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
