"""The router in front of doors on this machine: real processes, doors of a few lines."""

import sys
from types import SimpleNamespace

import pytest
import requests

from bentos.router import start
from bentos.router.routes import Backend, Routes
from bentos.router.settings import TOKEN
from feature_repo import files
from pipelines.leases.lease import FOLDER
from pipelines.releases import processes, serving
from pipelines.rollout.laptop import LaptopActuator

pytestmark = pytest.mark.process

DOOR = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Door(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
    do_POST = do_GET
HTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
"""


@pytest.fixture
def place(tmp_path):
    yield SimpleNamespace(home=tmp_path, variables={TOKEN: "t" * 32})
    processes.down(tmp_path, grace_s=2)


def opened(place, *releases: str) -> list[str]:
    """Start the doors of releases; return where they are."""
    wanted = []
    for release in releases:
        url = f"{start.LOOPBACK}:{processes.free_port(0)}"
        command = (sys.executable, "-c", DOOR, url.rpartition(":")[2], release)
        wanted.append(processes.Process(f"{serving.DOOR}-{release}", command, f"http://{url}", f"http://{url}/readyz"))
    return [state.url for state in processes.up(place.home, wanted, wait_s=20)]


def test_a_new_champion_is_routed_to_and_the_door_before_it_ends(place):
    first, second = opened(place, "aaa", "bbb")
    serving._follow(place, "aaa", first)
    port = processes.free_port(0)
    (state,) = processes.up(place.home, [serving.router(place, port=port)], wait_s=20)
    assert (state.state, serving.running(place)) == ("started", start.url(port))
    assert serving.doors(place) == {"aaa": first}
    assert requests.post(f"{state.url}/recommend", json={}).text == "aaa"
    (second,) = opened(place, "bbb")
    serving._follow(place, "bbb", second)
    answer = requests.post(f"{state.url}/recommend", json={})
    assert (answer.text, answer.headers["X-IntentFlow-Release"]) == ("bbb", "bbb")
    assert serving.doors(place) == {"bbb": second}


def test_what_a_rollout_says_stays_while_its_stable_door_runs(place):
    first, second = opened(place, "aaa", "bbb")
    backends = Backend(release="aaa", url=first), Backend(release="bbb", url=second)
    routes = Routes(rollout="r1", mode="canary", share=0.5, stable=backends[0], candidate=backends[1])
    file = start.routes_file(place.home)
    start.write(file, routes)
    serving._follow(place, "bbb", second)
    assert start.read(file) == routes
    processes.down(place.home, [f"{serving.DOOR}-aaa"])
    serving._follow(place, "bbb", second)
    assert start.read(file) == Routes(stable=backends[1])


def test_a_door_that_was_started_again_has_its_new_processes_routed_while_a_loop_serves(place):
    (url,) = opened(place, "aaa")
    gone, came = (f"http://{start.LOOPBACK}:{port}" for port in (4001, 4002))
    routes = Routes(stable=Backend(release="aaa", url=url, workers=(gone,)))
    start.write(start.routes_file(place.home), routes)
    (place.home / FOLDER).mkdir()
    record = place.home / "up" / f"{serving.DOOR}-aaa.json"
    files.write_json(record, files.read_json(record) | {"workers": [came]})
    serving._follow(place, "aaa", url)
    assert start.read(start.routes_file(place.home)) == routes.over({url: (came,)})


def test_the_router_learns_a_door_s_processes_and_the_loop_compares_routes_without_them(tmp_path):
    (tmp_path / "up").mkdir()
    own = ["http://127.0.0.1:4002", "http://127.0.0.1:4003"]
    for name, url, more in (
        (f"{serving.DOOR}-r1", "http://127.0.0.1:4001", {"workers": own}),
        (f"{serving.DOOR}-r0", "http://127.0.0.1:4000", {}),  # a record of an older version
    ):
        record = {"name": name, "url": url, "pid": 2**22 + 1, "created": 0.0, "marker": "none", "version": "v"} | more
        files.write_json(tmp_path / "up" / f"{name}.json", record)
    wanted = Routes(
        mode="canary",
        share=0.5,
        stable=Backend(release="r0", url="http://127.0.0.1:4000"),
        candidate=Backend(release="r1", url="http://127.0.0.1:4001"),
    )
    actuator = LaptopActuator(SimpleNamespace(home=tmp_path))
    actuator.route(wanted)
    written = start.read(start.routes_file(tmp_path))
    assert written is not None
    assert written.candidate is not None
    assert (written.stable.workers, list(written.candidate.workers)) == ((), own)
    assert actuator.routed() == wanted, "the loop would route again at every round"
