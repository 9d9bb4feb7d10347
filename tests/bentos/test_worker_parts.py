"""The parts that a door's processes share or divide, each by itself."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from bentos import launch, workers
from bentos.http import own_port
from bentos.http.limits import Limits
from bentos.http.shared_counts import NEAR, ROWS, SharedCounts
from bentos.recommender.clock import DataEndClock, make_clock
from bentos.recommender.logs.push_lock import STRIPES, PushLock
from bentos.recommender.metrics import forget_the_dead
from bentos.recommender.shared_time import SharedTime
from bentos.router.requests import owner_of
from bentos.router.routes import Backend, Routes
from feature_repo import env_names
from feature_repo.errors import SpecError
from tests.patience import patient


@pytest.mark.parametrize("given", ["0", "65", "-1", "two", "1.5", " 2"])
def test_a_number_of_processes_that_is_none_is_one_line(given: str) -> None:
    with pytest.raises(SpecError, match=rf"INTENTFLOW_DOOR_WORKERS: '{given}'.*give 1 to 64"):
        workers.count({env_names.DOOR_WORKERS: given})


@pytest.mark.parametrize("given", ["0", "70000", "4001,4001", "4001,", "a"])
def test_ports_that_are_none_are_one_line(given: str) -> None:
    with pytest.raises(SpecError, match="INTENTFLOW_DOOR_PORTS"):
        workers.ports({env_names.DOOR_PORTS: given})


@pytest.mark.parametrize(
    ("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("max 100000", None), ("nonsense", None)]
)
def test_a_container_s_quota_bounds_the_processes(tmp_path: Path, quota: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    unbounded = workers.usable_cores(tmp_path / "absent")
    assert workers.usable_cores(tmp_path / "cpu.max") == (cores or unbounded)


def test_one_process_has_no_port_of_its_own_and_several_have_different_ones() -> None:
    assert workers.free_ports(1) == ""
    assert len(workers.ports({env_names.DOOR_PORTS: workers.free_ports(8)})) == 8


def test_only_the_door_has_several_processes_and_those_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(env_names.DOOR_WORKERS, "3")
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    door, other = (
        SimpleNamespace(args=["--service-name", name], numprocesses=1, env={"A": "1"}, respawn=False)
        for name in ("recommender", "ranking")
    )
    launch.spread([door, other], "/shared")
    given = {"A": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", env_names.DOOR_SHARED: "/shared"}
    assert (door.numprocesses, door.respawn, door.env) == (3, True, given)
    assert (other.numprocesses, other.respawn, other.env) == (1, False, {"A": "1"})


def test_whoever_chooses_arrow_s_allocator_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    door = SimpleNamespace(args=["recommender"], numprocesses=1, env=None, respawn=False)
    launch.spread([door], "/shared")
    assert door.env["ARROW_DEFAULT_MEMORY_POOL"] == "jemalloc"


def test_a_process_takes_the_first_port_that_no_process_claims(tmp_path: Path) -> None:
    ports = workers.ports({env_names.DOOR_PORTS: workers.free_ports(2)})
    held = workers.reserve({env_names.DOOR_PORTS: ",".join(map(str, ports))})
    first, second, none = (own_port.bound(ports, tmp_path) for _ in range(3))
    assert first is not None
    assert second is not None
    assert none is None
    assert (first[0].getsockname()[1], second[0].getsockname()[1]) == ports
    first[0].close()
    os.close(first[1])
    again = own_port.bound(ports, tmp_path)
    assert again is not None
    assert again[0].getsockname()[1] == ports[0], "a port that its process left is free again"
    for one, claim in (again, second):
        one.close()
        os.close(claim)
    for reserved in held:
        reserved.close()


@pytest.mark.parametrize("options", [(), (socket.SO_REUSEADDR,)])
@pytest.mark.parametrize("address", [workers.LOOPBACK, "0.0.0.0"])
def test_a_port_of_the_door_s_is_nobody_else_s_before_and_after_its_process(
    options: tuple[int, ...], address: str, tmp_path: Path
) -> None:
    """Who is another user cannot ask for SO_REUSEPORT here: the kernel shares a port among one user's sockets."""
    text = workers.free_ports(2)
    (port, _), held = workers.ports({env_names.DOOR_PORTS: text}), workers.reserve({env_names.DOOR_PORTS: text})
    workers._HELD.clear()  # the process that chose them is gone

    def stolen() -> bool:
        with socket.socket() as other:
            for option in options:
                other.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                other.bind((address, port))
            except OSError:
                return False
            return True

    assert not stolen(), "before its process is up"
    with socket.socket() as client:
        assert client.connect_ex((workers.LOOPBACK, port)) != 0, "nobody listens, so who asks is refused"
    own = own_port.bound([port], tmp_path)
    assert own is not None
    with socket.create_connection((workers.LOOPBACK, port)):
        assert not stolen(), "while its process listens"
    own[0].close()
    os.close(own[1])
    assert not stolen(), "after its process was killed"
    for one in held:
        one.close()


