"""Run plans block of users by block of users, so that memory is bounded by a block and cores work apart.

DuckDB splits the events once into a folder a block, on disk; every core then works on blocks of its own with one
thread, so a block's rows do not depend on how many cores there are. Spark splits by itself: there, one block is all.
"""

import datetime as dt
import functools
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis import _

from components.profiles.build import engine
from components.profiles.build.plan import EVENTS, OF_TEXTS, Plan
from feature_repo import transforms

BLOCK_EVENTS = 250_000
MEMORY_MIB = 2048  # of DuckDB; past it, it spills
LEAST_MIB = 512  # of one core's
MOST_CORES = 8  # a container may see more cores than it has
MIRRORED = "mirrored"  # column of a block's file where items are people: the ends are exchanged
Table = Any


@dataclass(frozen=True)
class KnownEvents:
    """What one look at the events says."""

    end: dt.datetime  # the last timestamp or created_at
    late: bool  # some event became known after it happened


@dataclass(frozen=True)
class Blocks:
    """Events by block of users; users and items go by their positions."""

    folders: tuple[Path, ...]  # a block each; none on Spark, where the table `events` is the only block
    user_ids: pa.Array  # by position: the declared, then those that only events name
    item_ids: pa.Array  # the same
    known: KnownEvents
    spark: Any = None

    def run(self, plans: Mapping[bool, Plan], tables: Mapping[str, pa.Table]) -> Iterator[dict[str, pa.Table]]:
        """Yield each block's rows, in order; `plans` by whether a block has a late event, `tables` beside events."""
        if self.spark is not None:
            yield _on_spark(self.spark, plans[self.known.late], tables)
            return
        cores = _cores()
        work = _Work({late: compiled(plan) for late, plan in plans.items()}, tables, cores)
        with ThreadPoolExecutor(cores) as pool:
            ahead: list[Future[dict[str, pa.Table]]] = []
            for folder in self.folders:
                ahead.append(pool.submit(work.rows, folder))
                if len(ahead) > cores:  # as many wait for the one that is being written
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        work.close()


def look(connection: Any, events: Path) -> KnownEvents:
    """Find until when the events tell, and whether any became known late."""
    raw = connection.read_parquet(str(events))
    created = raw.created_at.fill_null(raw.timestamp)
    found = raw.agg(
        end=ibis.greatest(raw.timestamp.max(), created.max()), late=(created > raw.timestamp).any()
    ).to_pyarrow()
    return KnownEvents(found["end"][0].as_py().replace(tzinfo=dt.UTC), bool(found["late"][0].as_py()))


def split(
    connection: Any,
    events: Path,
    *,
    users: pa.Array,
    items: pa.Array,
    days: pa.Table,
    known: KnownEvents,
    scratch: Path,
    bare: Sequence[str] = (),
    people: bool = False,
    texts: bool = False,
) -> Blocks:
    """Split the events by blocks of users of about alike many events, into `scratch`.

    Events without an item are left out, but those of the kinds `bare`. Where items are people a block has what was done
    to its users as well, as events with the ends exchanged. With `texts` events keep what users wrote.
    """
    raw, held = connection.read_parquet(str(events)), OF_TEXTS if texts else EVENTS
    user_ids, item_ids = (_with_others(connection, raw, n, ids) for n, ids in (("user_id", users), ("item_id", items)))
    spark = connection.name == "pyspark"
    blocks = np.zeros(len(user_ids), np.int32) if spark else _block_of(raw, user_ids)
    places = pa.table({"user_id": user_ids, "user": _places(user_ids), "block": pa.array(blocks)})
    user_table = engine.stored(connection, "user_positions", places)
    item_table = engine.stored(connection, "item_positions", pa.table({"item_id": item_ids, "item": _places(item_ids)}))
    dated = transforms.dated(raw, engine.stored(connection, "local_days", days), late=known.late)

    def coded_of(events: Table) -> Table:
        if bare:
            with_user = events.filter(_.item_id.notnull() | _.event.isin(list(bare))).join(user_table, "user_id")
            joined = with_user.left_join(item_table, "item_id").drop("item_id_right")
        else:
            joined = events.join(user_table, "user_id").join(item_table, "item_id")
        coded = joined.drop("user_id", "item_id").rename(user_id="user", item_id="item")
        return coded.select("block", **{name: coded[name].cast(kind) for name, kind in held.items()})

    exchanged = dated.filter(_.item_id.notnull()).mutate(user_id=_.item_id, item_id=_.user_id)
    coded, received = coded_of(dated), coded_of(exchanged) if people else None
    if spark:
        engine.stored(connection, "events", coded.drop("block"))
        if received is not None:
            engine.stored(connection, "received_events", received.drop("block"))
        return Blocks((), user_ids, item_ids, known, connection)
    # A block's file stays open and takes large parts: with hundreds of blocks there would be thousands of small files.
    connection.raw_sql(f"SET temp_directory = '{scratch}-spill'; SET partitioned_write_max_open_files = 800")
    connection.raw_sql("SET partitioned_write_flush_threshold = 2000000")
    if received is not None:
        coded = coded.mutate(**{MIRRORED: False}).union(received.mutate(**{MIRRORED: True}))
    connection.raw_sql(
        f"COPY ({ibis.to_sql(coded, dialect='duckdb')}) TO '{scratch}' "
        "(FORMAT parquet, PARTITION_BY (block), COMPRESSION lz4_raw)"
    )
    folders = tuple(scratch / f"block={n}" for n in range(int(blocks.max(initial=-1)) + 1))
    return Blocks(tuple(f for f in folders if f.is_dir()), user_ids, item_ids, known)


