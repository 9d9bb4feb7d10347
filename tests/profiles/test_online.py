"""The online store on real servers: what is stored, what a batch writes, what a push shows, and what is never lost."""

import dataclasses
import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import servers
from components.profiles.online import materialise
from feature_repo import columns, services, views
from feature_repo.errors import StoreAway
from feature_repo.online import erase, feast_store, provenance
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.online.stores.rows import key_of
from feature_repo.rows import UserRows
from tests.patience import patient
from tests.profiles.conftest import Made
from tests.profiles.online_stores import LAST, Place, assert_same, end_of, offline, purchase, total, vocabulary


def test_what_is_stored_is_what_the_files_hold_cell_by_cell(place: Place, made: Made) -> None:
    users = made.world.users
    assert place.materialise(made.profiles) == {"written": len(users), "unchanged": 0, "removed": 0}
    assert_same(place.open(made.profiles).read(users, now=LAST), offline(made.profiles, users, now=LAST))


def test_feasts_own_reading_finds_the_same_cells_by_a_registry_beside_the_store(
    place: Place, made: Made, server: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(server.registry, place.server.online_store))
    place.materialise(made.profiles)
    feast = feast_store.open_store(feast_store.space(place.project, vocabulary(made.profiles)))
    asked = [{"user_id": user} for user in [*made.world.users, "nobody"]]
    answer = feast.get_online_features(features=feast.get_feature_service(services.RANKING), entity_rows=asked)
    rows = place.open(made.profiles).read([*made.world.users, "nobody"], now=LAST)
    assert_same(rows, UserRows.from_online(answer.to_dict(), now=LAST))
    assert rows.known.tolist() == [True] * 24 + [False]


def test_only_rows_that_changed_are_written(place: Place, made: Made, later: Path) -> None:
    users = made.world.users
    place.materialise(made.profiles)
    assert place.materialise(made.profiles) == {"written": 0, "unchanged": 24, "removed": 0}
    assert place.materialise(later)["written"] in range(1, 24)
    assert_same(place.open(later).read(users, now=LAST), offline(later, users, now=LAST), rtol=1e-6)


