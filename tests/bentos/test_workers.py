"""A door of two processes, each on a port of its own, behind the real router: it answers as one process would."""

import concurrent.futures
import datetime as dt
import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest
import requests

from bentos.build import build
from bentos.client import Recommender
from bentos.endpoints.schemas import Event
from bentos.recommender.logs import eventlog
from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.serve import Serving, serve, started
from feature_repo import env_names
from feature_repo.logs import request_log
from pipelines.releases.processes import free_port
from tests.bentos import toy
from tests.patience import patient

# Two starts of a door of two processes; test_worker_parts.py has what they share, and a door starts in test_service.py.
pytestmark = [pytest.mark.process, pytest.mark.slow]
LATER = dt.datetime(2024, 1, 20, tzinfo=dt.UTC)
LIMIT = 40


@dataclass
class Spread:
    """A door of two processes, and a router before it."""

    toy: toy.Toy
    door: Serving
    router: Serving

    @property
    def client(self) -> Recommender:
        return Recommender(self.router.url)

    def answered(self, url: str = "") -> float:
        """Count the answers of all processes, as one of them tells it."""
        text = requests.get(f"{url or self.door.url}/metrics", timeout=10).text
        return sum(map(float, re.findall(r'^intentflow_requests_total\{.*endpoint="/recommend".*\} (\S+)', text, re.M)))


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spread]:
    trained_toy = toy.copied(tmp_path_factory)  # its clock is moved on
    with pytest.MonkeyPatch.context() as patch:
        for name, value in trained_toy.variables.items():
            patch.setenv(name, value)
        env = trained_toy.variables | {
            env_names.DOOR_WORKERS: "2",
            env_names.SERVING: f'{{"auth": "none", "limits": {{"admin": "{LIMIT}/hour"}}}}',
        }
        door = serve(build(trained_toy.release, home=trained_toy.home), port=free_port(0), env=env)
        routes, port = trained_toy.home / "routes.json", free_port(0)
        start.write(routes, Routes(stable=Backend(release="r", url=door.url, workers=door.workers)))
        variables = start.environment(routes, token="0" * 64, port=port)
        router = started(start.command(), trained_toy.home / "router", env=variables, url=start.url(port))
        yield Spread(trained_toy, door, router)
        router.stop()
        door.stop()


def pid_on(url: str) -> int:
    """Return the process that listens on a port; raises StopIteration where none does."""
    port = int(url.rpartition(":")[2])
    return next(
        int(one.pid or 0)
        for one in psutil.net_connections(kind="inet")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    )


def test_each_process_has_a_port_of_its_own_and_answers_there(spread: Spread) -> None:
    assert len({pid_on(url) for url in spread.door.workers}) == 2
    answers = [Recommender(url).recommend("u00", k=5).items for url in spread.door.workers]
    assert answers[0] == answers[1]


def test_users_are_spread_and_each_process_tells_the_sum(spread: Spread) -> None:
    before = [psutil.Process(pid_on(url)).cpu_times().user for url in spread.door.workers]
    counted = spread.answered()
    for _ in range(8):
        for number in range(16):
            spread.client.recommend(f"u{number:02}")
    after = [psutil.Process(pid_on(url)).cpu_times().user for url in spread.door.workers]
    assert all(later > earlier for earlier, later in zip(before, after, strict=True)), "one of them had no user"
    assert [spread.answered(url) - counted for url in spread.door.workers] == [128, 128]


def test_an_event_moves_the_clock_of_every_process(spread: Spread) -> None:
    begun = spread.client.intents("u03").profile
    assert begun.state_at is not None
    later = begun.state_at + dt.timedelta(days=20)
    event = Event(user_id="u02", item_id="i0", event="purchase", timestamp=later, event_id="clock-1")
    assert spread.client.events([event]).accepted == 1
    told = {Recommender(url).intents("u03").profile.age_days for url in spread.door.workers}
    assert len(told) == 1
    assert (told.pop() or 0) > 15, "time stood still for the users of one process"


def test_a_repeated_event_is_a_duplicate(spread: Spread) -> None:
    events = [
        Event(user_id=f"u{n:02}", item_id="i1", event="purchase", timestamp=LATER, event_id=f"again-{n}")
        for n in range(6)
    ]
    for event in events:
        assert spread.client.events([event]).accepted == 1
    again = [spread.client.events([event]) for event in events]
    assert [(one.accepted, one.duplicates) for one in again] == [(0, 1)] * 6


