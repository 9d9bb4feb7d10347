"""The job `materialise` and items that came after training: put what the source's own table says of them into the log.

`jobs.materialise.later_items` says how many at most; 0, the default, puts none. An item came later where its first
event (else `first_seen`) lies after that of every item which a release in use has learnt. Its document is marked: a
release that learns the item ignores it, since its own table is newer. An id that the log already knows is left alone.
"""

import datetime as dt
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from feature_repo import columns
from feature_repo.documents.changes import ITEM, MOST_DOCUMENTS, MOST_ENTRIES
from feature_repo.documents.log import Behind, DocumentLog, Snapshot
from feature_repo.live_items import FROM_SOURCE, declared, fits
from feature_repo.vocabulary import Vocabulary

WHO = "job materialise"
TRIES = 20
Firsts = Mapping[str, dt.datetime]  # an item's first event


def bring(log: DocumentLog, vocabularies: Collection[Vocabulary], clean: Path, *, most: int, at: dt.datetime) -> int:
    """Put the newest later items of clean tables into the log, at most so many; return how many.

    None where items are people: later_people.py brings those.
    """
    if (
        most == 0
        or not vocabularies
        or any(one.people for one in vocabularies)
        or not (clean / "items.parquet").is_file()
    ):
        return 0
    found = later(vocabularies, _items(clean), firsts(clean))
    for _ in range(TRIES):
        held = log.refreshed(Snapshot())
        known = held.of(ITEM)
        new = [(item, document) for item, document in found if item not in known]
        new = new[: min(most, MOST_ENTRIES, MOST_DOCUMENTS - len(known))]
        if not new:
            return 0
        try:
            # The newest last, as if they had come one by one: the log's order is that of their coming.
            log.put(ITEM, new[::-1], who=WHO, at=at, after=held)
            return len(new)
        except Behind:
            continue
    raise Behind


def later(vocabularies: Collection[Vocabulary], items: pa.Table, firsts: Firsts) -> list[tuple[str, dict[str, Any]]]:
    """Return later items with their documents, the newest first."""
    learnt = {item for vocabulary in vocabularies for item in vocabulary.item_ids}
    since = max((firsts[item] for item in learnt if item in firsts), default=None)
    if since is None:
        return []
    schema = next(iter(vocabularies)).items.schema
    names = [name for name in declared(next(iter(vocabularies))) if name in items.column_names]
    found = []
    for row in items.to_pylist():
        item = str(row[columns.ITEM_ID])
        first = firsts.get(item) or _seen(row.get(columns.FIRST_SEEN))
        says = {n: row[n] for n in names if row[n] is not None and fits(schema.field(n).type, row[n])}
        if item not in learnt and first is not None and first > since and says:
            found.append((first, item, says | {FROM_SOURCE: True}))
    return [(item, says) for _, item, says in sorted(found, key=lambda one: (one[0], one[1]), reverse=True)]


def firsts(clean: Path) -> dict[str, dt.datetime]:
    """Return when each item of clean events occurred first, UTC."""
    import duckdb

    query = f"SELECT {columns.ITEM_ID}, min({columns.TIMESTAMP}) FROM read_parquet(?) GROUP BY 1"
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        rows = database.execute(query, [str(clean / "events.parquet")]).fetchall()
    return {str(item): _utc(first) for item, first in rows if item is not None}


def _items(clean: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(clean / "items.parquet")


def _seen(first: Any) -> dt.datetime | None:
    return _utc(first) if isinstance(first, dt.datetime) else None


def _utc(time: dt.datetime) -> dt.datetime:
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
