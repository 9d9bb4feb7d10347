"""Traces of people in the files of a state folder: find them, remove them, prove that none is left.

A Parquet file is decoded column by column and rewritten without their rows. Lines of logs are blanked and other texts
masked in place, byte for byte, since a service may be appending to them. SQLite files are only searched:
`feature_repo/online/erase.py` deletes their rows. Every operation may be killed at any point and repeated.
"""

import contextlib
import fcntl
import json
import mmap
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.recommender.logs import eventlog, json_lines, line_bytes
from bentos.recommender.logs.trace_lines import of_before, packed, user_of
from bentos.recommender.logs.trace_people import Needle, People
from bentos.recommender.logs.trace_rows import count_rows, rewrite
from feature_repo import columns, erasure, vocabulary
from feature_repo.logs import parquet_files, request_log

LOGS = (columns.REQUESTS_FOLDER, eventlog.FOLDER)  # folders of the services' logs: a line is about one person
DATABASE = re.compile(r"\.db(-wal|-shm|-journal)?$")
ASIDE = re.compile(r"\.(\d+)\.(part|old)$")  # what feature_repo.files writes aside, with the writer's number
FOLDED = b'{"folded"'  # how a line of the event log begins that names events, not people
VOCABULARY = "vocabulary"  # a folder: where items are people its tables name them
WHOLE = 64 << 20  # bytes of a file that is read at once


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
                named = count_rows(path, people)[0] if parquet else _in_bytes(path, People((), people.pseudonyms))
                if path.name == vocabulary.KNOWN_ITEMS:
                    named = erasure.knows_any(path.parent, people.pseudonyms)
                found.item_tables += [path] if named else []
                found.files += 1
                continue
            hits = _in_bytes(path, People((), people.pseudonyms) if parquet else people)
            if parquet:
                try:
                    rows, total = count_rows(path, people)
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
                names = map(user_of, line_bytes.said(path).splitlines())
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
        return rewrite(path, people)
    if DATABASE.search(path.name):
        return 0
    if path.suffix == ".jsonl" and path.parent.name in LOGS:
        parquet = of_before(path)
        return _blank(path, people) if parquet is None else rewrite(parquet, people)
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
        packed(path, bytes(whole))
    elif places:
        with path.open("r+b") as stream:
            for begin, _, new in places:
                os.pwrite(stream.fileno(), new, begin)
            os.fsync(stream.fileno())
    return count


def _without(path: Path, people: People) -> int:
    """Write a compressed file anew without people's lines."""
    found = line_bytes.raw(path).splitlines(keepends=True)
    kept = [line for line in found if not any(needle.spans(line_bytes.opened(line)) for needle in people.needles)]
    if len(kept) < len(found):
        packed(path, b"".join(kept))
    return len(found) - len(kept)


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
            return rewrite(parquet, people) if parquet.exists() else 0
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