def test_two_processes_fold_events_of_one_user_and_lose_none(spread: Spread) -> None:
    """Who asks past the router, or while a process takes another's place, may find the wrong one."""
    before = Recommender(spread.door.workers[0]).explain("u05", "i1")

    def tell(number: int) -> int:
        event = Event(user_id="u05", item_id="i1", event="purchase", timestamp=LATER, event_id=f"both-{number}")
        return Recommender(spread.door.workers[number % 2]).events([event]).accepted

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(tell, range(24))) == 24
    after = Recommender(spread.door.workers[1]).explain("u05", "i1")
    totals = [{f.name: f.value for f in one.features}["events_total"] for one in (before, after)]
    assert totals[1] - totals[0] == 24


def test_a_caller_has_one_limit_for_all_processes(spread: Spread) -> None:
    codes = [
        requests.put(f"{spread.door.workers[n % 2]}/items", json={}, timeout=10).status_code for n in range(LIMIT + 4)
    ]
    assert codes.count(429) == 4
    assert codes[-4:] == [429] * 4


def test_a_killed_process_costs_no_answer_and_no_event_and_comes_back(spread: Spread) -> None:
    known: list[str] = []
    victim, url = pid_on(spread.door.workers[0]), spread.door.workers[0]
    for number in range(40):
        if number == 10:
            os.kill(victim, signal.SIGKILL)
        user = f"u{number % 24:02}"
        assert spread.client.recommend(user).items
        event = Event(user_id=user, item_id="i2", event="purchase", timestamp=LATER, event_id=f"kill-{number}")
        assert spread.client.events([event]).accepted == 1
        known.append(f"kill-{number}")
    deadline = time.monotonic() + patient(60)
    while True:
        try:
            if requests.get(f"{url}/readyz", timeout=2).ok:
                break
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, "it did not come back"
        time.sleep(0.2)
    assert pid_on(url) != victim
    again = [Event(user_id=f"u{n % 24:02}", item_id="i2", event="purchase", timestamp=LATER, event_id=f"kill-{n}")
             for n in range(40)]  # fmt: skip
    assert sum(Recommender(url).events([event]).duplicates for event in again) == 40, "an event was forgotten"
    folded = [key for path in eventlog.json_lines.files(spread.toy.home / eventlog.FOLDER)
              for line in request_log.read_lines(path) for key in line.get(eventlog.FOLDED, ())]  # fmt: skip
    assert len(set(folded)) >= 40


def test_shadow_canary_promotion_and_rollback_fail_no_request_and_lose_no_event(spread: Spread) -> None:
    """Two doors of two processes each, with one vocabulary, under load."""
    token, routes, port = "0" * 64, spread.toy.home / "turns.json", free_port(0)
    env = spread.toy.variables | {env_names.DOOR_WORKERS: "2", env_names.SHADOW_TOKEN: token}
    tag = build(spread.toy.release, home=spread.toy.home)
    with ExitStack() as held:
        doors = []
        for release in ("a", "b"):
            door = serve(tag, port=free_port(0), env=env)
            held.callback(door.stop)
            doors.append(Backend(release=release, url=door.url, workers=door.workers))
        start.write(routes, Routes(stable=doors[0]))
        variables = start.environment(routes, token=token, port=port)
        router = started(start.command(), spread.toy.home / "turning", env=variables, url=start.url(port))
        held.callback(router.stop)
        failed, over = [], threading.Event()

        def ask(first: int) -> None:
            for number in itertools.count(first):
                if over.is_set():
                    return
                user = f"u{number % 24:02}"
                read = requests.post(f"{router.url}/recommend", json={"user_id": user}, timeout=patient(20))
                told = {"user_id": user, "item_id": "i1", "event": "purchase", "event_id": f"turn-{first}-{number}"}
                write = requests.post(f"{router.url}/events", json={"events": [told]}, timeout=patient(20))
                if read.status_code != 200 or read.json()["profile"]["degraded"]:
                    failed.append(read.text)
                if write.status_code != 200 or write.json()["accepted"] != 1:
                    failed.append(write.text)

        clients = [threading.Thread(target=ask, args=(1000 * n,)) for n in range(3)]
        for client in clients:
            client.start()
        seen = []
        for turn in (
            Routes(rollout="r", mode="shadow", stable=doors[0], candidate=doors[1]),
            Routes(rollout="r", mode="canary", share=0.5, stable=doors[0], candidate=doors[1]),
            Routes(stable=doors[1]),
            Routes(stable=doors[0]),
        ):
            start.write(routes, turn)
            time.sleep(4)
            seen.append(start.observe(router.url))
        over.set()
        for client in clients:
            client.join()
        assert failed == []
        assert seen[1] is not None
        assert seen[1].shadow.mirrored > 0
        assert seen[1].arms["candidate"].requests > 0
        assert seen[1].arms["stable"].requests > 0


def test_it_stops_whole_and_in_its_time(spread: Spread) -> None:
    pids = [pid_on(url) for url in spread.door.workers]
    spread.door.process.terminate()
    assert spread.door.process.wait(patient(30)) is not None
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)
