"""Ingest leaves forgotten people out, whatever kind of relation the source is, and says so in the data's digest."""

import datetime as dt
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.data.database import database
from components.data.forgotten import leave_out
from components.data.ingest import everyone, ingest
from components.data.spec import Data
from feature_repo.privacy.pseudonyms import pseudonym
from feature_repo.privacy.tombstones import Tombstones

KEY, OTHER_KEY = "0a" * 16, "0b" * 16
NOW = dt.datetime(2024, 6, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("kind", ["TABLE", "VIEW"])
def test_rows_of_forgotten_people_leave_tables_and_views(tmp_path: Path, kind: str) -> None:
    tombstones = Tombstones(tmp_path, (KEY,))
    tombstones.write("ann", {})
    with database(tmp_path) as db:
        db.execute(
            f"CREATE {kind} source_events AS SELECT * FROM (VALUES ('ann', 1), ('bob', 2), (NULL, 3)) t(user_id, n)"
        )
        db.execute(f"CREATE {kind} source_users AS SELECT * FROM (VALUES ('ann'), ('zoe')) t(user_id)")
        assert len(leave_out(db, tombstones)) == 1
        assert db.execute("SELECT n FROM source_events ORDER BY n").fetchall() == [(2,), (3,)]
        assert db.execute("SELECT user_id FROM source_users").fetchall() == [("zoe",)]


def shop(folder: Path) -> Data:
    start = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    lines = [
        f"u{u},i{w % 3},{start + dt.timedelta(weeks=w, hours=u):%Y-%m-%dT%H:%M:%SZ}" for w in range(8) for u in range(4)
    ]
    (folder / "orders.csv").write_text("\n".join(["customer,sku,at", *lines]) + "\n")
    columns = {"user_id": "customer", "item_id": "sku", "timestamp": "at"}
    source = {"type": "csv", "events": {"path": "orders.csv", "columns": columns}}
    return Data.model_validate({"source": source, "split": {"warmup_weeks": 3, "validate_weeks": 1, "test_weeks": 2}})


def users(tables: Path) -> set[str]:
    events = set(pq.read_table(tables / "events.parquet")["user_id"].to_pylist())
    assert events == set(pq.read_table(tables / "users.parquet")["user_id"].to_pylist())
    return events


def test_a_forgotten_person_is_not_read_again_under_any_key_of_the_ring(tmp_path: Path) -> None:
    data = shop(tmp_path)
    whole = ingest(data, tmp_path / "whole", key=KEY, base=tmp_path, now=NOW)
    Tombstones(tmp_path, (KEY,)).write("u1", {})
    ring = Tombstones(tmp_path, (OTHER_KEY, KEY))
    less = ingest(data, tmp_path / "less", key=OTHER_KEY, base=tmp_path, now=NOW, tombstones=ring)
    assert users(tmp_path / "less") == {pseudonym(u, OTHER_KEY) for u in ("u0", "u2", "u3")}
    assert less.digest != whole.digest
    assert less.rows["users"] == whole.rows["users"] - 1


def test_somebody_else_s_tombstone_changes_nothing(tmp_path: Path) -> None:
    data = shop(tmp_path)
    whole = ingest(data, tmp_path / "whole", key=KEY, base=tmp_path, now=NOW)
    Tombstones(tmp_path, (KEY,)).write("never here", {})
    again = ingest(data, tmp_path / "again", key=KEY, base=tmp_path, now=NOW, tombstones=Tombstones(tmp_path, (KEY,)))
    assert again == whole


def test_everyone_names_each_user_of_the_source_once(tmp_path: Path) -> None:
    assert everyone(shop(tmp_path), tmp_path) == ["u0", "u1", "u2", "u3"]
