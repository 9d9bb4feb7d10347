"""A column that says how much an item was liked: only where a source maps it, and checked like an amount."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from feature_repo.errors import SpecError
from pipelines import spec as specs
from pipelines.graphs.parameters import spec_slices
from pipelines.spec import Recommender

START = dt.datetime(2024, 1, 1)
STARS = ["5", "0.5", "-3", "", "4", "1e13"]
COLUMNS = {"user_id": "user", "item_id": "film", "timestamp": "at"}


def document(**ranking: Any) -> dict[str, Any]:
    source = {"type": "csv", "events": {"path": "log.csv", "columns": COLUMNS | {"strength": "rating"}}}
    return {
        "apiVersion": "intentflow/v1",
        "kind": "Recommender",
        "name": "films",
        "data": {"source": source, "split": {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}},
        "intents": [{"name": "visit"}],
        "models": {"ranking": ranking},
    }


def recommender(made: dict[str, Any]) -> Recommender:
    return specs.parse(made, place="films.yaml")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    stars = [STARS[n % 60] if n % 60 < len(STARS) else "3" for n in range(300)]
    lines = [f"u{n % 20},f{n % 7},{START + dt.timedelta(hours=4 * n)},{star}" for n, star in enumerate(stars)]
    (tmp_path / "log.csv").write_text("user,film,at,rating\n" + "\n".join(lines) + "\n")
    return tmp_path


def run(data: Data, folder: Path) -> Any:
    ingest(data, folder / "tables", key="00" * 16, base=folder)
    return validate(folder / "tables", data, folder / "clean")


def test_a_row_without_a_usable_strength_is_set_aside(films: Path) -> None:
    verdict = run(recommender(document()).judged_data(), films)
    assert (verdict.passed, verdict.quarantined["events"]) == (True, 10)  # five times none, five times past all bounds
    found = pq.read_table(films / "clean" / "events.parquet")["strength"].to_pylist()
    assert len(found) == 290
    assert {min(found), max(found)} == {-3.0, 5.0}
    assert sum(rule["rule"].startswith(("not_null(strength", "finite(strength")) for rule in rules(films)) == 2


def rules(films: Path) -> list[dict[str, Any]]:
    return list(json.loads((films / "clean" / "contract.json").read_text())["rules"])


def test_a_source_that_maps_none_has_none(films: Path) -> None:
    made = document()
    made["data"]["source"]["events"]["columns"] = COLUMNS
    spec = recommender(made)
    assert spec.judged_data() == spec.data.model_copy(update={"contract": spec.judged_data().contract})
    run(spec.judged_data(), films)
    assert "strength" not in pq.read_schema(films / "clean" / "events.parquet").names


def test_a_weight_of_a_strength_that_nobody_maps_is_refused() -> None:
    made = document(weight={"of": "strength"})
    recommender(made)
    del made["data"]["source"]["events"]["columns"]["strength"]
    with pytest.raises(SpecError, match=r"weight.of: strength is no column of these events; map it as"):
        recommender(made)
    made["models"]["ranking"]["weight"]["of"] = "quantity"
    assert recommender(made).ranking_rows()["weight"] == {"of": "quantity", "scale": "log"}


def test_only_a_spec_that_weighs_labels_asks_for_their_strengths() -> None:
    plain, weighed = (spec_slices(recommender(document(**more))) for more in ({}, {"weight": {"of": "quantity"}}))
    assert json.loads(plain["ranking_rows"]) == {"test_every_weeks": 1, "train_weeks": 8}
    assert plain["vocabulary"] == weighed["vocabulary"]
    assert "weight" not in plain["ranking"]
