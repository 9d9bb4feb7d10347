"""Stream the newest rows of users out of the feature files, whole rows a batch at a time, for the online store.

A row lies in one file a view. The files are read side by side, only row groups that hold newest rows, and a user
leaves memory as soon as all views have named them: files that list users in a like order, as the build writes them,
need memory for a few batches.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from components.profiles.build.row_digests import COLUMN as DIGEST
from components.profiles.build.row_digests import FILE as DIGESTS
from feature_repo import columns
from feature_repo.rows import LIST_TYPES, Ragged
from feature_repo.update import State
from feature_repo.views import RECEIVED, row_views

READ_ROWS = 1_000
SKIPPED = (columns.USER_ID, columns.WEEK, columns.EVENT_TIMESTAMP)


def digests(features: Path, *, fallback: str) -> pa.Table:
    """Return user_id and row_digest (as text) of every user with a newest row.

    Files of before row digests have one digest for all, `fallback`: any change of the data changes every row.
    """
    path = features / DIGESTS
    if path.is_file():
        found = pq.read_table(path, columns=[columns.USER_ID, DIGEST])
        return found.set_column(1, DIGEST, found[DIGEST].cast(pa.string()))
    profile = ds.dataset(features / "user_profile.parquet")
    newest = profile.scanner(columns=[columns.EVENT_TIMESTAMP], use_threads=False).to_table()[columns.EVENT_TIMESTAMP]
    users = profile.to_table(columns=[columns.USER_ID], filter=ds.field(columns.EVENT_TIMESTAMP) == pc.max(newest))
    return users.append_column(DIGEST, pa.array([fallback] * users.num_rows, pa.string()))


def rows(features: Path, wanted: pa.Array, *, data_end: dt.datetime, batch: int) -> Iterator[dict[str, State]]:
    """Yield the newest rows of the wanted users, at most `batch` users at a time; a view without one adds nothing."""
    views = row_views(people=(features / f"{RECEIVED}.parquet").is_file())
    streams = {view: _stream(features / f"{view}.parquet", wanted, data_end) for view in views}
    seen = dict.fromkeys(views, 0)  # users
    told: dict[str, int] = {}  # views that named a user
    parts: dict[str, State] = {}
    ready: dict[str, State] = {}
    while streams:
        view = min(streams, key=lambda v: seen[v])  # the one that is furthest behind
        found = next(streams[view], None)
        if found is None:
            del streams[view]
            continue
        seen[view] += len(found)
        for user, cells in found:
            parts.setdefault(user, {}).update(cells)
            told[user] = told.get(user, 0) + 1
            if told[user] == len(views):
                ready[user] = parts.pop(user)
                del told[user]
                if len(ready) == batch:
                    yield ready
                    ready = {}
    ready |= parts  # users whom a view does not know, such as who never bought a ranked item
    left = list(ready.items())
    for start in range(0, len(left), batch):
        yield dict(left[start : start + batch])


def _stream(path: Path, wanted: pa.Array, data_end: dt.datetime) -> Iterator[list[tuple[str, State]]]:
    """Yield (user, cells) of a file's newest rows, a batch at a time."""
    since = pa.scalar(data_end - dt.timedelta(seconds=1), pa.timestamp("us", tz="UTC"))
    scanner = ds.dataset(path).scanner(
        filter=(ds.field(columns.EVENT_TIMESTAMP) > since) & ds.field(columns.USER_ID).isin(wanted),
        batch_size=READ_ROWS,
        batch_readahead=1,
        fragment_readahead=1,
        use_threads=False,
    )
    for batch in scanner.to_batches():
        if batch.num_rows:
            yield _cells(batch)


def _cells(batch: pa.RecordBatch) -> list[tuple[str, State]]:
    users = batch[columns.USER_ID].to_pylist()
    values: dict[str, Any] = {}
    for name in batch.schema.names:
        if name in LIST_TYPES:
            values[name] = _lists(batch[name], LIST_TYPES[name])
        elif name not in SKIPPED:
            values[name] = [0.0 if cell is None else cell for cell in batch[name].to_pylist()]
    return [(user, {name: column[place] for name, column in values.items()}) for place, user in enumerate(users)]


def _lists(column: pa.Array, kind: Any) -> list[np.ndarray]:
    ragged = Ragged.from_arrow(column, kind)
    # Copies: a user who waits for a view that does not come must not keep a whole batch in memory.
    return [ragged.row(place).copy() for place in range(len(column))]
