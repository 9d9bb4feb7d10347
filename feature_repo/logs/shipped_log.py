"""Logged answers in the store that doors ship closed files to: read there, columns by name, each answer once.

Doors write `<host>/<day>.<number>.parquet` (bentos/recommender/logs/shipping.py), pipelines/jobs/merge.py makes
`_days/<service>/<day>.day.parquet` of a day that is over. Files of the event log are
`_events/<host>/<day>.<number>.jsonl.gz`. What a door still has open is not there: the newest lines are missing for as
long as a file is open, 15 minutes at most.

Everything about people that doors log lies in two folders of a state folder (`FOLDERS`) and in a store, in the files
that `files_of` lists: who looks for people looks there.
"""

import gzip
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from feature_repo import columns
from feature_repo.logs import parquet_files, request_log
from feature_repo.logs.object_store import Entry, Store
from feature_repo.logs.request_log import MERGED, Answer
from feature_repo.privacy import sealing

FOLDER, EVENTS = "_days", "_events"  # no host is called like these
FOLDERS = (columns.REQUESTS_FOLDER, columns.EVENTS_FOLDER)  # of a door's state folder
LINES = f"{request_log.SEGMENT}{request_log.PACKED}"  # how the names of event files end
SHIPPED_S = 1800.0  # what doors have shipped is at most about that old
POD = re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}$")  # what Kubernetes adds to a Deployment's name


def service_of(host: str) -> str:
    """Return the service that a host belongs to: a Deployment's pods are one.

    >>> service_of("recommender-0a1b2c3d4e5f-7d9f8b6c5-x2x9z"), service_of("laptop")
    ('recommender-0a1b2c3d4e5f', 'laptop')
    """
    return POD.sub("", host)


def merged_path(store: Store, entry: Entry) -> str:
    """Return where a file's answers lie once its day is merged."""
    day = entry.name.partition(".")[0]
    here = entry.path.removeprefix(f"{store.base}/")
    if "/" not in here:  # a folder of this machine
        return f"{store.base}/{day}{MERGED}"
    if here.startswith(f"{FOLDER}/"):
        return entry.path
    return f"{store.base}/{FOLDER}/{service_of(entry.folder)}/{day}{MERGED}"


def events_path(store: Store, host: str, name: str) -> str:
    """Return where a host's file of the event log lies.

    >>> events_path(Store(None, "/log"), "door-1", "2026-11-29.00000.jsonl")
    '/log/_events/door-1/2026-11-29.00000.jsonl.gz'
    """
    return f"{store.base}/{EVENTS}/{host}/{name.removesuffix(request_log.PACKED)}{request_log.PACKED}"


def whole_size(stream: Any) -> int:
    """Return how many bytes a shipped file of the event log is unpacked: gzip says so at its end."""
    stream.seek(stream.size() - 4)
    return int(struct.unpack("<I", stream.read(4))[0])


def read_events(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the lines of every shipped file of the event log, oldest first; another door may have the same events."""
    keys = sealing.given()
    for entry in sorted(store.files(LINES), key=lambda e: (e.name, e.path)):
        with store.system.open_input_file(entry.path) as stream, gzip.open(stream) as lines:
            yield from (from_json(keys.open(line, what=entry.path)) for line in lines if line.strip())


def files_of(store: Store) -> list[Entry]:
    """List every file of a store that holds answers or events."""
    return [*store.files(request_log.PARQUET), *store.files(LINES)]


def prune(store: Store, *, keep_bytes: int) -> int:
    """Delete the oldest files beyond so many bytes, by the day in their names; return how many went."""
    found, gone = sorted(files_of(store), key=lambda e: (e.name, e.path)), 0
    over = sum(entry.size for entry in found) - keep_bytes
    for entry in found:
        if over <= 0:
            break
        store.delete(entry.path)
        over, gone = over - entry.size, gone + 1
    return gone


def read(
    store: Store,
    *,
    names: Sequence[str] | None = None,
    since_s: float = 0.0,
    newest_first: bool = False,
) -> Iterator[Answer]:
    """Yield the answers of files that were written since then, each once; `names` must hold those of answers.KEY."""
    by_day: dict[tuple[str, str], list[Entry]] = {}
    for entry in store.files(request_log.PARQUET):
        if entry.written_s >= since_s:
            by_day.setdefault((entry.name.partition(".")[0], merged_path(store, entry)), []).append(entry)
    for (_, target), entries in sorted(by_day.items(), reverse=newest_first):
        yield from _read_day(store, target, entries, names=names, newest_first=newest_first)


def _read_day(
    store: Store, target: str, entries: list[Entry], *, names: Sequence[str] | None, newest_first: bool
) -> Iterator[Answer]:
    """Yield a day's answers: its files, and last the merged one, into which a file may go meanwhile."""
    seen: set[request_log.Key] = set()
    vanished = any(entry.path == target for entry in entries)
    sources = [entry for entry in entries if entry.path != target]
    for entry in sorted(sources, key=lambda e: (e.name, e.path), reverse=newest_first):
        try:
            yield from request_log.once(_read_file(store, entry.path, names=names, newest_first=newest_first), seen)
        except FileNotFoundError:
            vanished = True
    if vanished and store.entry(target) is not None:
        yield from request_log.once(_read_file(store, target, names=names, newest_first=newest_first), seen)


def _read_file(store: Store, path: str, *, names: Sequence[str] | None, newest_first: bool) -> Iterator[Answer]:
    with store.system.open_input_file(path) as stream, parquet_files.opened(stream) as file:
        have = None if names is None else [name for name in names if name in file.schema_arrow.names]
        yield from request_log.read_groups(file, names=have, newest_first=newest_first)
