"""Traces of people in the files of a state folder: find them, remove them, prove that none is left.

A Parquet file is decoded column by column and rewritten without their rows. Lines of logs are blanked and other texts
masked in place, byte for byte, since a service may be appending to them. SQLite files are only searched:
`feature_repo/online/erase.py` deletes their rows. Every operation may be killed at any point and repeated.
"""

import contextlib
import fcntl
import functools
import gzip
import json
import mmap
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.recommender.logs import eventlog, json_lines, line_bytes
from feature_repo import columns, erasure, files, memory, vocabulary
from feature_repo.logs import parquet_files, request_log

LOGS = (columns.REQUESTS_FOLDER, eventlog.FOLDER)  # folders of the services' logs: a line is about one person
DATABASE = re.compile(r"\.db(-wal|-shm|-journal)?$")
ASIDE = re.compile(r"\.(\d+)\.(part|old)$")  # what feature_repo.files writes aside, with the writer's number
FOLDED = b'{"folded"'  # how a line of the event log begins that names events, not people
VOCABULARY = "vocabulary"  # a folder: where items are people its tables name them
NAME = re.compile(rb'(?<=")[0-9a-f]{16}(?=")')  # a pseudonym within a line
WHOLE = 64 << 20  # bytes of a file that is read at once
SHORTEST = 8  # characters of a raw id that can be told from other text


@dataclass(frozen=True)
class People:
    """Who is looked for: by pseudonym everywhere, by raw id as far as it can be told from other text."""

    raws: tuple[str, ...]
    pseudonyms: tuple[str, ...]

    @property
    def telling(self) -> tuple[str, ...]:
        """Raw ids that mean a person wherever they stand; '17' and 'chocolate' do so as a user_id only."""
        return tuple(r for r in self.raws if len(r) >= SHORTEST and not r.isdigit() and re.search(r"[0-9@]", r))

    @functools.cached_property
    def ids(self) -> pa.Array:
        """What a user_id may be."""
        return pa.array([*self.pseudonyms, *self.raws], pa.string())

    def within(self, *, raws: bool) -> str:
        """Return what is looked for within a text, as a pattern of RE2."""
        bounded = [rf"(?:^|[^0-9A-Za-z]){re.escape(raw)}(?:$|[^0-9A-Za-z])" for raw in self.telling if raws]
        return "|".join([*self.pseudonyms, *bounded])

    @functools.cached_property
    def needles(self) -> tuple["Needle", ...]:
        """What is looked for in bytes."""
        found = [Needle.of(name, rf"(?P<who>{name})") for name in self.pseudonyms]
        for raw in self.raws:
            for form in dict.fromkeys((raw, json.dumps(raw)[1:-1], json.dumps(raw, ensure_ascii=False)[1:-1])):
                who = rf"(?P<who>{re.escape(form)})"
                bounded = rf"(?<![0-9A-Za-z]){who}(?![0-9A-Za-z])"
                found.append(Needle.of(form, bounded if raw in self.telling else rf'"user(?:_id)?"\s*:\s*"{who}"'))
        return tuple(found)


@dataclass(frozen=True)
class Needle:
    """A name in bytes, and a pattern whose group `who` it is; the name alone is found a hundred times faster."""

    name: bytes
    pattern: re.Pattern[bytes]

    @classmethod
    def of(cls, name: str, pattern: str) -> "Needle":
        """Make one of text."""
        return cls(name.encode(), re.compile(pattern.encode()))

    def spans(self, data: "bytes | mmap.mmap") -> list[tuple[int, int]]:
        """Return where the name stands in some bytes."""
        if data.find(self.name) < 0:
            return []
        return [match.span("who") for match in self.pattern.finditer(data)]


@dataclass
class TraceReport:
    """What a look at files came to: hits by file, and how much was looked at."""

    hits: dict[Path, int] = field(default_factory=dict)
    unreadable: list[Path] = field(default_factory=list)
    files: int = 0
    size: int = 0  # bytes
    rows: int = 0  # of parquet files, decoded
    item_tables: list[Path] = field(default_factory=list)  # of vocabularies, in which a person is an item


def find(roots: Sequence[Path], people: People) -> TraceReport:
    """Look at every file below some folders."""
    found = TraceReport()
    for path in walk(roots):
        with contextlib.suppress(FileNotFoundError):  # logs rotate while we look
            found.size += path.stat().st_size
            parquet = path.suffix == ".parquet"
            if path.parent.name == VOCABULARY:
                named = _rows(path, people)[0] if parquet else _in_bytes(path, People((), people.pseudonyms))
                if path.name == vocabulary.KNOWN_ITEMS:
                    named = erasure.knows_any(path.parent, people.pseudonyms)
                found.item_tables += [path] if named else []
                found.files += 1
                continue
            hits = _in_bytes(path, People((), people.pseudonyms) if parquet else people)
            if parquet:
                try:
                    rows, total = _rows(path, people)
                except pa.ArrowInvalid:
                    found.unreadable.append(path)
                    rows, total = 0, 0
                hits, found.rows = rows or hits, found.rows + total
            found.files += 1
            if hits or any(n.spans(path.name.encode()) for n in people.needles):
                found.hits[path] = hits
    return found


