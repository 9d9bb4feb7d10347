"""The bytes of log files as they lie on disk and as they were written: compressed files, encrypted lines.

Whoever looks for people reads what was written (`said`); whoever changes a line puts back one of the same length
(`resealed`), since a service may be appending behind it.
"""

import gzip
from pathlib import Path

from feature_repo.logs import request_log
from feature_repo.privacy import sealing


def raw(path: Path) -> bytes:
    """Return what a file holds."""
    return gzip.decompress(path.read_bytes()) if path.suffix == request_log.PACKED else path.read_bytes()


def said(path: Path) -> bytes:
    """Return what a file says: encrypted lines as they were written."""
    data = raw(path)
    if not of_lines(path) or (not sealing.sealed(data) and b"\n" + sealing.MARK not in data):
        return data
    return b"".join(opened(line) for line in data.splitlines(keepends=True))


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
