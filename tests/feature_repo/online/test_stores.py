"""The contract of every kind of online store. Those that need a server are in tests/profiles/test_online.py as well."""

import contextlib
import datetime as dt
import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from feature_repo import columns
from feature_repo.errors import ServerError
from feature_repo.online import erase, feast_store, feast_values, stores
from feature_repo.online.stores import STORES, Store
from feature_repo.views import PUSHED
from tests.patience import patient

EVERY = pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
SERVED = ("redis", "postgres")


@EVERY
def test_a_store_is_known_by_the_environments_name_and_by_feasts(store: Store) -> None:
    assert stores.named(store.name) is stores.named(store.feast) is store
    assert feast_store.kind({"type": store.feast}) == store.name
    settings = store.settings({"type": store.name})
    assert settings["type"] == store.feast
    assert store.settings(settings)["type"] == store.feast


@EVERY
def test_a_store_names_what_its_client_raises(store: Store) -> None:
    assert all(issubclass(failure, Exception) for failure in store.failures())


@EVERY
def test_rows_are_written_counted_and_erased(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.name in SERVED:
        pytest.skip("needs a server: tests/profiles/test_online.py")
    given = {"type": store.name, "path": str(tmp_path / "online.db")}
    monkeypatch.setenv(
        "INTENTFLOW_FEAST", json.dumps({"registry": str(tmp_path / "registry.db"), "online_store": given})
    )
    space = feast_store.space("shop", "0123456789ab")
    online = feast_store.Online.open(space, windows_days=(7,))
    with feast_store.answering():
        online.provider.update_infra(space, [], list(online.views.values()), [], [], partial=True)
    store.let_read(online.config)
    cells = dict.fromkeys(online.kinds[PUSHED], "[]")
    online.write(PUSHED, [(user, 1_700_000_000, cells) for user in ("u1", "u2")])
    assert erase.spaces("shop") == [space]
    assert erase.users("shop") == {"u1", "u2"}
    assert erase.erase("shop", ["u1"]) == erase.count("shop", ["u2"]) > 0
    assert erase.users("shop") == {"u2"}
    assert online.read(PUSHED, ["u1", "u2"])[0] is None
    erase.drop("shop", space)
    assert erase.users("shop") == set()


def test_rows_in_sqlite_are_those_that_feast_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str, zone: str, *, by_feast: bool) -> dict[str, list[tuple[object, ...]]]:
        given = {"type": "sqlite", "path": str(tmp_path / f"{name}.db")}
        monkeypatch.setenv(
            "INTENTFLOW_FEAST", json.dumps({"registry": str(tmp_path / "registry.db"), "online_store": given})
        )
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        online = feast_store.Online.open(feast_store.space("shop", "0123456789ab"), windows_days=(7,))
        online.provider.update_infra("shop", [], list(online.views.values()), [], [], partial=True)
        for view, kinds in online.kinds.items():
            for at in (1_700_000_000, 1_700_000_777):  # the second moves what is there
                data = [
                    (
                        feast_values.entity_key(columns.USER_ID, user),
                        {n: feast_values.value(k, CELLS.get(k, [at % 7, 3])) for n, k in kinds.items()},
                        dt.datetime.fromtimestamp(at, dt.UTC),
                        None,
                    )
                    for user in ("u1", "u2")
                ]
                if by_feast:
                    online.provider.online_write_batch(online.config, online.views[view], data, None)
                else:
                    online.guard.write(online.views[view], data, ["u1", "u2"])
        with contextlib.closing(sqlite3.connect(given["path"])) as found:
            tables = [f"{online.config.project}_{view}" for view in online.kinds]
            return {table: sorted(found.execute(f'SELECT * FROM "{table}"').fetchall()) for table in tables}

    try:
        for zone in ("UTC", "America/New_York"):
            ours, feasts = (written(f"{zone[:3]}{one}", zone, by_feast=one) for one in (False, True))
            assert ours == feasts
            assert all(ours.values())
    finally:
        monkeypatch.undo()
        time.tzset()


CELLS = {
    "string_val": "wörd",
    "bytes_val": b"\x00\xff",
    "double_val": 2.5,
    "float_val": 0.1,
    "int64_val": -3,
    "int32_val": 7,
}


def test_who_is_forgotten_within_a_transaction_is_asked_of_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    monkeypatch.setenv(
        "INTENTFLOW_FEAST", json.dumps({"registry": str(tmp_path / "registry.db"), "online_store": given})
    )
    online = feast_store.Online.open(feast_store.space("shop", "0123456789ab"), windows_days=(7,))
    online.provider.update_infra("shop", [], list(online.views.values()), [], [], partial=True)
    cells = dict.fromkeys(online.kinds[PUSHED], "[]")
    key = feast_values.entity_key(columns.USER_ID, "u1")
    data = [(key, {n: feast_values.value(k, cells[n]) for n, k in online.kinds[PUSHED].items()}, NOW, None)]
    marks = online.guard.marks
    marks.add(())
    with marks.together():
        assert marks.write(online.views[PUSHED], data, [("name",)]) == 1
        marks.add(["name"])
        assert marks.write(online.views[PUSHED], data, [("name",)]) == 0
        marks.remove(["name"])
        assert marks.write(online.views[PUSHED], data, [("name",)]) == 1


NOW = dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)


def test_who_was_forgotten_is_told_while_a_write_waits_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A door asks in the loop that answers everybody; a batch may hold the file's write lock for seconds."""
    file = tmp_path / "online.db"
    given = {"type": "sqlite", "path": str(file)}
    monkeypatch.setenv(
        "INTENTFLOW_FEAST", json.dumps({"registry": str(tmp_path / "registry.db"), "online_store": given})
    )
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    online = feast_store.Online.open(feast_store.space("shop", "0123456789ab"), windows_days=(7,))
    online.provider.update_infra("shop", [], list(online.views.values()), [], [], partial=True)
    feast_store.store_of(online.config).let_read(online.config)
    row = ("u1", 1_700_000_000, dict.fromkeys(online.kinds[PUSHED], "[]"))
    online.write(PUSHED, [row])
    waits_s = patient(6)
    online.guard.marks._db.execute(f"PRAGMA busy_timeout = {waits_s * 1000:.0f}")  # type: ignore[attr-defined]
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as batch:
        batch.execute("BEGIN IMMEDIATE")
        writing = threading.Thread(target=online.write, args=(PUSHED, [row]))
        writing.start()
        time.sleep(0.5)  # by then it waits for the batch
        begun = time.monotonic()
        told = [online.tombstones(), online.forgotten(["u1"])]
        took_s = time.monotonic() - begun
        batch.rollback()
    writing.join()
    assert told == [frozenset(), frozenset()]
    assert took_s < waits_s / 2, "an answer waited for the write"


def test_a_store_that_only_feast_knows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"registry": str(tmp_path / "registry.db"), "online_store": {"type": "dynamodb", "region": "x"}}
    monkeypatch.setenv("INTENTFLOW_FEAST", json.dumps(settings))
    monkeypatch.setattr(
        feast_store, "config", lambda project, given: type("C", (), {"online_store": given["online_store"]})
    )
    with pytest.raises(ServerError, match="store of type 'dynamodb'; have sqlite, redis, postgres"):
        erase.users("shop")
