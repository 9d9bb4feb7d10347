"""Logged answers on disk: open segments of JSON lines, and parquet files that closed segments become.

A line holds its numbers packed (packed_answer.py); lines of before, with decimals, are read as well.

The door writes segments (bentos/recommender/logs/requestlog.py) and compacts them; monitoring, parity, `why`, rewards
and rotation read both through `read`, or `table` where Arrow is faster. A segment and a parquet file of one name hold
the same answers (a process was killed between writing the one and deleting the other): the parquet file counts.

The files of a day that is over may be merged into one (pipelines/jobs/compact.py), `<day>.day.parquet`. What it holds
may also lie in a file that was not deleted yet: an answer is told by its key, and yielded once.
"""

import datetime as dt
import fcntl
import gzip
import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from feature_repo import columns, files
from feature_repo.logs import packed_answer, parquet_files
from feature_repo.privacy import sealing

SEGMENT, PARQUET = ".jsonl", ".parquet"
MERGED = ".day.parquet"  # of a day that is over, whole
PACKED = ".gz"  # behind the name of a file of lines that was compressed
PART_ROWS = 16
GROUP_ROWS = 1024  # of a row group: the more, the more often a user's row is in it again, which then costs nothing
AT_ONCE = 64  # answers that are read as Python's numbers: one holds a whole user row, of thousands
# Pages as large as a row group: zstd finds a row again only within a page. A door compacts beside its answers, so the
# level is low: 9 takes twice the processor for a tenth less.
WRITTEN: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "data_page_size": 64 << 20}
ITEMS, ASKED = "items", "asked"  # columns: what was shown, and the request as JSON
ITEM = pa.struct(
    {
        columns.ITEM_ID: pa.string(),
        "position": pa.int32(),
        "score": pa.float64(),
        "source": pa.string(),
        "propensity": pa.float64(),
    }
)
TYPES = {
    "logged_at": pa.timestamp("us", tz="UTC"),
    "now": pa.int64(),
    columns.STATE_AT: pa.int64(),
    "known": pa.bool_(),
    "latency_ms": pa.float64(),
    "numbers": pa.map_(pa.string(), pa.float64()),
    "lists": pa.map_(pa.string(), pa.list_(pa.float64())),
    "probabilities": pa.list_(pa.float64()),
    "items": pa.list_(ITEM),
    "mirrored": pa.bool_(),
    "sample": pa.float64(),
    columns.CATALOGUE_VERSION: pa.int64(),
}  # every other column is text; `asked` is JSON
SCHEMA = pa.schema([(name, TYPES.get(name, pa.string())) for name in columns.REQUEST_LOG])
KEY = (columns.REQUEST_ID, "endpoint", "logged_at")  # what tells an answer from every other one
log = logging.getLogger("intentflow")
Answer = dict[str, Any]
Key = tuple[str, str, int]


def log_files(folder: Path) -> list[Path]:
    """List a log's files, oldest first, each answer in one of them."""
    found = {path.stem: path for path in folder.glob(f"*{SEGMENT}")}
    return [path for _, path in sorted((found | {path.stem: path for path in folder.glob(f"*{PARQUET}")}).items())]


def read(folder: Path, *, newest_first: bool = False, since_s: float = 0.0) -> Iterator[Answer]:
    """Yield every logged answer; what compaction or retention takes away meanwhile is not missed twice.

    With `since_s` (epoch seconds) files that nobody wrote to since then are left out.
    """
    paths = [path for path in log_files(folder) if not since_s or _written_at(path) >= since_s]
    for day, some in itertools.groupby(reversed(paths) if newest_first else paths, key=day_of):
        yield from _read_day(folder / f"{day}{MERGED}", list(some), newest_first=newest_first)


def day_of(path: Path) -> str:
    """Return the day that names a file.

    >>> day_of(Path("requests/2026-11-23.00004.parquet"))
    '2026-11-23'
    """
    return path.name.partition(".")[0]


def key_of(answer: Mapping[str, Any]) -> Key | None:
    """Return what tells an answer from every other one; None for a line of before that has no such thing."""
    request, endpoint, at = (answer.get(name) for name in KEY)
    if not request or at is None:
        return None
    instant = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return str(request), str(endpoint), round(instant.timestamp() * 1e6)


def once(answers: Iterable[Answer], seen: set[Key]) -> Iterator[Answer]:
    """Yield the answers whose keys were not seen, and note these."""
    for answer in answers:
        key = key_of(answer)
        if key is None or key not in seen:
            yield answer
            if key is not None:
                seen.add(key)


