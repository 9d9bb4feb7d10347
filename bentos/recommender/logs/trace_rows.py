"""Traces of people in parquet files: rows about them are counted, or left out of a file that is written anew."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.recommender.logs.trace_people import People
from feature_repo import columns, files, memory
from feature_repo.logs import parquet_files


def count_rows(path: Path, people: People) -> tuple[int, int]:
    """Count a parquet file's rows about people, and all its rows."""
    with parquet_files.opened(path) as file:
        names = _texts(file.schema_arrow)
        if not names:
            return 0, file.metadata.num_rows
        found = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            found += pc.sum(pc.or_(_about(table, people), _mentions(table, people))).as_py() or 0
        return int(found), file.metadata.num_rows


def rewrite(path: Path, people: People) -> int:
    """Write a parquet file anew without people's rows, its row groups as they were."""
    gone = 0
    with parquet_files.opened(path) as file, files.written(path) as aside:
        with writer_like(path, aside, file.schema_arrow) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                about = _about(table, people)
                kept = table.filter(pc.invert(about))
                gone += table.num_rows - kept.num_rows + (pc.sum(_mentions(kept, people)).as_py() or 0)
                kept = _corrected(kept, people)
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=kept.num_rows)
        shutil.copymode(path, aside)
    return gone


def writer_like(path: Path, target: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file to write to, encrypted if the one that it replaces is."""
    make = parquet_files.writer if parquet_files.encrypted(path) else pq.ParquetWriter
    return make(target, schema, compression="zstd")


def _texts(schema: pa.Schema) -> list[str]:
    """Name the columns that hold text, at any depth."""
    return [each.name for each in schema if _holds_text(each.type)]


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_text(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_holds_text(kind.field(n).type) for n in range(kind.num_fields))
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or str(kind) == "json"
    )


def _about(table: pa.Table, people: People) -> pa.ChunkedArray:
    """Tell of each row whether any of its texts names one of the people."""
    about = pa.chunked_array([pa.array([False] * table.num_rows, pa.bool_())])
    has_users = columns.USER_ID in table.column_names  # an item may be called like a user: those stay
    for name in _texts(table.schema):
        if name == columns.MEMORY:  # of whose row it is, and in it, where items are people, of others: `_corrected`
            continue
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type):
            column = pa.chunked_array([pa.array([_flat(value) for value in column.to_pylist()], pa.string())])
        pattern = people.within(raws=has_users and name not in columns.ITEMS)
        hit = pc.match_substring_regex(column.cast(pa.string()), pattern)
        if name == columns.USER_ID:
            hit = pc.or_(hit, pc.is_in(column.cast(pa.string()), people.ids))
        about = pc.or_(about, pc.fill_null(hit, False))
    return about


def _mentions(table: pa.Table, people: People) -> pa.ChunkedArray:
    """Tell of each row whether its event memory names one of the people."""
    if columns.MEMORY not in table.column_names:
        return pa.chunked_array([pa.array([False] * table.num_rows, pa.bool_())])
    texts = table[columns.MEMORY].cast(pa.string())
    return pc.fill_null(pc.match_substring_regex(texts, people.within(raws=False)), False)


def _corrected(table: pa.Table, people: People) -> pa.Table:
    """Take people out of the event memories of others, whose rows stay."""
    if not (pc.sum(_mentions(table, people)).as_py() or 0):
        return table
    place = table.schema.get_field_index(columns.MEMORY)
    cells = [None if c is None else memory.without(c, people.pseudonyms) for c in table[columns.MEMORY].to_pylist()]
    return table.set_column(place, table.schema.field(place), pa.array(cells, pa.binary()))


def _flat(value: object) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
