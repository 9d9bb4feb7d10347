"""The online store on real servers: what is stored, what a batch writes, what a push shows, and what is never lost."""

import dataclasses
import datetime as dt
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import servers
from components.profiles import steps
from components.profiles.online import materialise
from feature_repo import columns, files, services, views
from feature_repo.calendar import Calendar
from feature_repo.errors import StoreAway
from feature_repo.online import erase, feast_store, provenance
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.online.stores.rows import key_of
from feature_repo.rows import LIST_TYPES, UserRows
from feature_repo.update import Event
from tests import worlds
from tests.patience import patient
from tests.profiles.conftest import PROFILES, SPLIT, Made

CALENDAR = Calendar(worlds.FIRST_DAY)
WINDOWS = (7, 28, 91)
LAST = int(CALENDAR.start(17).timestamp())  # after every batch of these tests
NUMBER = itertools.count()


@dataclass
class Place:
    """A recommender's online store on one of the servers: empty at first."""

    server: servers.Server
    project: str
    home: Path

    def materialise(self, profiles: Path, *, each: materialise.Each = lambda _: None) -> dict[str, int]:
        folds = materialise.folding(profiles)
        features = materialise.published(self.home, folds.vocabulary.digest)
        materialise.publish(profiles, features)
        return materialise.run(self.project, features, folds, each=each)

    def open(self, profiles: Path) -> OnlineProfiles:
        return OnlineProfiles.open(self.project, materialise.folding(profiles))


