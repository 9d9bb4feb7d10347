"""The document log on each kind of store: SQLite by default; Redis and PostgreSQL, as real servers, by `process`."""

import datetime as dt
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import servers
from feature_repo import files
from feature_repo.documents import changes
from feature_repo.documents.changes import ITEM, PERSON, newest_of
from feature_repo.documents.log import Behind, DocumentLog, Snapshot, same_log
from feature_repo.documents.opened import document_log
from feature_repo.errors import DataError, StoreAway
from feature_repo.online import erase

AT = dt.datetime(2026, 11, 29, 10, tzinfo=dt.UTC)
NUMBER = itertools.count()
KINDS = [pytest.param(kind, marks=[] if kind == "sqlite" else [pytest.mark.process]) for kind in servers.KINDS]


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running(request.param, tmp_path_factory.mktemp(request.param), durable=False) as found:
        yield found


@pytest.fixture
def log(running: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DocumentLog:
    """A log that nobody has written to."""
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(running.registry, running.online_store))
    return document_log(f"shop-{next(NUMBER)}")


def put(log: DocumentLog, *items: tuple[str, dict[str, object] | None], key: str = "") -> int:
    asked = files.digest(items)
    if (earlier := log.earlier(key, asked)) is not None:
        return -earlier.version
    after = log.refreshed(Snapshot())
    return log.put(ITEM, items, who="key 1", at=AT, after=after, key=key, asked=asked).version


def held(log: DocumentLog) -> dict[str, object]:
    return {one: newest.document for one, newest in log.refreshed(Snapshot()).of(ITEM).items()}


def test_a_log_that_nobody_wrote_to_is_empty(log: DocumentLog) -> None:
    assert (log.head().version, held(log), log.changes()) == (0, {}, [])


def test_versions_rise_by_one_and_the_newest_document_of_an_id_counts(log: DocumentLog) -> None:
    assert put(log, ("soup", {"price": 1.5}), ("tea", {"title": "Tee ☕"})) == 1
    assert put(log, ("soup", {"price": 2.5})) == 2
    assert held(log) == {"soup": {"price": 2.5}, "tea": {"title": "Tee ☕"}}
    assert [row | {"at": ""} for row in log.changes()[1].rows()] == [
        {"version": 2, "at": "", "who": "key 1", "kind": "item", "undoes": None, "id": "soup",
         "document": {"price": 2.5}}
    ]  # fmt: skip
    assert log.changes()[0].at == "2026-11-29T10:00:00+00:00"


def test_ids_keep_the_order_in_which_they_came(log: DocumentLog) -> None:
    put(log, ("z", {}), ("b", {}))
    put(log, ("a", {}), ("z", {"price": 1}))
    assert list(held(log)) == ["z", "b", "a"]
    assert newest_of(log.changes()) == list(log.refreshed(Snapshot()).of(ITEM).values()), "the log says what it shows"


def test_a_snapshot_reads_what_came_since(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}))
    first = log.refreshed(Snapshot())
    assert log.refreshed(first) is first, "nothing was changed"
    put(log, ("tea", {"price": 2}))
    second = log.refreshed(first)
    assert (second.head.version, list(second.of(ITEM))) == (2, ["soup", "tea"])
    assert second.head.name == first.head.name != ""


def test_a_writer_who_has_not_read_the_newest_version_writes_nothing(log: DocumentLog) -> None:
    before = log.refreshed(Snapshot())
    put(log, ("soup", {"price": 1}))
    with pytest.raises(Behind):
        log.put(ITEM, [("soup", {"price": 9})], who="late", at=AT, after=before)
    assert held(log) == {"soup": {"price": 1}}


def test_a_change_sent_again_under_its_key_is_written_once(log: DocumentLog) -> None:
    assert put(log, ("soup", {"price": 1}), key="order-1") == 1
    assert put(log, ("soup", {"price": 1}), key="order-1") == -1, "the version that it has"
    assert log.head().version == 1
    with pytest.raises(DataError, match="change_id: 'order-1' stands for version 1; allowed: one of its own"):
        put(log, ("soup", {"price": 2}), key="order-1")


def test_undo_brings_back_what_was_before_and_can_be_undone(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}))
    put(log, ("soup", {"price": 2}), ("tea", {"price": 5}))
    change = log.undo(2, who="key 1", at=AT, after=log.refreshed(Snapshot()))
    assert (change.version, change.undoes) == (3, 2)
    assert held(log) == {"soup": {"price": 1}, "tea": None}
    log.undo(3, who="key 1", at=AT, after=log.refreshed(Snapshot()))
    assert held(log) == {"soup": {"price": 2}, "tea": {"price": 5}}


def test_undo_is_refused_where_the_document_was_changed_again_or_there_is_no_such_version(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}))
    put(log, ("soup", {"price": 2}))
    now = log.refreshed(Snapshot())
    with pytest.raises(DataError, match="version 1 changed item 'soup', and version 2 changed it again; undo version"):
        log.undo(1, who="key 1", at=AT, after=now)
    with pytest.raises(DataError, match="undo: no version 7; have 1 to 2"):
        log.undo(7, who="key 1", at=AT, after=now)
    assert log.head().version == 2


def test_a_key_that_another_writer_took_meanwhile_writes_nothing(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}), key="order-1")
    with pytest.raises(Behind):
        log.put(ITEM, [("tea", {})], who="late", at=AT, after=log.refreshed(Snapshot()), key="order-1")
    assert held(log) == {"soup": {"price": 1}}


