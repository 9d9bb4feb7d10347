"""Give the people of logs other names: what a change of the pseudonyms' key asks for. May be killed and repeated."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from bentos.recommender.logs import line_bytes
from bentos.recommender.logs.trace_lines import of_before, packed, user_of
from bentos.recommender.logs.trace_rows import writer_like
from feature_repo import columns, files
from feature_repo.logs import parquet_files, request_log

NAME = re.compile(rb'(?<=")[0-9a-f]{16}(?=")')  # a pseudonym within a line


def replace_users(path: Path, names: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """Give the people of a log's lines other names of the same length; None: the line goes. Returns (renamed, gone)."""
    if path.suffix == request_log.PARQUET:
        return _replace_rows(path, names)
    if path.suffix == request_log.PACKED:
        return _replace_packed(path, names)
    if (parquet := of_before(path)) is not None:
        return _replace_rows(parquet, names)
    renamed, gone, start = 0, 0, 0
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        if not request_log.same_file(stream.fileno(), path):  # it became parquet while we waited
            again = path.with_suffix(request_log.PARQUET)
            return _replace_rows(again, names) if again.exists() else (0, 0)
        for line in path.read_bytes().splitlines(keepends=True):
            text = line_bytes.opened(line)
            user = user_of(text)
            name = names(user) if user is not None else None
            if user is not None and (name is None or _renamed(said := line_bytes.hidden(text), names) != said):
                os.pwrite(stream.fileno(), b" " * len(line.rstrip(b"\n")), start)
                gone += 1
            elif user is not None and name is not None and name != user:
                os.pwrite(stream.fileno(), line_bytes.resealed(_renamed(text.replace(user, name), names), line), start)
                renamed += 1
            start += len(line)
        os.fsync(stream.fileno())
    return renamed, gone


def _renamed(line: bytes, names: Callable[[bytes], bytes | None]) -> bytes:
    """Rename the people whom a line names as items; other names of that form stay.

    >>> _renamed(b'{"item_id":"0123456789abcdef"}', lambda name: b"f" * 16)
    b'{"item_id":"ffffffffffffffff"}'
    """
    return NAME.sub(lambda match: names(match[0]) or match[0], line)


def _replace_rows(path: Path, names: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """Do the same to a parquet file, which is written anew."""
    renamed, gone = 0, 0
    with parquet_files.opened(path) as file, files.written(path) as aside:
        with writer_like(path, aside, file.schema_arrow) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                users = table[columns.USER_ID].to_pylist()
                new = [None if user is None else names(user.encode()) for user in users]
                kept = [user is None or name is not None for user, name in zip(users, new, strict=True)]
                renamed += sum(n is not None and n.decode() != u for u, n in zip(users, new, strict=True))
                gone += len(kept) - sum(kept)
                column = pa.array([None if name is None else name.decode() for name in new], pa.string())
                table = _with_items_renamed(table, names)
                place = table.schema.get_field_index(columns.USER_ID)
                table = table.set_column(place, table.schema.field(place), column).filter(pa.array(kept))
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
        shutil.copymode(path, aside)
    return renamed, gone


def _with_items_renamed(table: pa.Table, names: Callable[[bytes], bytes | None]) -> pa.Table:
    """Rename the people whom answers named as items, in what was shown and what was asked."""
    for at, name in enumerate(table.column_names):
        if name in (request_log.ITEMS, request_log.ASKED):
            kind = table.schema.field(at).type
            cells = [None if value is None else json.dumps(value).encode() for value in table[name].to_pylist()]
            if any(NAME.search(cell.replace(b'\\"', b'"')) for cell in cells if cell is not None):
                plain = [None if cell is None else json.loads(cell) for cell in cells]
                new = [_in_value(value, names) for value in plain]
                table = table.set_column(at, table.schema.field(at), pa.array(new, kind))
    return table


def _in_value(value: Any, names: Callable[[bytes], bytes | None]) -> Any:
    """Rename people in a value of any depth; a text may itself be JSON."""
    if isinstance(value, dict):
        return {key: _in_value(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [_in_value(one, names) for one in value]
    if isinstance(value, str):
        return _renamed(b'"' + value.encode() + b'"', names)[1:-1].decode()
    return value


def _replace_packed(path: Path, names: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """Do the same to a compressed file of lines, which is written anew."""
    renamed, kept = 0, []
    found = line_bytes.raw(path).splitlines(keepends=True)
    for line in found:
        text = line_bytes.opened(line)
        user = user_of(text)
        name = user if user is None else names(user)
        if user is None or name is not None:
            if user is None or name is None:
                kept.append(line)
            else:
                kept.append(line_bytes.resealed(_renamed(text.replace(user, name), names), line))
            renamed += user != name
    if renamed or len(kept) < len(found):
        packed(path, b"".join(kept))
    return renamed, len(found) - len(kept)