def test_a_row_out_of_its_blob_is_the_row_out_of_its_views_to_the_bit(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles, users = place.open(made.profiles), made.world.users
    profiles.push(users[0], [purchase("i1", LAST)])
    views_alone = dataclasses.replace(profiles, blobs=False)
    assert all(profiles._blobs(users))
    for asked in ([*users, "nobody"], *([user] for user in users)):
        one, other = (reader.read(asked, now=LAST + 9) for reader in (profiles, views_alone))
        assert (list(one.numbers), list(one.lists)) == (list(other.numbers), list(other.lists))
        assert one.state_at.tolist() == other.state_at.tolist()
        assert all(values.tobytes() == other.numbers[name].tobytes() for name, values in one.numbers.items())
        for name, lists in one.lists.items():
            assert lists.values.tobytes() == other.lists[name].values.tobytes()
            assert lists.offsets.tobytes() == other.lists[name].offsets.tobytes()


def test_a_row_that_an_older_release_wrote_gets_its_blob_with_the_next_batch(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles, users = place.open(made.profiles), made.world.users
    old, _ = profiles.made_of(users[:1])[0]
    profiles.online.write(views.MADE_OF, [(users[0], end_of(made.profiles), provenance.cells(old))])
    assert [part is None for part in profiles._blobs(users[:2])] == [True, False]
    assert_same(profiles.read(users, now=LAST), offline(made.profiles, users, now=LAST))
    assert place.materialise(made.profiles) == {"written": 1, "unchanged": len(users) - 1, "removed": 0}
    assert all(profiles._blobs(users))


def test_a_store_that_lost_rows_gets_them_again(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    erase.erase(place.project, ["u03", "u04"])
    assert not place.open(made.profiles).read(["u03"], now=LAST).known[0]
    assert place.materialise(made.profiles) == {"written": 2, "unchanged": 22, "removed": 0}
    assert place.open(made.profiles).read(["u03"], now=LAST).known[0]


def test_an_erased_user_is_not_in_the_free_pages_or_the_log_either(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    place.open(made.profiles).push("u03", [purchase("i2", LAST)])
    erase.erase(place.project, ["u03"])
    assert erase.users(place.project) - {"batch"} == set(made.world.users) - {"u03"}
    if place.server.kind == "sqlite":
        path = Path(str(place.server.online_store["path"]))
        left = b"".join(p.read_bytes() for p in path.parent.glob(f"{path.name}*"))
        table = f"{feast_store.space(place.project, vocabulary(made.profiles))}_user_profile".encode()
        assert table in left
        assert key_of(feast_store.config(place.project, feast_store.settings_from()), "u03") not in left


def test_a_run_that_was_killed_goes_on_where_it_was(place: Place, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialise, "WRITTEN", 8)
    child = os.fork()
    if child == 0:
        place.materialise(made.profiles, each=lambda _: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert place.materialise(made.profiles) == {"written": 16, "unchanged": 8, "removed": 0}
    users = made.world.users
    assert_same(place.open(made.profiles).read(users, now=LAST), offline(made.profiles, users, now=LAST))


def test_a_push_is_read_within_a_second(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    before, odd = profiles.read(["u00"], now=LAST), profiles.folding.vocabulary.index_of_item["i1"]
    assert odd not in before.lists["history_items"].row(0)
    start = time.perf_counter()
    profiles.push_all({"u00": [purchase("i1", LAST)]})
    after = place.open(made.profiles).read(["u00"], now=LAST)
    assert time.perf_counter() - start < 1.0
    assert odd in after.lists["history_items"].row(0)
    assert after.numbers["events_total"][0] == before.numbers["events_total"][0] + 1


def test_two_events_of_one_second_are_both_there(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    before = total(profiles, "u00")
    for _ in range(2):
        profiles.push("u00", [purchase("i1", LAST)])
    assert total(profiles, "u00") == before + 2


def test_an_event_that_is_sent_again_counts_once(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    before = total(profiles, "u00")
    for _ in range(2):
        profiles.push("u00", [purchase("i1", LAST, key="the same")])
    assert total(profiles, "u00") == before + 1


def test_a_batch_takes_over_the_events_it_holds_and_keeps_those_it_cannot_hold(
    place: Place, made: Made, later: Path, bought_later: dict[str, object]
) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    before = {user: total(profiles, user) for user in ("u00", "u01", "u02")}
    inside = int(bought_later["timestamp"].timestamp())  # type: ignore[attr-defined]
    profiles.push("u00", [purchase("i1", inside)])  # the next batch holds it
    profiles.push("u00", [purchase("i3", LAST)])  # no batch does
    profiles.push("u01", [purchase("i2", LAST)])
    profiles.push("u02", [dataclasses.replace(purchase("i1", inside), known_at=LAST)])  # happened before, came after
    assert place.materialise(later)["written"] in range(1, 24)
    assert {user: total(profiles, user) - count for user, count in before.items()} == {"u00": 2, "u01": 1, "u02": 1}
    assert place.materialise(later)["written"] == 0


def test_a_push_that_a_batch_wrote_over_is_made_good(
    place: Place, made: Made, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.materialise(made.profiles)
    door, write = place.open(made.profiles), OnlineProfiles.write
    before, events = total(door, "u00"), [purchase("i3", LAST)]

    def after_a_push(self: OnlineProfiles, *rows: object) -> None:
        if events:  # the batch has read the events of u00, and not yet written
            door.push_all({"u00": [events.pop()]})
        write(self, *rows)  # type: ignore[arg-type]

    monkeypatch.setattr(OnlineProfiles, "write", after_a_push)
    place.materialise(later)
    assert total(door, "u00") == before + 2


def test_a_batch_that_a_push_wrote_over_is_written_again(
    place: Place, made: Made, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.materialise(made.profiles)
    door, together, batches = place.open(made.profiles), feast_store.Online.together, [later]
    before = total(door, "u00")

    def after_a_batch(self: feast_store.Online) -> AbstractContextManager[None]:
        if batches:  # the push has read the row of u00, and not yet written
            place.materialise(batches.pop())
        return together(self)

    monkeypatch.setattr(feast_store.Online, "together", after_a_batch)
    door.push_all({"u00": [purchase("i3", LAST)]})
    assert place.materialise(later)["written"] == 1
    assert total(door, "u00") == before + 2


def test_a_push_that_fails_on_its_way_into_a_file_leaves_nothing_and_the_next_one_is_whole(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.server.kind != "sqlite":
        pytest.skip("a store on a network takes view by view")
    place.materialise(made.profiles)
    door, write = place.open(made.profiles), feast_store.Online.write
    before = total(door, "u00")

    def fails(self: feast_store.Online, view: str, rows: object) -> None:
        if view == views.MADE_OF:
            raise StoreAway("gone")
        write(self, view, rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(feast_store.Online, "write", fails)
        with pytest.raises(StoreAway, match="gone"):
            door.push_all({"u00": [purchase("i3", LAST)]})
    assert (total(door, "u00"), door.made_of(["u00"])[0][1]) == (before, [])
    door.push_all({"u00": [purchase("i3", LAST)]})
    assert total(door, "u00") == before + 1


def test_a_newcomer_has_a_row_from_the_first_event(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    rows = profiles.push("newcomer", [purchase("i2", LAST)])
    assert (rows.known[0], rows.numbers["sessions_total"][0], rows.numbers[columns.SEGMENT][0]) == (True, 1, -1)


def test_users_that_a_batch_no_longer_has_are_taken_out(place: Place, made: Made, tmp_path: Path) -> None:
    place.materialise(made.profiles)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in made.profiles.iterdir():
        if path.name in {f"{view}.parquet" for view in views.ROW_VIEWS} | {"row_digests.parquet"}:
            table = pq.read_table(path)
            pq.write_table(table.filter(pc.not_equal(table[columns.USER_ID], "u05")), fewer / path.name)
        else:
            (fewer / path.name).symlink_to(path)
    assert place.materialise(fewer) == {"written": 0, "unchanged": 23, "removed": 1}
    assert place.open(fewer).read(["u04", "u05"], now=LAST).known.tolist() == [True, False]
    assert erase.count(place.project, ["u05"]) == 0


def test_a_server_that_says_nothing_is_given_up_soon_and_used_again_later(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.materialise(made.profiles)
    hurried = {"sqlite": {}, "postgres": {"timeout_s": 0.3}}.get(place.server.kind)
    if hurried is None:
        hurried = {"connection_string": f"{place.server.online_store['connection_string']},socket_timeout=0.3"}
    there = place.server.online_store | hurried
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(place.server.registry, there))
    profiles = place.open(made.profiles)
    assert profiles.read(["u00"], now=LAST).known[0]
    with place.server.silent():
        if place.server.processes():
            start = time.monotonic()
            with pytest.raises(StoreAway, match="online store: no answer"):
                profiles.read(["u00"], now=LAST)
            with pytest.raises(StoreAway):
                profiles.push_all({"u00": [purchase("i1", LAST)]})
            assert time.monotonic() - start < patient(5.0)
    assert profiles.read(["u00"], now=LAST).known[0]


def test_a_store_that_is_not_there_is_away_at_once(place: Place, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {
        "sqlite": {"path": str(place.home / "no such folder" / "online.db")},
        "redis": {"connection_string": f"127.0.0.1:{servers.free_port()}"},
        "postgres": {"host": "127.0.0.1", "port": servers.free_port()},
    }[place.server.kind]
    away = place.server.online_store | nowhere
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(place.server.registry, away))
    profiles, start = place.open(made.profiles), time.monotonic()
    with pytest.raises(StoreAway, match="online store: no answer"):
        profiles.read(["u00"], now=LAST)
    assert time.monotonic() - start < patient(5.0)


def test_before_the_first_batch_nobody_is_known_or_the_store_counts_as_away(place: Place, made: Made) -> None:
    profiles = place.open(made.profiles)
    if place.server.kind == "redis":  # has no tables that could be missing
        assert not profiles.read(["u00"], now=LAST).known[0]
        return
    with pytest.raises(StoreAway):
        profiles.read(["u00"], now=LAST)


def test_many_threads_read_while_one_writes(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    profiles, wrong = place.open(made.profiles), []

    def reads() -> None:
        for _ in range(10):
            try:
                if not profiles.read(["u07", "u08"], now=LAST).known.all():
                    wrong.append("unknown")
            except StoreAway as away:
                wrong.append(str(away))

    threads = [threading.Thread(target=reads) for _ in range(3)]
    for thread in threads:
        thread.start()
    for second in range(5):
        profiles.push_all({"u00": [purchase("i1", LAST + second)]})
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_row_of_redis_goes_when_nobody_has_written_it_for_so_long(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place.server.kind != "redis":
        pytest.skip("only Redis forgets by itself")
    brief = place.server.online_store | {"key_ttl_seconds": 1}
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(place.server.registry, brief))
    place.materialise(made.profiles)
    profiles = place.open(made.profiles)
    time.sleep(1.2)
    assert not profiles.read(["u00"], now=LAST).known[0]
    assert place.materialise(made.profiles)["written"] == 24