def test_writers_at_once_leave_no_gap_and_lose_nothing(log: DocumentLog) -> None:
    def write(name: str) -> None:
        for number in range(5):
            while True:
                try:
                    put(log, (f"{name}{number}", {"price": number}))
                    break
                except Behind:
                    continue

    threads = [threading.Thread(target=write, args=[name]) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [change.version for change in log.changes()] == list(range(1, 16))
    assert len(held(log)) == 15


def test_logs_of_two_recommenders_are_apart(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}))
    assert held(document_log(f"other-{next(NUMBER)}")) == {}


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "documents: 0 in a change; allowed: 1 to 1000"),
        ([("a", {}), ("a", {})], "document 'a': twice in one change; allowed: once"),
        ([("", {})], "document id: 0 characters; allowed: 1 to 256"),
        ([("a", {"text": "x" * 20_000})], "document 'a': 20011 bytes; allowed: at most 16384"),
    ],
)
def test_a_change_out_of_bounds_is_refused(
    log: DocumentLog, items: list[tuple[str, dict[str, object]]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        put(log, *items)
    assert log.head().version == 0


def test_a_log_holds_so_many_ids_and_no_more(log: DocumentLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feature_repo.documents.log.MOST_DOCUMENTS", 2)
    put(log, ("a", {}), ("b", {}))
    put(log, ("b", {"price": 1}))
    with pytest.raises(DataError, match="documents: 3 ids of kind item; allowed: at most 2"):
        put(log, ("c", {}))


def test_a_snapshot_of_a_log_that_was_restored_from_an_older_copy_is_read_anew(log: DocumentLog) -> None:
    put(log, ("soup", {"price": 1}))
    later = changes.Newest(ITEM, "gone", 5, (5, 0), {})
    ahead = Snapshot(type(log.head())(log.head().name, 5), {(ITEM, "gone"): later})
    assert list(log.refreshed(ahead).of(ITEM)) == ["soup"]


def test_a_store_that_is_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"type": "redis", "connection_string": f"127.0.0.1:{servers.free_port()}"}
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(str(tmp_path / "registry.db"), away))
    with pytest.raises(StoreAway, match=r"online store redis at 127\.0\.0\.1"):
        document_log("shop").head()


def put_people(log: DocumentLog, **people: Any) -> int:
    return log.put(PERSON, list(people.items()), who="job", at=AT, after=log.refreshed(Snapshot())).version


def test_people_are_taken_out_of_every_version_and_places_stay(log: DocumentLog) -> None:
    put_people(log, f00d={"as_person": {"by": [["cafe", 1]]}}, beef={"as_person": {"by": [["f00d", 1], ["cafe", 2]]}})
    put_people(log, beef={"as_person": {"by": [["f00d", 3], ["cafe", 2]]}}, feed={"as_person": {"by": []}})
    held = log.refreshed(Snapshot())
    assert log.people() == {"f00d", "beef", "feed", "cafe"}
    assert log.remove(["f00d", "nobody"]) == 3
    found = log.refreshed(held)  # as a door that has the versions already
    assert [(one.id, one.first, one.document) for one in found.of(PERSON).values()] == [
        ("erased-1-0", (1, 0), None),
        ("beef", (1, 1), {"as_person": {"by": [["cafe", 2]]}}),
        ("feed", (2, 1), {"as_person": {"by": []}}),
    ]
    assert found == log.refreshed(Snapshot()), "what a door has is what the store has"
    assert found.head.version == held.head.version
    assert found.head.name != held.head.name
    assert same_log(found.head.name, held.head.name)
    assert "f00d" not in "".join(change.text for change in log.changes())
    assert log.remove(["f00d"]) == 0
    assert log.head() == found.head, "nothing was to do"
    assert put_people(log, feed=None) == 3
    assert newest_of(log.changes()) == list(log.refreshed(found).of(PERSON).values())


def test_a_document_of_a_person_is_kept_once_and_not_taken_back(log: DocumentLog) -> None:
    """Each renewal is a change, of up to 64 KiB a person: what was before stands in the version before."""
    put_people(log, beef={"as_person": {"by": [["cafe", 1]]}})
    put_people(log, beef={"as_person": {"by": [["cafe", 2]]}})
    assert [entry.before for change in log.changes() for entry in change.entries] == [None, None]
    with pytest.raises(DataError, match="undo: version 2 is of people, made from the source by the job materialise"):
        log.undo(2, who="key 1", at=AT, after=log.refreshed(Snapshot()))
    assert log.head().version == 2


def test_a_removal_waits_for_no_version_that_came_meanwhile_and_takes_it_in(log: DocumentLog) -> None:
    put_people(log, f00d={})
    head = log.head()
    put_people(log, beef={"as_person": {"to": [["f00d", 1]]}})
    assert not log.shelf.replace(head, [], [], "another")
    assert log.remove({"f00d"}) == 2
    assert log.people() == {"beef"}


def test_nobody_is_taken_out_of_a_log_that_nobody_wrote_to(log: DocumentLog) -> None:
    assert (log.remove(["f00d"]), log.people()) == (0, set())


def test_the_file_of_a_laptop_holds_nothing_of_who_was_taken_out(
    log: DocumentLog, running: servers.Server, tmp_path: Path
) -> None:
    if running.kind != "sqlite":
        pytest.skip("a file is looked through only where there is one")
    name = "f00dfeed" * 4
    put_people(log, **{name: {"as_person": {"by": [["cafe", 1]] * 400}}})
    log.remove([name])
    erase.erase("none", [])  # tidies the file, as `forget` does
    (path,) = [one for one in Path(str(running.online_store["path"])).parent.glob("*.db") if one.is_file()]
    assert name.encode() not in path.read_bytes()