def test_a_port_that_another_program_has_ends_the_door_and_its_process(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((workers.LOOPBACK, 0))
        port = other.getsockname()[1]
        with pytest.raises(SpecError, match=rf"INTENTFLOW_DOOR_PORTS: {port} is taken"):
            workers.reserve({env_names.DOOR_PORTS: str(port)})
        with pytest.raises(OSError, match="in use"):
            own_port.bound([port], tmp_path)


def test_chosen_ports_are_held_until_the_door_holds_them() -> None:
    (port, _) = workers.ports({env_names.DOOR_PORTS: workers.free_ports(2)})
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((workers.LOOPBACK, port))


def test_processes_see_the_time_that_one_of_them_saw(tmp_path: Path) -> None:
    clocks = [DataEndClock(100, SharedTime(tmp_path)) for _ in range(2)]
    clocks[0].saw(500)
    assert [clock.now() for clock in clocks] == [501, 501]
    clocks[1].saw(300)
    assert [clock.now() for clock in clocks] == [501, 501]
    assert make_clock("data_end", 900, shared=SharedTime(tmp_path)).now() == 900


def test_processes_count_a_caller_together_and_callers_apart(tmp_path: Path) -> None:
    now = [1000.0]
    here, there = (SharedCounts(tmp_path, lambda: now[0]) for _ in range(2))
    assert [one.incr("ann", 60) for one in (here, there, here)] == [1, 2, 3]
    assert here.incr("ben", 60) == 1
    assert (there.get("ann"), there.get_expiry("ann")) == (3, 1060.0)
    now[0] = 1060.0
    assert there.get("ann") == 0
    assert there.incr("ann", 60) == 1


def test_a_full_table_forgets_the_window_that_ends_first_and_lets_in(tmp_path: Path) -> None:
    counts = SharedCounts(tmp_path, lambda: 1000.0)
    counts._mark = lambda key: 2 * int(key) * ROWS + 1  # type: ignore[method-assign]  # all callers in the same rows
    for number in range(1, NEAR + 1):
        assert counts.incr(str(number), 10 + number) == 1
    assert counts.incr(str(NEAR + 1), 99) == 1
    assert [counts.get(str(number)) for number in (1, 2, NEAR, NEAR + 1)] == [0, 1, 1, 1]


def test_callers_are_not_readable_in_the_table(tmp_path: Path) -> None:
    SharedCounts(tmp_path).incr("10.1.2.3", 60)
    assert all(b"10.1.2.3" not in path.read_bytes() for path in tmp_path.iterdir())
    assert {path.stat().st_mode & 0o077 for path in tmp_path.glob("callers")} == {0}


def test_limits_without_a_folder_count_in_this_process(tmp_path: Path) -> None:
    Limits({}, shared=tmp_path)
    assert list(tmp_path.iterdir()) == [], "who has no limits needs no table"


@pytest.mark.process
def test_two_processes_take_turns_over_one_user_and_not_over_two(tmp_path: Path) -> None:
    holds = (
        "import sys, time; from pathlib import Path; from bentos.recommender.logs.push_lock import PushLock\n"
        f"with PushLock(Path({str(tmp_path)!r})).held(['ann', 'cid']): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", holds], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    lock, got = PushLock(tmp_path), threading.Event()
    with lock.held(["ben"]):
        pass

    def wait() -> None:
        with lock.held(["cid", "ben"]):
            got.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert not got.is_set(), "two processes hold one user"
    other.kill()  # the kernel gives the lock on
    other.wait()
    assert got.wait(patient(10))
    waiting.join()


def test_a_lock_s_file_stays_empty_and_beside_the_events(tmp_path: Path) -> None:
    with PushLock(tmp_path / "events").held(f"u{n}" for n in range(2 * STRIPES)):
        assert [(path.name, path.stat().st_size) for path in (tmp_path / "events").iterdir()] == [("pushes.lock", 0)]


def test_a_user_has_one_process_at_every_endpoint_and_users_are_spread_evenly() -> None:
    door = Backend.model_validate(
        {"release": "a", "url": "http://h:1", "workers": [f"http://h:{n}" for n in range(2, 6)]}
    )
    seen: dict[str, int] = {}
    for number in range(4000):
        user = f'"user_id": "{number}"'
        read, write = (
            owner_of(endpoint, body.encode())
            for endpoint, body in (
                ("/recommend", f"{{{user}}}"),
                ("/events", f'{{"events": [{{{user}}}, {{"user_id": "x"}}]}}'),
            )
        )
        assert read == write
        seen[door.processes(read)[0]] = seen.get(door.processes(read)[0], 0) + 1
    assert set(seen) == set(door.workers)
    assert all(900 < count < 1100 for count in seen.values())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"user_id": 1}', b'{"events": 3}', b"\xff", b'{"events": []}'])
def test_a_request_without_a_user_has_a_process_all_the_same(body: bytes) -> None:
    assert [owner_of(endpoint, body) for endpoint in ("/recommend", "/events", "other")] == [0, 0, 0]


def test_routes_name_the_processes_of_the_doors_that_run() -> None:
    doors = Backend(release="a", url="http://h:1"), Backend(release="b", url="http://h:2")
    plain = Routes(mode="shadow", stable=doors[0], candidate=doors[1])
    spread = plain.over({"http://h:2": ("http://h:3", "http://h:4")})
    assert (plain.spread, spread.spread) == (False, True)
    assert (spread.stable.workers, spread.candidate and spread.candidate.workers) == (
        (),
        ("http://h:3", "http://h:4"),
    )
    assert Routes.model_validate_json(spread.model_dump_json()) == spread
    assert spread.over({}) == plain


@pytest.mark.process
def test_a_process_that_is_gone_is_not_in_flight_for_ever(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    gone, here = (tmp_path / f"gauge_livesum_{pid}.db" for pid in (ended.pid, os.getpid()))
    counts = tmp_path / f"counter_{ended.pid}.db"
    for path in (gone, here, counts):
        path.write_bytes(b"")
    forget_the_dead({"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert [path.exists() for path in (gone, here, counts)] == [False, True, True]
    forget_the_dead({})


@pytest.mark.process
def test_a_bento_that_is_started_with_a_wrong_number_says_so_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bentos.launch", "serve", "recommender:none"],
        env=os.environ | {env_names.DOOR_WORKERS: "many"},
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "intentflow: INTENTFLOW_DOOR_WORKERS: 'many' is no number of processes; give 1 to 64, or leave it out for one "
        "process a core"
    ]