def users(roots: Sequence[Path]) -> set[str]:
    """Return every user that a table or a line of a log below some folders is about."""
    found: set[str] = set()
    for path in walk(roots):
        if path.suffix == ".parquet":
            with contextlib.suppress(pa.ArrowInvalid, FileNotFoundError), parquet_files.opened(path) as file:
                if columns.USER_ID in file.schema_arrow.names:
                    read = file.read(columns=[columns.USER_ID])[columns.USER_ID]
                    found |= {str(user) for user in pc.unique(read).to_pylist() if user is not None}
        elif path.parent.name in LOGS:
            with contextlib.suppress(FileNotFoundError):
                names = map(_user_of, line_bytes.said(path).splitlines())
                found |= {name.decode() for name in names if name is not None}
    return found


def items_named(roots: Sequence[Path]) -> set[str]:
    """Return every item that a vocabulary below some folders names: where items are people, their pseudonyms."""
    found: set[str] = set()
    for path in walk(roots):
        if path.parent.name == VOCABULARY and path.name in erasure.TABLES and path.suffix == ".parquet":
            found |= {str(item) for item in pq.read_table(path, columns=[columns.ITEM_ID])[columns.ITEM_ID].to_pylist()}
    return found


def walk(roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the files below some folders, once each; links are not followed."""
    for root in roots:
        if root.is_file():
            yield root
        for folder, _, names in os.walk(root):
            yield from (path for name in sorted(names) if not (path := Path(folder) / name).is_symlink())


def clean(path: Path, people: People) -> int:
    """Take the traces out of one file, unless it is a database; return the rows or places that went.

    A vocabulary keeps its rows, since others name items by their place in it: feature_repo/erasure.py empties them.
    """
    if path.parent.name == VOCABULARY:
        return 0
    if path.suffix == ".parquet":
        return _rewrite(path, people)
    if DATABASE.search(path.name):
        return 0
    if path.suffix == ".jsonl" and path.parent.name in LOGS:
        parquet = _of_before(path)
        return _blank(path, people) if parquet is None else _rewrite(parquet, people)
    if path.suffix == request_log.PACKED:
        return _without(path, people)
    return mask(path, people.needles)


def clean_aside(roots: Sequence[Path]) -> int:
    """Delete what killed writers left aside; return how many."""
    gone = 0
    for root in roots:
        for folder, folders, names in os.walk(root):
            for name in [*folders, *names]:
                if (match := ASIDE.search(name)) and not _alive(int(match.group(1))):
                    path = Path(folder) / name
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                    gone += 1
            folders[:] = [name for name in folders if not ASIDE.search(name)]
    return gone


def mask_keys(folder: Path, people: People) -> None:
    """Mask, in the event log's notes of what was folded, the keys of people's events: before their lines go."""
    keys = set().union(*(event_keys(path, people) for path in json_lines.files(folder)))
    for path in json_lines.files(folder):
        mask_notes(path, keys, people)


def event_keys(path: Path, people: People) -> set[str]:
    """Return the keys of people's events in one file of the event log, as JSON writes them."""
    keys = set()
    for line in _hit_lines(line_bytes.said(path), people):
        with contextlib.suppress(ValueError):  # half a line of an earlier, killed attempt
            keys.add(json.dumps(json.loads(line).get("key", ""), ensure_ascii=False)[1:-1])
    return keys - {""}


def mask_notes(path: Path, keys: Iterable[str], people: People) -> int:
    """Mask keys and people in one file's notes of what was folded; return the places that went."""
    needles = [Needle.of(key, f'"(?P<who>{re.escape(key)})"') for key in sorted(keys)]
    return mask(path, [*needles, *people.needles], only=lambda line: line.startswith(FOLDED))


def mask(path: Path, needles: Sequence[Needle], *, only: Callable[[bytes], bool] = lambda line: True) -> int:
    """Overwrite what names people with as many x, in place; a compressed file is written anew."""
    places: list[tuple[int, int, bytes]] = []  # begin, end, and what stands there then
    start, count = 0, 0
    data = line_bytes.raw(path)
    for line in data.splitlines(keepends=True):
        text = line_bytes.opened(line)
        spans = [span for needle in needles for span in needle.spans(text)] if only(text) else []
        count += len(spans)
        if spans and text is not line:
            masked = bytearray(text)
            for begin, end in spans:
                masked[begin:end] = b"x" * (end - begin)
            places.append((start, start + len(line), line_bytes.resealed(bytes(masked), line)))
        else:
            places += [(start + begin, start + end, b"x" * (end - begin)) for begin, end in spans]
        start += len(line)
    if places and path.suffix == request_log.PACKED:
        whole = bytearray(data)
        for begin, end, new in places:
            whole[begin:end] = new
        _packed(path, bytes(whole))
    elif places:
        with path.open("r+b") as stream:
            for begin, _, new in places:
                os.pwrite(stream.fileno(), new, begin)
            os.fsync(stream.fileno())
    return count


def replace_users(path: Path, names: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """Give the people of a log's lines other names of the same length; None: the line goes. Returns (renamed, gone)."""
    if path.suffix == request_log.PARQUET:
        return _replace_rows(path, names)
    if path.suffix == request_log.PACKED:
        return _replace_packed(path, names)
    if (parquet := _of_before(path)) is not None:
        return _replace_rows(parquet, names)
    renamed, gone, start = 0, 0, 0
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        if not request_log.same_file(stream.fileno(), path):  # it became parquet while we waited
            again = path.with_suffix(request_log.PARQUET)
            return _replace_rows(again, names) if again.exists() else (0, 0)
        for line in path.read_bytes().splitlines(keepends=True):
            text = line_bytes.opened(line)
            user = _user_of(text)
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


def _of_before(path: Path) -> Path | None:
    """Make parquet of a closed segment whose lines hide their items (line_bytes.py); None for every other file."""
    hides = path.suffix == request_log.SEGMENT and path.exists() and line_bytes.hides(path)
    return request_log.compact(path) if hides else None


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
        with _writer_like(path, aside, file.schema_arrow) as writer:
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
        user = _user_of(text)
        name = user if user is None else names(user)
        if user is None or name is not None:
            if user is None or name is None:
                kept.append(line)
            else:
                kept.append(line_bytes.resealed(_renamed(text.replace(user, name), names), line))
            renamed += user != name
    if renamed or len(kept) < len(found):
        _packed(path, b"".join(kept))
    return renamed, len(found) - len(kept)


def _without(path: Path, people: People) -> int:
    """Write a compressed file anew without people's lines."""
    found = line_bytes.raw(path).splitlines(keepends=True)
    kept = [line for line in found if not any(needle.spans(line_bytes.opened(line)) for needle in people.needles)]
    if len(kept) < len(found):
        _packed(path, b"".join(kept))
    return len(found) - len(kept)


def _writer_like(path: Path, target: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a file to write to, encrypted if the one that it replaces is."""
    make = parquet_files.writer if parquet_files.encrypted(path) else pq.ParquetWriter
    return make(target, schema, compression="zstd")


def _packed(path: Path, data: bytes) -> None:
    with files.written(path) as aside:
        aside.write_bytes(gzip.compress(data))
        shutil.copymode(path, aside)


def _user_of(line: bytes) -> bytes | None:
    match = re.search(rb'"user_id":"([0-9a-f]{16})"', line)
    return match.group(1) if match else None


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _in_bytes(path: Path, people: People) -> int:
    """Count what names people in a file's bytes."""
    if line_bytes.of_lines(path) or path.stat().st_size <= WHOLE:
        data = line_bytes.said(path)
        return sum(len(needle.spans(data)) for needle in people.needles)
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return sum(len(needle.spans(mapped)) for needle in people.needles)


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


def _rows(path: Path, people: People) -> tuple[int, int]:
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


def _rewrite(path: Path, people: People) -> int:
    """Write a parquet file anew without people's rows, its row groups as they were."""
    gone = 0
    with parquet_files.opened(path) as file, files.written(path) as aside:
        with _writer_like(path, aside, file.schema_arrow) as writer:
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


def _hit_lines(data: bytes, people: People) -> list[bytes]:
    return [line for line in data.splitlines() if any(needle.spans(line) for needle in people.needles)]


def _blank(path: Path, people: People) -> int:
    """Overwrite people's lines with spaces, in place; what names the person goes last, so that a killed call is
    taken up where it was.
    """
    gone, start = 0, 0
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)  # nobody makes parquet of it meanwhile
        if not request_log.same_file(stream.fileno(), path):  # somebody did while we waited
            parquet = path.with_suffix(request_log.PARQUET)
            return _rewrite(parquet, people) if parquet.exists() else 0
        for line in path.read_bytes().splitlines(keepends=True):
            text = line.rstrip(b"\n")
            shown = line_bytes.opened(text)
            hits = [span for needle in people.needles for span in needle.spans(shown)]
            within = line_bytes.hidden(shown)
            if hits or any(needle.spans(within) for needle in people.needles):
                begin, end = hits[0] if hits and shown is text else (0, len(text))
                for first, last in ((end, len(text)), (0, begin), (begin, end)):
                    os.pwrite(stream.fileno(), b" " * (last - first), start + first)
                gone += 1
            start += len(line)
        if gone:
            os.fsync(stream.fileno())
    return gone
