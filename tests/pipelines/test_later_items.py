"""What the job `materialise` puts into the document log of a source's later items; no shop is needed."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.documents.changes import ITEM
from feature_repo.documents.log import DocumentLog, Snapshot
from feature_repo.documents.sqlite import SqliteShelf
from feature_repo.live_items import live
from feature_repo.vocabulary import Target, Vocabulary
from pipelines.jobs.later_items import bring

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
ITEMS = {  # first event, category
    "soup": (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "WARM"),
    "tea": (dt.datetime(2024, 2, 1, tzinfo=dt.UTC), "WARM"),
    "rare": (dt.datetime(2024, 1, 5, tzinfo=dt.UTC), "WARM"),  # too rare to be learnt, and no newer than what is
    "kale": (dt.datetime(2024, 2, 10, tzinfo=dt.UTC), "GREEN"),
    "beet": (dt.datetime(2024, 2, 20, tzinfo=dt.UTC), "GREEN"),
    "blank": (dt.datetime(2024, 2, 21, tzinfo=dt.UTC), None),
    "never": (None, "GREEN"),
}


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    rows = [{"item_id": item, "timestamp": at} for item, (first, _) in ITEMS.items() if first for at in (NOW, first)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "events.parquet")
    items = {"item_id": list(ITEMS), "category": [category for _, category in ITEMS.values()]}
    seen = pa.array([None] * len(ITEMS), pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(items | {"first_seen": seen}), tmp_path / "items.parquet")
    return tmp_path


@pytest.fixture
def log(tmp_path: Path) -> DocumentLog:
    return DocumentLog(SqliteShelf(str(tmp_path / "online.db"), "shop"))


def vocabulary(*learnt: str) -> Vocabulary:
    names = {"item_index": range(len(learnt)), "item_id": list(learnt)}
    items = pa.table(names | {"category": [ITEMS[item][1] for item in learnt]})
    pairs = pa.table({"item_id": ["soup"], "target_id": pa.array([0], pa.int32()), "kind": [""]})
    return Vocabulary((Target("buy", "GREEN", None, "category"),), items, pairs)


def put(log: DocumentLog, clean: Path, *learnt: str, most: int = 10) -> list[str]:
    bring(log, [vocabulary(*learnt)], clean, most=most, at=NOW)
    return list(log.refreshed(Snapshot()).of(ITEM))


def test_items_newer_than_all_that_is_learnt_come_in_the_order_of_their_coming(log: DocumentLog, clean: Path) -> None:
    assert put(log, clean, "soup", "tea") == ["kale", "beet"]
    (change,) = log.changes()
    assert (change.who, change.entries[0].document) == ("job materialise", {"category": "GREEN", "from_source": True})
    assert put(log, clean, "soup", "tea") == ["kale", "beet"]
    assert log.head().version == 1, "nothing is new"


def test_the_newest_come_first_where_more_came_than_may_be_put(log: DocumentLog, clean: Path) -> None:
    assert put(log, clean, "soup", "tea", most=1) == ["beet"]
    assert put(log, clean, "soup", "tea", most=1) == ["beet", "kale"]


def test_nothing_is_put_where_nobody_asks_or_nothing_is_learnt(log: DocumentLog, clean: Path) -> None:
    assert put(log, clean, "soup", most=0) == []
    assert bring(log, [], clean, most=5, at=NOW) == 0
    (clean / "items.parquet").unlink()
    assert put(log, clean, "soup") == []


def test_what_people_put_stays_as_they_put_it(log: DocumentLog, clean: Path) -> None:
    log.put(ITEM, [("kale", {"available": False})], who="key 1", at=NOW, after=Snapshot())
    put(log, clean, "soup", "tea")
    assert log.refreshed(Snapshot()).of(ITEM)["kale"].document == {"available": False}


def test_a_release_that_learnt_the_item_goes_by_its_own_table(log: DocumentLog, clean: Path) -> None:
    put(log, clean, "soup", "tea")
    documents = log.refreshed(Snapshot()).of(ITEM).values()
    assert live(vocabulary("soup", "tea"), documents).vocabulary.item_ids == ["soup", "tea", "kale", "beet"]
    assert live(vocabulary("soup", "kale", "beet"), documents).changed == {}


def test_people_who_came_later_are_put_into_no_log(log: DocumentLog, clean: Path) -> None:
    people = replace(vocabulary("soup", "tea"), people=True)
    assert bring(log, [people], clean, most=10, at=NOW) == 0
    assert list(log.changes()) == []
