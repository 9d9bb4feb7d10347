"""Merge the request log's files of past days: one for each day and service, no answer lost or doubled.

In a folder of this machine `<day>.<number>.parquet` become `<day>.day.parquet` beside them; in a store that doors ship
to, `<host>/…` become `_days/<service>/<day>.day.parquet`. The order makes it safe to kill: the merged file is written
aside, renamed, read back, and only then its sources are deleted. A source may turn up again (a door that restarted
ships its files anew): answers that were merged before are recognised by their key. Readers do the same meanwhile
(request_log.py, shipped_log.py).
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from feature_repo.errors import ServerError
from feature_repo.logs import parquet_files, request_log, shipped_log
from feature_repo.logs.object_store import ASIDE, Entry, Store

NAME = re.compile(r"^(\d{4}-\d\d-\d\d)\.(\d+|day)\.parquet$")


@dataclass(frozen=True)
class MergeReport:
    """What a look at a log came to."""

    days: int = 0  # merged files that were written
    files: int = 0  # that went into one and are deleted
    answers: int = 0  # that were added


def merge(
    store: Store, *, now: dt.datetime, settle_hours: int, still: Callable[[], None] = lambda: None
) -> MergeReport:
    """Merge every day that has been over for some hours; `still` raises where another one acts now."""
    last = (now - dt.timedelta(hours=settle_hours)).date().isoformat()
    days = answered = gone = 0
    for entry in store.files(f"{request_log.MERGED}{ASIDE}"):
        store.delete(entry.path)  # of a merge that was killed
    for target, sources in sorted(_groups(store, before=last).items()):
        still()
        added = _merged(store, target, sources)
        days, answered = days + bool(added), answered + added
        for source in sources:
            now_there = store.entry(source.path)
            if now_there is not None and (now_there.size, now_there.written_s) == (source.size, source.written_s):
                still()
                store.delete(source.path)
                gone += 1
    return MergeReport(days, gone, answered)


def _groups(store: Store, *, before: str) -> dict[str, list[Entry]]:
    """Return the files that are to be merged, by the file that they go into."""
    found: dict[str, list[Entry]] = {}
    for entry in store.files(request_log.PARQUET):
        match = NAME.match(entry.name)
        target = shipped_log.merged_path(store, entry)
        if match and match.group(1) < before and entry.path != target:
            found.setdefault(target, []).append(entry)
    return found


def _merged(store: Store, target: str, sources: Iterable[Entry]) -> int:
    """Write the file anew with what it lacks; return how many answers that were."""
    there = store.entry(target) is not None
    seen = {key for key in _keys(store, target) if key is not None} if there else set()
    lacking = [s.path for s in sources if any(key is None or key not in seen for key in _keys(store, s.path))]
    if not lacking:
        return 0
    had, before = 0, len(seen)
    with store.written(target) as sink, parquet_files.writer(sink, request_log.SCHEMA, **request_log.WRITTEN) as writer:
        for table in _groups_of(_chained(store, target if there else "", lacking, seen)):
            writer.write_table(table, row_group_size=request_log.GROUP_ROWS)
            had += table.num_rows
    with store.system.open_input_file(target) as stream, parquet_files.opened(stream) as file:
        if file.metadata.num_rows != had:
            raise ServerError(f"{target}: {file.metadata.num_rows} answers were read back of {had}; nothing is deleted")
    return len(seen) - before


def _chained(store: Store, target: str, lacking: list[str], seen: set[request_log.Key]) -> Iterator[pa.Table]:
    """Yield what the file holds, then what it lacks; a day may be larger than memory."""
    if target:
        yield from _tables(store, target)
    for path in lacking:
        yield from _unseen(store, path, seen)


def _unseen(store: Store, path: str, seen: set[request_log.Key]) -> Iterator[pa.Table]:
    """Yield a file's answers that were not seen, and note these."""
    for table in _tables(store, path):
        keys = [request_log.key_of(row) for row in table.select(list(request_log.KEY)).to_pylist()]
        keep = [key is None or key not in seen for key in keys]
        seen.update(key for key in keys if key is not None)
        if any(keep):
            yield table.filter(pa.array(keep, pa.bool_()))


def _keys(store: Store, path: str) -> list[request_log.Key | None]:
    with store.system.open_input_file(path) as stream, parquet_files.opened(stream) as file:
        return [request_log.key_of(row) for row in file.read(columns=list(request_log.KEY)).to_pylist()]


def _tables(store: Store, path: str) -> Iterator[pa.Table]:
    """Yield a file's row groups as today's schema has them; a column of before it is null."""
    with store.system.open_input_file(path) as stream, parquet_files.opened(stream) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            arrays: list[Any] = [
                table[field.name].cast(field.type)
                if field.name in table.column_names
                else pa.nulls(table.num_rows, field.type)
                for field in request_log.SCHEMA
            ]
            yield pa.Table.from_arrays(arrays, schema=request_log.SCHEMA)


def _groups_of(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables of about a row group each: a door that answers little leaves many small ones."""
    some: list[pa.Table] = []
    for table in tables:
        some.append(table)
        if sum(part.num_rows for part in some) >= request_log.GROUP_ROWS:
            yield pa.concat_tables(some)
            some = []
    if some:
        yield pa.concat_tables(some)
