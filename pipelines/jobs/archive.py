"""Compress closed files of the event log: `<day>.<number>.jsonl` becomes `<day>.<number>.jsonl.gz`.

Every reader takes both (bentos/recommender/logs/json_lines.py) and drops repeated keys, so a file that a kill left in
both forms counts once. Nothing is deleted: profiles are replayed from these files.
"""

import contextlib
import datetime as dt
import fcntl
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bentos.recommender.logs import json_lines
from feature_repo import files
from feature_repo.logs import request_log


def compress(folder: Path, *, now: dt.datetime, after_days: int, still: Callable[[], None] = lambda: None) -> int:
    """Compress the files of days that are further back and that nobody writes to; return how many."""
    if not after_days or not folder.is_dir():
        return 0
    before = (now - dt.timedelta(days=after_days)).date().isoformat()
    done = 0
    for path in sorted(folder.glob(f"*{json_lines.SUFFIX}")):
        if request_log.day_of(path) < before:
            still()
            done += _compressed(path)
    return done


def _compressed(path: Path) -> bool:
    """Compress one file unless a process has it open."""
    with path.open("rb") as source, contextlib.suppress(BlockingIOError):
        fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        target = path.with_name(f"{path.name}{json_lines.PACKED}")
        before = gzip.decompress(target.read_bytes()) if target.exists() else b""
        with files.written(target) as aside:
            with gzip.open(aside, "wb") as sink:
                if before != source.read():  # a name that was used again: both stay
                    sink.write(before)
                source.seek(0)
                shutil.copyfileobj(source, sink)
            os.chmod(aside, path.stat().st_mode)
            with aside.open("rb") as written:
                os.fsync(written.fileno())
        path.unlink()
        return True
    return False
