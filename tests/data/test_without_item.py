"""Events without an item: kept where their kind is declared so, set aside like any other bad row where it is not."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.contract import validate
from components.data.ingest import ingest
from components.data.spec import Data
from pipelines import spec as specs

START = dt.datetime(2024, 1, 1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Write 300 events: each tenth is a login without an item, each fiftieth a view that lacks its own."""
    lines = []
    for n in range(300):
        kind, item = ("login", "") if n % 10 == 0 else ("view", "" if n % 50 == 5 else f"i{n % 7}")
        lines.append(f"u{n % 20},{item},{START + dt.timedelta(hours=4 * n)},{kind}")
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp,event\n" + "\n".join(lines) + "\n")
    items = "".join(f"i{n},{'' if n == 6 else 'C'}\n" for n in range(7))
    (tmp_path / "items.csv").write_text("item_id,category\n" + items)
    return tmp_path


def data(*kinds: str, severity: str | None = None, **clean: Any) -> Data:
    source = {"type": "csv", "events": {"path": "log.csv"}, "items": {"path": "items.csv"}}
    own = [{"expect": "not_null", "column": "item_id", "severity": severity}] if severity else []
    split = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
    document = {
        "apiVersion": "intentflow/v1", "kind": "Recommender", "name": "shop", "intents": [{"name": "visit"}],
        "data": {"source": source, "split": split, "clean": clean, "without_item": list(kinds)}
        | {"contract": {"events": own}},
    }  # fmt: skip
    return specs.parse(document, place="shop.yaml").judged_data()


def run(data: Data, folder: Path) -> tuple[Any, list[dict[str, Any]]]:
    ingest(data, folder / "tables", key="00" * 16, base=folder)
    verdict = validate(folder / "tables", data, folder / "clean", now=dt.datetime(2024, 3, 1, tzinfo=dt.UTC))
    return verdict, pq.read_table(folder / "clean/events.parquet").to_pylist()


def test_a_declared_kind_may_lack_an_item_and_no_other_may(log: Path) -> None:
    verdict, events = run(data("login"), log)
    assert verdict.passed
    assert [row["event"] for row in events].count("login") == 30
    assert verdict.quarantined["events"] == 6
    assert {row["event"] for row in events if row["item_id"] is None} == {"login"}
    bad = pq.read_table(log / "clean/quarantine/events.parquet").to_pylist()
    assert {(row["event"], row["item_id"]) for row in bad} == {("view", None)}
    assert bad[0]["reason"] == "not so: item_id is given, but by events of kind login"


def test_undeclared_they_are_set_aside_as_before(log: Path) -> None:
    verdict, events = run(data(severity="warning"), log)
    assert verdict.quarantined["events"] == 36
    assert all(row["item_id"] for row in events)


def test_an_event_without_an_item_lacks_nothing_of_it(log: Path) -> None:
    """`clean.require` drops events of items without a category, and no login."""
    verdict, events = run(data("login", require=["category"]), log)
    assert [row["event"] for row in events].count("login") == 30
    assert "i6" not in {row["item_id"] for row in events}
    assert set(verdict.cleaned) == {"category is missing"}
