"""People in the copies of their logs that doors ship to a store (`requests.url`): removed there, and looked for.

A file is fetched, cleaned as a file of the state folder is, and put back whole where anything went.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bentos.recommender.logs import renaming, trace_people, traces
from feature_repo.logs import object_store, request_log, shipped_log


def clean(address: str, people: trace_people.People) -> dict[str, int]:
    """Remove people's answers and events; return how many rows and places went, by file."""
    removed: dict[str, int] = {}
    with object_store.reached(address) as store:
        # Another file may note that an event of theirs was folded: the keys are known only before the lines go.
        keys = set[str]().union(*(traces.event_keys(copy, people) for _, copy in _fetched(store) if _of_events(copy)))
        for path, copy in _fetched(store):
            masked = traces.mask_notes(copy, keys, people) if _of_events(copy) else 0
            found = traces.find([copy], people).hits
            if gone := masked + (traces.clean(copy, people) if found else 0):
                with store.written(path) as sink, copy.open("rb") as source:
                    shutil.copyfileobj(source, sink)
                removed[path] = gone
    return removed


def rename(address: str, names: Callable[[bytes], bytes | None]) -> tuple[int, int]:
    """Give people other names, as renaming.replace_users does in a state folder; return how many lines, and went."""
    renamed = gone = 0
    with object_store.reached(address) as store:
        for path, copy in _fetched(store):
            changed, dropped = renaming.replace_users(copy, names)
            if changed or dropped:
                with store.written(path) as sink, copy.open("rb") as source:
                    shutil.copyfileobj(source, sink)
            renamed, gone = renamed + changed, gone + dropped
    return renamed, gone


def _of_events(copy: Path) -> bool:
    return copy.name.endswith(shipped_log.LINES)


def look_through(address: str, people: trace_people.People) -> tuple[int, list[str]]:
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
        for entry in shipped_log.files_of(store):
            kind = shipped_log.LINES if entry.name.endswith(shipped_log.LINES) else request_log.PARQUET
            copy = Path(scratch) / f"file{kind}"
            try:
                with store.system.open_input_file(entry.path) as source, copy.open("wb") as target:
                    shutil.copyfileobj(source, target)
            except FileNotFoundError:
                continue
            yield entry.path, copy