def _read_day(merged: Path, paths: Sequence[Path], *, newest_first: bool) -> Iterator[Answer]:
    """Yield a day's answers once each: its files, and last the merged one, into which a file may go meanwhile."""
    seen: set[Key] = set()
    vanished = False
    for path in [path for path in paths if path != merged]:
        try:
            for answer in read_file(path, newest_first=newest_first):
                if (key := key_of(answer)) is not None:
                    seen.add(key)
                yield answer
        except FileNotFoundError:
            again = path.with_suffix(PARQUET)
            if path.suffix == SEGMENT and again.exists():
                yield from once(read_file(again, newest_first=newest_first), seen)
            else:
                vanished = True
    if merged in paths or (vanished and merged.exists()):
        yield from once(read_file(merged, newest_first=newest_first), seen)


def read_file(path: Path, *, newest_first: bool = False) -> Iterator[Answer]:
    """Yield a file's answers; a line that a crash cut short is skipped and said so."""
    if path.suffix == PARQUET:
        with parquet_files.opened(path) as file:
            yield from read_groups(file, newest_first=newest_first)
        return
    yield from read_lines(path, newest_first=newest_first)


def read_groups(
    file: pq.ParquetFile, *, names: Sequence[str] | None = None, newest_first: bool = False
) -> Iterator[Answer]:
    """Yield the answers of an open parquet file, all columns or some."""
    groups = range(file.num_row_groups)
    for group in reversed(groups) if newest_first else groups:
        table = file.read_row_group(group, columns=names)
        starts = range(0, table.num_rows, AT_ONCE)
        for start in reversed(starts) if newest_first else starts:
            rows = table.slice(start, AT_ONCE).to_pylist(maps_as_pydicts="strict")
            yield from map(_answer, reversed(rows) if newest_first else rows)


def read_lines(path: Path, *, newest_first: bool = False, arrays: bool = False) -> Iterator[Answer]:
    """Yield the lines of a file of JSON lines; one that a crash cut short is skipped and said so.

    With `arrays` packed numbers stay arrays, which Arrow takes without a look at each number.
    """
    unpacked = packed_answer.arrays if arrays else packed_answer.unpack
    known: dict[str, str] = {}
    with gzip.open(path) if path.suffix == PACKED else path.open("rb") as stream:
        lines = parsed(stream, path)
        if newest_first:  # a line's numbers may stand in an earlier one
            found = list(lines)
            known = {key: text for line in found for key, text in packed_answer.texts_in(line).items()}
            lines = iter(reversed(found))
        for line in lines:
            try:
                yield packed_answer.whole(line, known, read=unpacked)
            except ValueError as error:
                log.warning("%s: request %s: %s; skipped", path, line.get(columns.REQUEST_ID), error)


def parsed(stream: Iterable[bytes], path: Path) -> Iterator[Answer]:
    """Yield the objects of lines of a file; one that a crash cut short is skipped and said so."""
    for number, text in enumerate(stream, 1):
        if text.strip():
            try:
                line = from_json(sealing.given().open(text, what=f"{path}: a line"))
            except ValueError:
                log.warning("%s line %d: cut short, skipped", path, number)
                continue
            if isinstance(line, dict):
                yield line
            else:
                log.warning("%s line %d: no JSON object, skipped", path, number)


def table(folder: Path, *, names: Sequence[str] = columns.REQUEST_LOG) -> pa.Table:
    """Return some columns of every answer as one Arrow table; parquet files are not taken apart."""
    schema = pa.schema([SCHEMA.field(name) for name in names])
    days = itertools.groupby(log_files(folder), key=day_of)
    parts = [part for day, some in days for part in _tables(folder / f"{day}{MERGED}", list(some), schema)]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def tables(folder: Path, *, names: Sequence[str], since_s: float = 0.0) -> Iterator[pa.Table]:
    """Yield some columns of answers as tables, those of the newest file first, so that a reader may stop early.

    With `since_s` (epoch seconds) files that nobody wrote to since then are left out.
    """
    schema = pa.schema([SCHEMA.field(name) for name in names])
    paths = [path for path in log_files(folder) if not since_s or _written_at(path) >= since_s]
    for day, some in itertools.groupby(reversed(paths), key=day_of):
        merged, there = folder / f"{day}{MERGED}", list(some)
        for part in [there] if merged in there else [[path] for path in there]:
            yield from reversed(_tables(merged, part[::-1], schema))


