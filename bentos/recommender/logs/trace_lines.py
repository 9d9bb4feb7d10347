"""What the makers of traces and of other names share about files of lines."""

import gzip
import re
import shutil
from pathlib import Path

from bentos.recommender.logs import line_bytes
from feature_repo import files
from feature_repo.logs import request_log


def packed(path: Path, data: bytes) -> None:
    """Write a compressed file, whole or not at all, that others may read as they could before."""
    with files.written(path) as aside:
        aside.write_bytes(gzip.compress(data))
        shutil.copymode(path, aside)


def user_of(line: bytes) -> bytes | None:
    """Return the pseudonym of whom a line is about."""
    match = re.search(rb'"user_id":"([0-9a-f]{16})"', line)
    return match.group(1) if match else None


def of_before(path: Path) -> Path | None:
    """Make parquet of a closed segment whose lines hide their items (line_bytes.py); None for every other file."""
    hides = path.suffix == request_log.SEGMENT and path.exists() and line_bytes.hides(path)
    return request_log.compact(path) if hides else None
