"""Triples of items become a column of the items, and bad ones are refused in one line."""

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.ingest import ingest, source_digest
from components.data.spec import Data
from feature_repo.errors import DataError

KEY = "0a" * 16
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)
SPLIT = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
TRIPLES = "item_id,relation,entity\n1,director,Ang Lee\n1,genre,drama\n2,director,Ang Lee\n1,genre,drama\n"


def written(folder: Path, triples: str = TRIPLES, *, edges: Any = "edges.csv", items: str = "") -> Data:
    start = dt.datetime(2024, 1, 1, 9, tzinfo=dt.UTC)
    events = [
        f"u{n},{item},{start + dt.timedelta(weeks=week):%Y-%m-%d}"
        for week in range(6)
        for n in (1, 2)
        for item in (1, 2, 3)
    ]
    (folder / "events.csv").write_text("\n".join(["user_id,item_id,timestamp", *events]) + "\n")
    (folder / "edges.csv").write_text(triples)
    source: dict[str, Any] = {"type": "csv", "events": {"path": "events.csv"}}
    if items:
        (folder / "items.csv").write_text(items)
        source["items"] = {"path": "items.csv"}
    return Data.model_validate({"source": source, "split": SPLIT, "knowledge": {"edges": edges}})


def known(folder: Path, data: Data) -> dict[str, Any]:
    ingest(data, folder / "tables", key=KEY, base=folder, now=NOW)
    rows = pq.read_table(folder / "tables" / "items.parquet").to_pylist()
    return {row["item_id"]: row["knowledge"] for row in rows}


def test_what_triples_say_is_a_list_of_each_item_once_and_in_order(tmp_path: Path) -> None:
    expected = {"1": ["director: Ang Lee", "genre: drama"], "2": ["director: Ang Lee"], "3": None}
    assert known(tmp_path, written(tmp_path)) == expected
    listed = written(tmp_path, items="item_id,title,colour\n1,A,red\n2,B,red\n3,C,red\n")
    assert known(tmp_path, listed) == expected


def test_columns_of_another_name_are_mapped(tmp_path: Path) -> None:
    edges = {"path": "edges.csv", "columns": {"item_id": "head", "entity": "tail"}, "delimiter": ";"}
    triples = "head;relation;tail\n3;made in; France \n"
    assert known(tmp_path, written(tmp_path, triples, edges=edges))["3"] == ["made in: France"]


@pytest.mark.parametrize(
    ("triples", "why"),
    [
        ("item_id,relation,entity\n1,genre,drama\n2,genre,\n", r"row 2 of edges\.csv has no entity; fill it"),
        ("item_id,relation,entity\nx7,genre,drama\n", "none of the 1 triples .* such as 'x7' there, and such as '1'"),
        ("item,relation,entity\n1,genre,drama\n", r"no column 'item_id' \(for item_id\) in edges\.csv; have item"),
        ("", r"data\.knowledge\.edges\.path: .*edges\.csv is empty"),
    ],
)
def test_bad_triples_are_refused_in_one_line_and_nothing_is_written(tmp_path: Path, triples: str, why: str) -> None:
    with pytest.raises(DataError, match=why) as raised:
        known(tmp_path, written(tmp_path, triples))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "tables").exists()


def test_a_column_of_the_items_own_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="items have a column 'knowledge' already"):
        known(tmp_path, written(tmp_path, items="item_id,title,knowledge\n1,A,much\n2,B,\n3,C,\n"))


def test_triples_of_no_item_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        known(tmp_path, written(tmp_path, TRIPLES + "9,genre,drama\n"))
    assert "1 of 4 triples are of no item, such as '9'" in caplog.text


def test_another_file_is_another_source_and_a_spec_without_one_has_the_digest_it_had(tmp_path: Path) -> None:
    data = written(tmp_path)
    before = source_digest(data, tmp_path)
    (tmp_path / "edges.csv").write_text(TRIPLES + "3,genre,drama\n")
    assert source_digest(data, tmp_path) != before
    bare = data.model_copy(update={"knowledge": None})
    assert "knowledge" not in bare.model_dump()
    assert source_digest(bare, tmp_path) != before


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"path": "edges.csv", "columns": {"subject": "a"}}, "'subject' is no column of edges; have item_id, relation"),
        ({"path": "edges.csv", "column": {}}, "column"),
    ],
)
def test_what_edges_cannot_be_is_refused(tmp_path: Path, said: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        written(tmp_path, edges=said)


def test_nothing_is_known_of_people(tmp_path: Path) -> None:
    source = {"type": "csv", "events": {"path": "events.csv"}, "items": {"from": "users"}}
    with pytest.raises(ValueError, match="knowledge: items are users"):
        Data.model_validate({"source": source, "split": SPLIT, "knowledge": {"edges": "edges.csv"}})
