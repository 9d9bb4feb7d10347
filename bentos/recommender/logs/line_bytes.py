"""The bytes of log files as they lie on disk and as they were written: compressed files, encrypted lines.

Whoever looks for people reads what was written (`said`); whoever changes a line puts back one of the same length
(`resealed`), since a service may be appending behind it.
"""

import gzip
from pathlib import Path

from pydantic_core import from_json, to_json

from feature_repo.logs import packed_answer, request_log
from feature_repo.privacy import sealing

PACKED = f'"{packed_answer.PACKED}":'.encode()


def raw(path: Path) -> bytes:
    """Return what a file holds."""
    return gzip.decompress(path.read_bytes()) if path.suffix == request_log.PACKED else path.read_bytes()


def said(path: Path) -> bytes:
    """Return what a file says: encrypted lines as they were written, and behind them what texts in them hide."""
    data = raw(path)
    if not of_lines(path):
        return data
    if sealing.sealed(data) or b"\n" + sealing.MARK in data:
        data = b"".join(opened(line) for line in data.splitlines(keepends=True))
    return data + b"".join(map(hidden, data.splitlines())) if PACKED in data else data


def hidden(line: bytes) -> bytes:
    """Return the items that an opened line has within a compressed text, as JSON: lines of before have them there."""
    if PACKED not in line:
        return b""
    try:
        found = from_json(line)
    except ValueError:  # cut short
        return b""
    items = packed_answer.items_of_before(found) if isinstance(found, dict) else []
    return to_json(items) + b"\n" if items else b""


def hides(path: Path) -> bool:
    """Tell whether a segment of answers has lines of before, in which items cannot be seen or changed in place."""
    return any(hidden(opened(line)) for line in raw(path).splitlines())


def of_lines(path: Path) -> bool:
    """Tell whether a file holds lines."""
    return path.suffix in (request_log.SEGMENT, request_log.PACKED)


def opened(line: bytes) -> bytes:
    """Return a line as it was written; the same object where it is not encrypted, or cut short so that nobody can."""
    if not sealing.sealed(line):
        return line
    try:
        return sealing.given().open(line, what="a line of a log") + line[len(line.rstrip(b"\n")) :]
    except sealing.DamagedSeal:
        return line


def resealed(text: bytes, line: bytes) -> bytes:
    """Return a changed text as its line was: encrypted, if that was so. Its length stays."""
    if not sealing.sealed(line):
        return text
    bare = text.rstrip(b"\n")
    return sealing.given().seal(bare) + text[len(bare) :]
