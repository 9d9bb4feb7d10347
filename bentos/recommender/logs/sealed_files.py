"""Encrypt the files of a log that were written before there was a key, or under an earlier one.

A file is written anew beside itself and takes its own place, lines and answers in their order. One that a service has
open to append to is left alone and counted: its lines cannot grow in place. Who holds the log's lease (the verb `seal`)
keeps jobs from moving files meanwhile.
"""

import fcntl
import gzip
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bentos.recommender.logs import line_bytes
from feature_repo import files
from feature_repo.logs import parquet_files, request_log
from feature_repo.privacy import sealing


@dataclass(frozen=True)
class SealedFiles:
    """What a look at a log's files came to."""

    files: int = 0  # that were written anew
    lines: int = 0  # that were encrypted, of files of lines
    answers: int = 0  # that were encrypted, of parquet files
    open: int = 0  # files that a service appends to, with lines that are not under the newest key
    open_lines: int = 0

    def __add__(self, other: "SealedFiles") -> "SealedFiles":
        names = ("files", "lines", "answers", "open", "open_lines")
        return SealedFiles(*(getattr(self, name) + getattr(other, name) for name in names))


def seal(folder: Path) -> SealedFiles:
    """Bring every file of a log under the newest key; safe to repeat. Raises SealError where a key is not at hand."""
    total = SealedFiles()
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        try:
            if path.suffix == request_log.PARQUET:
                total += _answers(path)
            elif line_bytes.of_lines(path):
                total += _lines(path)
        except FileNotFoundError:  # a log that is written prunes its oldest files and packs others while we look
            if path.exists():
                raise
    return total


def _lines(path: Path) -> SealedFiles:
    with path.open("r+b") as stream:
        waiting = _old(line_bytes.raw(path))
        if not waiting:
            return SealedFiles()
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return SealedFiles(open=1, open_lines=waiting)
        if not request_log.same_file(stream.fileno(), path):  # it became parquet, which the next call looks at
            return SealedFiles()
        data = line_bytes.raw(path)
        whole = b"".join(_under_newest(line) for line in data.splitlines(keepends=True))
        _replaced(path, lambda aside: aside.write_bytes(_packed(path, whole)))
        return SealedFiles(files=1, lines=_old(data))


def _old(data: bytes) -> int:
    """Count the lines that are not under the newest key; blank ones hold nothing."""
    return sum(bool(line.strip()) and not _newest(line) for line in data.splitlines())


def _newest(line: bytes) -> bool:
    return line.startswith(_mark())


def _mark() -> bytes:
    return sealing.MARK + sealing.given().newest.encode() + sealing.END


def _under_newest(line: bytes) -> bytes:
    """Return a line under the newest key; a sealed one that was cut short stays as nobody can read it."""
    text = line_bytes.opened(line)
    bare = text.rstrip(b"\n")
    if not bare.strip() or _newest(line) or (text is line and sealing.sealed(line)):
        return line
    return sealing.given().seal(bare) + text[len(bare) :]


def _packed(path: Path, data: bytes) -> bytes:
    return gzip.compress(data) if path.suffix == request_log.PACKED else data


def _answers(path: Path) -> SealedFiles:
    if parquet_files.encrypted(path) and _mark() in path.read_bytes():  # the file's own keys lie in it under that one
        return SealedFiles()
    rows = 0

    def write(aside: Path) -> None:
        nonlocal rows
        with (
            parquet_files.opened(path) as file,
            parquet_files.writer(aside, file.schema_arrow, **request_log.WRITTEN) as writer,
        ):
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                writer.write_table(table, row_group_size=max(1, table.num_rows))
                rows += table.num_rows

    _replaced(path, write)
    return SealedFiles(files=1, answers=rows)


def _replaced(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file anew, durably, as its events were confirmed; one that is pruned meanwhile stays gone."""
    with files.written(path) as aside:
        write(aside)
        shutil.copymode(path, aside)  # raises where the file is gone
        _on_disk(aside)
        path.stat()
    _on_disk(path.parent)


def _on_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
