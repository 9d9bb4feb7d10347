"""The router as a process: it starts, answers, drains, and refuses bad settings in one line."""

import http.server
import os
import signal
import subprocess
import threading
import time

import pytest
import requests

from bentos.router import settings, start
from bentos.router.routes import Backend, Routes
from feature_repo.errors import SpecError
from pipelines.releases.processes import free_port
from tests.patience import patient

pytestmark = pytest.mark.process


class SlowDoor(http.server.BaseHTTPRequestHandler):
    """Takes a third of a second."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def door():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowDoor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_router_told_to_stop_answers_what_is_in_flight(tmp_path, door):
    port = free_port(0)
    routes = tmp_path / "routes.json"
    start.write(routes, Routes(stable=Backend(release="aaa", url=door)))
    env = os.environ | start.environment(routes, token="t" * 32, port=port)
    process = subprocess.Popen(start.command(), env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    url, found = start.url(port), []
    try:
        deadline = time.monotonic() + patient(30)
        while start.observe(url) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        asking = threading.Thread(target=lambda: found.append(requests.post(f"{url}/recommend", json={"user_id": "1"})))
        asking.start()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        asking.join(patient(10))
        assert [(reply.status_code, reply.text) for reply in found] == [(200, "{}")]
        assert process.wait(patient(10)) == 0
        assert "stopped with 0 requests in flight" in process.stderr.read()
    finally:
        process.kill()


GOOD = {"INTENTFLOW_ROUTES": "/r.json", "INTENTFLOW_SHADOW_TOKEN": "t" * 32}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"INTENTFLOW_ROUTES": ""}, "INTENTFLOW_ROUTES: is not set"),
        ({"INTENTFLOW_SHADOW_TOKEN": "short"}, "INTENTFLOW_SHADOW_TOKEN: 5 characters are no secret"),
        ({"INTENTFLOW_ROUTER_PORT": "70000"}, "INTENTFLOW_ROUTER_PORT: '70000' is no port; give 1 to 65535"),
        ({"INTENTFLOW_ROUTER_DRAIN_S": "soon"}, "INTENTFLOW_ROUTER_DRAIN_S: 'soon' is no time"),
        ({"INTENTFLOW_ROUTER_PATIENCE_S": "nan"}, "INTENTFLOW_ROUTER_PATIENCE_S: 'nan' is no time"),
        ({"INTENTFLOW_ROUTER_POPULAR_S": "90000"}, "POPULAR_S: '90000' is no time; give seconds above 0, up to 86400"),
        ({"INTENTFLOW_SERVING": '{"auth": "maybe"}'}, "INTENTFLOW_SERVING: serving.auth: Input should be"),
    ],
)
def test_bad_settings_are_one_line(change, said):
    with pytest.raises(SpecError, match=said) as caught:
        settings.Settings.read(GOOD | change)
    assert "\n" not in str(caught.value)


def test_settings_have_good_defaults():
    read = settings.Settings.read(GOOD)
    assert (read.host, read.port, read.admin_port, read.patience_s) == ("127.0.0.1", 3000, None, 3.0)
    assert (read.popular_s, read.scratch, read.access.auth) == (900.0, None, "none")


def test_a_router_on_this_machine_keeps_what_is_popular_beside_its_routes_and_knows_callers_as_its_doors_do(tmp_path):
    given = start.environment(tmp_path / "routes.json", token="t" * 32, port=3001, serving='{"anyone": true}')
    read = settings.Settings.read(given)
    assert (read.scratch, read.access.anyone, read.port) == (tmp_path, True, 3001)