def _with_others(connection: Any, raw: Table, name: str, ids: pa.Array) -> pa.Array:
    """Append the ids that only events name."""
    declared = engine.stored(connection, f"declared_{name}", pa.table({name: ids}))
    others = raw.select(name).filter(_[name].notnull()).anti_join(declared, name).distinct().order_by(name).to_pyarrow()
    return pa.concat_arrays([ids, others[name].combine_chunks().cast(ids.type)]) if others.num_rows else ids


def _places(ids: pa.Array) -> pa.Array:
    return pa.array(np.arange(len(ids), dtype=np.int32))


def _block_of(raw: Table, users: pa.Array) -> np.ndarray:
    """Number each user's block: users in order, a new block past every `BLOCK_EVENTS` events."""
    counts = raw.group_by("user_id").agg(n=_.count()).to_pyarrow()
    place = pa.compute.index_in(users, counts["user_id"].combine_chunks())
    n = pa.compute.fill_null(counts["n"].combine_chunks().take(place), 0).to_numpy(zero_copy_only=False)
    before = np.cumsum(n) - n
    return np.asarray(before // BLOCK_EVENTS, dtype=np.int32)


@dataclass(frozen=True)
class CompiledPlan:
    """A plan as DuckDB's SQL."""

    stages: dict[str, str]
    rows: dict[str, str]


@functools.cache
def compiled(plan: Plan) -> CompiledPlan:
    """Compile the expressions of a plan."""
    return CompiledPlan(
        *({n: ibis.to_sql(e, dialect="duckdb") for n, e in part.items()} for part in (plan.stages, plan.rows))
    )


class _Work:
    """Runs blocks on this thread's own DuckDB."""

    def __init__(self, plans: dict[bool, CompiledPlan], tables: Mapping[str, pa.Table], cores: int) -> None:
        self.plans, self.tables, self.cores = plans, tables, cores
        self.own = threading.local()
        self.opened: list[Any] = []

    def rows(self, folder: Path) -> dict[str, pa.Table]:
        """Return a block's rows."""
        duckdb = self._connection(folder.parent).con
        read = f"read_parquet('{folder}/*.parquet', hive_partitioning = false)"
        if MIRRORED in duckdb.sql(f"FROM {read} LIMIT 0").columns:
            for table, theirs in (("events", f"NOT {MIRRORED}"), ("received_events", MIRRORED)):
                query = f"SELECT * EXCLUDE ({MIRRORED}) FROM {read} WHERE {theirs}"
                duckdb.execute(f"CREATE OR REPLACE TABLE {table} AS {query}")
        else:
            duckdb.execute(f"CREATE OR REPLACE TABLE events AS FROM {read}")
        late = duckdb.sql(f"SELECT coalesce(bool_or(known > week), false) FROM {read}").fetchall()[0][0]
        plan = self.plans[late]
        for name, sql in plan.stages.items():
            duckdb.execute(f"CREATE OR REPLACE TABLE {name} AS {sql}")
        return {name: duckdb.sql(sql).to_arrow_table() for name, sql in plan.rows.items()}

    def _connection(self, scratch: Path) -> Any:
        if not hasattr(self.own, "connection"):
            connection = engine.duckdb(f"{max(MEMORY_MIB // self.cores, LEAST_MIB)}MiB")
            connection.raw_sql(f"SET threads = 1; SET temp_directory = '{scratch}/spill-{threading.get_ident()}'")
            for name, table in self.tables.items():
                engine.stored(connection, name, table)
            self.own.connection = connection
            self.opened.append(connection)
        return self.own.connection

    def close(self) -> None:
        """Close every thread's DuckDB."""
        for connection in self.opened:
            connection.disconnect()


def _on_spark(spark: Any, plan: Plan, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    for name, table in tables.items():
        engine.stored(spark, name, table)
    for name, stage in plan.stages.items():
        engine.stored(spark, name, stage)
    return {name: spark.to_pyarrow(rows) for name, rows in plan.rows.items()}


def _cores() -> int:
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, MOST_CORES)
