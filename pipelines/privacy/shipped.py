"""People in the copies of the request log that doors ship to a store (`requests.url`): removed there, and looked for.

A file is fetched, cleaned as a file of the state folder is, and put back whole where anything went.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bentos.recommender.logs import traces
from feature_repo.logs import object_store, request_log


def clean(address: str, people: traces.People) -> dict[str, int]:
    """Remove people's answers; return how many rows went, by file."""
    removed: dict[str, int] = {}
    with object_store.reached(address) as store:
        for path, copy in _fetched(store):
            if traces.find([copy], people).hits and (gone := traces.clean(copy, people)):
                with store.written(path) as sink, copy.open("rb") as source:
                    shutil.copyfileobj(source, sink)
                removed[path] = gone
    return removed


def look_through(address: str, people: traces.People) -> tuple[int, list[str]]:
    """Look at every file; return how many there were, and those that still name someone."""
    looked, left = 0, list[str]()
    with object_store.reached(address) as store:
        for path, copy in _fetched(store):
            looked += 1
            found = traces.find([copy], people)
            if found.hits or found.unreadable:
                left.append(f"{address.partition('?')[0]}: {path}")
    return looked, left


def _fetched(store: object_store.Store) -> Iterator[tuple[str, Path]]:
    """Yield each file's path and a copy here, one at a time; what a job merges meanwhile is in the merged file."""
    with tempfile.TemporaryDirectory(prefix="forget-") as scratch:
        copy = Path(scratch) / f"file{request_log.PARQUET}"
        for entry in store.files(request_log.PARQUET):
            try:
                with store.system.open_input_stream(entry.path) as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target)
            except FileNotFoundError:
                continue
            yield entry.path, copy
