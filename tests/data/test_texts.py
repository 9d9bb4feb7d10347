"""A column of what users wrote: only where a source maps it, and masked before the first table is written."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.contract import validate
from components.data.ingest import ingest
from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines.spec import Recommender

START = dt.datetime(2024, 1, 1)
COLUMNS = {"user_id": "user", "item_id": "wine", "event": "what", "timestamp": "at"}
SAID = ["Far too SWEET; call +44 20 7946 0958", "", "from ann@example.org", "dry, please"]
KEPT = ["far too sweet, call", None, "from", "dry, please"]


def recommender(*, text: bool = True, **intent: Any) -> Recommender:
    more = {"text": "review"} if text else {}
    document: dict[str, Any] = {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "wines",
        "data": {
            "source": {"type": "csv", "events": {"path": "log.csv", "columns": COLUMNS | more}},
            "split": {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1},
        },
        "intents": [{"name": "visit"}],
        "models": {"intent": {"architecture": "text", "reads": "events"} | intent},
    }
    return specs.parse(document, place="wines.yaml")


@pytest.fixture
def wines(tmp_path: Path) -> Path:
    lines = [f'u{n % 9},w{n % 7},buy,{START + dt.timedelta(hours=4 * n)},"{SAID[n % 4]}"' for n in range(300)]
    (tmp_path / "log.csv").write_text("user,wine,what,at,review\n" + "\n".join(lines) + "\n")
    return tmp_path


def test_what_users_wrote_is_masked_before_a_table_is_written(wines: Path) -> None:
    data = recommender().judged_data()
    ingest(data, wines / "tables", key="00" * 16, base=wines)
    for folder in ("tables", "clean"):
        if folder == "clean":
            assert validate(wines / "tables", data, wines / "clean").passed
        events = pq.read_table(wines / folder / "events.parquet")
        assert events["text"].to_pylist()[:8] == KEPT * 2
    assert not any(b"example.org" in path.read_bytes() for path in wines.rglob("*.parquet"))


def test_a_source_that_maps_none_has_none(wines: Path) -> None:
    data = recommender(text=False).judged_data()
    ingest(data, wines / "tables", key="00" * 16, base=wines)
    assert "text" not in pq.read_schema(wines / "tables" / "events.parquet").names


def test_memories_hold_texts_where_a_source_maps_them_and_a_model_reads_them() -> None:
    assert recommender().profiles.memory == "texts"
    assert recommender(text=False).profiles.memory == "training"
    assert recommender().model_dump(mode="json")["profiles"]["memory"] == "texts"
    for other in ({"reads": "steps"}, {"architecture": "cnn"}, {"architecture": "cnn", "reads": "steps"}):
        with pytest.raises(SpecError, match=r"events.columns.text: what users wrote is kept for a model that reads it"):
            recommender(**other)


def test_texts_without_a_column_of_them_are_refused() -> None:
    document = recommender(text=False).model_dump(mode="json", exclude_unset=True)
    with pytest.raises(SpecError, match=r"profiles.memory: texts keeps .* map text in data.source.events.columns"):
        specs.parse(document | {"profiles": {"memory": "texts"}}, place="wines.yaml")