def _tables(merged: Path, paths: Sequence[Path], schema: pa.Schema) -> list[pa.Table]:
    """Return a day's files as tables, or answer by answer where some may lie in two of them."""
    if merged not in paths or len(paths) == 1:
        try:
            return [
                _read_table(path, schema)
                if path.suffix == PARQUET
                else table_of(list(read_file(path))).select(schema.names)
                for path in paths
            ]
        except FileNotFoundError:  # merged meanwhile
            pass
    return [table_of(list(_read_day(merged, paths, newest_first=False))).select(schema.names)]


def _read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a parquet file as a schema has it; Arrow's own reading of a path knows no keys."""
    if not parquet_files.encrypted(path):
        return pq.read_table(path, columns=schema.names, schema=schema)
    with parquet_files.opened(path) as file:
        return file.read(columns=schema.names).select(schema.names).cast(schema)


def table_of(answers: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return answers as Arrow; what an older line does not have is null."""
    rows = [_row(answer) for answer in answers]
    if not rows or any(not _arrays_of(row) for row in rows):
        return pa.Table.from_pylist(rows, schema=SCHEMA)
    lists = [array for row in rows for _, array in row["lists"]]
    names = pa.array([name for row in rows for name, _ in row["lists"]], pa.string())
    made = {
        "lists": pa.MapArray.from_arrays(_offsets([row["lists"] for row in rows]), names, _list_array(lists)),
        "probabilities": _list_array([row["probabilities"] for row in rows]),
    }
    rest = pa.schema([field for field in SCHEMA if field.name not in made])
    table = pa.Table.from_pylist([{name: row[name] for name in rest.names} for row in rows], schema=rest)
    every = {name: table[name] for name in rest.names} | made
    return pa.Table.from_arrays([every[name] for name in SCHEMA.names], schema=SCHEMA)


def _arrays_of(row: Answer) -> bool:
    """Tell whether a row's numbers are arrays; those of a line of decimals may be null."""
    return all(isinstance(one, np.ndarray) for one in (row["probabilities"], *(array for _, array in row["lists"])))


def _offsets(parts: Sequence[Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum([len(part) for part in parts])]), pa.int32())


def _list_array(parts: Sequence[np.ndarray]) -> pa.ListArray:
    """Return arrays as one Arrow array of lists of doubles."""
    values = np.concatenate([np.empty(0), *parts], dtype=np.float64)
    return pa.ListArray.from_arrays(_offsets(parts), pa.array(values))


def compact(path: Path) -> Path | None:
    """Turn a segment that nobody writes to into a parquet file; None where somebody does, or it is gone."""
    try:
        segment = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
        target = path.with_suffix(PARQUET)
        if not same_file(segment, path):
            return None
        if not target.exists() and next(read_file(path), None) is not None:
            _sweep(target)
            with files.written(target) as aside, parquet_files.writer(aside, SCHEMA, **WRITTEN) as writer:
                parts = _parts(read_lines(path, arrays=True))
                while some := list(itertools.islice(parts, GROUP_ROWS // PART_ROWS)):
                    writer.write_table(pa.concat_tables(some), row_group_size=GROUP_ROWS)
        path.unlink()
        return target if target.exists() else None
    except BlockingIOError:
        return None
    finally:
        os.close(segment)


def _sweep(target: Path) -> None:
    """Delete what a process that was killed had written of a file; who holds its segment's lock is alone at it."""
    for left in target.parent.glob(f".{target.name}.*.part"):
        left.unlink(missing_ok=True)


def _written_at(path: Path) -> float:
    """Return when a file was last written to; one that was just compacted is as new as its parquet file."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _parts(lines: Iterator[Answer]) -> Iterator[pa.Table]:
    """Yield few rows at a time: a service answers on other threads meanwhile."""
    while some := list(itertools.islice(lines, PART_ROWS)):
        yield table_of(some)


def same_file(opened: int, path: Path) -> bool:
    """Tell whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False


def _row(answer: Mapping[str, Any]) -> Answer:
    """Return a line as the schema has it."""
    row = {name: answer.get(name) for name in columns.REQUEST_LOG}
    if isinstance(row["logged_at"], str):
        row["logged_at"] = dt.datetime.fromisoformat(row["logged_at"])
    row["asked"] = json.dumps(row["asked"], ensure_ascii=False, default=str)
    for name in ("numbers", "lists"):
        row[name] = list((row[name] or {}).items())
    return row


def _answer(row: Mapping[str, Any]) -> Answer:
    """Return a row of parquet as its line was."""
    answer = dict(row)
    if isinstance(answer.get("logged_at"), dt.datetime):
        answer["logged_at"] = answer["logged_at"].isoformat()
    if "asked" in answer:
        answer["asked"] = json.loads(answer["asked"] or "null")
    if "mirrored" in answer:
        answer["mirrored"] = bool(answer["mirrored"])
    return answer
