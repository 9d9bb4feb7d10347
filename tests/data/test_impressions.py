"""Lists of shown items with a click's flag become events: one a shown item, one more for a click."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.ingest import ingest
from feature_repo.errors import DataError, SpecError
from pipelines import spec as specs
from pipelines.spec import Recommender

ROWS = ["1,u1,2024-01-01 09:00,N1-0 N2-1 N3-0", "2,u2,2024-01-02 10:00,N2-0", "3,u1,2024-02-10 09:00,a-b-1  N1-0 "]


Said = dict[str, Any]


def recommender(ranking: Said | None = None, source: Said | None = None, **said: Any) -> Recommender:
    columns = {"user_id": "user", "item_id": "impressions", "timestamp": "at"}
    files = {"type": "csv", "events": {"path": "log.csv", "columns": columns}, "impressions": said} | (source or {})
    clicks = {"kinds": {"click": 1, "impression": 0}, "impression": "impression"}
    document = {
        "apiVersion": "intentflow/v1", "kind": "Recommender", "name": "news", "intents": [{"name": "visit"}],
        "data": {"source": files, "split": {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}},
        "models": {"ranking": clicks if ranking is None else ranking},
    }  # fmt: skip
    return specs.parse(document, place="news.yaml")


def events(folder: Path, rows: list[str], **said: Any) -> list[tuple[str, str, str]]:
    (folder / "log.csv").write_text("id,user,at,impressions\n" + "\n".join(rows) + "\n")
    ingest(recommender(**said).data, folder / "tables", key="00" * 16, base=folder)
    found = pq.read_table(folder / "tables/events.parquet").to_pylist()
    return [(f"{row['timestamp']:%m-%d}", row["item_id"], row["event"]) for row in found]


def test_each_shown_item_is_an_event_and_each_click_another(tmp_path: Path) -> None:
    assert events(tmp_path, ROWS) == [
        ("01-01", "N1", "impression"),
        ("01-01", "N2", "impression"),
        ("01-01", "N2", "click"),
        ("01-01", "N3", "impression"),
        ("01-02", "N2", "impression"),
        ("02-10", "a-b", "impression"),
        ("02-10", "a-b", "click"),
        ("02-10", "N1", "impression"),
    ]
    items = pq.read_table(tmp_path / "tables/items.parquet")["item_id"].to_pylist()
    assert sorted(items) == ["N1", "N2", "N3", "a-b"]


def test_separator_flag_and_kinds_are_the_file_s_own(tmp_path: Path) -> None:
    said = {"separator": "|", "flag": ":", "shown": "seen", "clicked": "read"}
    ranking = {"kinds": {"read": 1, "seen": 0}, "impression": "seen"}
    rows = ["1,u1,2024-01-01 09:00,N1:1|N 2:0", "2,u1,2024-02-10 09:00,N1:0"]
    assert [row[1:] for row in events(tmp_path, rows, ranking=ranking, **said)] == [
        ("N1", "seen"), ("N1", "read"), ("N 2", "seen"), ("N1", "seen"),
    ]  # fmt: skip


@pytest.mark.parametrize("entry", ["N4", "N4-2", "-1"])
def test_an_entry_without_a_flag_is_named(tmp_path: Path, entry: str) -> None:
    said = rf"data\.source\.impressions: '{entry}' in row 2 of the events is no item with a flag, such as i7-0"
    with pytest.raises(DataError, match=said):
        events(tmp_path, [ROWS[0], f"2,u2,2024-01-02 10:00,N1-0 {entry}", ROWS[2]])


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"ranking": {}}, "data.source.impressions: declare its kinds in models.ranking, such as kinds: {click: 1, "),
        (
            {"ranking": {"kinds": {"click": 1, "impression": 0}}},
            "data.source.impressions: declare its kinds in models.ranking",
        ),
        ({"shown": "click"}, "data.source.impressions: shown and clicked are both 'click'"),
        (
            {"source": {"events": {"path": "log.csv", "columns": {"event": "kind"}}}},
            "data.source: impressions: shown and clicked are the kinds of events",
        ),
        ({"source": {"items": {"path": "log.csv"}}}, "data.source: impressions: lists are no table of items"),
    ],
)
def test_a_mistake_about_impressions_is_one_line(said: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as refused:
        recommender(**said)
    assert str(refused.value).startswith(f"news.yaml: {line}")


def test_a_source_without_them_says_what_it_said_before() -> None:
    plain = recommender(ranking={}, source={"impressions": None})
    assert "impressions" not in plain.data.source.model_dump()