@pytest.fixture(scope="session", params=servers.KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.running(request.param, tmp_path_factory.mktemp(request.param), durable=False) as found:
        yield found


@pytest.fixture
def place(server: servers.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    # A file of its own, also of the registry: one in SQL is as good, and slow to fill; one test has it.
    own = {"path": str(tmp_path / "online.db")} if server.kind == "sqlite" else {}
    mine = dataclasses.replace(server, online_store=server.online_store | own, registry=str(tmp_path / "registry.db"))
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(mine.registry, mine.online_store))
    monkeypatch.setattr(materialise, "SETTLED_S", 0.0)
    return Place(mine, f"world{next(NUMBER)}", tmp_path)


def built(world: worlds.World, folder: Path, *, fitted: Path | None = None, top: int = 4) -> Path:
    """Build profiles of a world, with the vocabulary of others or its own."""
    intents = [worlds.VOCABULARY["intents"][0] | {"top": top}, worlds.VOCABULARY["intents"][1]]  # type: ignore[index]
    wanted = json.dumps(worlds.VOCABULARY | {"intents": intents})
    clean = world.write(folder / "clean")
    steps.run_profiles(PROFILES, SPLIT, wanted, clean=clean, destination=folder / "profiles", fitted=fitted)
    return folder / "profiles"


@pytest.fixture(scope="session")
def bought_later(made: Made) -> dict[str, object]:
    """What u00 buys ten minutes after everything else: an odd item, by an even user."""
    last = max(e["timestamp"] for e in made.world.events)  # type: ignore[type-var]
    return worlds.event("u00", "i1", last + dt.timedelta(minutes=10), session="late", value=7.0)  # type: ignore[operator]


@pytest.fixture(scope="session")
def later(made: Made, bought_later: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The next batch: one event more, the same vocabulary."""
    world = dataclasses.replace(made.world, events=[*made.world.events, bought_later])
    return built(world, tmp_path_factory.mktemp("later"), fitted=made.profiles)


@pytest.fixture(scope="session")
def other(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data under another vocabulary: positions mean other things."""
    return built(made.world, tmp_path_factory.mktemp("other"), top=2)


def end_of(profiles: Path) -> int:
    return int(dt.datetime.fromisoformat(files.read_json(profiles / "profiles.json")["data_end"]).timestamp())


def vocabulary(profiles: Path) -> str:
    return materialise.folding(profiles).vocabulary.digest


def offline(profiles: Path, users: list[str], *, now: int) -> UserRows:
    """The files' newest rows, as point-in-time retrieval returns them."""
    merged: dict[str, dict[str, object]] = {}
    for view in ("user_profile", "user_targets", "user_history"):
        table = pq.read_table(profiles / f"{view}.parquet")
        for row in table.filter(pc.equal(table["week"], pc.max(table["week"]))).to_pylist():
            merged[row["user_id"]] = merged.get(row["user_id"], {}) | row
    rows = [merged[user] | {"now": now} for user in users]
    return UserRows.from_arrow(pa.Table.from_pylist(rows).drop(["week", "event_timestamp"]))


def assert_same(found: UserRows, expected: UserRows, *, rtol: float = 0.0) -> None:
    np.testing.assert_array_equal(found.known, expected.known)
    np.testing.assert_array_equal(found.state_at, expected.state_at)
    for name, values in expected.numbers.items():
        np.testing.assert_allclose(found.numbers[name], values, rtol=rtol, err_msg=name)
    for name, lists in expected.lists.items():
        np.testing.assert_array_equal(found.lists[name].offsets, lists.offsets, err_msg=name)
        np.testing.assert_allclose(found.lists[name].values, lists.values, rtol=rtol, err_msg=name)
        assert found.lists[name].values.dtype == LIST_TYPES[name]


def purchase(item: str, at: int, **values: object) -> Event:
    return Event(item, "purchase", at, f"s{at}", value=7.0, known_at=at, **values)  # type: ignore[arg-type]


def total(profiles: OnlineProfiles, user: str) -> float:
    return float(profiles.read([user], now=LAST + 900).numbers["events_total"][0])


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


def test_rows_of_two_vocabularies_lie_side_by_side(place: Place, made: Made, other: Path) -> None:
    users = made.world.users
    place.materialise(made.profiles)
    old, new = place.open(made.profiles), place.open(other)
    old.push("u01", [purchase("i2", LAST)])
    assert place.materialise(other) == {"written": 24, "unchanged": 0, "removed": 0}
    assert place.materialise(made.profiles)["written"] == 0, "the champion's rows are as they were"
    rest = [user for user in users if user != "u01"]
    assert_same(old.read(rest, now=LAST), offline(made.profiles, rest, now=LAST))
    assert_same(new.read(rest, now=LAST), offline(other, rest, now=LAST))
    pushed = new.read(["u01"], now=LAST)
    assert pushed.numbers["events_total"][0] == offline(other, ["u01"], now=LAST).numbers["events_total"][0] + 1
    assert new.folding.vocabulary.index_of_item["i2"] in pushed.lists["history_items"].row(0)


def test_what_one_vocabularys_door_missed_its_next_batch_brings_in_exactly_once(
    place: Place, made: Made, other: Path
) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    a, b = place.open(made.profiles), place.open(other)
    before = {user: total(b, user) for user in ("u00", "u01", "u02", "new")}
    missed, both = purchase("i2", LAST, key="missed"), purchase("i4", LAST + 1, key="both")
    a.push_all({"u00": [missed, both], "u01": [purchase("i1", LAST)] * 2, "new": [missed]})  # two without a key
    b.push_all({"u00": [dataclasses.replace(both, known_at=LAST + 9)], "u02": [purchase("i3", LAST)]})
    assert total(b, "u00") == before["u00"] + 1
    for written in (2, 0):
        assert place.materialise(other)["written"] == written
        added = {user: total(b, user) - count for user, count in before.items()}
        assert added == {"u00": 2, "u01": 2, "u02": 1, "new": 1}
    b.push_all({"u00": [missed, purchase("i1", LAST + 2, key="next")], "new": [missed]})  # the copy comes late
    assert {user: total(b, user) - count for user, count in before.items()} == {"u00": 3, "u01": 2, "u02": 1, "new": 1}
    assert place.materialise(other)["written"] == 0
    assert place.materialise(made.profiles)["written"] == 2, "u00 and u02, from the other side"
    materialise.prune(place.project, place.home, [vocabulary(other)])
    assert place.materialise(other)["written"] == 0, "what came in from the rows that were dropped stays"
    assert total(b, "u00") == before["u00"] + 3


def test_pruning_takes_rows_files_and_declarations_of_no_release_and_leaves_the_rest(
    place: Place, made: Made, other: Path
) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    keep, gone = (feast_store.space(place.project, vocabulary(p)) for p in (other, made.profiles))
    assert erase.spaces(place.project) == sorted([keep, gone])
    assert materialise.prune(place.project, place.home, [vocabulary(other)]) == [gone]
    assert materialise.prune(place.project, place.home, [vocabulary(other)]) == []
    assert erase.spaces(place.project) == [keep]
    assert [path.name for path in (place.home / "features").iterdir()] == [vocabulary(other)]
    assert [found.name for found in feast_store.open_store(keep).list_projects()] == [keep]
    assert place.open(other).read(made.world.users, now=LAST).known.all()


def test_a_forgotten_user_is_in_no_vocabularys_rows(place: Place, made: Made, other: Path) -> None:
    place.materialise(made.profiles)
    place.materialise(other)
    place.open(made.profiles).push("u03", [purchase("i2", LAST)])
    assert erase.erase(place.project, ["u03"]) > 0
    assert erase.count(place.project, ["u03"]) == 0
    assert "u03" not in erase.users(place.project)
    for profiles in (made.profiles, other):
        assert place.open(profiles).read(["u03", "u04"], now=LAST).known.tolist() == [False, True]


def test_the_rows_of_before_are_read_by_nobody_and_erased_with_the_rest(
    place: Place, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:  # all vocabularies in one Feast project
        before.setattr(feast_store, "space", lambda project, _: project)
        before.setattr("feature_repo.online.profiles.space", lambda project, _: project)
        place.materialise(made.profiles)
        place.open(made.profiles).push("u00", [purchase("i1", LAST)])
    counted = offline(made.profiles, ["u00"], now=LAST).numbers["events_total"][0]
    assert place.materialise(made.profiles)["written"] == 24
    assert total(place.open(made.profiles), "u00") == counted + 1, "its pushed event comes along"
    erase.erase(place.project, ["u00"])
    assert erase.count(place.project, ["u00"]) == 0
    assert materialise.prune(place.project, place.home, [vocabulary(made.profiles)]) == [place.project]


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
